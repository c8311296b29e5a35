//! COMPARE AND WRITE (SBC-3 §5.2) and ORWRITE (16) (SBC-3 §5.7): reads and writes in one.

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::read_write::{check_protection, checked};
use crate::response::{IoRequest, Response, Step};
use crate::sense::Sense;

/// COMPARE AND WRITE. Data-out must be exactly what the CDB asks for.
pub(crate) fn compare_and_write(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    check_protection(request)?;
    let (lba, blocks) = (request.number(2, 8), request.number(13, 1));
    unit.check_range(lba, blocks)?;
    let (block, block_bytes) = (unit.block(), unit.block().bytes());
    if blocks > block.compare_blocks_max() || request.data_out_bytes() != 2 * blocks * block_bytes {
        return Err(Sense::invalid_cdb_field(13, None));
    }
    Ok(if blocks == 0 {
        Step::Done(Response::good())
    } else {
        Step::Io(IoRequest::CompareAndWrite {
            offset_bytes: lba * block_bytes,
            len_bytes: (blocks * block_bytes) as u32,
            fua: request.bit(1, 3),
        })
    })
}

/// ORWRITE (16).
pub(crate) fn or_write(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = checked(unit, request)?;
    let len_bytes = transfer.len_bytes();
    if request.data_out_bytes() < u64::from(len_bytes) {
        return Err(Sense::DATA_OUT_TOO_SHORT);
    }
    Ok(match len_bytes {
        0 => Step::Done(Response::good()),
        len_bytes => Step::Io(IoRequest::OrWrite {
            offset_bytes: transfer.offset_bytes(),
            len_bytes,
            fua: transfer.fua,
        }),
    })
}
