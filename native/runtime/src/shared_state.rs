//! The state that both nodes share, between the logical unit, which knows what it means, and the mirror core, which keeps it on both
//! nodes.
//!
//! Rules:
//!
//! * A command that the state forbids is refused only once the mirror core has said that the state is known as it is.
//! * A command that was held while the state changed is looked at again before it goes on.
//! * A medium becomes write protected once the writes that have begun are done. A write that is answered after the write cache was
//!   switched off is durable, also if it came before.
//! * A state may end commands (PREEMPT AND ABORT, [`crate::resets`]): on each node those that have not begun are taken back, the others are
//!   waited for. Commands that wait for their turn have not begun, so turns never wait for each other.
//! * Of a command of several steps only the step under way is waited for: what is left of it is not begun. So a turn never waits for what
//!   a hand-over holds, which itself waits for the turn.
//! * What is to end is remembered until it has ended: a change that is interrupted by the loss of the peer starts afresh, and so do
//!   the commands that it was to end.

use std::collections::HashMap;

use bytes::Bytes;
use twindisk_mirror::copy::Standing;
use twindisk_mirror::{HostId, HostOp, RecordChange, Serial};
use twindisk_scsi::{InForce, Response, StateChange, Step, Upkeep};

use crate::engine::Engine;
use crate::plan::plan;
use crate::request::Work;
use crate::resets::{Asker, is_ended};
use crate::sanitize;

/// Commands of a VDisk that a state in force ends, and that have not ended yet.
#[derive(Debug)]
pub(crate) struct Drain {
    serial: Serial,
    /// To be given back to the mirror core when they have ended; `None`: nobody waits for that now.
    record: Option<u64>,
    /// With what they get in place of a step that they have not begun.
    left: HashMap<HostId, Response>,
}

impl Engine {
    /// The mirror core's word: this is the state of both nodes.
    /// `absent`: there may have been others since the latest that was told.
    pub(crate) fn record(
        &mut self,
        serial: Serial,
        record: u64,
        bytes: &Bytes,
        drain: bool,
        absent: bool,
    ) {
        let Some(&place) = self.core.places.get(&serial) else {
            return;
        };
        let copy = self.core.node.copy(serial);
        let with_peer = copy.is_some_and(|copy| matches!(copy.standing(), Standing::Mirroring(_)));
        let unit = &mut self.core.vdisks[place].unit;
        unit.set_with_peer(with_peer);
        let in_force = if absent {
            unit.catch_up(bytes)
        } else {
            unit.set_state(bytes)
        };
        self.release_lost(place);
        let asker = self.asker(place);
        if in_force.ends_all {
            self.end_sessions_commands(place, asker, in_force.ends_sessions);
        }
        self.end_unreported_of(place, &in_force.aborted);
        let mut left = self.take_drain(serial);
        for id in self.core.requests.ids(|request| request.vdisk == place) {
            let request = self.core.requests.get(id);
            if request.is_some_and(|request| matches!(request.work, Work::Copy(_))) {
                continue;
            }
            let ending = left.remove(&id);
            if let Some(ending) = self.follow(id, &in_force, asker, ending) {
                left.insert(id, ending);
            }
        }
        self.stop_copies_at(serial, &in_force, asker, &mut left);
        if !drain {
            let now_ns = self.core.now_ns;
            self.core.node.record_taken(serial, record, now_ns);
        }
        self.drains.push(Drain {
            serial,
            record: drain.then_some(record),
            left,
        });
        self.finish_drains();
        self.tend_sanitize(place);
    }

    /// See what a state that was put in force makes of a command. If it has begun and is to end: what it gets in place of a step that it
    /// has not begun. `ending`: the same of before.
    fn follow(
        &mut self,
        id: HostId,
        in_force: &InForce,
        asker: Option<Asker>,
        ending: Option<Response>,
    ) -> Option<Response> {
        let request = self.core.requests.get_mut(id)?;
        let (nexus, vdisk) = (request.nexus, &self.core.vdisks[request.vdisk]);
        let waits_for_sanitize = request.work == Work::Sanitize;
        let unbegun = waits_for_sanitize || self.core.node.can_withdraw(vdisk.serial, id);
        let ends = match request.work {
            Work::Reset(_) | Work::Upkeep(_) => return None,
            // It is what puts this state in force, or it is done but for a flush.
            Work::Turn { .. } if !unbegun && !request.answer.has_begun() => return None,
            _ => is_ended(request, in_force, asker),
        };
        let is_io = request.work == Work::Io;
        let looked_at = is_io || matches!(request.work, Work::Populate(_));
        let (unit, cdb) = (&vdisk.unit, &request.cdb);
        let barred = unit.sanitize_bars(cdb).filter(|_| !waits_for_sanitize);
        let refusal = match barred {
            Some(sense) => Some(Response::check(sense)),
            None if looked_at => unit.refusal(nexus, cdb),
            None => None,
        };
        if unbegun && ends {
            self.end_unbegun(id, nexus, asker);
            return None;
        }
        if unbegun && let Some(refusal) = refusal {
            self.take_back(id, refusal);
            return None;
        }
        if unbegun && ending.is_some() {
            self.take_back(id, Response::task_aborted());
            return None;
        }
        if in_force.writes_through && is_io {
            request.flush_last();
        }
        let aborted = ends.then(Response::task_aborted);
        let forbidden = refusal.filter(|_| barred.is_some() || in_force.protects);
        aborted.or(ending).or(forbidden)
    }

