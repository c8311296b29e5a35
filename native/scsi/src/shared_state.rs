//! The logical unit's part in the state that both nodes share: changes are computed here and put in force here.
//!
//! Rules
//! 1. A change is computed from the state in force by whoever has the turn, and is in force nowhere before both nodes hold it.
//! 2. Each node tells its own initiators what changed, when it puts the change in force.

use bytes::Bytes;

use crate::logical_unit::{LogicalUnit, NexusId};
use crate::opcodes::PERSISTENT_RESERVE_OUT;
use crate::reservations::{Refusal, attentions, forbids, is_free};
use crate::response::{Response, StateChange};
use crate::sense::Sense;
use crate::unit_state::UnitState;

impl LogicalUnit {
    /// Carry out a command of which [`Self::execute`] said [`Step::Turn`](crate::Step::Turn), from the state in force, which
    /// nobody else changes meanwhile.
    #[must_use]
    pub fn change_state(&self, nexus: NexusId, cdb: &[u8; 16], data_out: &[Bytes]) -> StateChange {
        match self.next_state(nexus, cdb, data_out) {
            Ok((state, drain)) => StateChange::To {
                bytes: state.encode(),
                drain,
            },
            Err(Refusal::Conflict) => StateChange::None(Response::reservation_conflict()),
            Err(Refusal::Check(sense)) => StateChange::None(Response::check(sense)),
        }
    }

    /// The state after a command, and whether what it forbids is to end first.
    fn next_state(
        &self,
        nexus: NexusId,
        cdb: &[u8; 16],
        data_out: &[Bytes],
    ) -> Result<(UnitState, bool), Refusal> {
        let mut state = self.readable_state()?.clone();
        match cdb[0] {
            PERSISTENT_RESERVE_OUT => {
                let targets = self.targets();
                let table = &state.reservations;
                let change = self.nexuses.change(table, nexus, cdb, data_out, &targets)?;
                state.reservations = change.table;
                Ok((state, change.drain))
            }
            _ => Err(Sense::INVALID_OPCODE.into()),
        }
    }

    /// Relative identifiers of the target ports of both nodes.
    fn targets(&self) -> Vec<u16> {
        match self.peer_group() {
            Some(_) => vec![1, 2],
            None => vec![self.group_tag()],
        }
    }

    /// The state in force.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn readable_state(&self) -> Result<&UnitState, Sense> {
        if self.state_unreadable {
            return Err(Sense::INTERNAL_FAILURE);
        }
        Ok(&self.state)
    }

    /// True when the state in force forbids a command to a session.
    #[must_use]
    pub fn forbids(&self, nexus: NexusId, cdb: &[u8; 16]) -> bool {
        if self.state_unreadable {
            return !is_free(cdb);
        }
        let table = &self.state.reservations;
        table.reservation.is_some() && forbids(table, self.nexuses.name(nexus), cdb)
    }

    /// Put a state in force, and let the sessions hear of it that it concerns. The sessions that lost their registration. Bytes
    /// that cannot be read forbid everything that a state can forbid.
    pub fn set_state(&mut self, bytes: &[u8]) -> Vec<NexusId> {
        let Ok(after) = UnitState::decode(bytes) else {
            self.state_unreadable = true;
            return Vec::new();
        };
        self.state_unreadable = false;
        let before = std::mem::replace(&mut self.state, after);
        let (before, after) = (&before.reservations, &self.state.reservations);
        for (nexus, attention) in attentions(before, after) {
            for id in self.nexuses.ids_of(&nexus) {
                self.attentions.raise_for(id, attention);
            }
        }
        let lost = before.registrations.iter().map(|one| &one.nexus);
        let lost = lost.filter(|nexus| after.key_of(nexus).is_none());
        lost.flat_map(|nexus| self.nexuses.ids_of(nexus)).collect()
    }
}
