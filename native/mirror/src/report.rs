//! What the core reports for others to decide, and what it is then told.

use crate::facts::{Facts, Role};
use crate::ops::NotReady;

/// How the two copies are to become equal when they attach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// They are equal already.
    None,
    /// This copy is sent to the peer where they may differ.
    Source,
    /// This copy is brought up to date where they may differ.
    Target,
    /// As `Source`, everything that holds data on either side.
    FullSource,
    /// As `Target`, everything that holds data on either side.
    FullTarget,
}

impl Sync {
    /// The same plan as the other side must have been told it.
    #[must_use]
    pub fn mirrored(self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Source => Self::Target,
            Self::Target => Self::Source,
            Self::FullSource => Self::FullTarget,
            Self::FullTarget => Self::FullSource,
        }
    }
}

/// A plan to mirror, made from both sides' facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachPlan {
    /// This side's role; a source is always Master.
    pub role: Role,
    /// Direction.
    pub sync: Sync,
    /// Epoch of the attach, the same on both sides.
    pub epoch: u64,
    /// New generation for a source whose peer is not yet marked outdated.
    pub generation: u64,
    /// Sequence number of this side's facts that the plan was made from.
    pub local_seq: u64,
    /// The same of the peer's facts.
    pub remote_seq: u64,
}

/// What a copy is told to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Serve a VDisk that has no peer.
    ServeSingle,
    /// Mirror with the peer.
    Attach(AttachPlan),
    /// Serve as Master without the peer, once it is durably marked outdated.
    GoAlone {
        /// New generation.
        generation: u64,
        /// New epoch.
        epoch: u64,
        /// The peer is known to serve nothing; otherwise its lease is waited out.
        fenced: bool,
    },
    /// Answer everything with NOT READY.
    StopServing(NotReady),
    /// Drain, flush and hand over to the peer.
    Leave,
    /// Master, attached and in sync: swap roles with the peer.
    SwitchRoles,
    /// Master, attached and in sync: compare both copies.
    Verify {
        /// Whose bytes count where they differ; None: nothing is changed.
        repair: Option<Role>,
    },
    /// End the verification under way.
    EndVerify,
}

/// Why a command was refused; nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No such VDisk is open.
    #[error("unknown VDisk")]
    UnknownVdisk,
    /// The VDisk has a peer (or has none) contrary to the command.
    #[error("the VDisk's mirror does not fit the command")]
    MirrorMismatch,
    /// A resync onto this copy has not ended.
    #[error("the copy is inconsistent")]
    Inconsistent,
    /// The copy is blank.
    #[error("the copy is blank")]
    Blank,
    /// The plan was made from facts that have changed since.
    #[error("the facts have changed")]
    StaleFacts,
    /// A verification is under way already.
    #[error("a verification is under way")]
    VerifyRuns,
    /// The copy's mode does not allow the command.
    #[error("not possible in this mode")]
    WrongMode,
}

/// What happened to a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// Both sides' facts are known, with their sequence numbers.
    PeerFacts(Box<FactsPair>),
    /// The copies mirror.
    Attached {
        /// This side's role.
        role: Role,
        /// Direction of the resync, if any.
        sync: Sync,
    },
    /// The peer's plan did not match; facts are exchanged anew.
    AttachRefused,
    /// A resync ended: the copies are equal.
    Resynced,
    /// The peer was lost: all I/O is held.
    Held {
        /// The peer knows durably that it is behind (a resync to it had not come to its end).
        peer_outdated: bool,
    },
    /// The copy serves alone; so many held commands went on.
    Alone {
        /// Held commands that went on.
        released: usize,
    },
    /// The peer handed over and serves nothing.
    PeerLeft,
    /// This copy handed over and serves nothing.
    Left,
    /// Roles were swapped; to be attached anew.
    Switching,
    /// A verification ended.
    Verified(Box<Verified>),
    /// No space is left for changes, which end so; said once a minute at most.
    NoSpace,
    /// The disk failed: this copy serves nothing any more.
    DiskFailed {
        /// What was asked of the disk.
        operation: &'static str,
        /// The operating system's error number.
        errno: i32,
    },
}

/// How a verification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyState {
    /// It is under way.
    Running,
    /// All that holds data was compared.
    Completed,
    /// It was ended by command.
    Cancelled,
    /// The copies parted, or swapped roles.
    Interrupted,
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How it stands.
    pub state: VerifyState,
    /// Whose bytes count where the copies differ; None: nothing is repaired.
    pub repair: Option<Role>,
    /// How far it is: everything before this byte was compared, or is about to be.
    pub done_bytes: u64,
    /// The VDisk's size.
    pub total_bytes: u64,
    /// Bytes compared; the others hold data on neither copy.
    pub compared_bytes: u64,
    /// Bytes that differed, in whole sectors.
    pub differing_bytes: u64,
    /// Bytes written to make the copies equal, durable once it has completed.
    pub repaired_bytes: u64,
    /// Where they differed: (first byte, length), ascending.
    pub ranges: Vec<(u64, u64)>,
    /// There were more ranges.
    pub truncated: bool,
}

impl Verified {
    /// Nothing found yet.
    #[must_use]
    pub fn begun(repair: Option<Role>, total_bytes: u64) -> Self {
        Self {
            state: VerifyState::Running,
            repair,
            done_bytes: 0,
            total_bytes,
            compared_bytes: 0,
            differing_bytes: 0,
            repaired_bytes: 0,
            ranges: Vec::new(),
            truncated: false,
        }
    }
}

/// Facts as they are told to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldFacts {
    /// The durable facts.
    pub facts: Facts,
    /// Changes whenever what is told changes.
    pub seq: u64,
    /// Extents in the activity log.
    pub active: u64,
    /// Dirty chunks.
    pub dirty: u64,
    /// Size of the VDisk in bytes.
    pub size_bytes: u64,
    /// Without a break since it was last equal to the peer, or Master: it holds every answered change, flushed or not.
    /// A copy whose machine lost power may lack what was not flushed; the end of a process alone is no break.
    pub unbroken: bool,
}

/// Both sides' facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactsPair {
    /// This side.
    pub local: ToldFacts,
    /// The peer.
    pub remote: ToldFacts,
}
