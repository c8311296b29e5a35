//! The SANITIZE command: what its CDB and parameter list ask for.

use bytes::Bytes;

use super::{Method, Operation, Sanitize};
use crate::cdb::Request;
use crate::limits::BlockSize;
use crate::logical_unit::LogicalUnit;
use crate::opcodes::SANITIZE;
use crate::response::Step;
use crate::sense::Sense;

const OVERWRITE: u8 = 0x01;
const BLOCK_ERASE: u8 = 0x02;
const EXIT_FAILURE_MODE: u8 = 0x1f;
/// Parameter list of an overwrite before the pattern.
const HEADER_BYTES: u64 = 4;

/// True for a SANITIZE of any kind.
#[must_use]
pub fn is_sanitize(cdb: &[u8; 16]) -> bool {
    cdb[0] == SANITIZE
}

/// What a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// Begin an operation.
    Begin(Operation),
    /// Leave the failure of the latest one behind.
    Exit,
}

/// True for a command that is answered when the operation ends, and not already when it has begun.
pub(super) fn waits(cdb: &[u8; 16]) -> bool {
    let immediate = cdb[1] & 0x80 != 0;
    is_sanitize(cdb) && cdb[1] & 0x1f != EXIT_FAILURE_MODE && !immediate
}

/// SANITIZE: looked at in full before it waits for its turn, so that what is refused holds nobody up.
pub(crate) fn sanitize(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    asked(request.cdb, request.data_out, unit.block())?;
    Ok(Step::Turn)
}

/// What a SANITIZE asks for.
///
/// # Errors
/// INVALID FIELD IN CDB, INVALID FIELD IN PARAMETER LIST, or less data-out than the CDB names.
pub(super) fn asked(cdb: &[u8; 16], data_out: &[Bytes], block: BlockSize) -> Result<Asked, Sense> {
    let request = Request::parsed(cdb, data_out);
    // Reserved; ZNR (SBC-4) is for zoned devices.
    if request.bit(1, 6) {
        return Err(Sense::invalid_cdb_field(1, Some(6)));
    }
    if let Some(byte) = (2..7).find(|byte| request.byte(*byte) != 0) {
        return Err(Sense::invalid_cdb_field(byte as u16, None));
    }
    let length = request.number(7, 2);
    let action = request.byte(1) & 0x1f;
    let most = match action {
        OVERWRITE => HEADER_BYTES + block.bytes(),
        _ => 0,
    };
    let least = if action == OVERWRITE {
        HEADER_BYTES + 1
    } else {
        0
    };
    if !(least..=most).contains(&length) {
        return Err(Sense::invalid_cdb_field(7, None));
    }
    let method = match action {
        OVERWRITE => overwrite(&request.parameters(length as usize)?)?,
        BLOCK_ERASE => Method::BlockErase,
        EXIT_FAILURE_MODE => return Ok(Asked::Exit),
        _ => return Err(Sense::invalid_cdb_field(1, Some(4))),
    };
    Ok(Asked::Begin(Operation::new(method, request.bit(1, 5))))
}

/// The parameter list of an overwrite (SBC-3 §5.30.2.2), at least a byte longer than its header.
fn overwrite(list: &[u8]) -> Result<Method, Sense> {
    let (head, rest) = list.split_at(HEADER_BYTES as usize);
    // TEST asks for what vendors define, which is nothing here.
    if head[0] & 0x60 != 0 {
        return Err(Sense::invalid_parameter(0));
    }
    let count = head[0] & 0x1f;
    if count == 0 {
        return Err(Sense::invalid_parameter(0));
    }
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    if length == 0 || length > rest.len() {
        return Err(Sense::invalid_parameter(2));
    }
    Ok(Method::Overwrite {
        pattern: rest[..length].to_vec(),
        invert: head[0] & 0x80 != 0,
        count,
    })
}

impl Sanitize {
    /// What a command makes of the state.
    ///
    /// # Errors
    /// What runs has to end first. A failure of an operation without AUSE is left only by another one without it that succeeds.
    pub(super) fn after(&self, asked: Asked, size_bytes: u64) -> Result<Self, Sense> {
        const AUSE: Sense = Sense::invalid_cdb_field(1, Some(5));
        const ACTION: Sense = Sense::invalid_cdb_field(1, Some(4));
        match (self, asked) {
            (Self::Running(operation), _) => Err(Sense::sanitizing(operation.progress(size_bytes))),
            (Self::Failed(failed), Asked::Begin(next))
                if next.unrestricted && !failed.unrestricted =>
            {
                Err(AUSE)
            }
            (_, Asked::Begin(next)) => Ok(Self::Running(next)),
            (Self::Failed(failed), Asked::Exit) if !failed.unrestricted => Err(ACTION),
            (Self::Failed(_) | Self::Idle, Asked::Exit) => Ok(Self::Idle),
        }
    }
}
