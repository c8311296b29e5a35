//! What an operator may want to know of a copy.

use super::{Copy, Direction, Mode};
use crate::facts::{Facts, Role};
use crate::ops::NotReady;
use crate::report::Verified;

/// What a copy has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Hosts' reads answered from this copy.
    pub reads: u64,
    /// Their bytes.
    pub read_bytes: u64,
    /// Changes applied to this copy, from either node.
    pub changes: u64,
    /// Their bytes.
    pub changed_bytes: u64,
    /// Bytes sent or taken by resync.
    pub resynced_bytes: u64,
}

impl Counters {
    pub(super) fn read(&mut self, bytes: u64) {
        self.reads += 1;
        self.read_bytes += bytes;
    }

    pub(super) fn changed(&mut self, bytes: u64) {
        self.changes += 1;
        self.changed_bytes += bytes;
    }

    pub(super) fn resynced(&mut self, bytes: u64) {
        self.resynced_bytes += bytes;
    }
}

/// A copy at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyStatus {
    /// closed, held, single, attaching, mirroring, going-alone, alone or failed.
    pub mode: &'static str,
    /// none, source or target.
    pub sync: &'static str,
    /// Durable facts (or on their way to become so).
    pub facts: Facts,
    /// Chunks that a resync has to look at in all.
    pub resync_total: u64,
    /// Of these, not done yet; while alone: dirty chunks.
    pub dirty: u64,
    /// Extents in the activity log.
    pub active: u64,
    /// Host commands that are held.
    pub held: u64,
    /// Tasks under way.
    pub tasks: u64,
    /// Bytes that resync or verification looked at per second lately.
    pub speed_bytes_per_s: u64,
    /// The verification under way, or the latest one since the copy was opened.
    pub verified: Option<Verified>,
    /// Version of the shared record.
    pub record_version: u64,
    /// Counters.
    pub counters: Counters,
}

/// How a copy stands towards those who use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Answers NOT READY to everything.
    Closed(NotReady),
    /// Holds commands until it is known how to go on.
    Holding,
    /// Serves without a peer, or will as soon as that is durable and the peer's lease is over.
    Alone,
    /// Serves together with the peer.
    Mirroring(Role),
}

impl Copy {
    /// The copy as it is now.
    #[must_use]
    pub fn status(&self) -> CopyStatus {
        let mode = match self.mode {
            Mode::Closed(_) => "closed",
            Mode::Held => "held",
            Mode::Single => "single",
            Mode::Attaching(_) => "attaching",
            Mode::Mirroring(_) => "mirroring",
            Mode::GoingAlone(_) => "going-alone",
            Mode::Alone => "alone",
            Mode::Failed => "failed",
        };
        let (sync, resync_total, dirty) = match &self.mode {
            Mode::Mirroring(Direction::Source(resync)) => {
                ("source", resync.total, self.dirty.count())
            }
            Mode::Mirroring(Direction::Target(target)) => ("target", target.total, target.left()),
            _ => ("none", 0, self.suspect_words().count()),
        };
        CopyStatus {
            mode,
            sync,
            facts: self.facts.clone(),
            resync_total,
            dirty,
            active: self.active.len() as u64,
            held: self.held.len() as u64,
            tasks: self.tasks.len() as u64,
            speed_bytes_per_s: self.pace.speed(),
            verified: self.verification.status(),
            record_version: self.shared.record.version(),
            counters: self.counters,
        }
    }

    /// How the copy stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.mode {
            Mode::Closed(why) => Standing::Closed(why),
            Mode::Held | Mode::Attaching(_) | Mode::Failed => Standing::Holding,
            Mode::Single | Mode::GoingAlone(_) | Mode::Alone => Standing::Alone,
            Mode::Mirroring(_) => Standing::Mirroring(self.facts.role),
        }
    }

    /// What the SCSI layer may say of the path: serving, or why not.
    #[must_use]
    pub fn readiness(&self) -> Option<NotReady> {
        match self.mode {
            Mode::Closed(why) => Some(why),
            Mode::Held | Mode::Attaching(_) | Mode::GoingAlone(_) | Mode::Failed => {
                Some(NotReady::Transitioning)
            }
            Mode::Single | Mode::Alone | Mode::Mirroring(_) => None,
        }
    }
}
