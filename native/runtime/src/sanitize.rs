//! Sanitize operations: one node of a pair carries them out through the mirror core, as if an initiator did.
//!
//! Rules:
//!
//! * The node that orders changes carries out what the state in force says: alone, or as Master. Another node that comes to
//!   do so goes on from what the state says is durably done; whoever no longer does gives up at once what it had asked for.
//! * How it is carried out is in [`crate::eraser`].
//! * A SANITIZE without IMMED is kept until the state says how its operation ended, or this node stops serving.

use twindisk_mirror::copy::Standing;
use twindisk_mirror::{HostId, HostOp, HostResult, RecordChange, Role, Serial};
use twindisk_scsi::Response;

use crate::engine::Engine;
use crate::eraser::{Eraser, Space, Stage};
use crate::request::{Request, Work};
use crate::vdisk::Vdisk;

/// Ids of host operations from here on are those of this module.
const IDS_FROM: u64 = 1 << 63;

/// Host operations with this id are this module's.
pub(crate) fn is_own(host: HostId) -> bool {
    host.0 >= IDS_FROM
}

impl Engine {
    /// See to it that the operation of the VDisk at `place` is carried out here if that is this node's to do, and by no other
    /// node's than it; and answer the commands that wait for its end.
    pub(crate) fn tend_sanitize(&mut self, place: usize) {
        let vdisk = &self.core.vdisks[place];
        let serial = vdisk.serial;
        let Some(standing) = self.core.node.copy(serial).map(|copy| copy.standing()) else {
            return;
        };
        self.answer_sanitize(place, standing);
        let vdisk = &self.core.vdisks[place];
        let orders = matches!(
            standing,
            Standing::Alone | Standing::Mirroring(Role::Master)
        );
        if !orders {
            if let Some(eraser) = self.erasers.remove(&serial) {
                self.core.node.cancel(serial, eraser.id, self.core.now_ns);
            }
            return;
        }
        if let Some(operation) = vdisk.unit.sanitizing()
            && !self.erasers.contains_key(&serial)
        {
            self.last_eraser += 1;
            let id = HostId(IDS_FROM + self.last_eraser);
            let (block_bytes, size_bytes) =
                (vdisk.unit.block().bytes(), vdisk.unit.offered_bytes());
            let eraser = Eraser::new(id, operation.clone(), block_bytes, size_bytes);
            self.erasers.insert(serial, eraser);
            let tag = self.core.tags.fresh();
            let now_ns = self.core.now_ns;
            self.core
                .node
                .host(serial, id, HostOp::Turn { tag }, now_ns);
        }
    }

    /// Begin anew with what was given up because this node did not serve for a while.
    pub(crate) fn tick_sanitize(&mut self) {
        let vdisks = self.core.vdisks.iter();
        let runs = vdisks.filter(|(_, vdisk)| vdisk.unit.sanitizing().is_some());
        for place in runs.map(|(place, _)| place).collect::<Vec<_>>() {
            self.tend_sanitize(place);
        }
    }

    /// Answer the commands that wait for the end of an operation, as far as it is known.
    fn answer_sanitize(&mut self, place: usize, standing: Standing) {
        let waiting = |request: &Request| request.vdisk == place && request.work == Work::Sanitize;
        for id in self.core.requests.ids(waiting) {
            let Some(request) = self.core.requests.get_mut(id) else {
                continue;
            };
            let unit = &self.core.vdisks[place].unit;
            let response = match standing {
                Standing::Closed(_) => Some(Response::not_serving(unit.access_state())),
                Standing::Holding => None,
                _ => unit.sanitize_answer(&request.cdb),
            };
            if let Some(response) = response {
                self.answer(id, response);
            }
        }
    }

    /// A SANITIZE has had its turn: it is answered, or waits for the end of the operation.
    pub(crate) fn keep_sanitize(&mut self, host: HostId) {
        let Some(request) = self.core.requests.get_mut(host) else {
            return;
        };
        let unit = &self.core.vdisks[request.vdisk].unit;
        match unit.sanitize_answer(&request.cdb) {
            Some(response) => self.answer(host, response),
            None => request.work = Work::Sanitize,
        }
    }

    /// A host operation of this module ended.
    pub(crate) fn sanitize_done(&mut self, serial: Serial, host: HostId, result: &HostResult) {
        let Some(eraser) = self.erasers.get_mut(&serial).filter(|one| one.id == host) else {
            return;
        };
        let op = match result {
            HostResult::Done => {
                let vdisk = self.core.vdisk(serial);
                eraser.next(|| vdisk.map_or(FULL, space_of))
            }
            _ => None,
        };
        match op {
            None => drop(self.erasers.remove(&serial)),
            Some(op) => self.ask_sanitize(serial, host, op),
        }
    }

    fn ask_sanitize(&mut self, serial: Serial, host: HostId, op: HostOp) {
        let op = match op {
            HostOp::Turn { .. } => HostOp::Turn {
                tag: self.core.tags.fresh(),
            },
            op => op,
        };
        self.core.node.host(serial, host, op, self.core.now_ns);
    }

    /// The mirror core's word: this module may change the state now.
    pub(crate) fn sanitize_turn(&mut self, serial: Serial, host: HostId) {
        let now_ns = self.core.now_ns;
        let eraser = self.erasers.get(&serial).filter(|one| one.id == host);
        let stage = eraser.map(|eraser| &eraser.stage);
        let unit = self.core.vdisk(serial).map(|vdisk| &vdisk.unit);
        let change = match (stage, unit) {
            (Some(Stage::Claiming), Some(unit)) if unit.sanitizing().is_some() => {
                let copy = self.core.node.copy(serial);
                copy.map(|copy| RecordChange {
                    bytes: copy.shared_record().bytes().clone(),
                    drain: true,
                })
            }
            (Some(Stage::Saying(step)), Some(unit)) => {
                let bytes = unit.after_sanitize_step(*step);
                bytes.map(|bytes| RecordChange {
                    bytes: bytes.into(),
                    drain: false,
                })
            }
            _ => None,
        };
        let changes = change.is_some();
        let taken = self.core.node.turn_computed(serial, host, change, now_ns);
        if taken && !changes {
            self.erasers.remove(&serial);
        }
    }
}

/// What is assumed where it cannot be told.
const FULL: Space = Space {
    taken_bytes: 0,
    free_bytes: 0,
};

fn space_of(vdisk: &Vdisk) -> Space {
    let facts = rustix::fs::statvfs(&vdisk.directory).ok();
    let taken = vdisk.files.bytes_allocated().ok();
    facts.zip(taken).map_or(FULL, |(facts, taken_bytes)| Space {
        taken_bytes,
        free_bytes: facts.f_bavail.saturating_mul(facts.f_frsize),
    })
}
