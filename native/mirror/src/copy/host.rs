//! Where a host's command goes, by mode.

use super::mode::{Host, Progress};
use super::task::{Task, TaskKind};
use super::{Copy, Direction, Mode};
use crate::action::Action;
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::{Change, HostOp, HostResult, NotReady};

/// What becomes of a host's command in the present mode.
enum Fate {
    Refuse(NotReady),
    Hold,
    Start,
}

impl Copy {
    /// Start a command that is in `hosts`, hold it, or refuse it.
    pub(super) fn start_or_hold(&mut self, id: HostId) {
        let fate = self.fate(false);
        self.follow(id, fate);
    }

    fn follow(&mut self, id: HostId, fate: Fate) {
        match fate {
            Fate::Refuse(why) => self.refuse(id, HostResult::NotReady(why)),
            Fate::Hold => self.held.push_back(id),
            Fate::Start => self.start(id),
        }
    }

    /// Answer that a command is not served. Of one that may have counted the initiator must not think that it can be repeated: a
    /// comparison would meet its own bytes, a change of the record would be made twice.
    pub(super) fn refuse(&mut self, id: HostId, result: HostResult) {
        let unknown = self.hosts.get(&id).is_some_and(Host::may_have_counted);
        self.complete(id, if unknown { HostResult::Unknown } else { result });
    }

