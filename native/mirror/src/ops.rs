//! What hosts ask of a copy and what a copy asks of its disk.

use bytes::Bytes;

use crate::facts::Facts;
use crate::payload::Payload;
use crate::shared_record::SharedRecord;
use crate::watches::Watch;

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
    /// These bytes again and again; the range is so many times as long as they are.
    Fill(Payload),
    /// These bytes, with the space of whole blocks of zeros given back.
    Sparse(Payload),
}

/// A change that depends on what it changes; see [`Update::resolve`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// First byte.
    pub offset: u64,
    /// Length in bytes, never 0.
    pub len_bytes: u64,
    /// What the range becomes.
    pub kind: UpdateKind,
}

/// How an update depends on what it changes, or on another range. All payloads are as long as the range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateKind {
    /// Written only if the range holds what it is compared with (SBC-3 §5.2).
    CompareAndWrite {
        /// What has to be there.
        compare: Payload,
        /// What is written then.
        write: Payload,
    },
    /// Bits are set, none are cleared (SBC-3 §5.7).
    Or(Payload),
    /// The range becomes what another one of the same VDisk holds at that moment; the two do not overlap.
    CopyOf {
        /// First byte of the other range, which is as long.
        source: u64,
    },
}

impl Update {
    /// First byte of the other range that is read and must not change meanwhile.
    #[must_use]
    pub fn source(&self) -> Option<u64> {
        match self.kind {
            UpdateKind::CopyOf { source } => Some(source),
            _ => None,
        }
    }

    /// The plain change that the update is where the range that it reads, its own or another, holds `found`.
    ///
    /// # Errors
    /// The offset in the range of the first byte that is not what it is compared with.
    pub fn resolve(&self, found: &Payload) -> Result<Change, u64> {
        if self.source().is_some() {
            return Ok(self.copied(found));
        }
        let found = found.to_contiguous();
        let write = match &self.kind {
            UpdateKind::CompareAndWrite { compare, write } => {
                let compare = compare.to_contiguous();
                if found != compare {
                    let same = found.iter().zip(compare.iter());
                    return Err(same.take_while(|(left, right)| left == right).count() as u64);
                }
                write.clone()
            }
            UpdateKind::Or(bits) => {
                let bits = bits.to_contiguous();
                let bytes = found
                    .iter()
                    .zip(bits.iter())
                    .map(|(left, right)| left | right);
                bytes::Bytes::from_iter(bytes).into()
            }
            UpdateKind::CopyOf { .. } => Payload::from(found),
        };
        Ok(Change {
            offset: self.offset,
            len_bytes: self.len_bytes,
            kind: ChangeKind::Write(write),
        })
    }

    /// A copy of these bytes; zeros take no room.
    fn copied(&self, found: &Payload) -> Change {
        let kind = if found.is_zero() {
            ChangeKind::Unmap
        } else {
            ChangeKind::Write(found.clone())
        };
        Change {
            offset: self.offset,
            len_bytes: self.len_bytes,
            kind,
        }
    }
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
    /// Update a range: nothing else of the VDisk's changes or reads comes between what it finds there and what it writes.
    Update {
        /// The update.
        update: Update,
        /// Force unit access.
        fua: bool,
    },
    /// Tell which parts of a range hold data on this node.
    Allocation {
        /// First byte.
        offset: u64,
        /// Length in bytes, not 0.
        len_bytes: u64,
    },
    /// Make all answered changes durable on both copies.
    Flush,
    /// Wait until this copy serves and knows the shared record as it is.
    Settle,
    /// Change the shared record, when it is this command's turn ([`crate::Action::Turn`]).
    Turn {
        /// Names the change; chosen at random.
        tag: u64,
    },
    /// Watch ranges on every copy that counts, from a moment between the command and its end on ([`crate::copy::Copy::watch`]).
    Watch(Box<Watch>),
}

/// A change of the shared record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// What the record becomes, at most [`crate::shared_record::RECORD_MAX_BYTES`].
    pub bytes: Bytes,
    /// Commands that the change forbids are to end, on both nodes, before it is answered.
    pub drain: bool,
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
    /// Answer to [`HostOp::Allocation`]: (offset, length), ascending; what is in none of them reads as zeros.
    Allocation(Vec<(u64, u64)>),
    /// Changed, flushed, settled, watched or in force on every copy that counts.
    Done,
    /// The range holds something else; nothing was changed.
    Miscompare {
        /// Offset in the range of the first byte that differs, in bytes.
        offset: u64,
    },
    /// The change was made or not, and whoever repeats it may meet what it made: not to be repeated without a look.
    Unknown,
    /// The peer has served without this copy meanwhile: what was asked for is not begun any more. Nothing is promised about what was
    /// begun before; it may be asked for again.
    Overtaken,
    /// The shared record would become too long; nothing was changed.
    NoRoom,
    /// No space is left for the change. It was not made, but for parts of it, on both copies alike.
    NoSpace,
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
    /// List the ranges that hold data inside a range.
    Ranges {
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len_bytes: u64,
    },
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
    /// The shared record, if it is another one than before; stored before the facts.
    pub shared: Option<SharedRecord>,
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
    /// Answer to [`DiskOp::Ranges`]: (offset, length), ascending.
    Ranges(Vec<(u64, u64)>),
    /// The operating system's error number; the copy is not to be trusted any more.
    Failed(i32),
}