    /// What of a VDisk has not ended yet.
    fn take_drain(&mut self, serial: Serial) -> HashMap<HostId, Response> {
        let index = self.drains.iter().position(|drain| drain.serial == serial);
        index.map_or(HashMap::new(), |index| self.drains.swap_remove(index).left)
    }

    /// End a command that has not begun.
    pub(crate) fn take_back(&mut self, id: HostId, response: Response) {
        let Some(request) = self.core.requests.get_mut(id) else {
            return;
        };
        let response = request.answer.cut_short(response);
        let serial = self.core.vdisks[request.vdisk].serial;
        self.core.node.cancel(serial, id, self.core.now_ns);
        self.answer(id, response);
    }

    /// What a command that is to end gets in place of its next step; `None`: it may go on.
    pub(crate) fn ending(&self, id: HostId) -> Option<Response> {
        let mut drains = self.drains.iter();
        drains.find_map(|drain| drain.left.get(&id).cloned())
    }

    /// A command has ended.
    pub(crate) fn drains_see(&mut self, ended: HostId) {
        for drain in &mut self.drains {
            drain.left.remove(&ended);
        }
        self.finish_drains();
    }

    fn finish_drains(&mut self) {
        while let Some(index) = self.drains.iter().position(|drain| drain.left.is_empty()) {
            let Drain { serial, record, .. } = self.drains.swap_remove(index);
            if let Some(record) = record {
                let now_ns = self.core.now_ns;
                self.core.node.record_taken(serial, record, now_ns);
            }
        }
    }

    /// The mirror core's word: a command may change the state now.
    pub(crate) fn turn(&mut self, serial: Serial, host: HostId) {
        if sanitize::is_own(host) {
            return self.sanitize_turn(serial, host);
        }
        let now_ns = self.core.now_ns;
        let copy = self.core.node.copy(serial);
        let power_on_done = copy.is_some_and(|copy| copy.is_power_on_done());
        let Some(request) = self.core.requests.get_mut(host) else {
            self.core.node.turn_computed(serial, host, None, now_ns);
            return;
        };
        let unit = &self.core.vdisks[request.vdisk].unit;
        let change = match &request.work {
            Work::Turn { data_out } => unit.change_state(request.nexus, &request.cdb, data_out),
            Work::Reset(reset) => unit.manage_tasks(reset.function),
            // It has been done by the other node meanwhile, and initiators have gone on from there.
            Work::Upkeep(Upkeep::PowerOn) if power_on_done => StateChange::None(Response::good()),
            Work::Upkeep(upkeep) => unit.keep_up(*upkeep),
            Work::Io | Work::Settle { .. } | Work::Sanitize | Work::Copy(_) | Work::Populate(_) => {
                return;
            }
        };
        match change {
            StateChange::To {
                bytes,
                drain,
                flush,
            } => {
                // It may be computed a second time, if it has to start afresh.
                request.todo = flush.then_some(HostOp::Flush).into_iter().collect();
                let bytes = bytes.into();
                let change = Some(RecordChange { bytes, drain });
                let node = &mut self.core.node;
                node.turn_computed(serial, host, change, now_ns);
            }
            StateChange::None(response) => {
                if self.core.node.turn_computed(serial, host, None, now_ns) {
                    self.answer(host, response);
                }
            }
        }
    }

    /// The state is known as it is: carry out a command whose answer depends on them.
    pub(crate) fn settled(&mut self, serial: Serial, host: HostId) {
        let Some(request) = self.core.requests.get_mut(host) else {
            return;
        };
        let Work::Settle { data_out } = std::mem::replace(&mut request.work, Work::Io) else {
            return;
        };
        let vdisk = &mut self.core.vdisks[request.vdisk];
        let step = vdisk
            .unit
            .execute_settled(request.nexus, &request.cdb, 0, &data_out);
        let op = match step {
            Step::Done(response) => return self.answer(host, response),
            Step::Io(io) => {
                vdisk.counters.count(&io);
                let mut plan = plan(io, data_out);
                if vdisk.unit.writes_through() {
                    plan.write_through();
                }
                request.todo = plan.todo;
                request.answer = plan.answer;
                plan.first
            }
            Step::Settle => HostOp::Settle,
            step @ (Step::Copy(_) | Step::Offload(_)) => {
                match self.begin_settled_copy(host, step) {
                    Ok(first) => first,
                    Err(response) => return self.answer(host, response),
                }
            }
            Step::Turn => {
                request.work = Work::Turn { data_out };
                HostOp::Turn {
                    tag: self.core.tags.fresh(),
                }
            }
        };
        self.core.node.host(serial, host, op, self.core.now_ns);
    }
}

#[cfg(test)]
mod tests;
