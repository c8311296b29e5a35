//! Changes of the state that both nodes share which no initiator asks for.
//!
//! Rules:
//!
//! * A change that is refused because the VDisk does not serve is dropped; what calls for it is looked at again whenever a state
//!   is put in force.
//! * After power on saved mode pages become current by the node that orders changes. The other one, which may take over before that is
//!   done, sees by the state in force that it is.

use std::collections::VecDeque;

use twindisk_iscsi::TaskTag;
use twindisk_mirror::copy::{Copy, Standing};
use twindisk_mirror::{HostOp, Role, Serial};
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

    /// No node that serves has served before, or what follows from that has not been done: see to it.
    pub(crate) fn tend_power_on(&mut self, serial: Serial) {
        let Some(vdisk) = self.core.vdisk(serial) else {
            return;
        };
        if vdisk.unit.is_as_saved() {
            return self.core.node.power_on_done(serial);
        }
        let standing = self.core.node.copy(serial).map(Copy::standing);
        if matches!(
            standing,
            Some(Standing::Alone | Standing::Mirroring(Role::Master))
        ) {
            self.keep_up(serial, Upkeep::PowerOn);
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
            background: false,
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
