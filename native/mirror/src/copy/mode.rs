//! What a copy is doing, and what it keeps count of while it does.

use super::alone::GoingAlone;
use super::attach::Attaching;
use super::resync::{Resync, TargetSync};
use crate::ops::{Change, HostOp, NotReady, Update, UpdateKind};

/// What a copy knows of the world around it, given anew with every call.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings {
    /// The time.
    pub now_ns: u64,
    /// While mirroring: nothing is answered from here on.
    pub serve_until_ns: u64,
    /// Not to go alone before this, unless the peer is known to be dead.
    pub promised_until_ns: u64,
    /// The peer can be talked to.
    pub link: bool,
}

/// How far a mirroring pair is equal.
#[derive(Debug)]
pub enum Direction {
    InSync,
    Source(Resync),
    /// With the chunks in which this copy is not up to date.
    Target(TargetSync),
}

/// What the copy is doing. All moves between modes go through [`Copy::enter`].
#[derive(Debug)]
pub enum Mode {
    /// Answers NOT READY to everything.
    Closed(NotReady),
    /// Holds all I/O until it is told what to do.
    Held,
    /// Serves without a mirror.
    Single,
    /// Agrees with the peer on a plan; holds all I/O.
    Attaching(Box<Attaching>),
    /// Mirrors: both copies take part in everything.
    Mirroring(Direction),
    /// Makes the peer's outdatedness durable; holds all I/O.
    GoingAlone(GoingAlone),
    /// Serves as Master without the peer and remembers what it lacks.
    Alone,
    /// The disk failed; holds all I/O until told to leave or stop.
    Failed,
}

#[derive(Debug)]
pub enum DiskUse {
    Task(u64),
    Persist,
    Allocated,
    /// Flush of a drain.
    DrainFlush,
    /// Flush of a resync's end, on either side.
    ResyncFlush,
    /// Flush of a copy that lost its peer, before it says anything about itself.
    HeldFlush,
    /// Of a time before the mode changed; only its end matters. `change`: it changes the data.
    Stale {
        change: bool,
    },
}

/// How far a host's command has come, over all attempts.
#[derive(Debug)]
pub enum Progress {
    /// The Master was not asked, and nothing was compared.
    Fresh,
    /// The Master was asked.
    Asked,
    /// The update has become this change, which may be applied already.
    Resolved(Change),
    /// A change of the record was computed from this version of it, and may be made.
    Computed { from: u64 },
    /// The same, and the record that counts says that it was made.
    Made { from: u64 },
}

/// A host's command that is not answered yet.
#[derive(Debug)]
pub struct Host {
    /// Order of arrival.
    pub order: u64,
    /// What it asks for.
    pub op: HostOp,
    /// How far it has come.
    pub progress: Progress,
    /// A change that this copy orders itself, and that the peer's hosts may have read since. Stays over all attempts, until
    /// this copy is a Slave.
    pub begun: bool,
    /// False once its session is gone: it has begun and must end, but nobody waits.
    pub answer: bool,
}

impl Host {
    /// True for a COMPARE AND WRITE whose comparison may have been made, and for a change of the record that may have been made,
    /// here or at the Master.
    pub fn may_have_counted(&self) -> bool {
        match &self.op {
            HostOp::Turn { .. } => !matches!(self.progress, Progress::Fresh),
            HostOp::Update {
                update:
                    Update {
                        kind: UpdateKind::CompareAndWrite { .. },
                        ..
                    },
                ..
            } => !matches!(self.progress, Progress::Fresh),
            // It was made; only its flush is left.
            HostOp::Flush => matches!(self.progress, Progress::Resolved(_)),
            _ => false,
        }
    }
}
