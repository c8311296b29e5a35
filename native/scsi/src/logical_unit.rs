//! One logical unit as the initiators of one node see it.

use bytes::Bytes;

use crate::alua::{AccessState, PeerGroup};
use crate::response::{Response, Step};
use crate::sense::Sense;

/// Bytes of a logical block.
pub const BLOCK_BYTES: u64 = 512;
/// Bytes of the longest read or write (block limits VPD page, MAXIMUM TRANSFER LENGTH).
pub const MAX_TRANSFER_BYTES: u64 = 8 << 20;

/// Names one I_T nexus (SAM-5 §4.4); the caller gives each session a new one.
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
#[error("a VDisk of {size_bytes} bytes has no room for a block of {BLOCK_BYTES} bytes")]
pub struct SizeTooSmall {
    /// The size that was refused.
    pub size_bytes: u64,
}

/// One VDisk's logical unit (LUN 0 of its target). Pure: no I/O, no clock.
#[derive(Debug)]
pub struct LogicalUnit {
    identity: Identity,
    blocks: u64,
    group_tag: u16,
    access_state: AccessState,
    peer_group: Option<PeerGroup>,
}

impl LogicalUnit {
    /// Make a logical unit. `size_bytes` may be any number; what does not fill a block is not offered.
    ///
    /// # Errors
    /// [`SizeTooSmall`] when no block fits.
    pub fn new(
        identity: Identity,
        size_bytes: u64,
        group_tag: u16,
        access_state: AccessState,
    ) -> Result<Self, SizeTooSmall> {
        let blocks = blocks_of(size_bytes)?;
        Ok(Self {
            identity,
            blocks,
            group_tag,
            access_state,
            peer_group: None,
        })
    }

    /// Carry a command out as far as it can be without I/O. `lun` is the 8 byte LUN field, big endian.
    pub fn execute(
        &mut self,
        nexus: NexusId,
        cdb: &[u8; 16],
        lun: u64,
        data_out: &[Bytes],
    ) -> Step {
        let _ = (nexus, cdb, lun, data_out, &self.identity);
        Step::Done(Response::check(Sense::INVALID_OPCODE))
    }

    /// A session began: its first command that is not exempt gets POWER ON, RESET, OR BUS DEVICE RESET OCCURRED.
    pub fn open_nexus(&mut self, nexus: NexusId) {
        let _ = nexus;
    }

    /// A session ended: forget what was pending for it.
    pub fn close_nexus(&mut self, nexus: NexusId) {
        let _ = nexus;
    }

    /// LOGICAL UNIT RESET was done: every nexus but `by` hears of it.
    pub fn reset(&mut self, by: NexusId) {
        let _ = by;
    }

    /// The state now; commands that wait for I/O are answered by the caller.
    #[must_use]
    pub fn access_state(&self) -> AccessState {
        self.access_state
    }

    /// Change the access state; every nexus hears of it if it is another one.
    pub fn set_access_state(&mut self, state: AccessState) {
        self.access_state = state;
    }

    /// Change the tag of this node's target port group (mirroring was configured).
    pub fn set_group_tag(&mut self, group_tag: u16) {
        self.group_tag = group_tag;
    }

    /// Tell of the peer's target port group, for REPORT TARGET PORT GROUPS; `None` when there is no mirror.
    pub fn set_peer_group(&mut self, peer_group: Option<PeerGroup>) {
        self.peer_group = peer_group;
    }

    /// Blocks of [`BLOCK_BYTES`] that are offered.
    #[must_use]
    pub fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Change the size; every nexus gets CAPACITY DATA HAS CHANGED if the number of blocks is another one.
    ///
    /// # Errors
    /// [`SizeTooSmall`] when no block fits; nothing is changed then.
    pub fn set_size_bytes(&mut self, size_bytes: u64) -> Result<(), SizeTooSmall> {
        self.blocks = blocks_of(size_bytes)?;
        Ok(())
    }
}

fn blocks_of(size_bytes: u64) -> Result<u64, SizeTooSmall> {
    match size_bytes / BLOCK_BYTES {
        0 => Err(SizeTooSmall { size_bytes }),
        blocks => Ok(blocks),
    }
}
