//! UNMAP (SBC-3 §5.28). All descriptors are checked before anything is done.

use crate::cdb::Request;
use crate::limits::UNMAP_DESCRIPTORS_MAX;
use crate::logical_unit::LogicalUnit;
use crate::response::{IoRequest, Response, Step};
use crate::sense::Sense;

const HEADER_BYTES: usize = 8;
const DESCRIPTOR_BYTES: usize = 16;

/// UNMAP.
pub(crate) fn unmap(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    // ANCHOR: ANC_SUP is 0.
    if request.bit(1, 0) {
        return Err(Sense::invalid_cdb_field(1, Some(0)));
    }
    let length = request.number(7, 2) as usize;
    if length == 0 {
        return Ok(Step::Done(Response::good()));
    }
    if length < HEADER_BYTES {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    }
    let parameters = request.parameters(length)?;
    let ranges = merged(descriptors(unit, &parameters)?);
    Ok(match ranges.is_empty() {
        true => Step::Done(Response::good()),
        false => Step::Io(IoRequest::Unmap(ranges)),
    })
}

/// The (offset, length) ranges in bytes, without empty ones. A descriptor that is cut off is ignored (SBC-3 §5.28.2).
fn descriptors(unit: &LogicalUnit, parameters: &[u8]) -> Result<Vec<(u64, u64)>, Sense> {
    let told = usize::from(u16::from_be_bytes([parameters[2], parameters[3]]));
    let list = &parameters[HEADER_BYTES..parameters.len().min(HEADER_BYTES + told)];
    if list.len() / DESCRIPTOR_BYTES > UNMAP_DESCRIPTORS_MAX {
        return Err(Sense::invalid_parameter(2));
    }
    let block_bytes = unit.block().bytes();
    let mut ranges = Vec::new();
    let mut total = 0;
    for (index, descriptor) in list.chunks_exact(DESCRIPTOR_BYTES).enumerate() {
        let lba = u64::from_be_bytes(
            descriptor[..8]
                .try_into()
                .expect("the slice is 8 bytes long"),
        );
        let blocks = u64::from(u32::from_be_bytes(
            descriptor[8..12]
                .try_into()
                .expect("the slice is 4 bytes long"),
        ));
        unit.check_range(lba, blocks)?;
        total += blocks;
        if total > unit.block().unmap_blocks_max() {
            return Err(Sense::invalid_parameter(
                (HEADER_BYTES + index * DESCRIPTOR_BYTES + 8) as u16,
            ));
        }
        if blocks > 0 {
            ranges.push((lba * block_bytes, blocks * block_bytes));
        }
    }
    Ok(ranges)
}

/// Ascending, with overlapping and touching ranges made one, so that nobody has to lock a range twice.
fn merged(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let touches = next.0 <= kept.0 + kept.1;
        if touches {
            kept.1 = kept.1.max(next.0 + next.1 - kept.0);
        }
        touches
    });
    ranges
}
