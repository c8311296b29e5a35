//! Commands of drives with a medium that turns or comes out, as a VDisk answers them: START STOP UNIT (SBC-3 §5.21), PREVENT ALLOW
//! MEDIUM REMOVAL (§5.12), READ DEFECT DATA (§5.17, §5.18).

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{IoRequest, Response, Step};
use crate::sense::Sense;

/// START STOP UNIT: a VDisk always runs, since it is shared. To stop it makes everything durable and goes on; there are no power
/// conditions to set, and nothing can be ejected.
pub(crate) fn start_stop(_unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let (load_eject, start, no_flush) = (request.bit(4, 1), request.bit(4, 0), request.bit(4, 2));
    if request.byte(4) >> 4 != 0 {
        return Err(Sense::invalid_cdb_field(4, Some(7)));
    }
    if load_eject {
        return Err(Sense::invalid_cdb_field(4, Some(1)));
    }
    Ok(if start || no_flush {
        Step::Done(Response::good())
    } else {
        Step::Io(IoRequest::Flush)
    })
}

/// PREVENT ALLOW MEDIUM REMOVAL: there is no medium to be removed, so it may be allowed but cannot be prevented.
pub(crate) fn prevent_allow(_unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    if request.byte(4) & 0b11 == 0 {
        Ok(Step::Done(Response::good()))
    } else {
        Err(Sense::invalid_cdb_field(4, Some(1)))
    }
}

/// READ DEFECT DATA (10): both lists are empty.
pub(crate) fn read_defect_data_10(
    _unit: &LogicalUnit,
    request: &Request<'_>,
) -> Result<Step, Sense> {
    let data = vec![0, request.byte(2) & 0x1f, 0, 0];
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(7, 2),
    )))
}

/// READ DEFECT DATA (12): both lists are empty.
pub(crate) fn read_defect_data_12(
    _unit: &LogicalUnit,
    request: &Request<'_>,
) -> Result<Step, Sense> {
    let data = vec![0, request.byte(1) & 0x1f, 0, 0, 0, 0, 0, 0];
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(6, 4),
    )))
}
