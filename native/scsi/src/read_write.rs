//! READ and WRITE (SBC-3 §5.10 to §5.13, §5.32 to §5.36) and WRITE ATOMIC (16) (SBC-4 §5.44).
//!
//! Rule: a write takes the blocks that came, also when its CDB asks for more; the transport reports the rest as residual.
//! A part of a block is an error, and nothing is written then. An atomic write is made in whole or not at all: it needs all its data.

use crate::cdb::Request;
use crate::limits::BlockSize;
use crate::logical_unit::LogicalUnit;
use crate::response::{IoRequest, Response, Step};
use crate::sense::Sense;

/// What a CDB of any length that names a range says.
pub(crate) struct Transfer {
    pub(crate) lba: u64,
    pub(crate) blocks: u64,
    pub(crate) fua: bool,
    /// Where the CDB has the number of blocks.
    length_at: u16,
    block: BlockSize,
}

impl Transfer {
    pub(crate) fn offset_bytes(&self) -> u64 {
        self.lba * self.block.bytes()
    }

    /// Refuse a range outside the disk or longer than `blocks_max`, which is MAXIMUM TRANSFER LENGTH or less.
    pub(crate) fn check(&self, unit: &LogicalUnit, blocks_max: u64) -> Result<(), Sense> {
        unit.check_range(self.lba, self.blocks)?;
        if self.blocks > blocks_max {
            return Err(Sense::invalid_cdb_field(self.length_at, None));
        }
        Ok(())
    }

    /// Bytes that the CDB asks for; checked before.
    pub(crate) fn len_bytes(&self) -> u32 {
        u32::try_from(self.blocks * self.block.bytes())
            .expect("the length is at most MAX_TRANSFER_BYTES")
    }
}

/// READ (6, 10, 12, 16).
pub(crate) fn read(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = checked(unit, request)?;
    Ok(match transfer.len_bytes() {
        0 => Step::Done(Response::good()),
        len_bytes => Step::Io(IoRequest::Read {
            offset_bytes: transfer.offset_bytes(),
            len_bytes,
            fua: transfer.fua,
        }),
    })
}

/// WRITE (6, 10, 12, 16).
pub(crate) fn write(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = checked(unit, request)?;
    let fua = transfer.fua;
    taken(
        &transfer,
        request,
        |offset_bytes, len_bytes, asked_bytes| IoRequest::Write {
            offset_bytes,
            len_bytes,
            asked_bytes,
            fua,
        },
    )
}

/// WRITE ATOMIC (16): one change, done in whole on both nodes or on none.
pub(crate) fn write_atomic(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let transfer = Transfer {
        lba: request.number(2, 8),
        blocks: request.number(12, 2),
        fua: request.bit(1, 3),
        length_at: 12,
        block: unit.block(),
    };
    check_protection(request)?;
    transfer.check(unit, unit.block().atomic_blocks_max())?;
    // ATOMIC BOUNDARY: none are supported.
    if request.number(10, 2) != 0 {
        return Err(Sense::invalid_cdb_field(10, None));
    }
    let granularity = unit.block().physical_blocks();
    if transfer.lba % granularity != 0 {
        return Err(Sense::invalid_cdb_field(2, None));
    }
    if transfer.blocks % granularity != 0 {
        return Err(Sense::invalid_cdb_field(12, None));
    }
    let len_bytes = transfer.len_bytes();
    if request.data_out_bytes() < u64::from(len_bytes) {
        return Err(Sense::DATA_OUT_TOO_SHORT);
    }
    Ok(match len_bytes {
        0 => Step::Done(Response::good()),
        len_bytes => Step::Io(IoRequest::Write {
            offset_bytes: transfer.offset_bytes(),
            len_bytes,
            asked_bytes: len_bytes,
            fua: transfer.fua,
        }),
    })
}

/// The step of a command that writes what came of its data-out; `io` is given offset, length and the length that the CDB asks for.
pub(crate) fn taken(
    transfer: &Transfer,
    request: &Request<'_>,
    io: impl FnOnce(u64, u32, u32) -> IoRequest,
) -> Result<Step, Sense> {
    let asked_bytes = transfer.len_bytes();
    let came = request.data_out_bytes().min(asked_bytes.into());
    let len_bytes = u32::try_from(came).expect("it is no more than what the CDB asks for");
    Ok(if came % transfer.block.bytes() != 0 {
        Step::Done(Response::check(Sense::DATA_OUT_TOO_SHORT).moving(asked_bytes.into()))
    } else if len_bytes == 0 {
        Step::Done(Response::good().moving(asked_bytes.into()))
    } else {
        Step::Io(io(transfer.offset_bytes(), len_bytes, asked_bytes))
    })
}

/// The range of a READ, WRITE or VERIFY, checked.
pub(crate) fn checked(unit: &LogicalUnit, request: &Request<'_>) -> Result<Transfer, Sense> {
    let transfer = parse(request, unit.block())?;
    transfer.check(unit, unit.block().transfer_blocks_max())?;
    Ok(transfer)
}

/// RDPROTECT, WRPROTECT, VRPROTECT, ORPROTECT: there is no protection information.
pub(crate) fn check_protection(request: &Request<'_>) -> Result<(), Sense> {
    if request.byte(1) & 0xe0 == 0 {
        Ok(())
    } else {
        Err(Sense::invalid_cdb_field(1, Some(7)))
    }
}

/// The fields. The operation code's group (its top three bits) gives the CDB's length.
fn parse(request: &Request<'_>, block: BlockSize) -> Result<Transfer, Sense> {
    let (lba, blocks, length_at) = match request.byte(0) >> 5 {
        0 => {
            let blocks = if request.byte(4) == 0 {
                256
            } else {
                request.number(4, 1)
            };
            return Ok(Transfer {
                lba: request.number(1, 3) & 0x1f_ffff,
                blocks,
                fua: false,
                length_at: 4,
                block,
            });
        }
        4 => (request.number(2, 8), request.number(10, 4), 10),
        5 => (request.number(2, 4), request.number(6, 4), 6),
        _ => (request.number(2, 4), request.number(7, 2), 7),
    };
    check_protection(request)?;
    Ok(Transfer {
        lba,
        blocks,
        fua: request.bit(1, 3),
        length_at,
        block,
    })
}
