//! What a command is, and the two commands that tell which there are: REPORT SUPPORTED OPERATION CODES (SPC-4 §6.34), made
//! from the table itself, and REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS (SPC-4 §6.35).
//!
//! Rules
//! 1. A command is in the table or it does not exist.
//! 2. What a state that does not serve still answers (SPC-4 §5.15.2.4) is a column, not code.

use crate::alua::AccessState;
use crate::cdb::Request;
use crate::command_table::COMMANDS;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::Sense;

/// In which access states a command is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Answered {
    /// Only while serving.
    Serving,
    /// In standby too.
    Standby,
    /// Always.
    Always,
}

/// Carries a command out; the error is the sense data of a CHECK CONDITION.
type Handler = fn(&LogicalUnit, &Request<'_>) -> Result<Step, Sense>;

/// One command.
pub(crate) struct Command {
    /// Operation code.
    pub(crate) opcode: u8,
    /// Service action, for operation codes that have them (bits 4 to 0 of byte 1).
    pub(crate) service_action: Option<u8>,
    /// CDB usage data: the bits that are looked at; its length is the CDB's.
    pub(crate) usage: &'static [u8],
    /// The states that answer it.
    pub(crate) answered: Answered,
    /// Answered while a unit attention is pending (SAM-5 §5.14).
    pub(crate) spares_unit_attention: bool,
    /// Does it.
    pub(crate) handler: Handler,
}

impl Command {
    /// True when the state answers it.
    pub(crate) fn answered_in(&self, state: AccessState) -> bool {
        match state {
            AccessState::Optimized | AccessState::NonOptimized => true,
            AccessState::Standby => self.answered >= Answered::Standby,
            AccessState::Transitioning | AccessState::Unavailable => {
                self.answered == Answered::Always
            }
        }
    }
}

/// A command that a pending unit attention keeps from being done.
pub(crate) const fn command(usage: &'static [u8], answered: Answered, handler: Handler) -> Command {
    Command {
        opcode: usage[0],
        service_action: None,
        usage,
        answered,
        spares_unit_attention: false,
        handler,
    }
}

/// A command with the service action that stands in its usage data.
pub(crate) const fn action(usage: &'static [u8], answered: Answered, handler: Handler) -> Command {
    Command {
        service_action: Some(usage[1] & 0x1f),
        ..command(usage, answered, handler)
    }
}

/// The same command, answered while a unit attention is pending.
pub(crate) const fn sparing(command: Command) -> Command {
    Command {
        spares_unit_attention: true,
        ..command
    }
}

/// REQUEST SENSE, which needs the pending unit attention.
pub(crate) const REQUEST_SENSE: u8 = 0x03;
/// PERSISTENT RESERVE IN, which tells what may be changed on the other node.
pub(crate) const PERSISTENT_RESERVE_IN: u8 = 0x5e;
pub(crate) const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
/// RESERVE (6 and 10).
pub(crate) const RESERVE: [u8; 2] = [0x16, 0x56];
/// RELEASE (6 and 10).
pub(crate) const RELEASE: [u8; 2] = [0x17, 0x57];
/// MODE SELECT (6 and 10), which changes what both nodes agree on.
pub(crate) const MODE_SELECT: [u8; 2] = [0x15, 0x55];
/// MODE SENSE (6 and 10), which tells what may be changed on the other node.
pub(crate) const MODE_SENSE: [u8; 2] = [0x1a, 0x5a];
/// SANITIZE.
pub(crate) const SANITIZE: u8 = 0x48;
/// INQUIRY, which a LUN without a logical unit answers too.
pub(crate) const INQUIRY: u8 = 0x12;

/// Find the command of a CDB.
///
/// # Errors
/// INVALID COMMAND OPERATION CODE; INVALID FIELD IN CDB for an unknown service action or a set NACA bit (SAM-5 §5.2).
pub(crate) fn find(cdb: &[u8; 16]) -> Result<&'static Command, Sense> {
    let mut same_opcode = COMMANDS
        .iter()
        .filter(|command| command.opcode == cdb[0])
        .peekable();
    if same_opcode.peek().is_none() {
        return Err(Sense::INVALID_OPCODE);
    }
    let found = same_opcode.find(|command| {
        command
            .service_action
            .is_none_or(|action| action == cdb[1] & 0x1f)
    });
    let command = found.ok_or(Sense::invalid_cdb_field(1, Some(4)))?;
    let control = command.usage.len() - 1;
    if cdb[control] & 0x04 != 0 {
        return Err(Sense::invalid_cdb_field(control as u16, Some(2)));
    }
    Ok(command)
}

