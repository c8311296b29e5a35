//! What a command ends with, or what must be done for it first.

use bytes::Bytes;

use crate::alua::AccessState;
use crate::lba_status::LbaStatus;
use crate::sense::Sense;
use crate::third_party::{CopyList, Offload};

/// Status codes in use (SAM-5 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Done.
    Good = 0x00,
    /// Not done, or not fully; sense data says why.
    CheckCondition = 0x02,
    /// Come again later.
    Busy = 0x08,
    /// A reservation forbids it.
    ReservationConflict = 0x18,
    /// No room for another command.
    TaskSetFull = 0x28,
    /// The command was aborted by another I_T nexus.
    TaskAborted = 0x40,
}

/// A finished command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: Status,
    /// Sense data; always there with [`Status::CheckCondition`], never otherwise.
    pub sense: Option<Sense>,
    /// Data-in, already cut to the CDB's allocation or transfer length. The transport cuts it to the expected length.
    pub data: Vec<Bytes>,
    /// What the command moves according to its CDB, in bytes, for the residual; `None`: data-in as long as `data`, or all of
    /// data-out.
    pub asked_bytes: Option<u64>,
}

impl Response {
    /// GOOD without data: writes, UNMAP, flushes.
    #[must_use]
    pub fn good() -> Self {
        Self {
            status: Status::Good,
            sense: None,
            data: Vec::new(),
            asked_bytes: None,
        }
    }

    /// RESERVATION CONFLICT.
    #[must_use]
    pub fn reservation_conflict() -> Self {
        Self {
            status: Status::ReservationConflict,
            ..Self::good()
        }
    }

    /// BUSY: come again later.
    #[must_use]
    pub fn busy() -> Self {
        Self {
            status: Status::Busy,
            ..Self::good()
        }
    }

    /// TASK ABORTED: another I_T nexus preempted this one before its command had begun.
    #[must_use]
    pub fn task_aborted() -> Self {
        Self {
            status: Status::TaskAborted,
            ..Self::good()
        }
    }

    /// GOOD with data-in: reads and parameter data.
    #[must_use]
    pub fn with_data(data: Vec<Bytes>) -> Self {
        Self {
            status: Status::Good,
            sense: None,
            data,
            asked_bytes: None,
        }
    }

    /// GOOD with parameter data, cut to the CDB's allocation length.
    pub(crate) fn parameter_data(mut data: Vec<u8>, allocation_length: u64) -> Self {
        data.truncate(usize::try_from(allocation_length).unwrap_or(usize::MAX));
        Self::with_data(if data.is_empty() {
            Vec::new()
        } else {
            vec![Bytes::from(data)]
        })
    }

    /// CHECK CONDITION with sense data.
    #[must_use]
    pub fn check(sense: Sense) -> Self {
        Self {
            status: Status::CheckCondition,
            sense: Some(sense),
            data: Vec::new(),
            asked_bytes: None,
        }
    }

    /// What a held or new command gets in a state that does not serve it; an active one gives a condition worth a retry.
    #[must_use]
    pub fn not_serving(state: AccessState) -> Self {
        Self::check(state.sense().unwrap_or(Sense::RETRY))
    }

    /// The same, of a command whose CDB asks for so many bytes of data-out.
    #[must_use]
    pub fn moving(self, asked_bytes: u64) -> Self {
        Self {
            asked_bytes: Some(asked_bytes),
            ..self
        }
    }

    /// Bytes of data-in.
    #[must_use]
    pub fn data_len(&self) -> usize {
        self.data.iter().map(Bytes::len).sum()
    }
}

/// What a range is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// With as many bytes of data-out.
    Data,
    /// Each block with the first block of data-out.
    Block {
        /// Length of a block.
        len_bytes: u32,
    },
}

