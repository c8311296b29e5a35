//! Flushes of hosts, of the peer, and barriers of the activity log.

use super::task::{Task, TaskKind};
use super::{Copy, Direction, DiskUse, Mode};
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::{DiskOp, HostResult};

/// After so long without a change the activity log is emptied, so that a crash of an idle pair costs nothing.
const IDLE_NS: u64 = 3_000_000_000;

impl Copy {
    /// Make all answered changes durable on every copy that counts; the task that does.
    pub(super) fn start_flush(&mut self, host: Option<HostId>) -> u64 {
        let mirroring = matches!(self.mode, Mode::Mirroring(_));
        let barrier = mirroring && self.is_master() && self.active.barrier_begin();
        let kind = TaskKind::Flush {
            host,
            barrier,
            local_pending: true,
            peer_pending: mirroring,
        };
        let id = self.add_task(0, 0, kind);
        if mirroring {
            self.say(id, Body::Flush);
        }
        self.disk_op(DiskUse::Task(id), DiskOp::Flush);
        id
    }

    /// Flush both copies for the activity log's sake, unless that is under way.
    pub(super) fn start_barrier(&mut self) {
        let under_way = self
            .tasks
            .values()
            .any(|task| matches!(task.kind, TaskKind::Flush { barrier: true, .. }));
        if !under_way {
            self.start_flush(None);
        }
    }

    /// The peer asks for a flush of this copy.
    pub(super) fn start_peer_flush(&mut self, peer_id: u64) {
        let id = self.add_task(0, 0, TaskKind::PeerFlush { peer_id });
        self.disk_op(DiskUse::Task(id), DiskOp::Flush);
    }

    pub(super) fn flush_disk_done(&mut self, id: u64) {
        match self.tasks.get_mut(&id).map(|task| &mut task.kind) {
            Some(TaskKind::PeerFlush { peer_id }) => {
                let peer_id = *peer_id;
                self.finish(id);
                self.say(peer_id, Body::Flushed);
            }
            Some(TaskKind::Flush { local_pending, .. }) => {
                *local_pending = false;
                self.flush_progress(id);
            }
            _ => {}
        }
    }

    pub(super) fn flushed_by_peer(&mut self, id: u64) {
        if let Some(Task {
            kind: TaskKind::Flush { peer_pending, .. },
            ..
        }) = self.tasks.get_mut(&id)
        {
            *peer_pending = false;
            self.flush_progress(id);
        }
    }

    fn flush_progress(&mut self, id: u64) {
        let Some(Task {
            kind:
                TaskKind::Flush {
                    host,
                    barrier,
                    local_pending,
                    peer_pending,
                },
            ..
        }) = self.tasks.get(&id)
        else {
            return;
        };
        if *local_pending || *peer_pending {
            return;
        }
        let (host, barrier) = (*host, *barrier);
        self.finish(id);
        if barrier {
            self.active.barrier_end();
            self.retry_room();
        }
        if let Some(host) = host {
            self.complete(host, HostResult::Done);
        }
    }

    /// Empty the activity log of a pair that has been idle for a while.
    pub(super) fn idle_barrier(&mut self) {
        let idle = self.around.now_ns.saturating_sub(self.last_change_ns) > IDLE_NS
            && self.tasks.values().all(|task| task.kind.only_compares());
        let in_sync = matches!(self.mode, Mode::Mirroring(Direction::InSync));
        if !idle
            || !in_sync
            || !self.is_master()
            || self.draining.is_some()
            || self.active.is_empty()
        {
            return;
        }
        if self.active.all_idle() {
            self.empty_active();
        } else {
            self.start_barrier();
        }
    }

    /// Master: drop all idle extents from both logs.
    pub(super) fn empty_active(&mut self) {
        let gone = self.active.evict_idle(usize::MAX);
        if !gone.is_empty() {
            self.say(0, Body::ActiveRemove(gone));
            self.persisting.want();
        }
    }
}
