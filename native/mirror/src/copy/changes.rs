//! Reads and changes from their lock to their end.
//!
//! A change: lock, extents into the activity log (durable), disk; then by kind: the peer's answer, the answer to the
//! peer, the answer to the host. Its lock lasts until both copies have it.

use super::mode::Progress;
use super::no_space::Asker;
use super::task::{Task, TaskKind};
use super::{Copy, DiskUse, Mode};
use crate::EXTENT_BYTES;
use crate::dirty_bitmap::extents_of;
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::{Change, DiskDone, DiskOp, HostOp, HostResult};

impl Copy {
    /// The task has its range.
    pub(super) fn granted(&mut self, id: u64) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let (offset, len_bytes) = (task.offset, task.len_bytes);
        match &task.kind {
            TaskKind::HostRead { .. }
            | TaskKind::PeerRead { .. }
            | TaskKind::PeerHash { .. }
            | TaskKind::Compare { .. }
            | TaskKind::PeerCompare { .. }
            | TaskKind::Chunk { .. } => self.read_for(id, offset, len_bytes),
            TaskKind::HostUpdate { update, .. } | TaskKind::PeerUpdate { update, .. } => {
                let offset = update.source().unwrap_or(offset);
                self.read_for(id, offset, len_bytes);
            }
            TaskKind::HostAllocation { .. } => {
                self.disk_op(DiskUse::Task(id), DiskOp::Ranges { offset, len_bytes });
            }
            TaskKind::HostChange { .. }
            | TaskKind::HostRequest { .. }
            | TaskKind::PeerRequest { .. }
            | TaskKind::PeerApply { .. }
            | TaskKind::Repair { .. } => self.begin_change(id),
            TaskKind::PeerChunk { data, .. } => {
                let change = Change {
                    offset,
                    len_bytes,
                    kind: crate::ops::ChangeKind::Write(data.clone()),
                };
                self.disk_op(DiskUse::Task(id), DiskOp::Change(change));
            }
            TaskKind::HostWatch { .. } | TaskKind::PeerWatch { .. } => self.watch_granted(id),
            TaskKind::Undo { .. }
            | TaskKind::HostReadAfar { .. }
            | TaskKind::HostAsk { .. }
            | TaskKind::HostTurn { .. }
            | TaskKind::PeerTurn { .. }
            | TaskKind::List { .. }
            | TaskKind::PeerList { .. }
            | TaskKind::Flush { .. }
            | TaskKind::PeerFlush { .. } => {}
        }
    }

    pub(super) fn read_for(&mut self, id: u64, offset: u64, len_bytes: u64) {
        let len_bytes =
            u32::try_from(len_bytes).expect("reads are bounded by the SCSI transfer length");
        self.disk_op(DiskUse::Task(id), DiskOp::Read { offset, len_bytes });
    }

    /// Count the change in at the activity log, tell the Slave of it, and apply it once the log is durable.
    pub(super) fn begin_change(&mut self, id: u64) {
        let Some(Task {
            offset, len_bytes, ..
        }) = self.tasks.get(&id)
        else {
            return;
        };
        let (offset, len_bytes) = (*offset, *len_bytes);
        if matches!(self.mode, Mode::Single) {
            self.note_begun(id);
            self.apply(id);
            return;
        }
        if self.lacking.is_any() || !self.make_room(offset, len_bytes) {
            self.waiting_room.push(id);
            return;
        }
        let extents: Vec<u64> = extents_of(offset, len_bytes)
            .filter(|e| !self.active.covers(e * EXTENT_BYTES, 1))
            .collect();
        let durable = self.active.begin(offset, len_bytes);
        if !durable {
            self.take_ahead(extents);
            self.persisting.want();
            self.waiting_active.push(id);
        }
        let send = self.note_begun(id);
        if let Some(change) = send {
            self.say(id, Body::Apply(change));
        }
        if durable {
            self.apply(id);
        }
    }

    /// Note that a change of a host of this node has begun; what the Slave is to be told.
    fn note_begun(&mut self, id: u64) -> Option<Change> {
        let task = self.tasks.get(&id)?;
        if let TaskKind::Repair { change, .. } = &task.kind {
            return Some(change.clone());
        }
        let TaskKind::HostChange {
            host,
            change,
            peer_pending,
            ..
        } = &task.kind
        else {
            return None;
        };
        let send = peer_pending.then(|| change.clone());
        if let Some(entry) = self.hosts.get_mut(host) {
            entry.begun = true;
        }
        send
    }

    /// On the Master, take in the extents that a sequential writer needs next, and let the Slave do so at once.
    fn take_ahead(&mut self, mut extents: Vec<u64>) {
        if !self.is_master() {
            return;
        }
        if let Some(&last) = extents.last() {
            let total = self.size_bytes.div_ceil(EXTENT_BYTES);
            let ahead: Vec<u64> = self.active.ahead_of(last, total).collect();
            self.active.add(ahead.iter().copied());
            extents.extend(ahead);
        }
        if matches!(self.mode, Mode::Mirroring(_)) && !extents.is_empty() {
            self.say(0, Body::ActiveAdd(extents));
        }
    }

    /// See that the activity log can take a range in; false: wait for a barrier.
    fn make_room(&mut self, offset: u64, len_bytes: u64) -> bool {
        let missing = self.active.missing(offset, len_bytes);
        let need = self.active.len() + missing;
        let capacity = self.active.capacity();
        if missing == 0 || need <= capacity {
            return true;
        }
        let surplus = (need - capacity).max(capacity / 8);
        if matches!(self.mode, Mode::Alone) {
            for (extent, bits) in self.active.evict_quiet(surplus) {
                self.dirty.mark(extent, bits);
                self.persisting.want_word(extent, self.dirty.word(extent));
            }
        } else if self.is_master() {
            let gone = self.active.evict_idle(surplus);
            if !gone.is_empty() {
                self.say(0, Body::ActiveRemove(gone));
            }
            if self.active.len() + missing > capacity {
                self.start_barrier();
            }
        }
        self.active.len() + missing <= self.active.capacity_max()
    }

    /// Tasks that waited for room in the log try again.
    pub(super) fn retry_room(&mut self) {
        for id in std::mem::take(&mut self.waiting_room) {
            self.begin_change(id);
        }
    }

    /// The log has become durable: what waited for it goes on.
    pub(super) fn retry_active(&mut self) {
        for id in std::mem::take(&mut self.waiting_active) {
            let Some(task) = self.tasks.get(&id) else {
                continue;
            };
            if self.active.covers(task.offset, task.len_bytes) {
                self.apply(id);
            } else {
                self.waiting_active.push(id);
                self.persisting.want();
            }
        }
    }

    pub(super) fn apply(&mut self, id: u64) {
        let change = match self.tasks.get(&id).map(|task| &task.kind) {
            Some(
                TaskKind::HostChange { change, .. }
                | TaskKind::HostRequest { change, .. }
                | TaskKind::PeerRequest { change, .. }
                | TaskKind::PeerApply { change, .. }
                | TaskKind::Repair { change, .. },
            ) => change.clone(),
            _ => return,
        };
        self.disk_op(DiskUse::Task(id), DiskOp::Change(change));
    }

    /// The task's disk operation is done.
    pub(super) fn task_disk_done(&mut self, id: u64, done: DiskDone) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        match &mut task.kind {
            TaskKind::HostRead { host } => {
                let host = *host;
                self.finish(id);
                if let DiskDone::Data(data) = done {
                    self.counters.read(data.len_bytes());
                    self.complete(host, HostResult::Data(data));
                }
            }
            TaskKind::HostAllocation { host } => {
                let host = *host;
                self.finish(id);
                if let DiskDone::Ranges(ranges) = done {
                    self.complete(host, HostResult::Allocation(ranges));
                }
            }
            TaskKind::PeerRead { peer_id } => {
                let peer_id = *peer_id;
                self.finish(id);
                if let DiskDone::Data(data) = done {
                    self.say(peer_id, Body::ReadData(data));
                }
            }
            TaskKind::HostChange { local_pending, .. } => {
                *local_pending = false;
                self.host_change_progress(id);
            }
            TaskKind::HostRequest { .. } => self.host_request_applied(id),
            TaskKind::HostUpdate { .. } | TaskKind::PeerUpdate { .. } => self.update_read(id, done),
            TaskKind::PeerRequest {
                peer_id, granted, ..
            } => {
                *granted = true;
                let peer_id = *peer_id;
                self.say(peer_id, Body::Granted);
            }
            TaskKind::PeerApply { peer_id, .. } => {
                let peer_id = *peer_id;
                self.end_change(id);
                self.say(peer_id, Body::Applied);
            }
            TaskKind::Flush { .. } | TaskKind::PeerFlush { .. } => self.flush_disk_done(id),
            TaskKind::Chunk { .. } => self.chunk_read(id, done),
            TaskKind::PeerHash { .. } => self.chunk_compared(id, done),
            TaskKind::PeerChunk { .. } => self.chunk_taken(id),
            TaskKind::List { .. } | TaskKind::PeerList { .. } => self.own_list(id, done),
            TaskKind::Undo { .. } => self.undo_read(id, done),
            TaskKind::Compare { .. } => self.compare_read(id, done),
            TaskKind::PeerCompare { .. } => self.peer_compare_read(id, done),
            TaskKind::Repair { local_pending, .. } => {
                *local_pending = false;
                self.repair_progress(id);
            }
            TaskKind::HostReadAfar { .. }
            | TaskKind::HostAsk { .. }
            | TaskKind::HostTurn { .. }
            | TaskKind::PeerTurn { .. }
            | TaskKind::HostWatch { .. }
            | TaskKind::PeerWatch { .. } => {}
        }
    }

    /// Master: the Slave has applied our change.
    pub(super) fn applied_by_peer(&mut self, id: u64) {
        match self.tasks.get_mut(&id).map(|task| &mut task.kind) {
            Some(TaskKind::HostChange { peer_pending, .. }) => {
                *peer_pending = false;
                self.host_change_progress(id);
            }
            Some(TaskKind::Repair { peer_pending, .. }) => {
                *peer_pending = false;
                self.repair_progress(id);
            }
            Some(TaskKind::Undo { .. }) => self.undone(id),
            _ => {}
        }
    }

    pub(super) fn host_change_progress(&mut self, id: u64) {
        let Some(Task {
            kind:
                TaskKind::HostChange {
                    host,
                    fua,
                    local_pending,
                    peer_pending,
                    local_short,
                    peer_short,
                    ..
                },
            ..
        }) = self.tasks.get_mut(&id)
        else {
            return;
        };
        if *local_pending || *peer_pending {
            return;
        }
        let (host, fua) = (*host, *fua);
        if *local_short {
            self.undo(id, Asker::Host(host));
        } else if *peer_short {
            (*peer_pending, *peer_short) = (true, false);
            self.lacking.add(id);
        } else {
            self.end_change(id);
            self.answer_change(host, fua);
        }
    }

    fn host_request_applied(&mut self, id: u64) {
        let Some(Task {
            kind: TaskKind::HostRequest { host, fua, .. },
            ..
        }) = self.tasks.get(&id)
        else {
            return;
        };
        let (host, fua) = (*host, *fua);
        self.end_change(id);
        self.answer_change(host, fua);
        self.say(id, Body::Unlock);
    }

    fn answer_change(&mut self, host: HostId, fua: bool) {
        if fua {
            // Both copies have the change and it is unlocked: from here on others may change the range, so that only
            // the flush may start afresh.
            if let Some(entry) = self.hosts.get_mut(&host) {
                if !entry.may_have_counted() {
                    entry.progress = Progress::Fresh;
                }
                entry.op = HostOp::Flush;
                entry.begun = false;
            }
            self.start_flush(Some(host));
        } else {
            self.complete(host, HostResult::Done);
        }
    }

    /// Slave: the Master has applied and locked our change; or we are to try again what we had no space for.
    pub(super) fn request_granted(&mut self, id: u64) {
        let Some(Task {
            kind: TaskKind::HostRequest { granted, short, .. },
            ..
        }) = self.tasks.get_mut(&id)
        else {
            return self.update_granted(id);
        };
        let (was_granted, was_short) = (*granted, *short);
        (*granted, *short) = (true, false);
        if !was_granted {
            self.lock(id, true);
        } else if was_short {
            self.order_locks();
            self.apply(id);
        }
    }

    /// Master: the Slave has applied its change, or set its watch, too.
    pub(super) fn unlocked_by_peer(&mut self, peer_id: u64) {
        let Some(id) = self.peer_tasks.remove(&peer_id) else {
            return;
        };
        let task = self.tasks.get(&id).map(|task| &task.kind);
        if matches!(task, Some(TaskKind::PeerWatch { .. })) {
            self.finish(id);
        } else {
            self.end_change(id);
        }
    }

    /// A change is done here and wherever else it had to be: out of the log's count, out of the locks.
    pub(super) fn end_change(&mut self, id: u64) {
        let Some(task) = self.finish(id) else {
            return;
        };
        self.counters.changed(task.len_bytes);
        self.last_change_ns = self.around.now_ns;
        if !matches!(self.mode, Mode::Single) {
            self.active.end(task.offset, task.len_bytes);
        }
        if matches!(self.mode, Mode::Alone) && !self.waiting_room.is_empty() {
            self.retry_room();
        }
    }
}
