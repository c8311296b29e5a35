//! Changing the shared record, one change at a time at both nodes (docs/protocols/mirror.md, shared record).
//!
//! ```text
//! Master: turn -> compute -> save -> RecordApply -> (Slave: save, in force, RecordApplied) -> in force -> answer
//! Slave:  RecordAsk -> RecordTurn -> compute -> RecordUpdate -> (Master: the same as above) -> RecordDone -> answer
//! ```
//! Rules:
//! 1. The Master gives the turn to one command at a time, in the order in which they asked. What is computed in a turn is
//!    computed from the record as it is, so no change is ever refused or lost to another one.
//! 2. A version is durable on the Master before the Slave hears of it, durable on both before it is in force on the Master,
//!    and in force on both before it is answered. So nobody sees a version that the loss of a node could undo.
//! 3. A version is in force once the caller, told by [`Action::Record`], has said `record_taken`. While the Slave
//!    has a version in force that the Master has not yet, the Master answers no question about the record ([`HostOp::Settle`]).
//! 4. A change that was interrupted starts afresh like any command, unless it was made already ([`super::interrupted`]). Then both
//!    nodes put it in force once more, because what it ended may have started afresh too.
//! 5. A Slave in its turn answers at once, without a disk or a host; so the turn cannot be stuck. A change that would make the
//!    record too long is none, and its command ends with that.

use std::collections::VecDeque;

use super::gate::Gate;
use super::no_space::Asker;
use super::persist::Ticket;
use super::task::{Task, TaskKind};
use super::{Copy, Mode, Surroundings};
use crate::action::Action;
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::{HostResult, RecordChange};
use crate::shared_record::{RECORD_MAX_BYTES, SharedRecord};

/// The record and who changes it.
#[derive(Debug, Default)]
pub struct Shared {
    pub(super) record: SharedRecord,
    /// Names the persist that makes `record` durable.
    pub(super) ticket: Ticket,
    /// `record` is to go with the next persist.
    pub(super) unsaved: bool,
    /// The caller has done what follows from power on, or the peer's has, with which this copy has attached since. Stays as long as
    /// the copy is open.
    pub(super) power_on_done: bool,
    /// The peer has gone on without this copy, and the caller has not been told a record since.
    pub(super) absent: bool,
    /// Commands are held until the record is in force.
    pub(super) gate: Option<Gate>,
    /// Single, alone, Master: who changes the record.
    turn: Option<Turn>,
    /// Tasks that wait for the turn.
    waiting: VecDeque<u64>,
    /// Hosts that ask about the record while only the Slave has the next version in force.
    settling: Vec<HostId>,
    /// Slave: the version that the Master has sent.
    applying: Option<Applying>,
    last_force: u64,
}

#[derive(Debug, Clone, Copy)]
struct Turn {
    task: u64,
    drain: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Computing,
    Saving,
    /// The Slave makes it durable and puts it in force.
    Peer,
    /// This node puts it in force.
    Forcing(u64),
    /// In force; changes that nobody waits for any more have to end.
    Draining,
}

#[derive(Debug, Clone, Copy)]
struct Applying {
    peer_id: u64,
    drain: bool,
    /// What the caller was told, once it was.
    forcing: Option<u64>,
    /// The caller has put it in force.
    forced: bool,
}

impl Shared {
    /// The record as it was found.
    pub(super) fn loaded(record: SharedRecord) -> Self {
        Self {
            record,
            ..Self::default()
        }
    }

    /// Give up what is under way.
    pub(super) fn abandon(&mut self) {
        self.gate = None;
        self.turn = None;
        self.waiting.clear();
        self.settling.clear();
        self.applying = None;
    }
}

impl Copy {
    /// See [`crate::Node::turn_computed`].
    pub fn computed(
        &mut self,
        host: HostId,
        change: Option<RecordChange>,
        around: Surroundings,
    ) -> bool {
        self.around = around;
        let taken = self.turn_computed(host, change);
        self.pump();
        taken
    }

