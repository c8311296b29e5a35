//! Changes of the shared record that were interrupted: each is made once, or its outcome is unknown.
//!
//! Rules:
//! 1. From the moment at which a change is computed until its answer, it may be made: by this copy, or by a Master that this copy has
//!    lost and that has still heard of it. So it can neither be taken back nor told to be repeated.
//! 2. Before a copy serves, it finds out what became of such changes from the record that then counts, before anything else
//!    changes that. A record remembers only its latest tags, so what is found out is kept. Later is too late: the line of
//!    those who wait for a turn can be longer than the tags are many.
//! 3. The tag is in the record: the change was made, and only has to be put in force on both nodes. The tag is not there, and
//!    there were no more changes since than the record remembers: it was not made. Else its outcome is unknown, and it ends so.
//! 4. What is found out holds for that record only. If the copy loses its peer before the answer, another record may count then.

use super::Copy;
use super::mode::Progress;
use super::task::TaskKind;
use crate::ids::HostId;
use crate::ops::{HostOp, HostResult};
use crate::shared_record::TAGS_MAX;

impl Copy {
    /// True for a command that has not begun: if it is cancelled now, it never takes effect.
    #[must_use]
    pub fn can_withdraw(&self, host: HostId) -> bool {
        self.hosts.get(&host).is_some_and(|entry| match entry.op {
            HostOp::Settle | HostOp::Watch(_) => true,
            HostOp::Turn { .. } => matches!(entry.progress, Progress::Fresh),
            _ => !entry.begun && !entry.may_have_counted() && self.held.contains(&host),
        })
    }

    /// A change was computed from the record as it is.
    pub(super) fn note_computed(&mut self, host: HostId) {
        let from = self.shared.record.version();
        if let Some(entry) = self.hosts.get_mut(&host) {
            entry.progress = Progress::Computed { from };
        }
    }

    /// True for a change that was made before it was interrupted.
    pub(super) fn was_made(&self, host: HostId) -> bool {
        let entry = self.hosts.get(&host);
        entry.is_some_and(|entry| matches!(entry.progress, Progress::Made { .. }))
    }

    /// The record that counts is known, and nothing has changed it yet: see what became of the changes that were computed.
    pub(super) fn recall_turns(&mut self) {
        let record = &self.shared.record;
        let mut unknown = Vec::new();
        for (&id, entry) in &mut self.hosts {
            let HostOp::Turn { tag } = entry.op else {
                continue;
            };
            let (Progress::Computed { from } | Progress::Made { from }) = entry.progress else {
                continue;
            };
            if record.has(tag) {
                entry.progress = Progress::Made { from };
            } else if record.version() <= from.saturating_add(TAGS_MAX as u64) {
                entry.progress = Progress::Fresh;
            } else {
                unknown.push((entry.order, id));
            }
        }
        unknown.sort_unstable();
        for (_, id) in unknown {
            self.held.retain(|held| *held != id);
            self.complete(id, HostResult::Unknown);
        }
    }

    /// The session of a host that waits for the turn or has it is gone; false: it does neither. What has been computed is
    /// carried through.
    pub(super) fn withdraw_turn(&mut self, host: HostId, task: u64) -> bool {
        let Some(TaskKind::HostTurn { .. }) = self.tasks.get(&task).map(|task| &task.kind) else {
            return false;
        };
        self.leave_line(task);
        // A Slave's task stays until the Master has answered it.
        self.hosts.remove(&host);
        true
    }

    /// Slave whose peer has served hosts without it, the record known: nothing of the time before is begun any more. The peer may
    /// have served what was begun, and newer changes since, which must not be overwritten; and of what was not begun, the initiator
    /// may have lost its right meanwhile and got it anew, which the record does not tell. What is made already goes on: a flush that
    /// is left, a change of the record.
    pub(super) fn refuse_overtaken(&mut self) {
        let mut overtaken: Vec<_> = (self.hosts.iter())
            .filter(|(_, host)| !matches!(host.op, HostOp::Flush))
            .filter(|(_, host)| !matches!(host.progress, Progress::Made { .. }))
            .map(|(&id, host)| (host.order, id))
            .collect();
        overtaken.sort_unstable();
        for (_, id) in overtaken {
            self.held.retain(|held| *held != id);
            self.refuse(id, HostResult::Overtaken);
        }
    }
}
