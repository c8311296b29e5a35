//! Clean ends: handing over to the peer, and swapping roles with it.
//!
//! Both drain first: new commands are held, what is under way ends, both copies are flushed, the activity logs are
//! emptied. Leaving then answers NOT READY and says `Leave`; switching says `Switch` and attaches anew. At no moment
//! of a switch are both durably Master: the old one becomes Slave first.

use super::persist::Ticket;
use super::{Copy, Direction, DiskUse, Mode};
use crate::facts::Role;
use crate::message::Body;
use crate::ops::{DiskOp, NotReady};
use crate::report::{CommandError, Report};

/// A drain under way.
#[derive(Debug)]
pub struct Drain {
    kind: Kind,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Leave,
    Switch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Tasks,
    /// Master: both copies are being flushed by a task.
    Barrier,
    /// This copy is being flushed.
    Flush,
    Saving(Ticket),
    /// `Leave` was said; the peer's word that it has seen it is awaited.
    Said,
}

impl Drain {
    /// True for a drain that ends in not serving.
    pub fn is_leave(&self) -> bool {
        self.kind == Kind::Leave
    }
}

impl Copy {
    pub(super) fn leave(&mut self) -> Result<(), CommandError> {
        if self.draining.as_ref().is_some_and(Drain::is_leave) {
            return Ok(());
        }
        self.draining = Some(Drain {
            kind: Kind::Leave,
            stage: Stage::Tasks,
        });
        Ok(())
    }

    pub(super) fn switch_roles(&mut self) -> Result<(), CommandError> {
        let in_sync = matches!(self.mode, Mode::Mirroring(Direction::InSync));
        if !in_sync || !self.is_master() || self.draining.is_some() {
            return Err(CommandError::WrongMode);
        }
        self.draining = Some(Drain {
            kind: Kind::Switch,
            stage: Stage::Tasks,
        });
        Ok(())
    }

    fn set_drain(&mut self, stage: Stage) {
        if let Some(drain) = &mut self.draining {
            drain.stage = stage;
        }
    }

    /// Go as far as it goes; true when something moved.
    pub(super) fn step_drain(&mut self) -> bool {
        let Some(drain) = &self.draining else {
            return false;
        };
        let (kind, stage) = (drain.kind, drain.stage);
        let serving = matches!(self.mode, Mode::Mirroring(_) | Mode::Alone | Mode::Single);
        match stage {
            Stage::Said => false,
            _ if !serving => {
                self.say_leave();
                true
            }
            Stage::Tasks if self.drained() => {
                if matches!(self.mode, Mode::Mirroring(Direction::InSync)) && self.is_master() {
                    self.set_drain(Stage::Barrier);
                    self.start_barrier();
                } else {
                    self.set_drain(Stage::Flush);
                    self.drain_flushed = false;
                    self.disk_op(DiskUse::DrainFlush, DiskOp::Flush);
                }
                true
            }
            Stage::Barrier if self.tasks.is_empty() => {
                self.empty_active();
                if kind == Kind::Switch {
                    self.facts.role = Role::Slave;
                    self.facts.epoch += 1;
                }
                let ticket = self.facts_changed();
                self.set_drain(Stage::Saving(ticket));
                true
            }
            Stage::Flush if self.drain_flushed => {
                let ticket = self.persisting.want();
                self.set_drain(Stage::Saving(ticket));
                true
            }
            Stage::Saving(ticket) if self.persisting.durable(ticket) => {
                match kind {
                    Kind::Leave => self.say_leave(),
                    Kind::Switch => self.say_switch(),
                }
                true
            }
            _ => false,
        }
    }

    fn drained(&self) -> bool {
        let slave = matches!(self.mode, Mode::Mirroring(_)) && !self.is_master();
        self.stale == 0
            && if slave {
                !self.tasks.values().any(|task| task.kind.host().is_some())
            } else {
                self.tasks.is_empty()
            }
    }

    /// Stop serving, then tell the peer so.
    fn say_leave(&mut self) {
        self.stop_serving(NotReady::Standby);
        if self.peer.is_some() && self.around.link {
            self.set_drain(Stage::Said);
            self.say(0, Body::Leave);
        } else {
            self.draining = None;
            self.left();
        }
    }

    fn say_switch(&mut self) {
        let epoch = self.facts.epoch;
        self.send(epoch - 1, 0, Body::Switch { epoch });
        self.draining = None;
        self.abandon();
        self.enter(Mode::Held);
        self.report(Report::Switching);
    }

    /// Slave: be the Master as of `epoch`.
    pub(super) fn switched_by_peer(&mut self, epoch: u64) {
        self.abandon();
        self.facts.role = Role::Master;
        self.facts.epoch = epoch;
        self.facts_changed();
        self.enter(Mode::Held);
        self.report(Report::Switching);
    }

    /// The peer serves nothing any more.
    pub(super) fn left_by_peer(&mut self) {
        self.send(0, 0, Body::LeaveSeen);
        if matches!(self.mode, Mode::Mirroring(_) | Mode::Attaching(_)) {
            self.abandon();
            self.enter(Mode::Held);
        }
        self.remote = None;
        self.report(Report::PeerLeft);
    }

    /// The peer has seen that we left.
    pub(super) fn leave_seen(&mut self) {
        if self
            .draining
            .as_ref()
            .is_some_and(|drain| drain.stage == Stage::Said)
        {
            self.draining = None;
            self.left();
        }
    }

    pub(super) fn left(&mut self) {
        if !matches!(self.mode, Mode::Closed(_)) {
            self.stop_serving(NotReady::Standby);
        }
        self.gone = true;
        self.report(Report::Left);
    }
}
