//! Changes of the state that both nodes share which no initiator asks for.
//!
//! Rule: a change that is refused because the VDisk does not serve is dropped; what calls for it is looked at again whenever a state
//! is put in force.

use std::collections::VecDeque;

use twindisk_iscsi::TaskTag;
use twindisk_mirror::{HostOp, Serial};
use twindisk_scsi::{NexusId, Upkeep};

use crate::engine::Engine;
use crate::plan::Answer;
use crate::request::{Request, Work};

/// No endpoint has this place.
const NOWHERE: usize = usize::MAX;

impl Engine {
    /// Have the reservation of a session that is gone released on both nodes.
    pub(crate) fn release_lost(&mut self, place: usize) {
        let vdisk = &self.core.vdisks[place];
        if let Some(holder) = vdisk.unit.lost_reservation() {
            self.keep_up(vdisk.serial, Upkeep::ReleaseLost(holder));
        }
    }

    /// Make a change when it is its turn, unless it waits for that already.
    pub(crate) fn keep_up(&mut self, serial: Serial, upkeep: Upkeep) {
        let Some(&place) = self.core.places.get(&serial) else {
            return;
        };
        let work = Work::Upkeep(upkeep);
        let same = |request: &Request| request.vdisk == place && request.work == work;
        if !self.core.requests.ids(same).is_empty() {
            return;
        }
        let id = self.core.requests.insert(Request {
            endpoint: NOWHERE,
            nexus: NexusId(0),
            task: TaskTag::default(),
            vdisk: place,
            held_bytes: 0,
            todo: VecDeque::new(),
            answer: Answer::default(),
            cdb: [0; 16],
            work,
        });
        let tag = self.core.tags.fresh();
        let op = HostOp::Turn { tag };
        self.core.node.host(serial, id, op, self.core.now_ns);
    }

    /// Forget the changes of a VDisk that is closed.
    pub(crate) fn drop_upkeep(&mut self, place: usize) {
        let is_one =
            |request: &Request| request.vdisk == place && matches!(request.work, Work::Upkeep(_));
        for id in self.core.requests.ids(is_one) {
            self.core.requests.remove(id);
        }
    }
}
