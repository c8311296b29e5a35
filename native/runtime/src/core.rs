//! What every connection of the engine works on: the mirror core, the VDisks, the commands in flight, the disk workers.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;
use twindisk_iscsi::Admission;
use twindisk_mirror::{DiskId, DiskOp, Node, Serial};

use crate::clock::boottime_ns;
use crate::disk::{DiskPool, Job, JobDone, perform_inline};
use crate::request::{Requests, Tags};
use crate::vdisk::Vdisk;

/// The engine's state but for its sockets.
pub struct Core {
    /// The mirror core: every I/O goes through it, mirrored or not.
    pub node: Node,
    /// The open VDisks, by place.
    pub vdisks: Slab<Vdisk>,
    /// The places of the open VDisks.
    pub places: HashMap<Serial, usize>,
    /// Initiators' commands in flight.
    pub requests: Requests,
    /// Who may hold discovery sessions.
    pub discovery: Arc<Admission>,
    /// Names of changes of reservations.
    pub tags: Tags,
    /// The workers.
    pub pool: DiskPool,
    /// The time; read anew at the beginning of a pass and after each disk operation.
    pub now_ns: u64,
}

impl Core {
    /// A core without VDisks.
    #[must_use]
    pub fn new(node: Node, pool: DiskPool) -> Self {
        Self {
            node,
            vdisks: Slab::new(),
            places: HashMap::new(),
            requests: Requests::default(),
            discovery: Arc::default(),
            tags: Tags::default(),
            pool,
            now_ns: boottime_ns(),
        }
    }

    /// The open VDisk with this serial.
    #[must_use]
    pub fn vdisk(&self, serial: Serial) -> Option<&Vdisk> {
        self.places
            .get(&serial)
            .and_then(|place| self.vdisks.get(*place))
    }

    /// The place of the open VDisk with this name.
    #[must_use]
    pub fn place_of(&self, name: &str) -> Option<usize> {
        self.vdisks
            .iter()
            .find(|(_, vdisk)| vdisk.name == name)
            .map(|(place, _)| place)
    }

    /// Do a disk operation of the mirror core: inline if that does not block, else in a worker.
    pub fn disk(&mut self, serial: Serial, id: DiskId, op: DiskOp) {
        let Some(vdisk) = self
            .places
            .get(&serial)
            .and_then(|place| self.vdisks.get(*place))
        else {
            return;
        };
        match perform_inline(&vdisk.files, serial, op) {
            Ok(done) => {
                // A thaw or a blocked write may have taken long: whether the lease still holds is judged by the time now.
                self.now_ns = boottime_ns();
                self.node.disk_done(serial, id, done, self.now_ns);
            }
            Err(op) => self.pool.submit(Job {
                serial,
                id,
                op,
                files: Arc::clone(&vdisk.files),
            }),
        }
    }

    /// Tell the mirror core of the operations that workers finished; how many.
    pub fn take_disk_done(&mut self) -> usize {
        let mut count = 0;
        while let Some(JobDone {
            serial, id, done, ..
        }) = self.pool.next_done()
        {
            self.node.disk_done(serial, id, done, self.now_ns);
            count += 1;
        }
        count
    }
}
