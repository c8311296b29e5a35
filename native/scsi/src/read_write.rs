//! READ and WRITE (SBC-3 §5.10 to §5.13, §5.32 to §5.36).

use crate::cdb::Request;
use crate::limits::{BLOCK_BYTES, TRANSFER_BLOCKS_MAX};
use crate::logical_unit::LogicalUnit;
use crate::response::{IoRequest, Response, Step};
use crate::sense::Sense;

/// What a READ or WRITE CDB of any length says.
struct Transfer {
    lba: u64,
    blocks: u64,
    fua: bool,
}

/// READ (6, 10, 12, 16).
pub(crate) fn read(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = checked(unit, request)?;
    Ok(match len_bytes(&transfer) {
        0 => Step::Done(Response::good()),
        len_bytes => Step::Io(IoRequest::Read {
            offset_bytes: transfer.lba * BLOCK_BYTES,
            len_bytes,
            fua: transfer.fua,
        }),
    })
}

/// WRITE (6, 10, 12, 16).
pub(crate) fn write(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = checked(unit, request)?;
    let len_bytes = len_bytes(&transfer);
    if request.data_out_bytes() < u64::from(len_bytes) {
        return Err(Sense::DATA_OUT_TOO_SHORT);
    }
    Ok(match len_bytes {
        0 => Step::Done(Response::good()),
        len_bytes => Step::Io(IoRequest::Write {
            offset_bytes: transfer.lba * BLOCK_BYTES,
            len_bytes,
            fua: transfer.fua,
        }),
    })
}

fn len_bytes(transfer: &Transfer) -> u32 {
    u32::try_from(transfer.blocks * BLOCK_BYTES).expect("the length is at most MAX_TRANSFER_BYTES")
}

fn checked(unit: &LogicalUnit, request: &Request<'_>) -> Result<Transfer, Sense> {
    let (transfer, length_at) = parse(request)?;
    unit.check_range(transfer.lba, transfer.blocks)?;
    if transfer.blocks > TRANSFER_BLOCKS_MAX {
        return Err(Sense::invalid_cdb_field(length_at, None));
    }
    Ok(transfer)
}

/// The fields, and where the transfer length stands. The operation code's group (its top three bits) gives the CDB's length.
fn parse(request: &Request<'_>) -> Result<(Transfer, u16), Sense> {
    let (lba, blocks, length_at) = match request.byte(0) >> 5 {
        0 => {
            let blocks = if request.byte(4) == 0 {
                256
            } else {
                request.number(4, 1)
            };
            return Ok((
                Transfer {
                    lba: request.number(1, 3) & 0x1f_ffff,
                    blocks,
                    fua: false,
                },
                4,
            ));
        }
        4 => (request.number(2, 8), request.number(10, 4), 10),
        5 => (request.number(2, 4), request.number(6, 4), 6),
        _ => (request.number(2, 4), request.number(7, 2), 7),
    };
    // RDPROTECT or WRPROTECT without protection information.
    if request.byte(1) & 0xe0 != 0 {
        return Err(Sense::invalid_cdb_field(1, Some(7)));
    }
    Ok((
        Transfer {
            lba,
            blocks,
            fua: request.bit(1, 3),
        },
        length_at,
    ))
}