    /// `afresh`: a change that was held before the copies attached.
    fn fate(&mut self, afresh: bool) -> Fate {
        match self.mode {
            Mode::Closed(why) => Fate::Refuse(why),
            Mode::Single | Mode::Alone => {
                if self.stale == 0 && self.draining.is_none() && !self.gated() {
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
                if self.draining.is_some() || self.gated() || (self.resuming && !afresh) {
                    Fate::Hold
                } else {
                    Fate::Start
                }
            }
            Mode::Held | Mode::Attaching(_) | Mode::GoingAlone(_) | Mode::Failed => Fate::Hold,
        }
    }

    fn start(&mut self, host: HostId) {
        let Some(op) = self.hosts.get(&host).map(|host| host.op.clone()) else {
            return;
        };
        match op {
            HostOp::Read { offset, len_bytes } => self.start_read(host, offset, len_bytes),
            HostOp::Allocation { offset, len_bytes } => {
                self.start_allocation(host, offset, len_bytes);
            }
            HostOp::Flush => drop(self.start_flush(Some(host))),
            HostOp::Settle => self.start_settle(host),
            HostOp::Turn { tag } => self.start_turn(host, tag),
            HostOp::Watch(watch) => self.start_watch(host, *watch),
            HostOp::Change { change, fua } => self.start_change(host, change, fua),
            HostOp::Update { update, fua } => self.start_update(host, update, fua),
        }
    }

    pub(super) fn start_change(&mut self, host: HostId, change: Change, fua: bool) {
        self.last_change_ns = self.around.now_ns;
        let (offset, len_bytes) = (change.offset, change.len_bytes);
        if matches!(self.mode, Mode::Mirroring(_)) && !self.is_master() {
            if let Some(entry) = self.hosts.get_mut(&host) {
                entry.progress = Progress::Asked;
            }
            let ask = Body::Request(change.clone());
            let kind = TaskKind::HostRequest {
                host,
                change,
                fua,
                granted: false,
                short: false,
            };
            let id = self.add_task(offset, len_bytes, kind);
            self.say(id, ask);
        } else {
            let kind = self.host_change(host, change, fua);
            let id = self.add_task(offset, len_bytes, kind);
            self.lock(id, true);
        }
    }

    /// A change that this copy orders itself, before it is begun.
    pub(super) fn host_change(&self, host: HostId, change: Change, fua: bool) -> TaskKind {
        TaskKind::HostChange {
            host,
            change,
            fua,
            local_pending: true,
            peer_pending: matches!(self.mode, Mode::Mirroring(_)),
            local_short: false,
            peer_short: false,
        }
    }

    /// Target: true when this copy is not up to date somewhere in the range.
    fn lacks(&self, offset: u64, len_bytes: u64) -> bool {
        match &self.mode {
            Mode::Mirroring(Direction::Target(dirty)) => dirty.touches(offset, len_bytes),
            _ => false,
        }
    }

    fn start_allocation(&mut self, host: HostId, offset: u64, len_bytes: u64) {
        if self.lacks(offset, len_bytes) {
            // Data everywhere is never wrong.
            self.complete(host, HostResult::Allocation(vec![(offset, len_bytes)]));
        } else {
            let id = self.add_task(offset, len_bytes, TaskKind::HostAllocation { host });
            self.lock(id, false);
        }
    }

    fn start_read(&mut self, host: HostId, offset: u64, len_bytes: u32) {
        if self.lacks(offset, len_bytes.into()) {
            let id = self.add_task(offset, len_bytes.into(), TaskKind::HostReadAfar { host });
            self.say(id, Body::Read { offset, len_bytes });
        } else {
            let id = self.add_task(offset, len_bytes.into(), TaskKind::HostRead { host });
            self.lock(id, false);
        }
    }

    /// Start all held commands as far as the mode lets them; how many went on.
    pub(super) fn release_held(&mut self) -> usize {
        let held = std::mem::take(&mut self.held);
        let count = held.len();
        for id in held {
            self.start_or_hold(id);
        }
        count - self.held.len()
    }

    /// Master, just attached: start the changes that were held, and nothing else until the Slave has sent its own. An update
    /// whose comparison has not counted yet is a read: it might meet what the Slave is about to write again.
    pub(super) fn resume_changes(&mut self) {
        self.resuming = true;
        for id in std::mem::take(&mut self.held) {
            let change = self.hosts.get(&id).is_some_and(|host| match host.op {
                HostOp::Change { .. } => true,
                HostOp::Update { .. } => matches!(host.progress, Progress::Resolved(_)),
                _ => false,
            });
            let fate = self.fate(change);
            self.follow(id, fate);
        }
    }

    /// Master: the Slave has sent the changes that it held.
    pub(super) fn resumed_by_peer(&mut self) {
        self.resuming = false;
        self.release_held();
    }

    /// Forget a command whose session is gone, unless it has begun: then the copies may differ until it ends, or
    /// somebody may have read what it wrote.
    pub(super) fn withdraw(&mut self, host: HostId) {
        if let Some(entry) = self.hosts.get_mut(&host)
            && entry.begun
        {
            entry.answer = false;
            return;
        }
        let task = (self.tasks.iter())
            .find(|(_, task)| task.kind.host() == Some(host))
            .map(|(&id, task)| (id, matches!(task.kind, TaskKind::HostChange { .. })));
        self.withdraw_settle(host);
        if task.is_some_and(|(id, _)| self.withdraw_turn(host, id)) {
            return;
        }
        // A change that nobody has heard of yet.
        if let Some((id, true)) = task {
            self.finish(id);
        }
        self.hosts.remove(&host);
        self.held.retain(|held| *held != host);
    }

    /// This copy is a Slave from here on: what it had begun as Master is the new Master's to order, so that what nobody waits for
    /// ends here.
    pub(super) fn forget_begun(&mut self) {
        self.hosts.retain(|_, host| host.answer);
        for host in self.hosts.values_mut() {
            host.begun = false;
        }
        self.held.retain(|id| self.hosts.contains_key(id));
    }

    /// Answer a host, unless its session is gone or the lease is over.
    pub(super) fn complete(&mut self, id: HostId, result: HostResult) {
        let mirroring = matches!(self.mode, Mode::Mirroring(_));
        if mirroring && self.around.now_ns >= self.around.serve_until_ns {
            self.lease_over = true;
            return;
        }
        if self.hosts.remove(&id).is_some_and(|host| host.answer) {
            self.out.push(Action::Complete {
                serial: self.serial,
                host: id,
                result,
            });
        }
    }

    pub(super) fn add_task(&mut self, offset: u64, len_bytes: u64, kind: TaskKind) -> u64 {
        let id = self.fresh_id();
        self.tasks.insert(
            id,
            Task {
                offset,
                len_bytes,
                began_ns: self.around.now_ns,
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
        if let Some(task) = task.as_ref().filter(|task| task.kind.is_host_io()) {
            let took_ns = self.around.now_ns.saturating_sub(task.began_ns);
            self.pace.answered(took_ns);
        }
        let mut granted = Vec::new();
        self.locks.release(id, &mut granted);
        granted.reverse();
        self.ready.append(&mut granted);
        task
    }
}
