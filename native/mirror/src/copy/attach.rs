//! Two copies agree to mirror (docs/protocols/mirror.md, attach).
//!
//! ```text
//! Slave:  quiet -> [list] -> save (Slave, inconsistent if target) -> DirtyWords, AttachReady -> wait for AttachGo
//! Master: quiet -> [list] -> wait for AttachReady -> save (peer outdated, both sides' suspects dirty) -> DirtyWords,
//!         AttachGo -> mirror
//! ```
//! The Slave keeps its activity log until the Master has made it part of its own dirty bitmap: at each moment one of
//! the two durably names every difference.

use super::persist::Ticket;
use super::resync::{Resync, TargetSync};
use super::{Copy, Direction, DiskUse, Mode};
use crate::dirty_bitmap::DirtyBitmap;
use crate::facts::Role;
use crate::frame::WORDS_MAX;
use crate::message::{Body, Terms};
use crate::ops::{DiskDone, DiskOp};
use crate::report::{AttachPlan, CommandError, Report, Sync};

/// An attach under way.
#[derive(Debug)]
pub struct Attaching {
    plan: AttachPlan,
    stage: Stage,
    /// Extents that hold data, for a full resync.
    allocated: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Quiet,
    Listing,
    /// Slave: facts on their way to the disk.
    Saving(Ticket),
    /// The other side's terms are awaited.
    Waiting,
    /// Master: facts and dirty bitmap on their way to the disk.
    Merging(Ticket),
}

/// What the peer said before we were ready to hear it.
#[derive(Debug, Default)]
pub struct Early {
    pub(super) words: Vec<(u64, u64)>,
    pub(super) terms: Option<(u64, Terms)>,
}

impl Attaching {
    /// Sequence number of the peer's facts that the plan was made from.
    pub(super) fn remote_seq(&self) -> u64 {
        self.plan.remote_seq
    }
}

impl Copy {
    pub(super) fn attach(&mut self, plan: AttachPlan) -> Result<(), CommandError> {
        if self.peer.is_none() {
            return Err(CommandError::MirrorMismatch);
        }
        if !matches!(self.mode, Mode::Closed(_) | Mode::Held | Mode::Alone)
            || self.draining.is_some()
        {
            return Err(CommandError::WrongMode);
        }
        let Some(remote) = self.remote.as_ref().filter(|_| self.around.link) else {
            return Err(CommandError::StaleFacts);
        };
        if plan.local_seq != self.facts_seq
            || plan.remote_seq != remote.seq
            || !self.facts_durable()
        {
            return Err(CommandError::StaleFacts);
        }
        let master = plan.role == Role::Master;
        let equal = self.active.is_empty()
            && remote.active == 0
            && remote.dirty == 0
            && self.dirty.is_empty();
        let fits = match plan.sync {
            Sync::None => {
                equal && self.facts.current == remote.facts.current && !remote.facts.inconsistent
            }
            Sync::Source | Sync::FullSource => master,
            Sync::Target | Sync::FullTarget => !master,
        };
        if !fits
            || plan.epoch <= self.facts.epoch.max(remote.facts.epoch)
            || self.size_bytes != remote.size_bytes
        {
            return Err(CommandError::MirrorMismatch);
        }
        if !matches!(plan.sync, Sync::Target | Sync::FullTarget) {
            if self.facts.inconsistent {
                return Err(CommandError::Inconsistent);
            }
            if self.facts.blank() {
                return Err(CommandError::Blank);
            }
        }
        self.abandon();
        self.enter(Mode::Attaching(Box::new(Attaching {
            plan,
            stage: Stage::Quiet,
            allocated: Vec::new(),
        })));
        Ok(())
    }

    pub(super) fn attaching(&mut self) -> Option<&mut Attaching> {
        match &mut self.mode {
            Mode::Attaching(attaching) => Some(attaching),
            _ => None,
        }
    }

    fn set_stage(&mut self, stage: Stage) {
        if let Some(attaching) = self.attaching() {
            attaching.stage = stage;
        }
    }

    /// Go as far as it goes; true when something moved.
    pub(super) fn step_attach(&mut self) -> bool {
        let Mode::Attaching(attaching) = &self.mode else {
            return false;
        };
        let (plan, stage) = (attaching.plan, attaching.stage);
        match stage {
            Stage::Quiet if self.stale == 0 => {
                if matches!(plan.sync, Sync::FullSource | Sync::FullTarget) {
                    self.set_stage(Stage::Listing);
                    self.disk_op(DiskUse::Allocated, DiskOp::Allocated);
                } else {
                    self.listed(plan);
                }
                true
            }
            Stage::Saving(ticket) if self.persisting.durable(ticket) => {
                self.offer(plan);
                true
            }
            Stage::Merging(ticket) if self.persisting.durable(ticket) => {
                self.go(plan);
                true
            }
            Stage::Waiting => self.step_waiting(plan),
            _ => false,
        }
    }

