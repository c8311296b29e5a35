//! Where a host's command goes, by mode.

use super::task::{Task, TaskKind};
use super::{Copy, Direction, Mode};
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::{HostOp, HostResult};

/// What becomes of a host's command in the present mode.
enum Fate {
    Refuse(crate::ops::NotReady),
    Hold,
    Start,
}

impl Copy {
    /// Start a command that is in `hosts`, hold it, or refuse it.
    pub(super) fn start_or_hold(&mut self, id: HostId) {
        match self.fate() {
            Fate::Refuse(why) => self.complete(id, HostResult::NotReady(why)),
            Fate::Hold => self.held.push_back(id),
            Fate::Start => self.start(id),
        }
    }

    fn fate(&mut self) -> Fate {
        match self.mode {
            Mode::Closed(why) => Fate::Refuse(why),
            Mode::Single | Mode::Alone => {
                if self.stale == 0 && self.draining.is_none() {
                    Fate::Start
                } else {
                    Fate::Hold
                }
            }
            Mode::Mirroring(_) => {
                if self.around.now_ns >= self.around.serve_until_ns {
                    self.lease_over = true;
                    return Fate::Hold;
                }
                if self.draining.is_some() {
                    Fate::Hold
                } else {
                    Fate::Start
                }
            }
            Mode::Held | Mode::Attaching(_) | Mode::GoingAlone(_) | Mode::Failed => Fate::Hold,
        }
    }

    fn start(&mut self, host: HostId) {
        let Some((_, op)) = self.hosts.get(&host) else {
            return;
        };
        match op.clone() {
            HostOp::Read { offset, len_bytes } => self.start_read(host, offset, len_bytes),
            HostOp::Flush => self.start_flush(Some(host)),
            HostOp::Change { change, fua } => {
                self.last_change_ns = self.around.now_ns;
                let (offset, len_bytes) = (change.offset, change.len_bytes);
                let mirroring = matches!(self.mode, Mode::Mirroring(_));
                if mirroring && !self.is_master() {
                    let ask = Body::Request(change.clone());
                    let kind = TaskKind::HostRequest {
                        host,
                        change,
                        fua,
                        granted: false,
                        begun: false,
                    };
                    let id = self.add_task(offset, len_bytes, kind);
                    self.say(id, ask);
                } else {
                    let kind = TaskKind::HostChange {
                        host,
                        change,
                        fua,
                        begun: false,
                        local_pending: true,
                        peer_pending: mirroring,
                    };
                    let id = self.add_task(offset, len_bytes, kind);
                    self.lock(id, true);
                }
            }
        }
    }

    fn start_read(&mut self, host: HostId, offset: u64, len_bytes: u32) {
        let afar = match &self.mode {
            Mode::Mirroring(Direction::Target(dirty)) => dirty.touches(offset, len_bytes.into()),
            _ => false,
        };
        if afar {
            let id = self.add_task(offset, len_bytes.into(), TaskKind::HostReadAfar { host });
            self.say(id, Body::Read { offset, len_bytes });
        } else {
            let id = self.add_task(offset, len_bytes.into(), TaskKind::HostRead { host });
            self.lock(id, false);
        }
    }

    pub(super) fn add_task(&mut self, offset: u64, len_bytes: u64, kind: TaskKind) -> u64 {
        let id = self.fresh_id();
        self.tasks.insert(
            id,
            Task {
                offset,
                len_bytes,
                kind,
            },
        );
        id
    }

    /// Ask for the task's range; it goes on in [`Copy::granted`].
    pub(super) fn lock(&mut self, id: u64, exclusive: bool) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        if self
            .locks
            .request(id, task.offset, task.len_bytes, exclusive)
        {
            self.granted(id);
        }
    }

    /// End a task: give its range back.
    pub(super) fn finish(&mut self, id: u64) -> Option<Task> {
        let task = self.tasks.remove(&id);
        let mut granted = Vec::new();
        self.locks.release(id, &mut granted);
        granted.reverse();
        self.ready.append(&mut granted);
        task
    }
}
