//! Going on without the peer: wait out its lease, mark it outdated durably, then serve.

use super::gate::Then;
use super::persist::Ticket;
use super::{Copy, Mode};
use crate::dirty_bitmap::DirtyBitmap;
use crate::facts::{Facts, Role};
use crate::report::{CommandError, Report};

/// A take-over under way.
#[derive(Debug)]
pub struct GoingAlone {
    generation: u64,
    epoch: u64,
    fenced: bool,
    /// When all leases are over that the peer may have from us. Beats of a link made later give it none for this copy: to
    /// serve it, the peer would have to attach it anew.
    peer_serves_until_ns: u64,
    /// Nobody decided it: the copy was alone before.
    back: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The peer's lease, and disk operations of the time before.
    Lease,
    Saving(Ticket),
}

impl GoingAlone {
    /// Back to serving alone after an attach that came to nothing; the peer is outdated and does not mirror.
    pub(super) fn back(facts: &Facts) -> Self {
        Self {
            generation: facts.current,
            epoch: facts.epoch,
            fenced: true,
            peer_serves_until_ns: 0,
            back: true,
            stage: Stage::Lease,
        }
    }
}

impl Copy {
    pub(super) fn go_alone(
        &mut self,
        generation: u64,
        epoch: u64,
        fenced: bool,
    ) -> Result<(), CommandError> {
        if self.peer.is_none() {
            return Err(CommandError::MirrorMismatch);
        }
        if self.facts.inconsistent {
            return Err(CommandError::Inconsistent);
        }
        if self.facts.blank() {
            return Err(CommandError::Blank);
        }
        if self.peer_is_ahead() {
            return Err(CommandError::StaleFacts);
        }
        match &mut self.mode {
            Mode::Alone => self.report(Report::Alone { released: 0 }),
            Mode::GoingAlone(going) => {
                going.fenced |= fenced;
                going.back = false;
            }
            Mode::Held | Mode::Closed(_) if self.draining.is_none() => {
                self.enter(Mode::GoingAlone(GoingAlone {
                    generation,
                    epoch,
                    fenced,
                    peer_serves_until_ns: self.around.promised_until_ns,
                    back: false,
                    stage: Stage::Lease,
                }));
            }
            _ => return Err(CommandError::WrongMode),
        }
        Ok(())
    }

    /// The peer told, over the link that stands, that it went on alone from what this copy holds: whoever decided that
    /// this copy goes on has not heard of it yet.
    fn peer_is_ahead(&self) -> bool {
        self.around.link
            && self.remote.as_ref().is_some_and(|remote| {
                remote.facts.peer_outdated()
                    && !remote.facts.inconsistent
                    && (remote.facts.base == self.facts.current
                        || remote.facts.lineage.contains(&self.facts.current))
            })
    }

    /// Go as far as it goes; true when something moved.
    pub(super) fn step_alone(&mut self) -> bool {
        let Mode::GoingAlone(going) = &mut self.mode else {
            return false;
        };
        let back = going.back;
        match going.stage {
            Stage::Lease => {
                let free = going.fenced || self.around.now_ns >= going.peer_serves_until_ns;
                if !free || self.stale > 0 {
                    return false;
                }
                self.outdate_peer();
                true
            }
            Stage::Saving(ticket) => {
                if !self.persisting.durable(ticket) {
                    return false;
                }
                self.enter(Mode::Alone);
                self.close_gate(if back { Then::Release } else { Then::TellAlone });
                true
            }
        }
    }

    fn outdate_peer(&mut self) {
        let Mode::GoingAlone(GoingAlone {
            generation, epoch, ..
        }) = self.mode
        else {
            return;
        };
        if self.facts.base == 0 {
            self.dirty = DirtyBitmap::default();
        }
        self.dirty = self.suspect_words();
        self.dirty.truncate(self.size_bytes);
        self.active.clear();
        self.facts.outdate_peer(generation);
        self.facts.role = Role::Master;
        self.facts.epoch = epoch;
        self.store_whole_bitmap();
        let ticket = self.facts_changed();
        if let Mode::GoingAlone(going) = &mut self.mode {
            going.stage = Stage::Saving(ticket);
        }
    }
}
