//! The logical unit's part in the state that both nodes share: changes are computed here and put in force here.
//!
//! Rules
//! 1. A change is computed from the state in force by whoever has the turn, and is in force nowhere before both nodes hold it.
//! 2. Each node tells its own initiators what changed, when it puts the change in force.
//! 3. A node that was absent sees what several changes came to. Whoever lost a right in between is told and its commands end, since what
//!    followed may let them in again.

use bytes::Bytes;

use crate::logical_unit::{LogicalUnit, NexusId};
use crate::mode::{Modes, select};
use crate::opcodes::{MODE_SELECT, PERSISTENT_RESERVE_OUT, RELEASE, RESERVE};
use crate::reservations::{Refusal, Table, aborted, attentions, forbids, is_free};
use crate::reserve_release::UnitReservation;
use crate::resets::UnitFunction;
use crate::response::{Response, StateChange};
use crate::sanitize::is_sanitize;
use crate::sense::Sense;
use crate::unit_attention::Attention;
use crate::unit_state::UnitState;
use crate::write_protect::alters_medium;

/// What follows for commands under way from a state that was put in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InForce {
    /// All end.
    pub ends_all: bool,
    /// The sessions end too, all of them.
    pub ends_sessions: bool,
    /// Those of these sessions end: they lost their registration by PREEMPT AND ABORT, or lost their registration or the reservation of
    /// the logical unit while this node was absent.
    pub aborted: Vec<NexusId>,
    /// This node was absent.
    pub absent: bool,
    /// The medium must not be altered any more.
    pub protects: bool,
    /// Writes that are not answered yet are to be durable first.
    pub writes_through: bool,
}

/// The state after a command.
struct Next {
    state: UnitState,
    /// What it forbids is to end first.
    drain: bool,
    /// What was written before is to be durable before the answer.
    flush: bool,
}

impl LogicalUnit {
    /// Carry out a command of which [`Self::execute`] said [`Step::Turn`](crate::Step::Turn), from the state in force, which
    /// nobody else changes meanwhile.
    #[must_use]
    pub fn change_state(&self, nexus: NexusId, cdb: &[u8; 16], data_out: &[Bytes]) -> StateChange {
        match self.next_state(nexus, cdb, data_out) {
            Ok(next) if next.state == self.state && !next.drain && !next.flush => {
                StateChange::None(Response::good())
            }
            Ok(Next {
                state,
                drain,
                flush,
            }) => StateChange::To {
                bytes: state.encode(),
                drain,
                flush,
            },
            Err(Refusal::Conflict) => StateChange::None(Response::reservation_conflict()),
            Err(Refusal::Check(sense)) => StateChange::None(Response::check(sense)),
        }
    }

    fn next_state(
        &self,
        nexus: NexusId,
        cdb: &[u8; 16],
        data_out: &[Bytes],
    ) -> Result<Next, Refusal> {
        if let Some(sense) = self.sanitize_bars(cdb) {
            return Err(sense.into());
        }
        let mut next = Next {
            state: self.readable_state()?.clone(),
            drain: false,
            flush: false,
        };
        let state = &mut next.state;
        match cdb[0] {
            PERSISTENT_RESERVE_OUT if self.reserved_by().is_some() => {
                return Err(Refusal::Conflict);
            }
            PERSISTENT_RESERVE_OUT => {
                let targets = self.targets();
                let table = &state.reservations;
                let change = self.nexuses.change(table, nexus, cdb, data_out, &targets)?;
                state.reservations = change.table;
                next.drain = change.drain;
            }
            opcode if MODE_SELECT.contains(&opcode) => {
                let change = select(self, state.modes, nexus, cdb, data_out)?;
                state.modes = change.modes;
                next.drain = change.drain;
                next.flush = change.flush;
            }
            _ if is_sanitize(cdb) => {
                // What was allowed when the command came may be forbidden now.
                if self.forbids(nexus, cdb) {
                    return Err(Refusal::Conflict);
                }
                if self.write_protects(cdb) {
                    return Err(Sense::WRITE_PROTECTED.into());
                }
                next.state = self.sanitized(next.state, cdb, data_out)?;
                next.drain = true;
            }
            opcode if RESERVE.contains(&opcode) || RELEASE.contains(&opcode) => {
                state.unit_reservation = self.reserve_or_release(nexus, cdb)?;
            }
            _ => return Err(Sense::INVALID_OPCODE.into()),
        }
        Ok(next)
    }

