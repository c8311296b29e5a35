//! Two copies agree to mirror (docs/protocols/mirror.md, attach).
//!
//! ```text
//! Slave:  quiet -> [list] -> save (Slave, inconsistent if target) -> DirtyWords, AttachReady -> wait for AttachGo
//! Master: quiet -> [list] -> wait for AttachReady -> save (peer outdated, both sides' suspects dirty) -> DirtyWords,
//!         AttachGo -> mirror
//! ```
//! The Slave keeps its activity log until the Master has made it part of its own dirty bitmap: at each moment one of
//! the two durably names every difference.

use super::alone::GoingAlone;
use super::gate::Then;
use super::persist::Ticket;
use super::resync::{Resync, TargetSync};
use super::{Copy, Direction, DiskUse, Mode};
use crate::dirty_bitmap::DirtyBitmap;
use crate::facts::Role;
use crate::frame::WORDS_MAX;
use crate::message::{Body, Terms};
use crate::ops::{DiskDone, DiskOp};
use crate::report::{AttachPlan, CommandError, Report, Sync};
use crate::shared_record::SharedRecord;

/// After so long an attach that came to nothing is given up.
const LIMIT_NS: u64 = 5_000_000_000;

/// A plan that an Alone Master keeps until its peer is ready; it goes on serving meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Rejoin {
    plan: AttachPlan,
    since_ns: u64,
}

/// An attach under way.
#[derive(Debug)]
pub struct Attaching {
    plan: AttachPlan,
    since_ns: u64,
    was_alone: bool,
    /// The peer's data are of another generation: it has answered hosts without this copy.
    peer_went_on: bool,
    /// What follows from power on is done at the peer, whose terms fit: so it is here, once both mirror.
    power_on_done: bool,
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
    /// With whether what follows from power on is done there.
    pub(super) record: Option<(SharedRecord, bool)>,
}

impl Attaching {
    /// True when the copy served alone before; it has not told the peer to mirror yet.
    pub(super) fn was_alone(&self) -> bool {
        self.was_alone
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
        if matches!(self.mode, Mode::Alone) {
            self.rejoin = Some(Rejoin {
                plan,
                since_ns: self.around.now_ns,
            });
        } else {
            self.begin_attach(plan, self.around.now_ns);
        }
        Ok(())
    }

    fn begin_attach(&mut self, plan: AttachPlan, since_ns: u64) {
        let was_alone = matches!(self.mode, Mode::Alone);
        let current = self.facts.current;
        let peer_went_on = (self.remote.as_ref()).is_none_or(|told| told.facts.current != current);
        self.abandon();
        self.enter(Mode::Attaching(Box::new(Attaching {
            plan,
            since_ns,
            was_alone,
            peer_went_on,
            power_on_done: false,
            stage: Stage::Quiet,
            allocated: Vec::new(),
        })));
    }

    /// The plan that is being followed, if any.
    pub(super) fn attach_plan(&self) -> Option<(AttachPlan, u64)> {
        match (&self.mode, &self.rejoin) {
            (Mode::Attaching(attaching), _) => Some((attaching.plan, attaching.since_ns)),
            (_, Some(rejoin)) => Some((rejoin.plan, rejoin.since_ns)),
            _ => None,
        }
    }

    /// Give up an attach that takes too long: the peer may be in no state to do its part.
    pub(super) fn limit_attach(&mut self) {
        if let Some((plan, since_ns)) = self.attach_plan()
            && self.around.now_ns.saturating_sub(since_ns) > LIMIT_NS
        {
            self.send(plan.epoch, 0, Body::AttachRefused);
            self.attach_refused();
        }
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
        if let Some(rejoin) = self.rejoin
            && self.early.terms.is_some()
        {
            self.begin_attach(rejoin.plan, rejoin.since_ns);
            return true;
        }
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
        self.say_record(plan.epoch);
        self.send(plan.epoch, 0, Body::AttachReady(terms(plan)));
    }

