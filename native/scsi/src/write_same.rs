//! WRITE SAME (10, 16) (SBC-3 §5.43, §5.44).

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::read_write::check_protection;
use crate::response::{IoRequest, Step};
use crate::sense::Sense;

/// WRITE SAME. A length of 0 means up to the end (WSNZ = 0). UNMAP gives the space back if the block is zeros, since unmapped
/// blocks read as zeros (LBPRZ = 1); any other block is written.
pub(crate) fn write_same(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    const TEN: u8 = 0x41;
    check_protection(request)?;
    let ten = request.byte(0) == TEN;
    // ANCHOR: ANC_SUP is 0. LBDATA and PBDATA: obsolete.
    for bit in [4, 2, 1] {
        if request.bit(1, bit) {
            return Err(Sense::invalid_cdb_field(1, Some(bit)));
        }
    }
    let no_data_out = request.bit(1, 0);
    if no_data_out && ten {
        return Err(Sense::invalid_cdb_field(1, Some(0)));
    }
    let (lba, told, length_at) = if ten {
        (request.number(2, 4), request.number(7, 2), 7)
    } else {
        (request.number(2, 8), request.number(10, 4), 10)
    };
    unit.check_range(lba, told.max(1))?;
    let blocks = if told == 0 { unit.blocks() - lba } else { told };
    if blocks > unit.block().write_same_blocks_max() {
        return Err(Sense::invalid_cdb_field(length_at, None));
    }
    let block_bytes = unit.block().bytes();
    let zeros = if no_data_out {
        true
    } else if request.data_out_bytes() == block_bytes {
        let parts = request.data_out;
        parts.iter().all(|part| part.iter().all(|byte| *byte == 0))
    } else {
        return Err(Sense::DATA_OUT_TOO_SHORT);
    };
    let (offset_bytes, len_bytes) = (lba * block_bytes, blocks * block_bytes);
    Ok(Step::Io(if request.bit(1, 3) && zeros {
        IoRequest::Unmap(vec![(offset_bytes, len_bytes)])
    } else {
        IoRequest::WriteSame {
            offset_bytes,
            len_bytes,
            zeros,
        }
    }))
}
