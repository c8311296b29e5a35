//! Commands of initiators that wait for the mirror core.
//!
//! Rule: a host id is never used for two requests at the same time, nor soon after: it carries a generation. Its highest bit is 0:
//! the others are [`crate::sanitize`]'s.

use std::collections::VecDeque;

use bytes::Bytes;
use slab::Slab;
use twindisk_iscsi::{ScsiResponse, TaskTag};
use twindisk_mirror::{HostId, HostOp, Serial};
use twindisk_scsi::{LogicalUnit, NexusId, Response, Upkeep};

use crate::plan::Answer;
use crate::resets::Reset;
use crate::tokens::Populating;
use crate::transfer::Transfer;

/// One SCSI command that waits for the mirror core.
#[derive(Debug)]
pub struct Request {
    /// The session's place among the endpoints.
    pub endpoint: usize,
    /// The session's nexus; tells whether the endpoint still is that session.
    pub nexus: NexusId,
    /// The command.
    pub task: TaskTag,
    /// The VDisk's place.
    pub vdisk: usize,
    /// Bytes that the command takes beside its data-out.
    pub held_bytes: usize,
    /// What is to be done after the operation under way.
    pub todo: VecDeque<HostOp>,
    /// How it is answered.
    pub answer: Answer,
    /// Its CDB.
    pub cdb: [u8; 16],
    /// What it is about.
    pub work: Work,
    /// It was answered when it began.
    pub background: bool,
}

impl Request {
    /// The write cache is switched off while a command is under way: what it changes is to be durable before its answer. One that
    /// ends with data is answered as soon as it has them.
    pub fn flush_last(&mut self) {
        self.todo.push_back(HostOp::Flush);
    }
}

/// What a command in the mirror core is about.
#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    /// The data.
    Io,
    /// It is carried out once the state that both nodes share is known as it is.
    Settle {
        /// Its data-out.
        data_out: Vec<Bytes>,
    },
    /// It changes that state when it is its turn.
    Turn {
        /// Its data-out.
        data_out: Vec<Bytes>,
    },
    /// It is answered when the sanitize operation that it began ends.
    Sanitize,
    /// It copies, piece by piece.
    Copy(Box<Transfer>),
    /// It makes a token.
    Populate(Box<Populating>),
    /// It is no initiator's; done when it is its turn.
    Upkeep(Upkeep),
    /// It is no command but a task management request, done when it is its turn.
    Reset(Reset),
}

impl Work {
    /// True for the task management request whose change has this name.
    #[must_use]
    pub fn is_reset(&self, tag: u64) -> bool {
        matches!(self, Self::Reset(reset) if reset.tag == tag)
    }
}

impl Request {
    /// True for a copy that has to do with a VDisk.
    #[must_use]
    pub fn copies_with(&self, serial: Serial) -> bool {
        match &self.work {
            Work::Copy(transfer) => transfer.involves(serial),
            _ => false,
        }
    }

    /// The VDisk at which the operation of a copy is under way; `None`: it is no copy.
    #[must_use]
    pub fn copies_at(&self) -> Option<Serial> {
        match &self.work {
            Work::Copy(transfer) => Some(transfer.at()),
            _ => None,
        }
    }
}

/// Names of changes, never the same twice, in whatever process.
#[derive(Debug, Default)]
pub struct Tags(Option<u64>);

impl Tags {
    /// A new name.
    pub fn fresh(&mut self) -> u64 {
        let last = self.0.get_or_insert_with(random_u64);
        *last = last.wrapping_add(1);
        *last
    }
}

/// A number that no other process of either node has.
#[must_use]
pub fn random_u64() -> u64 {
    // Without random numbers the time tells processes apart.
    getrandom::u64().unwrap_or_else(|_| crate::clock::boottime_ns())
}

/// Generations begin anew after this one.
const GENERATION_MAX: u32 = u32::MAX >> 1;

/// All requests of the engine.
#[derive(Debug)]
pub struct Requests<R = Request> {
    slots: Slab<(u32, R)>,
    generation: u32,
}

impl<R> Requests<R> {
    /// Keep a request; the id for its host operations.
    pub fn insert(&mut self, request: R) -> HostId {
        self.generation = self.generation.wrapping_add(1) & GENERATION_MAX;
        let slot = self.slots.insert((self.generation, request));
        HostId(u64::from(self.generation) << 32 | slot as u64)
    }

    /// The request with this id.
    pub fn get_mut(&mut self, id: HostId) -> Option<&mut R> {
        match self.slots.get_mut(slot_of(id)) {
            Some((generation, request)) if *generation == generation_of(id) => Some(request),
            _ => None,
        }
    }

    /// Look at the request with this id.
    pub fn get(&self, id: HostId) -> Option<&R> {
        let (generation, request) = self.slots.get(slot_of(id))?;
        (*generation == generation_of(id)).then_some(request)
    }

    /// Take the request with this id out.
    pub fn remove(&mut self, id: HostId) -> Option<R> {
        self.get_mut(id)?;
        self.slots
            .try_remove(slot_of(id))
            .map(|(_, request)| request)
    }

    /// The ids of all requests that `wanted` picks.
    pub fn ids(&self, wanted: impl Fn(&R) -> bool) -> Vec<HostId> {
        let id_of =
            |slot: usize, generation: u32| HostId(u64::from(generation) << 32 | slot as u64);
        self.slots
            .iter()
            .filter(|(_, (_, r))| wanted(r))
            .map(|(slot, (generation, _))| id_of(slot, *generation))
            .collect()
    }
}

impl<R> Default for Requests<R> {
    fn default() -> Self {
        Self {
            slots: Slab::new(),
            generation: 0,
        }
    }
}

fn slot_of(id: HostId) -> usize {
    (id.0 & 0xffff_ffff) as usize
}

fn generation_of(id: HostId) -> u32 {
    (id.0 >> 32) as u32
}

/// A logical unit's answer in iSCSI's terms.
#[must_use]
pub fn scsi_response(response: Response, unit: &LogicalUnit) -> ScsiResponse {
    ScsiResponse {
        status: response.status as u8,
        sense: response
            .sense
            .map(|sense| {
                if unit.descriptor_sense() {
                    sense.to_descriptor().into()
                } else {
                    Bytes::copy_from_slice(&sense.to_fixed())
                }
            })
            .unwrap_or_default(),
        data_in: response.data,
        transfer_len: response.asked_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_whose_slot_was_reused_finds_nothing() {
        let mut requests = Requests::<&str>::default();
        let old = requests.insert("x");
        assert!(requests.remove(old).is_some());
        let new = requests.insert("x");
        assert_eq!(slot_of(old), slot_of(new));
        assert!(requests.remove(old).is_none());
        assert_eq!(requests.ids(|_| true), [new]);
    }
}
