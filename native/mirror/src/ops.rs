//! What hosts ask of a copy and what a copy asks of its disk.

use crate::facts::Facts;
use crate::payload::Payload;

/// A change of the data: the unit that both copies apply in the same order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// First byte.
    pub offset: u64,
    /// Length in bytes, never 0.
    pub len_bytes: u64,
    /// What the range becomes.
    pub kind: ChangeKind,
}

/// What a changed range becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// These bytes (as many as the range is long).
    Write(Payload),
    /// Zeros, with the space given back.
    Unmap,
}

/// A host's command, inside the VDisk's size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostOp {
    /// Read a range.
    Read {
        /// First byte.
        offset: u64,
        /// Length in bytes, not 0.
        len_bytes: u32,
    },
    /// Change a range; `fua`: durable on both copies before the answer.
    Change {
        /// The change.
        change: Change,
        /// Force unit access (SBC-3 §5.34).
        fua: bool,
    },
    /// Make all answered changes durable on both copies.
    Flush,
}

/// Why a copy serves nothing, as SCSI tells it (SPC-4 §5.15.2: 04/0A, 04/0B, 04/0C).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotReady {
    /// Deciding; soon to be known.
    Transitioning,
    /// The peer serves, or this copy waits for it.
    Standby,
    /// This copy cannot serve.
    Unavailable,
}

/// Answer to a [`HostOp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostResult {
    /// The bytes read, as many as asked for.
    Data(Payload),
    /// Changed or flushed on every copy that counts.
    Done,
    /// Not served here; nothing is promised about a change that was asked for.
    NotReady(NotReady),
}

/// An operation on this node's copy. A flush covers the changes whose completion was reported before it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskOp {
    /// Read a range.
    Read {
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len_bytes: u32,
    },
    /// Apply a change.
    Change(Change),
    /// Make completed changes durable.
    Flush,
    /// Make metadata durable: bitmap first, then the slot.
    Persist(Box<Persist>),
    /// List the extents that hold data.
    Allocated,
}

/// Metadata to be made durable as a whole. At most one is in flight per copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persist {
    /// The facts.
    pub facts: Facts,
    /// Extents of the activity log, ascending.
    pub active: Vec<u64>,
    /// Empty the bitmap before the words are stored.
    pub bitmap_reset: bool,
    /// Words (extent, 64 chunk bits) of the dirty bitmap to be stored.
    pub bitmap: Vec<(u64, u64)>,
}

/// How a [`DiskOp`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DiskDone {
    /// Bytes of a read.
    Data(Payload),
    /// Done.
    Done,
    /// Answer to [`DiskOp::Allocated`], ascending.
    Extents(Vec<u64>),
    /// The operating system's error number; the copy is not to be trusted any more.
    Failed(i32),
}
