//! One logical unit as the initiators of one node see it.
//!
//! Order of checks: LUN, unit attention, operation code, access state, then the command's own (docs/protocols/scsi.md).

use bytes::Bytes;

use crate::alua::{AccessState, PeerGroup};
use crate::cdb::Request;
use crate::inquiry::absent;
use crate::limits::BlockSize;
use crate::opcodes::{self, MODE_SENSE, PERSISTENT_RESERVE_IN, REQUEST_SENSE};
use crate::reservations::{InitiatorPort, Nexus, Nexuses};
use crate::response::{Response, Step};
use crate::sense::Sense;
use crate::third_party::CopyStates;
use crate::unit_attention::{Attention, UnitAttentions};
use crate::unit_state::UnitState;

/// Names one I_T nexus (SAM-5 §4.4); the caller gives each session a new one, which no session of either node ever had. Not 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NexusId(pub u64);

/// What the initiators tell a VDisk by; equal on both nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// NAA 6 identifier; the unit serial number is its 32 hex digits. The first byte's high nibble is 6.
    pub serial: [u8; 16],
    /// PRODUCT REVISION LEVEL, ASCII.
    pub revision: [u8; 4],
}

/// A size with no room for one logical block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a VDisk of {size_bytes} bytes has no room for a block of {block_bytes} bytes")]
pub struct SizeTooSmall {
    /// The size that was refused.
    pub size_bytes: u64,
    /// Bytes of a block.
    pub block_bytes: u64,
}

/// One VDisk's logical unit (LUN 0 of its target). Pure: no I/O, no clock.
#[derive(Debug)]
pub struct LogicalUnit {
    identity: Identity,
    block: BlockSize,
    /// Never 0.
    blocks: u64,
    group_tag: u16,
    access_state: AccessState,
    peer_group: Option<PeerGroup>,
    pub(crate) attentions: UnitAttentions,
    pub(crate) nexuses: Nexuses,
    /// What is in force; the last that could be read.
    pub(crate) state: UnitState,
    /// What is in force cannot be read.
    pub(crate) state_unreadable: bool,
    pub(crate) copies: CopyStates,
    /// The peer serves too.
    pub(crate) with_peer: bool,
}

impl LogicalUnit {
    /// Make a logical unit. `size_bytes` may be any number; what does not fill a block is not offered.
    ///
    /// # Errors
    /// [`SizeTooSmall`] when no block fits.
    pub fn new(
        identity: Identity,
        size_bytes: u64,
        block: BlockSize,
        group_tag: u16,
        access_state: AccessState,
    ) -> Result<Self, SizeTooSmall> {
        let blocks = blocks_of(size_bytes, block)?;
        Ok(Self {
            identity,
            block,
            blocks,
            group_tag,
            access_state,
            peer_group: None,
            attentions: UnitAttentions::default(),
            nexuses: Nexuses::default(),
            state: UnitState::default(),
            state_unreadable: false,
            copies: CopyStates::default(),
            with_peer: false,
        })
    }

    /// Carry a command out as far as it can be without I/O. `lun` is the 8 byte LUN field, big endian; `data_out` is all
    /// that the initiator sent.
    pub fn execute(
        &mut self,
        nexus: NexusId,
        cdb: &[u8; 16],
        lun: u64,
        data_out: &[Bytes],
    ) -> Step {
        self.step(nexus, cdb, lun, data_out, false)
    }

    /// Like [`Self::execute`] for a command of which it said [`Step::Settle`]: what both nodes agree on is known to be as it is
    /// here. Never says so again.
    pub fn execute_settled(
        &mut self,
        nexus: NexusId,
        cdb: &[u8; 16],
        lun: u64,
        data_out: &[Bytes],
    ) -> Step {
        self.step(nexus, cdb, lun, data_out, true)
    }

    fn step(
        &mut self,
        nexus: NexusId,
        cdb: &[u8; 16],
        lun: u64,
        data_out: &[Bytes],
        settled: bool,
    ) -> Step {
        let request = Request {
            cdb,
            data_out,
            nexus,
            pending: Sense::NONE,
        };
        let step = if is_lun_0(lun) {
            self.dispatch(nexus, request, settled)
        } else {
            absent(self, &request)
        };
        step.unwrap_or_else(|sense| Step::Done(Response::check(sense)))
    }