    fn step_waiting(&mut self, plan: AttachPlan) -> bool {
        let Some((epoch, theirs)) = self.early.terms.take() else {
            return false;
        };
        let record = self.early.record.take();
        let fits = epoch == plan.epoch
            && record.is_some()
            && theirs.role != plan.role
            && theirs.sync == plan.sync.mirrored()
            && theirs.local_seq == plan.remote_seq
            && theirs.remote_seq == plan.local_seq;
        if !fits {
            self.send(plan.epoch, 0, Body::AttachRefused);
            self.attach_refused();
            return true;
        }
        let (record, power_on_done) = record.unwrap_or_default();
        if let Some(attaching) = self.attaching() {
            attaching.power_on_done = power_on_done;
        }
        if plan.role == Role::Master {
            self.merge(plan, record);
        } else {
            // Before anything that says that this copy is current: a persist stores the record first.
            self.set_record(record);
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
    fn merge(&mut self, plan: AttachPlan, record: SharedRecord) {
        // Equal copies differ at most by a change of the record that nobody has an answer to: the later one counts.
        if plan.sync == Sync::None && record.version() > self.shared.record.version() {
            self.set_record(record);
        }
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
        self.say_record(plan.epoch);
        self.send(plan.epoch, 0, Body::AttachGo(terms(plan)));
        let direction = match plan.sync {
            Sync::None => Direction::InSync,
            _ => Direction::Source(Resync::new(words, self.fresh_id(), self.around.now_ns)),
        };
        self.mirror(plan, direction);
    }

    fn mirror(&mut self, plan: AttachPlan, direction: Direction) {
        let (peer_went_on, power_on_done) = self.attaching().map_or((false, false), |attaching| {
            (attaching.peer_went_on, attaching.power_on_done)
        });
        self.shared.power_on_done |= power_on_done;
        self.enter(Mode::Mirroring(direction));
        self.last_change_ns = self.around.now_ns;
        self.remote = None;
        self.reported = None;
        self.report(Report::Attached {
            role: plan.role,
            sync: plan.sync,
        });
        if plan.role == Role::Slave {
            if peer_went_on {
                self.shared.absent = true;
                self.recall_turns();
                self.refuse_overtaken();
            }
            self.forget_begun();
        }
        self.close_gate(match plan.role {
            Role::Master => Then::Resume,
            Role::Slave => Then::TellResumed,
        });
        self.resuming = plan.role == Role::Master;
    }

    fn say_record(&mut self, epoch: u64) {
        let is = Body::RecordIs {
            record: self.shared.record.clone(),
            power_on_done: self.shared.power_on_done,
        };
        self.send(epoch, 0, is);
    }

    fn say_words(&mut self, epoch: u64, words: &DirtyBitmap) {
        let words: Vec<_> = words.words().collect();
        for part in words.chunks(WORDS_MAX) {
            self.send(epoch, 0, Body::DirtyWords(part.to_vec()));
        }
    }

    /// The plans do not match: exchange facts anew, under a new number so that both sides plan anew.
    pub(super) fn attach_refused(&mut self) {
        if self.give_attach_up() {
            self.facts_seq += 1;
        }
    }

    /// Drop the plan that is being followed; false when there is none. A copy that was alone serves on: the peer mirrors
    /// nothing before it is told `AttachGo`.
    pub(super) fn give_attach_up(&mut self) -> bool {
        let was_alone = match &self.mode {
            Mode::Attaching(attaching) => attaching.was_alone,
            _ if self.rejoin.take().is_some() => {
                self.report(Report::AttachRefused);
                return true;
            }
            _ => return false,
        };
        self.abandon();
        if was_alone {
            self.enter(Mode::GoingAlone(GoingAlone::back(&self.facts)));
        } else {
            self.enter(Mode::Held);
        }
        self.report(Report::AttachRefused);
        true
    }

    /// Words in which the peer may differ, before its terms.
    pub(super) fn words_told(&mut self, mut words: Vec<(u64, u64)>) {
        let extents = self.size_bytes.div_ceil(crate::EXTENT_BYTES);
        if self.early.words.len() as u64 + words.len() as u64 > extents {
            self.peer_faulty = true;
        } else {
            self.early.words.append(&mut words);
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
