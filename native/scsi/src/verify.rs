//! VERIFY (SBC-3 §5.29 to §5.31), WRITE AND VERIFY (§5.38 to §5.40) and PRE-FETCH (§5.8, §5.9).

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::read_write::{checked, taken};
use crate::response::{Compare, IoRequest, Response, Step};
use crate::sense::Sense;

/// BYTCHK (SBC-3 §5.29): what the range is compared with.
fn byte_check(request: &Request<'_>) -> u8 {
    request.byte(1) >> 1 & 0b11
}

/// VERIFY (10, 12, 16): reads the range; BYTCHK 01b compares it with data-out, 11b each block with the one that came.
pub(crate) fn verify(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = checked(unit, request)?;
    let len_bytes = transfer.len_bytes();
    let (compare, needed) = match byte_check(request) {
        0b00 => (None, 0),
        0b01 => (Some(Compare::Data), u64::from(len_bytes)),
        0b11 => {
            let len_bytes = unit.block().bytes() as u32;
            (Some(Compare::Block { len_bytes }), len_bytes.into())
        }
        _ => return Err(Sense::invalid_cdb_field(1, Some(2))),
    };
    if len_bytes == 0 {
        return Ok(Step::Done(Response::good()));
    }
    if request.data_out_bytes() < needed {
        return Err(Sense::DATA_OUT_TOO_SHORT);
    }
    Ok(Step::Io(IoRequest::Verify {
        offset_bytes: transfer.offset_bytes(),
        len_bytes,
        compare,
    }))
}

/// WRITE AND VERIFY (10, 12, 16).
pub(crate) fn write_and_verify(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = checked(unit, request)?;
    let compare = match byte_check(request) {
        0b00 => false,
        0b01 => true,
        _ => return Err(Sense::invalid_cdb_field(1, Some(2))),
    };
    taken(
        &transfer,
        request,
        |offset_bytes, len_bytes, asked_bytes| IoRequest::WriteAndVerify {
            offset_bytes,
            len_bytes,
            asked_bytes,
            compare,
        },
    )
}

/// PRE-FETCH (10, 16): GOOD, which promises nothing; the page cache reads ahead by itself. A length of 0 means up to the end.
pub(crate) fn prefetch(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let (lba, blocks) = match request.byte(0) {
        0x34 => (request.number(2, 4), request.number(7, 2)),
        _ => (request.number(2, 8), request.number(10, 4)),
    };
    unit.check_range(lba, blocks)?;
    Ok(Step::Done(Response::good()))
}
