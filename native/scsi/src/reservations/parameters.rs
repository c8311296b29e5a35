//! What a PERSISTENT RESERVE OUT asks for (SPC-4 §6.16): CDB and parameter list, checked.

use super::nexus::{TransportId, parse_transport_id};
use super::table::Kind;
use crate::cdb::Request;
use crate::sense::Sense;

/// Bytes of the basic parameter list.
const BASIC_BYTES: usize = 24;
/// Longest parameter list that is read: more TransportIDs than a table has room for.
const LIST_MAX_BYTES: u64 = 64 << 10;

/// Service actions (SPC-4 table 243).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Register,
    Reserve,
    Release,
    Clear,
    Preempt,
    PreemptAndAbort,
    RegisterAndIgnore,
    RegisterAndMove,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameters {
    pub(crate) action: Action,
    /// Scope and type as they came; looked at only where they count.
    scope_and_type: u8,
    pub(crate) key: u64,
    pub(crate) action_key: u64,
    pub(crate) aptpl: bool,
    pub(crate) all_targets: bool,
    /// Other initiators to be registered; None: SPEC_I_PT is 0.
    pub(crate) others: Option<Vec<TransportId>>,
    /// REGISTER AND MOVE: where the reservation goes.
    pub(crate) moved_to: Option<(TransportId, u16)>,
    /// REGISTER AND MOVE: the mover is not to stay registered.
    pub(crate) unregister: bool,
}

impl Parameters {
    /// Check a command.
    ///
    /// # Errors
    /// Sense data that points at what is wrong.
    pub(crate) fn parse(request: &Request<'_>) -> Result<Self, Sense> {
        let action = match request.byte(1) & 0x1f {
            0 => Action::Register,
            1 => Action::Reserve,
            2 => Action::Release,
            3 => Action::Clear,
            4 => Action::Preempt,
            5 => Action::PreemptAndAbort,
            6 => Action::RegisterAndIgnore,
            7 => Action::RegisterAndMove,
            _ => return Err(Sense::invalid_cdb_field(1, Some(4))),
        };
        let length = request.number(5, 4);
        if length < BASIC_BYTES as u64 || length > LIST_MAX_BYTES {
            return Err(Sense::PARAMETER_LIST_LENGTH);
        }
        let list = request.parameters(length as usize)?;
        let number = |at: usize| {
            list[at..at + 8]
                .iter()
                .fold(0, |n, byte| n << 8 | u64::from(*byte))
        };
        let mut parsed = Self {
            action,
            scope_and_type: request.byte(2),
            key: number(0),
            action_key: number(8),
            aptpl: false,
            all_targets: false,
            others: None,
            moved_to: None,
            unregister: false,
        };
        if action == Action::RegisterAndMove {
            parsed.read_move(&list)?;
        } else {
            parsed.read_flags(&list)?;
        }
        Ok(parsed)
    }

    fn read_flags(&mut self, list: &[u8]) -> Result<(), Sense> {
        let flags = list[20];
        let registers = matches!(self.action, Action::Register | Action::RegisterAndIgnore);
        self.aptpl = registers && flags & 1 != 0;
        self.all_targets = registers && flags & 4 != 0;
        if flags & 8 == 0 {
            return if list.len() == BASIC_BYTES {
                Ok(())
            } else {
                Err(Sense::PARAMETER_LIST_LENGTH)
            };
        }
        if self.action != Action::Register {
            return Err(Sense::invalid_parameter(20));
        }
        let length = word(list, 24).ok_or(Sense::PARAMETER_LIST_LENGTH)? as usize;
        let mut rest = &list[28..];
        if rest.len() != length {
            return Err(Sense::PARAMETER_LIST_LENGTH);
        }
        let mut others = Vec::new();
        while !rest.is_empty() {
            let at = (list.len() - rest.len()) as u16;
            let (id, length) = parse_transport_id(rest).ok_or(Sense::invalid_parameter(at))?;
            others.push(id);
            rest = &rest[length..];
        }
        self.others = Some(others);
        Ok(())
    }

    fn read_move(&mut self, list: &[u8]) -> Result<(), Sense> {
        self.aptpl = list[17] & 1 != 0;
        self.unregister = list[17] & 2 != 0;
        let length = word(list, 20).unwrap_or(0) as usize;
        if list.len() != BASIC_BYTES + length {
            return Err(Sense::PARAMETER_LIST_LENGTH);
        }
        let (id, length) =
            parse_transport_id(&list[BASIC_BYTES..]).ok_or(Sense::invalid_parameter(24))?;
        if BASIC_BYTES + length != list.len() {
            return Err(Sense::invalid_parameter(20));
        }
        self.moved_to = Some((id, u16::from_be_bytes([list[18], list[19]])));
        Ok(())
    }

    /// The type of the reservation to be made or released, of the one scope that there is.
    ///
    /// # Errors
    /// INVALID FIELD IN CDB.
    pub(crate) fn kind(&self) -> Result<Kind, Sense> {
        if self.scope_and_type >> 4 != 0 {
            return Err(Sense::invalid_cdb_field(2, Some(7)));
        }
        Kind::of(self.scope_and_type & 0x0f).ok_or(Sense::invalid_cdb_field(2, Some(3)))
    }
}

fn word(list: &[u8], at: usize) -> Option<u32> {
    let (bytes, _) = list.get(at..)?.split_first_chunk::<4>()?;
    Some(u32::from_be_bytes(*bytes))
}