    /// See [`crate::Node::record_taken`].
    pub fn record_taken(&mut self, id: u64, around: Surroundings) {
        self.around = around;
        self.forced(id);
        self.pump();
    }

    /// The record as this copy holds it.
    #[must_use]
    pub fn shared_record(&self) -> &SharedRecord {
        &self.shared.record
    }

    /// True while a change of the record is under way or wanted.
    pub(super) fn record_busy(&self) -> bool {
        self.shared.turn.is_some() || !self.shared.waiting.is_empty()
    }

    /// Take over a version, and make it durable.
    pub(super) fn set_record(&mut self, record: SharedRecord) {
        if self.shared.record != record {
            self.shared.record = record;
            self.shared.unsaved = true;
            self.shared.ticket = self.persisting.want();
        }
    }

    pub(super) fn record_durable(&self) -> bool {
        self.persisting.durable(self.shared.ticket)
    }

    /// Have the record put in force; the number to be given back.
    pub(super) fn force(&mut self, drain: bool) -> u64 {
        self.shared.last_force += 1;
        let id = self.shared.last_force;
        self.out.push(Action::Record {
            serial: self.serial,
            id,
            bytes: self.shared.record.bytes().clone(),
            drain,
            power_on: !self.shared.power_on_done,
            absent: std::mem::take(&mut self.shared.absent),
        });
        for host in std::mem::take(&mut self.shared.settling) {
            self.complete(host, HostResult::Done);
        }
        id
    }

    /// A host asks about the record.
    pub(super) fn start_settle(&mut self, host: HostId) {
        match self.shared.turn {
            Some(Turn {
                stage: Stage::Peer, ..
            }) => self.shared.settling.push(host),
            _ => self.complete(host, HostResult::Done),
        }
    }

    /// A host wants to change the record.
    pub(super) fn start_turn(&mut self, host: HostId, tag: u64) {
        let kind = TaskKind::HostTurn {
            host,
            tag,
            computing: false,
        };
        let id = self.add_task(0, 0, kind);
        if matches!(self.mode, Mode::Mirroring(_)) && !self.is_master() {
            self.say(id, Body::RecordAsk);
        } else {
            self.shared.waiting.push_back(id);
        }
    }

    /// Go as far as it goes; true when something moved.
    pub(super) fn step_shared(&mut self) -> bool {
        let moved = self.step_gate();
        self.step_applying() || self.step_turn() || moved
    }

    fn step_applying(&mut self) -> bool {
        let Some(applying) = self.shared.applying else {
            return false;
        };
        if applying.forced {
            if applying.drain && self.has_orphans() {
                return false;
            }
            self.shared.applying = None;
            self.say(applying.peer_id, Body::RecordApplied);
            return true;
        }
        if applying.forcing.is_some() || !self.record_durable() {
            return false;
        }
        let id = self.force(applying.drain);
        self.shared.applying = Some(Applying {
            forcing: Some(id),
            ..applying
        });
        true
    }

    fn step_turn(&mut self) -> bool {
        let Some(turn) = self.shared.turn else {
            let next = self.shared.waiting.pop_front();
            return next.is_some_and(|task| {
                self.begin_turn(task);
                true
            });
        };
        if turn.stage == Stage::Draining && !(turn.drain && self.has_orphans()) {
            self.end_turn(turn.task);
            return true;
        }
        if turn.stage != Stage::Saving || !self.record_durable() {
            return false;
        }
        let stage = if matches!(self.mode, Mode::Mirroring(_)) {
            let (record, drain) = (self.shared.record.clone(), turn.drain);
            self.say(turn.task, Body::RecordApply { record, drain });
            Stage::Peer
        } else {
            Stage::Forcing(self.force(turn.drain))
        };
        self.shared.turn = Some(Turn { stage, ..turn });
        true
    }

