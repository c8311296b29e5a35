//! One node's copy of a VDisk: the state machine that keeps it equal to the peer's.
//!
//! Rules (each module below keeps its share of them):
//! 1. Every host command is in `hosts` from its arrival until its answer. When the peer is lost, all that is under way
//!    is given up and the commands are *held*; they start afresh once the copy may serve again. An unanswered change
//!    may have been applied or not: starting it afresh is right in both cases, since nothing newer that overlaps it
//!    can have been answered meanwhile. After an attach that holds because the Master lets nothing new begin until
//!    both sides have started their held changes afresh, its own first (`resuming`). An update counts as a read there.
//! 2. Nothing starts afresh while a disk operation of the time before is still under way (`stale`).
//! 3. While mirroring, nothing is answered after the lease is over ([`Surroundings::serve_until_ns`]).
//! 4. Facts are durable before anybody hears of them, and before anything that relies on them is done.
//! 5. On the Slave nothing that holds a lock waits for the network; so Master and Slave cannot deadlock.

mod alone;
mod attach;
mod changes;
mod checkpoint;
mod compare;
mod decision;
mod facts_exchange;
mod failure;
mod flush;
mod gate;
mod host;
mod interrupted;
mod lacking;
mod leave;
mod mode;
mod no_space;
mod pace;
mod persist;
mod resync;
mod shared;
mod status;
mod suspects;
mod task;
#[cfg(test)]
mod tests;
mod update;
mod verify;
mod watch;
mod wire;

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::action::{Action, CopySpec};
use crate::activity_log::ActivityLog;
use crate::dirty_bitmap::DirtyBitmap;
use crate::facts::{Facts, Role};
use crate::ids::{DiskId, HostId, PeerId, Serial};
use crate::message::{Body, Message};
use crate::ops::{DiskDone, DiskOp, HostOp, NotReady};
use crate::range_locks::RangeLocks;
use crate::report::{Report, ToldFacts, VerifyState};
use crate::watches::Watches;

use alone::GoingAlone;
use attach::Rejoin;
use leave::Drain;
pub use mode::Surroundings;
use mode::{Direction, DiskUse, Host, Mode, Progress};
pub use no_space::is_no_space;
pub use pace::PaceLimits;
use persist::Persisting;
pub use status::{CopyStatus, Standing};
use task::Task;

/// One copy. See the module's rules.
#[derive(Debug)]
pub struct Copy {
    serial: Serial,
    size_bytes: u64,
    peer: Option<PeerId>,
    facts: Facts,
    facts_seq: u64,
    told_seq: Option<u64>,
    remote: Option<ToldFacts>,
    /// Sequence numbers (ours, the peer's) of the facts reported last.
    reported: Option<(u64, u64)>,
    /// We left: the peer is not to be told anything any more.
    gone: bool,
    /// Lost its peer in sync and has not flushed since: says nothing about itself before.
    unflushed: bool,
    mode: Mode,
    /// Alone, and about to attach once the peer is ready.
    rejoin: Option<Rejoin>,
    /// Master, just attached: only changes that were held begin until the Slave has sent its own.
    resuming: bool,
    draining: Option<Drain>,
    around: Surroundings,
    hosts: HashMap<HostId, Host>,
    held: VecDeque<HostId>,
    tasks: HashMap<u64, Task>,
    /// Master: the Slave's requests, by the Slave's id.
    peer_tasks: HashMap<u64, u64>,
    /// Slave: tasks of the Master's changes, by its ids, for which there is no space.
    short: HashMap<u64, u64>,
    /// Master: what the Slave has no space for.
    lacking: lacking::Lacking,
    tell_no_space_ns: u64,
    locks: RangeLocks,
    ready: Vec<u64>,
    active: ActivityLog,
    /// Tasks whose extents are not durable in the activity log yet.
    waiting_active: Vec<u64>,
    /// Tasks that wait for room in the activity log.
    waiting_room: Vec<u64>,
    dirty: DirtyBitmap,
    watches: Watches,
    persisting: Persisting,
    shared: shared::Shared,
    verification: verify::Verification,
    pace: pace::Pace,
    disk: HashMap<DiskId, DiskUse>,
    stale: usize,
    drain_flushed: bool,
    resync_flushed: bool,
    early: attach::Early,
    next_id: u64,
    last_change_ns: u64,
    lease_over: bool,
    peer_faulty: bool,
    /// See [`ToldFacts::unbroken`](crate::report::ToldFacts::unbroken).
    unbroken: bool,
    counters: status::Counters,
    out: Vec<Action>,
}

