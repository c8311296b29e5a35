//! Reservations between the logical unit, which knows what they mean, and the mirror core, which keeps them on both nodes.
//!
//! Rules:
//!
//! * A command that the reservations forbid is refused only once the mirror core has said that they are known as they are.
//! * A command that was held while the reservations changed is looked at again before it goes on.
//! * A medium becomes write protected once the writes that have begun are done. A write that is answered after the write cache was
//!   switched off is durable, also if it came before.
//! * PREEMPT AND ABORT: on each node the preempted sessions' commands that have not begun are answered TASK ABORTED, the others are
//!   waited for, a copy only for its piece. Commands that wait for their turn have not begun, so turns never wait for each other.

use bytes::Bytes;
use twindisk_mirror::{HostId, HostOp, RecordChange, Serial};
use twindisk_scsi::{Response, StateChange, Step};

use crate::engine::Engine;
use crate::plan::plan;
use crate::request::Work;
use crate::sanitize;

/// Commands that have to end before reservations count as in force.
#[derive(Debug)]
pub(crate) struct Drain {
    serial: Serial,
    /// To be given back to the mirror core.
    record: u64,
    left: Vec<HostId>,
}

impl Engine {
    /// The mirror core's word: these are the reservations of both nodes.
    pub(crate) fn record(&mut self, serial: Serial, record: u64, bytes: &Bytes, drain: bool) {
        let Some(&place) = self.core.places.get(&serial) else {
            return;
        };
        let in_force = self.core.vdisks[place].unit.set_state(bytes);
        let mut left = Vec::new();
        for id in self.core.requests.ids(|request| request.vdisk == place) {
            let held = self.core.node.holds(serial, id);
            let Some(request) = self.core.requests.get_mut(id) else {
                continue;
            };
            let unit = &self.core.vdisks[place].unit;
            let turn = match request.work {
                Work::Turn { computed, .. } => Some(computed),
                _ => None,
            };
            if matches!(request.work, Work::Copy(_)) {
                continue;
            }
            let waits = held || turn.is_some();
            let refusal = (request.work == Work::Io)
                .then(|| unit.refusal(request.nexus, &request.cdb))
                .flatten();
            let barred = unit.sanitize_bars(&request.cdb);
            if barred.is_some() && (request.work == Work::Sanitize || turn == Some(true)) {
                // The first waits for what is in force, the second brings it about.
            } else if let Some(sense) = barred {
                if waits {
                    self.take_back(serial, id, Response::check(sense));
                } else if drain {
                    left.push(id);
                }
            } else if drain && in_force.lost.contains(&request.nexus) && turn != Some(true) {
                if waits {
                    self.take_back(serial, id, Response::task_aborted());
                } else {
                    left.push(id);
                }
            } else if held && let Some(refusal) = refusal {
                self.take_back(serial, id, refusal);
            } else if drain && in_force.protects && refusal.is_some() {
                left.push(id);
            } else if in_force.writes_through && request.work == Work::Io {
                request.flush_last();
            }
        }
        self.stop_copies_at(serial, drain, &in_force.lost, &mut left);
        self.drains.retain(|drain| drain.serial != serial);
        self.drains.push(Drain {
            serial,
            record,
            left,
        });
        self.finish_drains();
        self.tend_sanitize(place);
    }

    /// End a command that has not begun.
    fn take_back(&mut self, serial: Serial, id: HostId, response: Response) {
        self.core.node.cancel(serial, id, self.core.now_ns);
        self.answer(id, response);
    }

    /// A command has ended.
    pub(crate) fn drains_see(&mut self, ended: HostId) {
        for drain in &mut self.drains {
            drain.left.retain(|id| *id != ended);
        }
        self.finish_drains();
    }

    fn finish_drains(&mut self) {
        while let Some(index) = self.drains.iter().position(|drain| drain.left.is_empty()) {
            let Drain { serial, record, .. } = self.drains.remove(index);
            let now_ns = self.core.now_ns;
            self.core.node.record_taken(serial, record, now_ns);
        }
    }

    /// The mirror core's word: a command may change the reservations now.
    pub(crate) fn turn(&mut self, serial: Serial, host: HostId) {
        if sanitize::is_own(host) {
            return self.sanitize_turn(serial, host);
        }
        let now_ns = self.core.now_ns;
        let Some(request) = self.core.requests.get_mut(host) else {
            self.core.node.turn_computed(serial, host, None, now_ns);
            return;
        };
        let Work::Turn { data_out, computed } = &mut request.work else {
            return;
        };
        let unit = &self.core.vdisks[request.vdisk].unit;
        match unit.change_state(request.nexus, &request.cdb, data_out) {
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
                *computed = node.turn_computed(serial, host, change, now_ns);
            }
            StateChange::None(response) => {
                if self.core.node.turn_computed(serial, host, None, now_ns) {
                    self.answer(host, response);
                }
            }
        }
    }

    /// The reservations are known as they are: carry out a command whose answer depends on them.
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
            Step::Copy(list) => {
                if let Err(response) = self.begin_settled_copy(host, &list) {
                    return self.answer(host, response);
                }
                HostOp::Settle
            }
            Step::Turn => {
                let computed = false;
                request.work = Work::Turn { data_out, computed };
                HostOp::Turn {
                    tag: self.core.tags.fresh(),
                }
            }
        };
        self.core.node.host(serial, host, op, self.core.now_ns);
    }
}