    fn begin_turn(&mut self, task: u64) {
        let mut stage = Stage::Computing;
        let mut drain = false;
        match self.tasks.get(&task).map(|task| &task.kind) {
            Some(&TaskKind::PeerTurn { peer_id }) => self.say(peer_id, Body::RecordTurn),
            // Made before it was interrupted: once more to both nodes, unchanged. What it ended may not have ended yet.
            Some(&TaskKind::HostTurn { host, .. }) if self.was_made(host) => {
                stage = Stage::Saving;
                drain = true;
            }
            Some(&TaskKind::HostTurn { host, .. }) => self.ask_host(task, host),
            _ => return,
        }
        self.shared.turn = Some(Turn { task, drain, stage });
    }

    /// Have the caller compute the next version.
    fn ask_host(&mut self, task: u64, host: HostId) {
        if matches!(self.mode, Mode::Mirroring(_))
            && self.around.now_ns >= self.around.serve_until_ns
        {
            self.lease_over = true;
            return;
        }
        if let Some(Task {
            kind: TaskKind::HostTurn { computing, .. },
            ..
        }) = self.tasks.get_mut(&task)
        {
            *computing = true;
        }
        self.out.push(Action::Turn {
            serial: self.serial,
            host,
        });
    }

    /// The caller has computed what the host's turn comes to; `None`: no change. False: the turn is lost, the command
    /// starts afresh.
    pub(super) fn turn_computed(&mut self, host: HostId, change: Option<RecordChange>) -> bool {
        let own = |task: &Task| matches!(task.kind, TaskKind::HostTurn { host: of, computing: true, .. } if of == host);
        let Some((&id, task)) = self.tasks.iter_mut().find(|(_, task)| own(task)) else {
            return false;
        };
        let TaskKind::HostTurn { tag, computing, .. } = &mut task.kind else {
            return false;
        };
        *computing = false;
        let tag = *tag;
        let too_long = |change: &RecordChange| change.bytes.len() > RECORD_MAX_BYTES;
        let no_room = change.as_ref().is_some_and(too_long);
        let change = change.filter(|change| !too_long(change));
        if change.is_some() {
            self.note_computed(host);
        }
        let at_master = self.shared.turn.is_some_and(|turn| turn.task == id);
        match change {
            Some(change) if at_master => self.advance(tag, change),
            Some(RecordChange { bytes, drain }) => {
                self.say(id, Body::RecordUpdate { tag, drain, bytes });
            }
            None => {
                if at_master {
                    self.shared.turn = None;
                } else {
                    self.say(id, Body::RecordPass);
                }
                self.finish(id);
                if no_room {
                    self.complete(host, HostResult::NoRoom);
                } else {
                    self.hosts.remove(&host);
                }
            }
        }
        true
    }

    /// The turn has come to a new version, or to one that was made before it was interrupted.
    fn advance(&mut self, tag: u64, change: RecordChange) {
        let RecordChange { bytes, drain } = change;
        if !self.shared.record.has(tag) {
            let Some(record) = self.shared.record.changed(tag, bytes) else {
                self.peer_faulty = true;
                return;
            };
            self.set_record(record);
        }
        if let Some(turn) = &mut self.shared.turn {
            turn.drain = drain;
            turn.stage = Stage::Saving;
        }
    }

    /// The caller has put a version in force.
    pub(super) fn forced(&mut self, id: u64) {
        if self.gate_forced(id) {
            return;
        }
        if let Some(applying) = &mut self.shared.applying
            && applying.forcing == Some(id)
        {
            applying.forced = true;
        }
        if let Some(turn) = &mut self.shared.turn
            && turn.stage == Stage::Forcing(id)
        {
            turn.stage = Stage::Draining;
        }
    }

    /// Changes under way of hosts whose sessions are gone: their initiators may be what a drain is to stop.
    fn has_orphans(&self) -> bool {
        let forsaken = |host: &HostId| self.hosts.get(host).is_none_or(|host| !host.answer);
        let held = |host: &HostId| self.hosts.get(host).is_some_and(|host| !host.answer);
        self.held.iter().any(held)
            || self.tasks.values().any(|task| match &task.kind {
                TaskKind::HostChange { host, .. }
                | TaskKind::HostRequest { host, .. }
                | TaskKind::HostUpdate { host, .. }
                | TaskKind::HostAsk { host, .. }
                | TaskKind::Undo {
                    asker: Asker::Host(host),
                } => forsaken(host),
                _ => false,
            })
    }