    fn dispatch(
        &mut self,
        nexus: NexusId,
        request: Request<'_>,
        settled: bool,
    ) -> Result<Step, Sense> {
        self.attentions.see(nexus);
        let found = opcodes::find(request.cdb);
        if !found.is_ok_and(|command| command.spares_unit_attention)
            && let Some(attention) = self.attentions.take(nexus)
        {
            return Err(attention);
        }
        let command = found?;
        if let Some(sense) = self.access_state.sense()
            && !command.answered_in(self.access_state)
        {
            return Err(sense);
        }
        let forbidden = self.forbids(nexus, request.cdb);
        let barred = self.sanitize_bars(request.cdb);
        let told = barred.is_some() || self.reports_state(command.opcode);
        if !settled && (forbidden || told) {
            return Ok(Step::Settle);
        }
        if let Some(sense) = barred {
            return Err(sense);
        }
        if forbidden {
            return Ok(Step::Done(Response::reservation_conflict()));
        }
        let pending = match command.opcode {
            REQUEST_SENSE => self
                .attentions
                .take(nexus)
                .or(self.access_state.sense())
                .or(self.state.sanitize.sense(self.offered_bytes()))
                .unwrap_or(Sense::NONE),
            _ => Sense::NONE,
        };
        let request = Request { pending, ..request };
        let step = (command.handler)(self, &request);
        self.token_told(&request, &step);
        if self.write_protects(request.cdb) && is_valid(&step) {
            return if settled {
                Err(Sense::WRITE_PROTECTED)
            } else {
                Ok(Step::Settle)
            };
        }
        step
    }

    /// True for a command that tells what both nodes agree on. A node that does not serve tells what it knows.
    fn reports_state(&self, opcode: u8) -> bool {
        opcode == PERSISTENT_RESERVE_IN
            || MODE_SENSE.contains(&opcode) && self.access_state.is_active()
    }

    /// A session began: its first command that is not exempt gets POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    pub fn open_nexus(&mut self, nexus: NexusId) {
        self.attentions.open(nexus);
    }

    /// Say who is at the other end of a session, so that it may register; it has the unit's target port at this end.
    pub fn name_nexus(&mut self, nexus: NexusId, initiator: InitiatorPort) {
        let target = self.group_tag;
        self.nexuses.open(nexus, Nexus { initiator, target });
    }

    /// A session ended: forget what was pending for it.
    pub fn close_nexus(&mut self, nexus: NexusId) {
        self.nexuses.close(nexus);
        self.attentions.close(nexus);
        self.copies.close(nexus);
    }

    /// The state now; commands that wait for I/O are answered by the caller.
    #[must_use]
    pub fn access_state(&self) -> AccessState {
        self.access_state
    }

    /// Tell of both nodes' target port groups as they are now; `peer` is `None` when there is no mirror. Every nexus hears
    /// once if either is another one than before.
    pub fn set_access(&mut self, own: AccessState, peer: Option<PeerGroup>) {
        if (self.access_state, self.peer_group) != (own, peer) {
            (self.access_state, self.peer_group) = (own, peer);
            self.attentions.raise(Attention::AccessStateChanged, None);
        }
    }

    /// The tag of this node's target port group.
    #[must_use]
    pub fn group_tag(&self) -> u16 {
        self.group_tag
    }

    /// Change the tag of this node's target port group (mirroring was configured).
    pub fn set_group_tag(&mut self, group_tag: u16) {
        self.group_tag = group_tag;
    }

    /// The peer's target port group.
    #[must_use]
    pub fn peer_group(&self) -> Option<PeerGroup> {
        self.peer_group
    }

    /// What the initiators tell the VDisk by.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The length of a block.
    #[must_use]
    pub fn block(&self) -> BlockSize {
        self.block
    }

    /// Blocks that are offered.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Change the size; every nexus gets CAPACITY DATA HAS CHANGED if the number of blocks is another one.
    ///
    /// # Errors
    /// [`SizeTooSmall`] when no block fits; nothing is changed then.
    pub fn set_size_bytes(&mut self, size_bytes: u64) -> Result<(), SizeTooSmall> {
        let blocks = blocks_of(size_bytes, self.block)?;
        if self.blocks != blocks {
            self.blocks = blocks;
            self.attentions.raise(Attention::CapacityChanged, None);
        }
        Ok(())
    }

    /// Refuse a range that is not inside the disk. An empty one may begin at its very end.
    pub(crate) fn check_range(&self, lba: u64, blocks: u64) -> Result<(), Sense> {
        match lba.checked_add(blocks) {
            Some(end) if end <= self.blocks => Ok(()),
            _ => Err(Sense::LBA_OUT_OF_RANGE),
        }
    }
}

/// True for a command that would be carried out if all of its data came.
fn is_valid(step: &Result<Step, Sense>) -> bool {
    match step {
        Ok(Step::Done(response)) => response.sense == Some(Sense::DATA_OUT_TOO_SHORT),
        Ok(_) => true,
        Err(sense) => *sense == Sense::DATA_OUT_TOO_SHORT,
    }
}

/// Peripheral device addressing with bus 0 and flat space addressing (SAM-5 §4.7.7) both name LUN 0.
fn is_lun_0(lun: u64) -> bool {
    lun == 0 || lun == 0x4000_0000_0000_0000
}

fn blocks_of(size_bytes: u64, block: BlockSize) -> Result<u64, SizeTooSmall> {
    let block_bytes = block.bytes();
    match size_bytes / block_bytes {
        0 => Err(SizeTooSmall {
            size_bytes,
            block_bytes,
        }),
        blocks => Ok(blocks),
    }
}