/// Command timeouts descriptor: no nominal time. 60 s are recommended, since a command may wait while a lost peer is fenced; nothing
/// is for SANITIZE, which takes as long as the disk is large.
fn timeouts(command: &Command) -> [u8; 12] {
    let recommended_s = if command.opcode == SANITIZE { 0 } else { 60 };
    [0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, recommended_s]
}

const NOT_SUPPORTED: u8 = 0b001;
const SUPPORTED: u8 = 0b011;

/// REPORT SUPPORTED OPERATION CODES.
pub(crate) fn report_opcodes(_unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let with_timeouts = request.bit(2, 7);
    let (opcode, action) = (request.byte(3), request.number(4, 2));
    let has_actions = COMMANDS
        .iter()
        .any(|command| command.opcode == opcode && command.service_action.is_some());
    let found = |action: Option<u64>| {
        let same = |command: &&Command| {
            command.opcode == opcode && command.service_action.map(u64::from) == action
        };
        COMMANDS.iter().find(same)
    };
    let data = match request.byte(2) & 0x07 {
        0 => all_commands(with_timeouts),
        1 if has_actions => return Err(Sense::invalid_cdb_field(2, Some(2))),
        1 => one_command(found(None), with_timeouts),
        2 if !has_actions && found(None).is_some() => {
            return Err(Sense::invalid_cdb_field(2, Some(2)));
        }
        2 => one_command(found(Some(action)), with_timeouts),
        3 if has_actions => one_command(found(Some(action)), with_timeouts),
        3 => one_command(found(None).filter(|_| action == 0), with_timeouts),
        _ => return Err(Sense::invalid_cdb_field(2, Some(2))),
    };
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(6, 4),
    )))
}

fn all_commands(with_timeouts: bool) -> Vec<u8> {
    let mut list = Vec::new();
    for command in COMMANDS {
        let flags = u8::from(with_timeouts) << 1 | u8::from(command.service_action.is_some());
        let length = command.usage.len() as u8;
        list.extend_from_slice(&[
            command.opcode,
            0,
            0,
            command.service_action.unwrap_or(0),
            0,
            flags,
            0,
            length,
        ]);
        if with_timeouts {
            list.extend_from_slice(&timeouts(command));
        }
    }
    let mut data = (list.len() as u32).to_be_bytes().to_vec();
    data.append(&mut list);
    data
}

fn one_command(command: Option<&Command>, with_timeouts: bool) -> Vec<u8> {
    let Some(command) = command else {
        return vec![0, NOT_SUPPORTED, 0, 0];
    };
    let mut data = vec![
        0,
        u8::from(with_timeouts) << 7 | SUPPORTED,
        0,
        command.usage.len() as u8,
    ];
    data.extend_from_slice(command.usage);
    if with_timeouts {
        data.extend_from_slice(&timeouts(command));
    }
    data
}

/// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS.
pub(crate) fn report_task_functions(
    _unit: &LogicalUnit,
    request: &Request<'_>,
) -> Result<Step, Sense> {
    const SMALLEST: u64 = 4;
    /// ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET, TARGET RESET.
    const FUNCTIONS: u8 = 0x80 | 0x40 | 0x10 | 0x08 | 0x02;
    const EXTENDED_BYTES: u8 = 16;
    if request.number(6, 4) < SMALLEST {
        return Err(Sense::invalid_cdb_field(6, None));
    }
    let mut data = vec![FUNCTIONS, 0, 0, 0];
    if request.bit(2, 7) {
        // REPD: no timeouts are told.
        data[3] = EXTENDED_BYTES - 4;
        data.resize(EXTENDED_BYTES.into(), 0);
    }
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(6, 4),
    )))
}
