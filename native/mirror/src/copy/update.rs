//! Updates: changes that depend on what they change (compare and write, or) or on another range (copy). Whoever orders changes
//! reads the range under its lock and makes a plain change of the update; only that travels on and is applied.
//!
//! ```text
//! host ── update ──► Slave ── Ask ─────────────► Master: lock, read
//!                      ◄──── Resolved, Granted ──── log, disk      or  ◄── Refused ── unlock
//!                    log, disk, answer, Unlock
//! ```
//! Rules:
//! 1. A comparison counts once. When it has succeeded, the command goes on as the change that it became: started afresh, it would
//!    find its own bytes. Since it held its lock until everything was given up, it starts before what waited for it.
//! 2. Who asked the Master and lost it without an answer does not know whether the comparison was made. Serving without that Master
//!    it compares again, for its own copy has nothing of it; attached as a Slave it answers that the outcome is unknown.
//! 3. A node that stops serving answers the same, never NOT READY, of a comparison that may have been made: repeated through the
//!    other node it would find its own bytes.
//! 4. A copy holds the range that it reads until both nodes have what it wrote: at one moment both ranges are equal. It may be
//!    repeated, since the two do not overlap.

use super::mode::Progress;
use super::task::{Task, TaskKind};
use super::{Copy, Mode};
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::{Change, DiskDone, HostResult, Update, UpdateKind};

impl Copy {
    pub(super) fn start_update(&mut self, host: HostId, update: Update, fua: bool) {
        self.last_change_ns = self.around.now_ns;
        let asks = matches!(self.mode, Mode::Mirroring(_)) && !self.is_master();
        let once = matches!(update.kind, UpdateKind::CompareAndWrite { .. });
        let Some(entry) = self.hosts.get_mut(&host) else {
            return;
        };
        let (offset, len_bytes) = (update.offset, update.len_bytes);
        let source = update.source();
        match (&entry.progress, asks) {
            (Progress::Resolved(change), false) => {
                let change = change.clone();
                let kind = self.host_change(host, change, fua);
                let id = self.add_task(offset, len_bytes, kind);
                self.lock_update(id, source);
            }
            (_, false) => {
                let id = self.add_task(
                    offset,
                    len_bytes,
                    TaskKind::HostUpdate { host, update, fua },
                );
                self.lock_update(id, source);
            }
            (Progress::Asked | Progress::Resolved(_), true) if once => {
                self.complete(host, HostResult::Unknown);
            }
            (_, true) => {
                entry.progress = Progress::Asked;
                let ask = Body::Ask(update);
                let kind = TaskKind::HostAsk {
                    host,
                    fua,
                    resolved: None,
                };
                let id = self.add_task(offset, len_bytes, kind);
                self.say(id, ask);
            }
        }
    }

    /// Master: the Slave's host wants an update.
    pub(super) fn asked_by_peer(&mut self, peer_id: u64, update: Update) {
        self.last_change_ns = self.around.now_ns;
        let (offset, len_bytes) = (update.offset, update.len_bytes);
        let source = update.source();
        let task = self.add_task(offset, len_bytes, TaskKind::PeerUpdate { peer_id, update });
        self.peer_tasks.insert(peer_id, task);
        self.lock_update(task, source);
    }

    /// Ask for the update's range, and for the one that it copies.
    fn lock_update(&mut self, id: u64, source: Option<u64>) {
        let (Some(task), Some(source)) = (self.tasks.get(&id), source) else {
            return self.lock(id, true);
        };
        if (self.locks).request_two(id, task.offset, source, task.len_bytes) {
            self.granted(id);
        }
    }

    /// The range of an update was read under its lock.
    pub(super) fn update_read(&mut self, id: u64, done: DiskDone) {
        let (DiskDone::Data(found), Some(task)) = (done, self.tasks.get(&id)) else {
            return;
        };
        match &task.kind {
            TaskKind::HostUpdate { host, update, fua } => {
                let (host, fua, resolved) = (*host, *fua, update.resolve(&found));
                match resolved {
                    // Its session is gone, and nothing is changed yet.
                    _ if !self.hosts.contains_key(&host) => {
                        self.finish(id);
                    }
                    Ok(change) => {
                        self.keep_resolved(host, &change);
                        let kind = self.host_change(host, change, fua);
                        self.go_on_as(id, kind);
                    }
                    Err(offset) => {
                        self.finish(id);
                        self.complete(host, HostResult::Miscompare { offset });
                    }
                }
            }
            TaskKind::PeerUpdate { peer_id, update } => {
                let (peer_id, resolved) = (*peer_id, update.resolve(&found));
                match resolved {
                    Ok(change) => {
                        self.say(peer_id, Body::Resolved(change.clone()));
                        self.go_on_as(
                            id,
                            TaskKind::PeerRequest {
                                peer_id,
                                change,
                                granted: false,
                            },
                        );
                    }
                    Err(offset) => {
                        self.peer_tasks.remove(&peer_id);
                        self.finish(id);
                        self.say(peer_id, Body::Refused { offset });
                    }
                }
            }
            _ => {}
        }
    }

    /// Slave: what the update became. It is not to be applied before it is granted.
    pub(super) fn resolved_by_peer(&mut self, id: u64, change: Change) {
        if let Some(Task {
            offset,
            len_bytes,
            kind: TaskKind::HostAsk { resolved, .. },
            ..
        }) = self.tasks.get_mut(&id)
            && (*offset, *len_bytes) == (change.offset, change.len_bytes)
        {
            *resolved = Some(change);
        }
    }

    /// Slave: the Master has applied what our update became, and keeps it locked.
    pub(super) fn update_granted(&mut self, id: u64) {
        let Some(Task {
            kind:
                TaskKind::HostAsk {
                    host,
                    fua,
                    resolved: Some(change),
                    ..
                },
            ..
        }) = self.tasks.get(&id)
        else {
            return;
        };
        let (host, fua, change) = (*host, *fua, change.clone());
        self.keep_resolved(host, &change);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.kind = TaskKind::HostRequest {
                host,
                change,
                fua,
                granted: true,
                short: false,
            };
        }
        self.lock(id, true);
    }

    /// Slave: the comparison failed.
    pub(super) fn refused_by_peer(&mut self, id: u64, offset: u64) {
        if let Some(Task {
            kind: TaskKind::HostAsk { host, .. },
            ..
        }) = self.tasks.get(&id)
        {
            let host = *host;
            self.finish(id);
            self.complete(host, HostResult::Miscompare { offset });
        }
    }

    /// The same task, with its lock, is a plain change from here on.
    fn go_on_as(&mut self, id: u64, kind: TaskKind) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.kind = kind;
            self.begin_change(id);
        }
    }

    fn keep_resolved(&mut self, host: HostId, change: &Change) {
        if let Some(entry) = self.hosts.get_mut(&host) {
            entry.progress = Progress::Resolved(change.clone());
        }
    }
}
