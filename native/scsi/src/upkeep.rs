//! Changes of the shared state that no initiator asks for.

use crate::logical_unit::LogicalUnit;
use crate::reserve_release::Holder;
use crate::response::{Response, StateChange};

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// The reservation of a session that stands no more is released for good.
    ReleaseLost(Holder),
    /// No node that serves has served before in its process: saved mode pages become current (SPC-4 §5.9).
    PowerOn,
}

impl LogicalUnit {
    /// True when [`Upkeep::PowerOn`] has nothing to do, or was done: current values of mode pages are the saved ones.
    #[must_use]
    pub fn is_as_saved(&self) -> bool {
        let modes = self.state.modes;
        !self.state_unreadable && modes.current == modes.saved
    }

    /// Carry a change out when it has its turn, as [`Self::change_state`] does with commands. What an initiator has changed since is left
    /// as it is.
    #[must_use]
    pub fn keep_up(&self, upkeep: Upkeep) -> StateChange {
        let Ok(state) = self.readable_state() else {
            return StateChange::None(Response::good());
        };
        let mut next = state.clone();
        match upkeep {
            Upkeep::ReleaseLost(holder) if state.unit_reservation.holder == Some(holder) => {
                next.unit_reservation = state.unit_reservation.taken();
            }
            Upkeep::ReleaseLost(_) => {}
            Upkeep::PowerOn => next.modes = state.modes.reset(),
        }
        if next == *state {
            return StateChange::None(Response::good());
        }
        StateChange::To {
            bytes: next.encode(),
            // What the lost session had begun is to end before anybody else may reserve.
            drain: matches!(upkeep, Upkeep::ReleaseLost(_)),
            // Where the write cache is off from now on, what was written before is durable.
            flush: upkeep == Upkeep::PowerOn && !next.modes.current.write_cache(),
        }
    }
}