    /// Carry out a task management function when it has its turn, as [`Self::change_state`] does with commands.
    #[must_use]
    pub fn manage_tasks(&self, function: UnitFunction) -> StateChange {
        let mut state = match self.readable_state() {
            Ok(state) => state.clone(),
            Err(sense) => return StateChange::None(Response::check(sense)),
        };
        state.resets = state.resets.after(function);
        let is_reset = function != UnitFunction::ClearTaskSet;
        if is_reset {
            state.modes = state.modes.reset();
            state.unit_reservation = state.unit_reservation.held_by(None);
        }
        StateChange::To {
            bytes: state.encode(),
            drain: true,
            // It may have come by the saved values, now or by a reset that did not come to its end.
            flush: is_reset && !state.modes.current.write_cache(),
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

    /// True when reservations forbid a command to a session.
    pub(crate) fn forbids(&self, nexus: NexusId, cdb: &[u8; 16]) -> bool {
        if self.state_unreadable {
            return !is_free(cdb);
        }
        if self.is_reserved_against(nexus, cdb) {
            return true;
        }
        let table = &self.state.reservations;
        table.reservation.is_some() && forbids(table, self.nexuses.name(nexus), cdb)
    }

    /// How a command that waits for I/O ends if the state in force does not let it begin; `None`: it does.
    #[must_use]
    pub fn refusal(&self, nexus: NexusId, cdb: &[u8; 16]) -> Option<Response> {
        if self.forbids(nexus, cdb) {
            Some(Response::reservation_conflict())
        } else {
            self.write_protects(cdb)
                .then(|| Response::check(Sense::WRITE_PROTECTED))
        }
    }

    /// True when write protection forbids a command that has something to write.
    pub(crate) fn write_protects(&self, cdb: &[u8; 16]) -> bool {
        self.state.modes.current.write_protect() && alters_medium(cdb)
    }

    /// True when writes are to be durable before they are answered.
    #[must_use]
    pub fn writes_through(&self) -> bool {
        !self.state.modes.current.write_cache()
    }

    /// True when CHECK CONDITION comes with sense data in the descriptor format.
    #[must_use]
    pub fn descriptor_sense(&self) -> bool {
        self.state.modes.current.descriptor_sense()
    }

    /// Take over the state that the copy's files held when the VDisk was opened: nobody is told.
    pub fn adopt_state(&mut self, bytes: &[u8]) {
        let found = UnitState::decode(bytes);
        self.state_unreadable = found.is_err();
        self.state = found.unwrap_or_default();
    }

    /// Put a state in force, and let the sessions hear of it that it concerns. Bytes that cannot be read forbid everything that a
    /// state can forbid.
    pub fn set_state(&mut self, bytes: &[u8]) -> InForce {
        self.put_in_force(bytes, false)
    }

    /// The same when this node was absent, so that there may have been other states in between.
    pub fn catch_up(&mut self, bytes: &[u8]) -> InForce {
        self.put_in_force(bytes, true)
    }

    fn put_in_force(&mut self, bytes: &[u8], absent: bool) -> InForce {
        let Ok(after) = UnitState::decode(bytes) else {
            self.state_unreadable = true;
            return InForce {
                absent,
                ..InForce::default()
            };
        };
        self.state_unreadable = false;
        let before = std::mem::replace(&mut self.state, after);
        let (old, new) = (before.modes.current, self.state.modes.current);
        let (resets_before, resets) = (before.resets, self.state.resets);
        self.tell_modes(before.modes);
        let mut aborted = self.tell_reservations(&before.reservations, absent);
        aborted.extend(self.tell_lost_reservation(before.unit_reservation, absent));
        if resets_before.resets != resets.resets {
            self.attentions.raise(Attention::Reset, None);
            self.copies.reset();
        }
        InForce {
            ends_all: resets_before.clears != resets.clears,
            ends_sessions: resets_before.drops != resets.drops,
            aborted,
            absent,
            protects: new.write_protect() && !old.write_protect(),
            writes_through: old.write_cache() && !new.write_cache(),
        }
    }

    /// Tell of changed reservations; the sessions whose commands end with their registration.
    fn tell_reservations(&mut self, before: &Table, absent: bool) -> Vec<NexusId> {
        let after = &self.state.reservations;
        for (nexus, attention) in attentions(before, after, absent) {
            for id in self.nexuses.ids_of(&nexus) {
                self.attentions.raise_for(id, attention);
            }
        }
        let aborted = aborted(before, after, absent).into_iter();
        aborted
            .flat_map(|nexus| self.nexuses.ids_of(nexus))
            .collect()
    }

    /// A session of this node that thinks that it holds the reservation of the logical unit hears that it has lost it; that session.
    fn tell_lost_reservation(&mut self, before: UnitReservation, absent: bool) -> Option<NexusId> {
        let after = self.state.unit_reservation;
        let taken = |holder| {
            // Whoever gives it back, or is reset, knows.
            absent || after.holder.is_some() || after.lost_by == Some(holder)
        };
        let loser = before.holder.filter(|holder| {
            after.holder != Some(*holder) && taken(*holder) && self.nexuses.is_open(holder.session)
        })?;
        self.attentions
            .raise_for(loser.session, Attention::NexusLoss);
        Some(loser.session)
    }

    fn tell_modes(&mut self, before: Modes) {
        if let Some(but) = self.state.modes.told_but(before) {
            self.attentions.raise(Attention::ModesChanged, but);
        }
    }
}
