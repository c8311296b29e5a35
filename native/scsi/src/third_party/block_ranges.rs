//! Block device range descriptors (SBC-4 §5.12.3), as POPULATE TOKEN and WRITE USING TOKEN have them.

use super::list::number;
use super::{RANGES_MAX, TOKEN_MAX_BYTES};
use crate::logical_unit::LogicalUnit;
use crate::sense::Sense;

/// Bytes of a descriptor.
const DESCRIPTOR_BYTES: usize = 16;

/// (first byte, length) of the ranges of a list that begins at byte `at` of the parameters and is `length` bytes long by its own
/// account. Descriptors that did not come whole, and empty ranges, do not count.
///
/// # Errors
/// ILLEGAL REQUEST: too many, too long together, behind the disk's end, or a block twice.
pub(super) fn block_ranges(
    unit: &LogicalUnit,
    parameters: &[u8],
    at: usize,
    length: usize,
) -> Result<Vec<(u64, u64)>, Sense> {
    if length < DESCRIPTOR_BYTES {
        return Err(Sense::invalid_parameter(at as u16 - 2));
    }
    let came = parameters.get(at..).unwrap_or_default();
    let descriptors = came[..length.min(came.len())].chunks_exact(DESCRIPTOR_BYTES);
    if descriptors.len() > RANGES_MAX {
        return Err(Sense::TOO_MANY_SEGMENTS);
    }
    let block_bytes = unit.block().bytes();
    let (mut ranges, mut total_bytes) = (Vec::new(), 0);
    for (index, descriptor) in descriptors.enumerate() {
        let (lba, blocks) = (number(descriptor, 0, 8), number(descriptor, 8, 4));
        let here = (at + index * DESCRIPTOR_BYTES) as u16;
        unit.check_range(lba, blocks)?;
        let (offset, len_bytes) = (lba * block_bytes, blocks * block_bytes);
        total_bytes += len_bytes;
        if total_bytes > TOKEN_MAX_BYTES {
            return Err(Sense::invalid_parameter(here + 8));
        }
        let touches =
            |&(other, len): &(u64, u64)| other < offset + len_bytes && offset < other + len;
        if blocks > 0 {
            if ranges.iter().any(touches) {
                return Err(Sense::invalid_parameter(here));
            }
            ranges.push((offset, len_bytes));
        }
    }
    Ok(ranges)
}