impl Copy {
    /// A copy as it was found at start: it serves nothing until it is told to.
    #[must_use]
    pub fn new(spec: CopySpec) -> Self {
        let dirty = if spec.facts.base == 0 {
            DirtyBitmap::default()
        } else {
            let suspect = spec.active.iter().map(|&extent| (extent, u64::MAX));
            spec.bitmap.iter().copied().chain(suspect).collect()
        };
        let unbroken = spec.unbroken == Some(spec.facts.current) && !spec.facts.inconsistent;
        Self {
            serial: spec.serial,
            size_bytes: spec.size_bytes,
            peer: spec.peer,
            facts: spec.facts,
            facts_seq: 1,
            told_seq: None,
            remote: None,
            reported: None,
            gone: false,
            unflushed: false,
            mode: Mode::Closed(NotReady::Transitioning),
            rejoin: None,
            resuming: false,
            draining: None,
            around: Surroundings::default(),
            hosts: HashMap::new(),
            held: VecDeque::new(),
            tasks: HashMap::new(),
            peer_tasks: HashMap::new(),
            short: HashMap::new(),
            lacking: lacking::Lacking::default(),
            tell_no_space_ns: 0,
            locks: RangeLocks::default(),
            ready: Vec::new(),
            active: ActivityLog::loaded(spec.active),
            waiting_active: Vec::new(),
            waiting_room: Vec::new(),
            dirty,
            watches: Watches::default(),
            persisting: Persisting::default(),
            shared: shared::Shared::loaded(spec.shared),
            verification: verify::Verification::default(),
            pace: pace::Pace::default(),
            disk: HashMap::new(),
            stale: 0,
            drain_flushed: false,
            resync_flushed: false,
            early: attach::Early::default(),
            next_id: 1,
            last_change_ns: 0,
            lease_over: false,
            peer_faulty: false,
            unbroken,
            counters: status::Counters::default(),
            out: Vec::new(),
        }
    }

    /// See [`ActivityLog::limit`].
    pub fn limit_log(&mut self, extents: usize) {
        self.active.limit(extents);
    }

