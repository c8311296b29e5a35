//! What every request for I/O keeps to, whatever command asked for it: it stays inside the disk, within the limits that initiators
//! are told, and within the data that were sent.

use crate::limits::{
    BlockSize, COMPARE_BYTES_MAX, MAX_TRANSFER_BYTES, UNMAP_BYTES_MAX, WRITE_SAME_BYTES_MAX,
};
use crate::response::IoRequest;

/// Whether a request for a disk of `size_bytes` keeps to its bounds; `sent_bytes` came with its command. For tests, fuzzers and
/// debug builds: a unit that asks for anything else has a fault.
#[must_use]
pub fn is_within_bounds(
    request: &IoRequest,
    size_bytes: u64,
    block: BlockSize,
    sent_bytes: usize,
) -> bool {
    let sent_bytes = sent_bytes as u64;
    let inside = |offset_bytes: u64, len_bytes: u64| {
        let end_bytes = offset_bytes.checked_add(len_bytes);
        len_bytes > 0 && end_bytes.is_some_and(|end_bytes| end_bytes <= size_bytes)
    };
    match request {
        IoRequest::Read {
            offset_bytes,
            len_bytes,
            ..
        }
        | IoRequest::Verify {
            offset_bytes,
            len_bytes,
            ..
        } => {
            let len_bytes = u64::from(*len_bytes);
            inside(*offset_bytes, len_bytes) && len_bytes <= MAX_TRANSFER_BYTES
        }
        IoRequest::Write {
            offset_bytes,
            len_bytes,
            asked_bytes,
            ..
        }
        | IoRequest::WriteAndVerify {
            offset_bytes,
            len_bytes,
            asked_bytes,
            ..
        } => {
            let within_sent = u64::from(*len_bytes) <= sent_bytes && len_bytes <= asked_bytes;
            inside(*offset_bytes, u64::from(*len_bytes))
                && within_sent
                && u64::from(*asked_bytes) <= MAX_TRANSFER_BYTES
        }
        IoRequest::CompareAndWrite {
            offset_bytes,
            len_bytes,
            ..
        } => {
            let len_bytes = u64::from(*len_bytes);
            inside(*offset_bytes, len_bytes)
                && len_bytes <= COMPARE_BYTES_MAX
                && sent_bytes == 2 * len_bytes
        }
        IoRequest::OrWrite {
            offset_bytes,
            len_bytes,
            ..
        } => {
            let len_bytes = u64::from(*len_bytes);
            inside(*offset_bytes, len_bytes) && len_bytes <= sent_bytes
        }
        IoRequest::WriteSame {
            offset_bytes,
            len_bytes,
            zeros,
        } => {
            inside(*offset_bytes, *len_bytes)
                && *len_bytes <= WRITE_SAME_BYTES_MAX
                && (*zeros || sent_bytes == block.bytes())
        }
        IoRequest::LbaStatus(asked) => inside(asked.offset_bytes, asked.len_bytes),
        IoRequest::Unmap(ranges) => {
            ranges.iter().all(|(offset, len)| inside(*offset, *len)) && are_apart(ranges)
        }
        IoRequest::Flush => true,
    }
}

/// Whether ranges inside the disk are in order, apart from each other, and not too much.
fn are_apart(ranges: &[(u64, u64)]) -> bool {
    !ranges.is_empty()
        && ranges
            .windows(2)
            .all(|pair| pair[0].0 + pair[0].1 < pair[1].0)
        && ranges.iter().map(|(_, len)| len).sum::<u64>() <= UNMAP_BYTES_MAX
}
