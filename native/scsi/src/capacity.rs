//! READ CAPACITY (SBC-3 §5.15, §5.16) and SYNCHRONIZE CACHE (§5.19, §5.20).

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{IoRequest, Response, Step};
use crate::sense::Sense;

/// READ CAPACITY (10); a disk that is too large for it reports FFFFFFFFh.
pub(crate) fn read_capacity_10(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    // PMI and LBA are obsolete; without PMI the LBA has to be 0.
    if !request.bit(8, 0) && request.number(2, 4) != 0 {
        return Err(Sense::invalid_cdb_field(2, None));
    }
    let last = u32::try_from(unit.blocks() - 1).unwrap_or(u32::MAX);
    let data = [last.to_be_bytes(), block_length(unit)].concat();
    Ok(Step::Done(Response::parameter_data(data, 8)))
}

/// READ CAPACITY (16).
pub(crate) fn read_capacity_16(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    const LBPME: u8 = 0x80;
    const LBPRZ: u8 = 0x40;
    let mut data = (unit.blocks() - 1).to_be_bytes().to_vec();
    data.extend_from_slice(&block_length(unit));
    data.extend_from_slice(&[0, unit.block().physical_exponent(), LBPME | LBPRZ]);
    data.resize(32, 0);
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(10, 4),
    )))
}

/// The field LOGICAL BLOCK LENGTH IN BYTES.
pub(crate) fn block_length(unit: &LogicalUnit) -> [u8; 4] {
    (unit.block().bytes() as u32).to_be_bytes()
}

/// SYNCHRONIZE CACHE: the whole cache, whatever the range; IMMED waits all the same.
pub(crate) fn synchronize_cache(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let (lba, blocks) = match request.byte(0) {
        0x35 => (request.number(2, 4), request.number(7, 2)),
        _ => (request.number(2, 8), request.number(10, 4)),
    };
    unit.check_range(lba, blocks)?;
    Ok(Step::Io(IoRequest::Flush))
}
