//! What a PERSISTENT RESERVE OUT makes of a table (SPC-4 §5.13.5 to §5.13.11).

use super::nexus::{InitiatorPort, Nexus};
use super::parameters::{Action, Parameters};
use super::table::{Cause, Kind, REGISTRATIONS_MAX_BYTES, Reservation, TABLE_MAX_BYTES, Table};
use crate::sense::Sense;
use crate::unit_state::Section;

/// Why a command changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// RESERVATION CONFLICT.
    Conflict,
    /// CHECK CONDITION.
    Check(Sense),
}

impl From<Sense> for Refusal {
    fn from(sense: Sense) -> Self {
        Self::Check(sense)
    }
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The table after it.
    pub(crate) table: Table,
    /// Commands of the preempted nexuses are to end first.
    pub(crate) drain: bool,
}

/// What a command is carried out in.
pub(crate) struct Scene<'a> {
    /// Relative identifiers of all target ports.
    pub(crate) targets: &'a [u16],
    /// Initiator ports that are known besides those that are registered.
    pub(crate) known: &'a [InitiatorPort],
}

/// Carry a command of `nexus` out on a copy of the table.
///
/// # Errors
/// [`Refusal`]; the table stays as it is.
pub(crate) fn change(
    table: &Table,
    nexus: &Nexus,
    parameters: &Parameters,
    scene: &Scene<'_>,
) -> Result<Change, Refusal> {
    let mut next = table.clone();
    next.cause = Cause::Quiet;
    next.by = Some(nexus.clone());
    match parameters.action {
        Action::Register | Action::RegisterAndIgnore => next.register(nexus, parameters, scene)?,
        Action::RegisterAndMove => next.register_and_move(nexus, parameters, scene)?,
        _ => next.act_registered(nexus, parameters)?,
    }
    if !matches!(parameters.action, Action::Reserve | Action::Release) {
        next.generation = next.generation.wrapping_add(1);
    }
    let [before_bytes, after_bytes] = [table, &next].map(Table::registrations_bytes);
    if after_bytes > before_bytes.max(REGISTRATIONS_MAX_BYTES) {
        return Err(Sense::REGISTRATION_RESOURCES.into());
    }
    debug_assert!(next.encode().len() <= TABLE_MAX_BYTES);
    let drain = parameters.action == Action::PreemptAndAbort;
    if drain {
        next.cause = Cause::PreemptedAndAborted;
    }
    debug_assert!(next.is_sound());
    Ok(Change { table: next, drain })
}

impl Table {
    fn act_registered(&mut self, nexus: &Nexus, parameters: &Parameters) -> Result<(), Refusal> {
        if self.key_of(nexus) != Some(parameters.key) {
            return Err(Refusal::Conflict);
        }
        match parameters.action {
            Action::Reserve => self.reserve(nexus, parameters.kind()?),
            Action::Release => self.release(nexus, parameters),
            Action::Clear => {
                self.registrations.clear();
                self.reservation = None;
                self.cause = Cause::Cleared;
                Ok(())
            }
            _ => self.preempt(nexus, parameters),
        }
    }

    /// §5.13.9: the holder may repeat its reservation; everybody else conflicts.
    fn reserve(&mut self, nexus: &Nexus, kind: Kind) -> Result<(), Refusal> {
        match &self.reservation {
            None => {
                let holder = nexus.clone();
                self.reservation = Some(Reservation { kind, holder });
                Ok(())
            }
            Some(held) if self.is_holder(nexus) && held.kind == kind => Ok(()),
            Some(_) => Err(Refusal::Conflict),
        }
    }

    /// §5.13.11.1.
    fn release(&mut self, nexus: &Nexus, parameters: &Parameters) -> Result<(), Refusal> {
        let Some(held) = &self.reservation else {
            return Ok(());
        };
        if !self.is_holder(nexus) {
            return Ok(());
        }
        if parameters.kind() != Ok(held.kind) {
            return Err(Sense::INVALID_RELEASE.into());
        }
        self.drop_reservation();
        Ok(())
    }

    /// The reservation ends; those whom it let in are to be told.
    pub(super) fn drop_reservation(&mut self) {
        if let Some(held) = self.reservation.take()
            && held.kind.admits_registrants()
        {
            self.cause = Cause::Released;
        }
    }

    /// A nexus is not registered any more (§5.13.11.1): a reservation that nobody holds now is released.
    pub(super) fn unregister(&mut self, nexus: &Nexus) {
        self.registrations.retain(|one| one.nexus != *nexus);
        if let Some(held) = &self.reservation {
            let orphaned = if held.kind.is_all() {
                self.registrations.is_empty()
            } else {
                held.holder == *nexus
            };
            if orphaned {
                self.drop_reservation();
            }
        }
    }

    /// §5.13.11.2: the reservation goes over if the key names its holder, else only registrations are removed.
    fn preempt(&mut self, nexus: &Nexus, parameters: &Parameters) -> Result<(), Refusal> {
        let victim = parameters.action_key;
        let held = self.reservation.clone();
        let takes_over = held.as_ref().is_some_and(|held| {
            if held.kind.is_all() {
                victim == 0
            } else {
                victim != 0 && self.key_of(&held.holder) == Some(victim)
            }
        });
        if takes_over {
            let kind = parameters.kind()?;
            self.registrations
                .retain(|one| one.nexus == *nexus || victim != 0 && one.key != victim);
            let holder = nexus.clone();
            self.reservation = Some(Reservation { kind, holder });
        } else {
            if victim == 0 {
                return Err(Sense::invalid_parameter(8).into());
            }
            let before = self.registrations.len();
            self.registrations.retain(|one| one.key != victim);
            if self.registrations.len() == before {
                return Err(Refusal::Conflict);
            }
            if self.registrations.is_empty() {
                self.reservation = None;
            }
        }
        self.cause = Cause::Preempted;
        Ok(())
    }
}