    /// The extents that hold data are known.
    pub(super) fn allocated(&mut self, done: DiskDone) {
        if let (DiskDone::Extents(extents), Some(attaching)) = (done, self.attaching()) {
            attaching.allocated = extents;
            let plan = attaching.plan;
            self.listed(plan);
        }
    }

    fn listed(&mut self, plan: AttachPlan) {
        if plan.role == Role::Master {
            self.set_stage(Stage::Waiting);
            return;
        }
        self.facts.role = Role::Slave;
        self.facts.epoch = plan.epoch;
        if plan.sync == Sync::None {
            self.facts.settle(self.facts.current);
        } else {
            self.facts.inconsistent = true;
        }
        let ticket = self.facts_changed();
        self.set_stage(Stage::Saving(ticket));
    }

    /// Slave: say where this copy may differ, and that it is ready.
    fn offer(&mut self, plan: AttachPlan) {
        let mut words = self.suspect_words();
        if let Some(attaching) = self.attaching() {
            attaching.stage = Stage::Waiting;
            for (extent, bits) in Self::whole_extents(&attaching.allocated) {
                words.mark(extent, bits);
            }
        }
        self.say_words(plan.epoch, &words);
        self.send(plan.epoch, 0, Body::AttachReady(terms(plan)));
    }

    fn step_waiting(&mut self, plan: AttachPlan) -> bool {
        let Some((epoch, theirs)) = self.early.terms.take() else {
            return false;
        };
        let fits = epoch == plan.epoch
            && theirs.role != plan.role
            && theirs.sync == plan.sync.mirrored()
            && theirs.local_seq == plan.remote_seq
            && theirs.remote_seq == plan.local_seq;
        if !fits {
            self.send(plan.epoch, 0, Body::AttachRefused);
            self.attach_refused();
        } else if plan.role == Role::Master {
            self.merge(plan);
        } else {
            let words = std::mem::take(&mut self.early.words);
            self.active.clear();
            self.persisting.want();
            let direction = match plan.sync {
                Sync::None => Direction::InSync,
                _ => Direction::Target(TargetSync::new(words.into_iter().collect())),
            };
            self.mirror(plan, direction);
        }
        true
    }

    /// Master: make durable all in which the copies may differ, and that the peer is outdated.
    fn merge(&mut self, plan: AttachPlan) {
        let words = std::mem::take(&mut self.early.words);
        let allocated = self
            .attaching()
            .map(|attaching| std::mem::take(&mut attaching.allocated))
            .unwrap_or_default();
        let mut dirty = self.suspect_words();
        for (extent, bits) in words.into_iter().chain(Self::whole_extents(&allocated)) {
            dirty.mark(extent, bits);
        }
        dirty.truncate(self.size_bytes);
        if plan.sync == Sync::None {
            self.facts.settle(self.facts.current);
            dirty = DirtyBitmap::default();
        } else {
            self.facts.outdate_peer(plan.generation);
        }
        self.dirty = dirty;
        self.active.clear();
        self.facts.role = Role::Master;
        self.facts.epoch = plan.epoch;
        self.store_whole_bitmap();
        let ticket = self.facts_changed();
        self.set_stage(Stage::Merging(ticket));
    }

    /// Master: from here on we mirror.
    fn go(&mut self, plan: AttachPlan) {
        let words = self.dirty.clone();
        self.say_words(plan.epoch, &words);
        self.send(plan.epoch, 0, Body::AttachGo(terms(plan)));
        let direction = match plan.sync {
            Sync::None => Direction::InSync,
            _ => Direction::Source(Resync::new(words, self.fresh_id())),
        };
        self.mirror(plan, direction);
    }

    fn mirror(&mut self, plan: AttachPlan, direction: Direction) {
        self.enter(Mode::Mirroring(direction));
        self.last_change_ns = self.around.now_ns;
        self.report(Report::Attached {
            role: plan.role,
            sync: plan.sync,
        });
        self.release_held();
    }

    fn say_words(&mut self, epoch: u64, words: &DirtyBitmap) {
        let words: Vec<_> = words.words().collect();
        for part in words.chunks(WORDS_MAX) {
            self.send(epoch, 0, Body::DirtyWords(part.to_vec()));
        }
    }

    /// The plans do not match, or the peer's facts have changed: hold, and exchange facts anew.
    pub(super) fn attach_refused(&mut self) {
        if matches!(self.mode, Mode::Attaching(_)) {
            self.abandon();
            self.enter(Mode::Held);
            self.facts_seq += 1;
            self.report(Report::AttachRefused);
        }
    }
}

fn terms(plan: AttachPlan) -> Terms {
    Terms {
        role: plan.role,
        sync: plan.sync,
        local_seq: plan.local_seq,
        remote_seq: plan.remote_seq,
    }
}
