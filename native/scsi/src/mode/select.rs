//! MODE SELECT (SPC-4 §6.9, §6.10).

use bytes::Bytes;

use super::list::{Header, apply};
use super::modes::Modes;
use crate::cdb::Request;
use crate::logical_unit::{LogicalUnit, NexusId};
use crate::response::Step;
use crate::sense::Sense;

/// MODE SELECT (6 and 10): all of it is looked at when it has its turn.
pub(crate) fn mode_select(_unit: &LogicalUnit, _request: &Request<'_>) -> Result<Step, Sense> {
    Ok(Step::Turn)
}

/// What a command comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ModeChange {
    /// The values after it.
    pub(crate) modes: Modes,
    /// Writes that have begun are to end first, since none is allowed after it.
    pub(crate) drain: bool,
    /// What was written before is to be durable before it is answered. Both also if an earlier command has set the same values: it may
    /// still be at that, or never have come to its end.
    pub(crate) flush: bool,
}

/// Carry out a command of `nexus` in its turn, on the values in force.
///
/// # Errors
/// Sense data that points at what is wrong; the values stay as they are.
pub(crate) fn select(
    unit: &LogicalUnit,
    modes: Modes,
    nexus: NexusId,
    cdb: &[u8; 16],
    data_out: &[Bytes],
) -> Result<ModeChange, Sense> {
    const RTD: u8 = 1;
    const PF: u8 = 4;
    let request = Request {
        cdb,
        data_out,
        pending: Sense::NONE,
        nexus,
    };
    let (header, length) = match request.byte(0) {
        0x15 => (Header::Short, request.number(4, 1)),
        _ => (Header::Long, request.number(7, 2)),
    };
    if request.bit(1, RTD) {
        return Err(Sense::invalid_cdb_field(1, Some(RTD)));
    }
    let mut current = modes.current;
    if length != 0 {
        let list = request.parameters(length as usize)?;
        let (values, has_pages) = apply(&list, header, current, unit)?;
        if has_pages && !request.bit(1, PF) {
            return Err(Sense::invalid_cdb_field(1, Some(PF)));
        }
        current = values;
    }
    let saved = if request.bit(1, 0) {
        current
    } else {
        modes.saved
    };
    let protects = current.write_protect();
    Ok(ModeChange {
        modes: modes.changed(current, saved, Some(nexus)),
        drain: protects,
        flush: protects || !current.write_cache(),
    })
}