    fn end_turn(&mut self, task: u64) {
        self.shared.turn = None;
        match self.finish(task).map(|task| task.kind) {
            Some(TaskKind::HostTurn { host, .. }) => self.complete(host, HostResult::Done),
            Some(TaskKind::PeerTurn { peer_id }) => {
                self.peer_tasks.remove(&peer_id);
                self.say(peer_id, Body::RecordDone);
            }
            _ => {}
        }
    }

    /// Nobody waits any more for a change that is not computed yet.
    pub(super) fn leave_line(&mut self, task: u64) {
        let waits = self.shared.waiting.contains(&task);
        let computing = |turn: Turn| turn.task == task && turn.stage == Stage::Computing;
        if waits || self.shared.turn.is_some_and(computing) {
            self.shared.waiting.retain(|waiting| *waiting != task);
            self.shared.turn = self.shared.turn.filter(|turn| turn.task != task);
            self.finish(task);
        }
    }

    /// The host asks no more.
    pub(super) fn withdraw_settle(&mut self, host: HostId) {
        self.shared.settling.retain(|settling| *settling != host);
    }

    /// Master: what the Slave says of the record.
    pub(super) fn slave_says_of_record(&mut self, id: u64, body: Body) {
        let task = self.peer_tasks.get(&id).copied();
        let turn = self.shared.turn.filter(|turn| task == Some(turn.task));
        match body {
            Body::RecordAsk if self.draining.is_none() => {
                let task = self.add_task(0, 0, TaskKind::PeerTurn { peer_id: id });
                self.peer_tasks.insert(id, task);
                self.shared.waiting.push_back(task);
            }
            Body::RecordUpdate { tag, drain, bytes }
                if turn.is_some_and(|turn| turn.stage == Stage::Computing) =>
            {
                self.advance(tag, RecordChange { bytes, drain });
            }
            Body::RecordPass if turn.is_some_and(|turn| turn.stage == Stage::Computing) => {
                self.shared.turn = None;
                self.peer_tasks.remove(&id);
                if let Some(task) = task {
                    self.finish(task);
                }
            }
            Body::RecordApplied => {
                if let Some(turn) = self.shared.turn
                    && turn.task == id
                    && turn.stage == Stage::Peer
                {
                    let stage = Stage::Forcing(self.force(turn.drain));
                    self.shared.turn = Some(Turn { stage, ..turn });
                }
            }
            _ => {}
        }
    }

    /// Slave: what the Master says of the record.
    pub(super) fn master_says_of_record(&mut self, id: u64, body: Body) {
        let asked = match self.tasks.get(&id).map(|task| &task.kind) {
            Some(&TaskKind::HostTurn { host, tag, .. }) => Some((host, tag)),
            _ => None,
        };
        let host = asked.map(|(host, _)| host);
        match body {
            Body::RecordTurn => match asked {
                Some((host, tag)) if self.was_made(host) => {
                    // Made before it was interrupted; what it ended may not have ended yet.
                    let bytes = self.shared.record.bytes().clone();
                    let drain = true;
                    self.say(id, Body::RecordUpdate { tag, drain, bytes });
                }
                Some((host, _)) if self.hosts.contains_key(&host) => self.ask_host(id, host),
                _ => {
                    self.finish(id);
                    self.say(id, Body::RecordPass);
                }
            },
            Body::RecordDone => {
                if let Some(host) = host {
                    self.finish(id);
                    self.complete(host, HostResult::Done);
                }
            }
            Body::RecordApply { record, drain } => {
                self.set_record(record);
                self.shared.applying = Some(Applying {
                    peer_id: id,
                    drain,
                    forcing: None,
                    forced: false,
                });
            }
            _ => {}
        }
    }
}
