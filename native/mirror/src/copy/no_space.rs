//! A change for which no space is left: it is made on neither copy, its host is told so, and the VDisk serves on.
//!
//! Rules:
//! 1. A change that found no space may be there in part. A copy that serves alone leaves it so: nothing is promised about what a write that
//!    ended with an error leaves.
//! 2. Copies that mirror must not part over it. The range stays locked on both until both hold what the Master holds there
//!    ([`TaskKind::Undo`]): zeros take no space, and what was there before has its space already.
//! 3. Where the Master has made the change and the Slave has no space for it, the Slave tries again ([`super::lacking`]). In the end it gives
//!    its copy up as if its disk had failed, and the Master goes on alone.
//! 4. Any other operation that finds no space, such as a resync's or one on a very long range, is a failure of the disk.

use super::task::{Task, TaskKind};
use super::{Copy, DiskUse, Mode};
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::{Change, ChangeKind, DiskDone, HostResult};
use crate::report::Report;

/// Linux's error number of a filesystem without space.
pub const ENOSPC: i32 = 28;

/// Linux's error number of a quota that is used up.
const EDQUOT: i32 = 122;

/// True for the error number of an operation that found no space.
#[must_use]
pub fn is_no_space(errno: i32) -> bool {
    matches!(errno, ENOSPC | EDQUOT)
}

/// Longest change that is undone.
const UNDO_MAX_BYTES: u64 = 16 << 20;

/// How long operators are not told again, in nanoseconds.
const TOLD_FOR_NS: u64 = 60_000_000_000;

/// Who is to hear that there was no space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// A host of this node.
    Host(HostId),
    /// The Slave, for a host of its own: the id of its request.
    Peer(u64),
}

impl Copy {
    /// A disk operation failed with this error number. False: that is a failure of the disk.
    pub(super) fn found_no_space(&mut self, usage: &DiskUse, errno: i32) -> bool {
        if !is_no_space(errno) {
            return false;
        }
        let id = match *usage {
            DiskUse::Task(id) => id,
            DiskUse::Stale { change: true } => {
                // Nobody was answered, and the activity log names the range.
                self.stale_done();
                return true;
            }
            _ => return false,
        };
        let alone = matches!(self.mode, Mode::Single | Mode::Alone);
        let Some(task) = self.tasks.get_mut(&id) else {
            return false;
        };
        let may_undo = matches!(self.mode, Mode::Mirroring(_)) && task.len_bytes <= UNDO_MAX_BYTES;
        match &mut task.kind {
            TaskKind::HostChange { host, .. } if alone => {
                let host = *host;
                self.end_change(id);
                self.tell_no_space();
                self.complete(host, HostResult::NoSpace);
            }
            TaskKind::HostChange {
                local_pending,
                local_short,
                ..
            } if may_undo => {
                (*local_pending, *local_short) = (false, true);
                self.host_change_progress(id);
            }
            TaskKind::PeerRequest { peer_id, .. } if may_undo => {
                let asker = Asker::Peer(*peer_id);
                self.undo(id, asker);
            }
            TaskKind::HostRequest { short, .. } => {
                *short = true;
                self.say(id, Body::Short);
                self.order_locks();
            }
            TaskKind::PeerApply { peer_id, .. } if may_undo => {
                let peer_id = *peer_id;
                self.short.insert(peer_id, id);
                self.say(peer_id, Body::NoSpace);
                self.order_locks();
            }
            _ => return false,
        }
        true
    }

    /// Master: the change is not made: both copies are to hold what this one holds. The range is locked.
    pub(super) fn undo(&mut self, id: u64, asker: Asker) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.kind = TaskKind::Undo { asker };
        let (offset, len_bytes) = (task.offset, task.len_bytes);
        self.read_for(id, offset, len_bytes);
    }

    /// Master: what this copy holds was read.
    pub(super) fn undo_read(&mut self, id: u64, done: DiskDone) {
        let (Some(task), DiskDone::Data(found)) = (self.tasks.get(&id), done) else {
            return;
        };
        // The Slave may have space for all of it: what is a hole here must be one there again, or others lack that space.
        let kind = if found.is_zero() {
            ChangeKind::Unmap
        } else {
            ChangeKind::Sparse(found)
        };
        let change = Change {
            offset: task.offset,
            len_bytes: task.len_bytes,
            kind,
        };
        self.say(id, Body::Apply(change));
    }

    /// Master: the Slave holds the same.
    pub(super) fn undone(&mut self, id: u64) {
        let Some(Task {
            kind: TaskKind::Undo { asker },
            ..
        }) = self.tasks.get(&id)
        else {
            return;
        };
        let asker = *asker;
        self.end_change(id);
        self.tell_no_space();
        match asker {
            Asker::Host(host) => self.complete(host, HostResult::NoSpace),
            Asker::Peer(peer_id) => {
                self.peer_tasks.remove(&peer_id);
                self.say(peer_id, Body::NoSpace);
            }
        }
    }

    /// Master: the Slave has no space for what it was to apply.
    pub(super) fn peer_found_no_space(&mut self, id: u64) {
        match self.tasks.get_mut(&id).map(|task| &mut task.kind) {
            Some(TaskKind::HostChange {
                peer_pending,
                peer_short,
                ..
            }) => {
                (*peer_pending, *peer_short) = (false, true);
                self.host_change_progress(id);
            }
            Some(TaskKind::Undo { .. } | TaskKind::Repair { .. }) => self.lacking.add(id),
            _ => {}
        }
    }

    /// Slave: the Master has not made our change: one of the copies has no space for it.
    pub(super) fn refused_for_space(&mut self, id: u64) {
        if let Some(Task {
            kind:
                TaskKind::HostAsk { host, .. }
                | TaskKind::HostRequest {
                    host,
                    granted: false,
                    ..
                },
            ..
        }) = self.tasks.get(&id)
        {
            let host = *host;
            self.finish(id);
            self.complete(host, HostResult::NoSpace);
        }
    }

    /// Slave: the change for which there was no space is to become this one. The task that waits for it, with its lock.
    pub(super) fn replaced(&mut self, peer_id: u64, by: &Change) -> Option<u64> {
        let id = *self.short.get(&peer_id)?;
        let task = self.tasks.get_mut(&id)?;
        let same = (task.offset, task.len_bytes) == (by.offset, by.len_bytes);
        if let TaskKind::PeerApply { change, .. } = &mut task.kind
            && same
        {
            change.clone_from(by);
            self.short.remove(&peer_id);
            self.order_locks();
            return Some(id);
        }
        None
    }

    /// Slave: while a change waits for space here, no other one waits for a read that waits for it: the Master waits for both
    /// ([`super::lacking`]).
    pub(super) fn order_locks(&mut self) {
        let is_short = |task: &Task| matches!(task.kind, TaskKind::HostRequest { short: true, .. });
        let is_any = !self.short.is_empty() || self.tasks.values().any(is_short);
        let mut granted = Vec::new();
        self.locks.changes_first(is_any, &mut granted);
        granted.reverse();
        self.ready.append(&mut granted);
    }

    /// Have operators told, now and then.
    fn tell_no_space(&mut self) {
        if self.around.now_ns >= self.tell_no_space_ns {
            self.tell_no_space_ns = self.around.now_ns + TOLD_FOR_NS;
            self.report(Report::NoSpace);
        }
    }
}