    /// The peer, if the VDisk is mirrored.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// What follows from the latest calls; the caller carries it out in order.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) {
        into.append(&mut self.out);
    }

    /// True once an answer was withheld because the lease was over: the link must be treated as lost.
    pub fn take_lease_over(&mut self) -> bool {
        std::mem::take(&mut self.lease_over)
    }

    /// True once the peer has said what no sound peer says: the link must be ended.
    pub fn take_peer_faulty(&mut self) -> bool {
        std::mem::take(&mut self.peer_faulty)
    }

    /// A command of a host.
    pub fn host(&mut self, id: HostId, op: HostOp, around: Surroundings) {
        self.around = around;
        let order = self.fresh_id();
        self.hosts.insert(
            id,
            Host {
                order,
                op,
                progress: Progress::Fresh,
                begun: false,
                answer: true,
            },
        );
        self.start_or_hold(id);
        self.pump();
    }

    /// The host's session is gone: what has not begun must not begin; what has begun must end, unanswered.
    pub fn cancel(&mut self, id: HostId, around: Surroundings) {
        self.around = around;
        self.withdraw(id);
        self.pump();
    }

    /// A disk operation ended.
    pub fn disk_done(&mut self, id: DiskId, done: DiskDone, around: Surroundings) {
        self.around = around;
        let Some(usage) = self.disk.remove(&id) else {
            return;
        };
        if let DiskDone::Failed(errno) = done {
            if !self.found_no_space(&usage, errno) {
                self.disk_failed(&usage, errno);
            }
        } else {
            match usage {
                DiskUse::Task(task) => self.task_disk_done(task, done),
                DiskUse::Persist => self.persist_done(),
                DiskUse::Allocated => self.allocated(done),
                DiskUse::DrainFlush => self.drain_flushed = true,
                DiskUse::ResyncFlush => self.resync_flushed = true,
                DiskUse::HeldFlush => self.unflushed = false,
                DiskUse::Stale { .. } => self.stale_done(),
            }
        }
        self.pump();
    }

    /// A message of the peer's copy.
    pub fn receive(&mut self, message: Message, around: Surroundings) {
        self.around = around;
        self.dispatch(message);
        self.pump();
    }

    /// The peer can be talked to, and the lease holds.
    pub fn link_ready(&mut self, around: Surroundings) {
        self.around = around;
        self.pump();
    }

    /// The peer cannot be talked to any more.
    pub fn link_down(&mut self, around: Surroundings) {
        self.around = around;
        self.forget_peer_words();
        self.peer_lost();
        if self.draining.take().is_some_and(|drain| drain.is_leave()) {
            self.left();
        }
        self.pump();
    }

    /// Time passed.
    pub fn tick(&mut self, around: Surroundings) {
        self.around = around;
        self.pace.tick(around.now_ns);
        self.idle_barrier();
        self.limit_attach();
        self.watches.tick(around.now_ns);
        self.pump();
    }

    /// The VDisk has grown.
    pub fn set_size(&mut self, size_bytes: u64) {
        self.size_bytes = size_bytes;
        self.facts_seq += 1;
    }

    /// Carry on whatever can go on. The only loop of the machine; every entry ends here.
    fn pump(&mut self) {
        loop {
            while let Some(task) = self.ready.pop() {
                self.granted(task);
            }
            self.start_persist();
            let moved = self.step_attach()
                || self.step_alone()
                || self.step_drain()
                || self.step_resync()
                || self.step_verify()
                || self.step_shared()
                || self.step_lacking();
            if !moved && self.ready.is_empty() {
                break;
            }
        }
        self.tell_facts();
    }

    /// The one door between modes.
    fn enter(&mut self, mode: Mode) {
        self.verification_ended(VerifyState::Interrupted);
        self.mode = mode;
        self.resync_flushed = false;
        self.rejoin = None;
        self.resuming = false;
        self.shared.gate = None;
        match self.mode {
            Mode::Mirroring(Direction::Target(_)) => {
                self.unbroken = false;
                self.watches.clear();
            }
            Mode::Closed(_) => self.watches.clear(),
            Mode::Single | Mode::Mirroring(_) | Mode::Alone => self.unbroken = true,
            _ => {}
        }
        if !matches!(self.mode, Mode::Mirroring(_))
            && !self.draining.as_ref().is_some_and(Drain::is_leave)
        {
            self.draining = None;
        }
    }

    /// Give up all that is under way; the hosts' commands are held. Afterwards nothing of it can come back.
    fn abandon(&mut self) {
        if let Mode::Mirroring(Direction::Source(resync)) = &mut self.mode {
            // What was copied but not flushed by the peer may be lost there.
            let copied = std::mem::take(&mut resync.all);
            for (extent, bits) in copied.words() {
                self.dirty.mark(extent, bits);
            }
        }
        for usage in self.disk.values_mut() {
            if matches!(
                usage,
                DiskUse::Task(_) | DiskUse::DrainFlush | DiskUse::ResyncFlush | DiskUse::Allocated
            ) {
                let change = match usage {
                    DiskUse::Task(id) => {
                        self.tasks.get(id).is_some_and(|task| task.kind.is_change())
                    }
                    _ => false,
                };
                *usage = DiskUse::Stale { change };
                self.stale += 1;
            }
        }
        let changes = self.tasks.values().filter(|task| task.kind.is_change());
        let under_way = changes.map(|task| (task.offset, task.len_bytes));
        self.active.abandon_writers(under_way);
        self.tasks.clear();
        self.peer_tasks.clear();
        self.short.clear();
        self.lacking = lacking::Lacking::default();
        self.shared.abandon();
        self.locks.clear();
        self.ready.clear();
        self.waiting_active.clear();
        self.waiting_room.clear();
        let mut order: Vec<_> = self
            .hosts
            .iter()
            .map(|(&id, host)| {
                (
                    !matches!(host.progress, Progress::Resolved(_)),
                    host.order,
                    id,
                )
            })
            .collect();
        order.sort_unstable();
        self.held = order.into_iter().map(|(_, _, id)| id).collect();
    }

    /// The peer's copy takes no part any more: hold everything that relied on it. A copy that was alone before goes
    /// back to that as soon as the peer's lease is over, for the peer stays outdated.
    fn peer_lost(&mut self) {
        self.rejoin = None;
        match &self.mode {
            Mode::Attaching(attaching) if attaching.was_alone() => {
                self.abandon();
                self.enter(Mode::GoingAlone(GoingAlone::back(&self.facts)));
            }
            Mode::Mirroring(_) | Mode::Attaching(_) => {
                self.abandon();
                self.enter(Mode::Held);
                self.report(Report::Held {
                    peer_outdated: self.facts.peer_outdated(),
                });
                self.flush_before_facts();
            }
            _ => {}
        }
    }

    /// Tell the peer no facts before what this copy has is durable: the process before may have left it to the kernel, and a peer
    /// that takes this copy for its source gives its own up.
    pub(crate) fn flush_before_facts(&mut self) {
        if self.peer.is_some() && !self.unflushed {
            self.unflushed = true;
            self.disk_op(DiskUse::HeldFlush, DiskOp::Flush);
        }
    }

    /// A disk operation of the time before has ended.
    fn stale_done(&mut self) {
        self.stale -= 1;
        if self.stale == 0 && matches!(self.mode, Mode::Single) {
            self.release_held();
        }
    }

    fn stop_serving(&mut self, state: NotReady) {
        self.abandon();
        self.enter(Mode::Closed(state));
        self.release_held();
    }

    fn fresh_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn is_master(&self) -> bool {
        self.facts.role == Role::Master
    }

    fn send(&mut self, epoch: u64, id: u64, body: Body) {
        if let Some(peer) = self.peer {
            self.out.push(Action::Send {
                peer,
                message: Message {
                    serial: self.serial,
                    epoch,
                    id,
                    body,
                },
            });
        }
    }

    /// Send within the attach that stands.
    fn say(&mut self, id: u64, body: Body) {
        self.send(self.facts.epoch, id, body);
    }

    fn report(&mut self, report: Report) {
        self.out.push(Action::Report {
            serial: self.serial,
            report,
        });
    }

    fn disk_op(&mut self, usage: DiskUse, op: DiskOp) {
        if let DiskOp::Change(change) = &op {
            self.watches.changing(change.offset, change.len_bytes);
        }
        let id = DiskId(self.fresh_id());
        self.disk.insert(id, usage);
        self.out.push(Action::Disk {
            serial: self.serial,
            id,
            op,
        });
    }

    /// A sorted list of (extent, word), cut to what exists.
    fn whole_extents(extents: &[u64]) -> BTreeMap<u64, u64> {
        extents.iter().map(|&extent| (extent, u64::MAX)).collect()
    }
}
