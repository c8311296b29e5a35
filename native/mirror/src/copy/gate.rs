//! From the moment at which a copy may serve to the one at which it does: the shared record is put in force first.
//!
//! While commands are held, the record may change at the other node. So before any of them goes on, the caller is told the
//! record as it is now and takes back those that it forbids ([`crate::Action::Record`], [`crate::Node::can_withdraw`]).

use super::{Copy, Mode};
use crate::message::Body;
use crate::report::Report;

/// Holds all commands of a copy whose mode lets it serve.
#[derive(Debug, Clone, Copy)]
pub struct Gate {
    then: Then,
    /// What the caller was told, once it was.
    forcing: Option<u64>,
}

/// How commands go on once the record is in force.
#[derive(Debug, Clone, Copy)]
pub enum Then {
    /// All of them.
    Release,
    /// All of them, and say that this copy serves alone.
    TellAlone,
    /// Master, just attached: the changes first.
    Resume,
    /// Slave, just attached: all, then say so.
    TellResumed,
}

impl Copy {
    /// The mode lets commands go on: see to the record first.
    pub(super) fn close_gate(&mut self, then: Then) {
        self.recall_turns();
        self.shared.gate = Some(Gate {
            then,
            forcing: None,
        });
    }

    /// True while commands are held for the record's sake.
    pub(super) fn gated(&self) -> bool {
        self.shared.gate.is_some()
    }

    pub(super) fn step_gate(&mut self) -> bool {
        let Some(gate) = self.shared.gate else {
            return false;
        };
        if gate.forcing.is_some() || !self.record_durable() {
            return false;
        }
        let id = self.force(false);
        self.shared.gate = Some(Gate {
            forcing: Some(id),
            ..gate
        });
        true
    }

    /// See [`crate::Node::power_on_done`].
    pub fn power_on_done(&mut self) {
        self.shared.power_on_done = true;
    }

    /// True when what follows from power on is done.
    #[must_use]
    pub fn is_power_on_done(&self) -> bool {
        self.shared.power_on_done
    }

    /// The record is in force; false: this is not what the gate waits for.
    pub(super) fn gate_forced(&mut self, id: u64) -> bool {
        let Some(gate) = self.shared.gate.filter(|gate| gate.forcing == Some(id)) else {
            return false;
        };
        self.shared.gate = None;
        match gate.then {
            Then::Release => drop(self.release_held()),
            Then::TellAlone => {
                debug_assert!(matches!(self.mode, Mode::Alone));
                let released = self.release_held();
                self.report(Report::Alone { released });
            }
            Then::Resume => self.resume_changes(),
            Then::TellResumed => {
                self.release_held();
                self.say(0, Body::Resumed);
            }
        }
        true
    }
}
