//! GET LBA STATUS (SBC-3 §5.6): which blocks are mapped.
//!
//! Rules
//! 1. A block counts as deallocated only if the store holds no data for any part of it, so that it reads as zeros.
//! 2. One command looks at [`LOOK_BYTES`] at most; the last descriptor ends there, or earlier when the allocation length has room for
//!    no more, and the initiator goes on behind it.

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{IoRequest, Response, Step};
use crate::sense::Sense;

/// Bytes that one command looks at.
const LOOK_BYTES: u64 = 1 << 30;
const HEADER_BYTES: u64 = 8;
const DESCRIPTOR_BYTES: u64 = 16;
const MAPPED: u8 = 0;
const DEALLOCATED: u8 = 1;

/// What a GET LBA STATUS asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LbaStatus {
    /// First byte of the range to look at; the first of a block.
    pub offset_bytes: u64,
    /// Its length, whole blocks, never 0.
    pub len_bytes: u64,
    /// Length of a block.
    pub(crate) block_bytes: u64,
    /// Bytes that the initiator has room for.
    pub(crate) allocation_length: u64,
}

impl LbaStatus {
    /// The answer, given the (offset, length) ranges that hold data: ascending, disjoint, inside the range.
    #[must_use]
    pub fn response(&self, data: &[(u64, u64)]) -> Response {
        let room = (self.allocation_length.saturating_sub(HEADER_BYTES) / DESCRIPTOR_BYTES).max(1);
        let mut list = Vec::new();
        let mut count = 0;
        let mut push = |start: u64, end: u64, status: u8| {
            if start < end && count < room {
                count += 1;
                list.extend_from_slice(&start.to_be_bytes());
                list.extend_from_slice(&((end - start) as u32).to_be_bytes());
                list.extend_from_slice(&[status, 0, 0, 0]);
            }
        };
        let mut at = self.offset_bytes / self.block_bytes;
        let end = at + self.len_bytes / self.block_bytes;
        for (start, stop) in self.mapped(data) {
            push(at, start, DEALLOCATED);
            push(start, stop, MAPPED);
            at = stop;
        }
        push(at, end, DEALLOCATED);
        let length = (HEADER_BYTES - 4) as u32 + list.len() as u32;
        let header = [length.to_be_bytes(), [0; 4]].concat();
        Response::parameter_data([header, list].concat(), self.allocation_length)
    }

    /// Runs of blocks (first, end) that hold any data, none touching the next.
    fn mapped(&self, data: &[(u64, u64)]) -> Vec<(u64, u64)> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (offset, length) in data {
            let (first, end) = (
                offset / self.block_bytes,
                (offset + length).div_ceil(self.block_bytes),
            );
            match runs.last_mut() {
                Some(last) if last.1 >= first => last.1 = last.1.max(end),
                _ => runs.push((first, end)),
            }
        }
        runs
    }
}

/// GET LBA STATUS.
pub(crate) fn get_lba_status(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let lba = request.number(2, 8);
    unit.check_range(lba, 1)?;
    let block_bytes = unit.block().bytes();
    Ok(Step::Io(IoRequest::LbaStatus(LbaStatus {
        offset_bytes: lba * block_bytes,
        len_bytes: ((unit.blocks() - lba) * block_bytes).min(LOOK_BYTES),
        block_bytes,
        allocation_length: request.number(10, 4),
    })))
}