/// Disk I/O that a command needs. Every range lies inside the disk, in bytes; lengths are never 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IoRequest {
    /// Read; answer with [`Response::with_data`] of exactly `len_bytes`.
    Read {
        /// First byte.
        offset_bytes: u64,
        /// Length, at most [`crate::MAX_TRANSFER_BYTES`].
        len_bytes: u32,
        /// Force unit access: what is read must be on the medium (flush first, or read what is known to be flushed).
        fua: bool,
    },
    /// Write the first `len_bytes` of data-out (there may be more; there is never less).
    Write {
        /// First byte.
        offset_bytes: u64,
        /// Length, at most [`crate::MAX_TRANSFER_BYTES`].
        len_bytes: u32,
        /// Length that the CDB asks for, for the residual; not less.
        asked_bytes: u32,
        /// Force unit access: durable before the answer.
        fua: bool,
    },
    /// Write as `Write` does, durably, then read the range; with `compare` answer a difference with [`Sense::miscompare`].
    WriteAndVerify {
        /// First byte.
        offset_bytes: u64,
        /// Length, at most [`crate::MAX_TRANSFER_BYTES`].
        len_bytes: u32,
        /// Length that the CDB asks for, for the residual; not less.
        asked_bytes: u32,
        /// Compare what is read with what was written.
        compare: bool,
    },
    /// Read, and compare with data-out; answer a difference with [`Sense::miscompare`].
    Verify {
        /// First byte.
        offset_bytes: u64,
        /// Length, at most [`crate::MAX_TRANSFER_BYTES`].
        len_bytes: u32,
        /// What to compare with; `None`: it only has to be readable.
        compare: Option<Compare>,
    },
    /// Compare the range with the first half of data-out and, if they are equal, write the second half, in one; answer a difference
    /// with [`Sense::miscompare`]. Data-out is twice as long as the range.
    CompareAndWrite {
        /// First byte.
        offset_bytes: u64,
        /// Length of the range.
        len_bytes: u32,
        /// Force unit access.
        fua: bool,
    },
    /// Set the bits of the first `len_bytes` of data-out, in one.
    OrWrite {
        /// First byte.
        offset_bytes: u64,
        /// Length, at most [`crate::MAX_TRANSFER_BYTES`].
        len_bytes: u32,
        /// Force unit access.
        fua: bool,
    },
    /// Write the block that is data-out, all of it, to each block of the range.
    WriteSame {
        /// First byte.
        offset_bytes: u64,
        /// Length.
        len_bytes: u64,
        /// Write zeros instead, whatever data-out is.
        zeros: bool,
    },
    /// Punch these (offset, length) ranges: ascending, disjoint, not touching, at least one.
    Unmap(Vec<(u64, u64)>),
    /// Find out what holds data; answer with [`LbaStatus::response`].
    LbaStatus(LbaStatus),
    /// Make every write answered so far durable.
    Flush,
}

/// What [`crate::LogicalUnit::execute`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The command is finished.
    Done(Response),
    /// The command is valid and needs I/O; the caller answers it with a [`Response`] of its own.
    Io(IoRequest),
    /// The answer depends on what both nodes agree on: once the VDisk serves and that is known to be as it is here, call
    /// [`crate::LogicalUnit::execute_settled`].
    Settle,
    /// The command copies: look up what the list names, copy the ranges that it comes to, and tell the unit how far it is.
    Copy(CopyList),
    /// The command makes a token or writes what one stands for; the caller keeps what tokens are made of.
    Offload(Offload),
    /// The command changes what both nodes agree on: when it is its turn, call [`crate::LogicalUnit::change_state`].
    Turn,
}

/// What [`crate::LogicalUnit::change_state`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateChange {
    /// The command is finished: nothing is to change, and nothing to be waited for.
    None(Response),
    /// GOOD, once these bytes are the state of both nodes.
    To {
        /// For [`crate::LogicalUnit::set_state`].
        bytes: Vec<u8>,
        /// What the change forbids is to end first, on both nodes.
        drain: bool,
        /// What was written before is to be durable on both nodes too, before the answer.
        flush: bool,
    },
}
