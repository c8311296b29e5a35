//! Third-party copies (SPC-4 §5.16): the initiator says what is to be copied, and no data travel to it.
//!
//! Rules
//! 1. A parameter list is checked in full before anything is copied; only what it names by designators is looked up by the caller.
//! 2. What became of a copy is kept for the I_T nexus that asked for it, by list identifier, until the nexus asks for another copy
//!    by that name or ends.

mod block_ranges;
mod list;
mod offload;
mod page;
mod results;
mod states;
#[cfg(test)]
mod tests;
mod token;
mod token_information;
#[cfg(test)]
mod token_tests;

use bytes::Bytes;
use states::{Outcome, Start};

use crate::logical_unit::{LogicalUnit, NexusId};
use crate::reservations::{InitiatorPort, Nexus, forbids};
use crate::response::{Response, Status};
use crate::sense::Sense;
use crate::vpd;

pub(crate) use list::extended_copy;
pub use list::{CopyList, CopyRange, CopyTarget, Designator};
pub(crate) use offload::offload;
pub use offload::{Offload, Populate, TokenRange, TokenSource, TokenWrite};
pub(crate) use page::page;
pub(crate) use results::receive_copy_results;
pub(crate) use states::CopyStates;
pub use states::{CopyName, CopyProgress};
pub use token::{TOKEN_BYTES, TOKEN_KEY_BYTES};
pub(crate) use token_information::receive_token_information;

/// MAXIMUM CSCD DESCRIPTOR COUNT.
pub(crate) const TARGETS_MAX: usize = 16;
/// MAXIMUM SEGMENT DESCRIPTOR COUNT.
pub(crate) const SEGMENTS_MAX: usize = 64;
/// MAXIMUM SEGMENT LENGTH in bytes.
pub(crate) const SEGMENT_MAX_BYTES: u64 = 256 << 20;
/// Steps in which a range may be copied over a part of itself: the closer the two, the more.
pub(crate) const STEPS_MAX: u64 = 4096;
/// Bytes of the header of a parameter list.
pub(crate) const HEADER_BYTES: usize = 16;
/// Bytes of an identification CSCD descriptor.
pub(crate) const TARGET_BYTES: usize = 32;
/// MAXIMUM DESCRIPTOR LIST LENGTH.
pub(crate) const DESCRIPTORS_MAX_BYTES: usize =
    TARGETS_MAX * TARGET_BYTES + SEGMENTS_MAX * WITH_OFFSETS_BYTES;
/// Copies that a logical unit is asked for at the same time.
pub const COPIES_MAX: usize = 64;

/// Identification descriptor CSCD descriptor.
pub(crate) const IDENTIFICATION: u8 = 0xe4;
/// Segment descriptor: block device to block device.
pub(crate) const BLOCKS: u8 = 0x02;
/// Segment descriptor: block device to block device with offsets in bytes.
pub(crate) const WITH_OFFSETS: u8 = 0x0a;
/// Their lengths in bytes.
pub(crate) const BLOCKS_BYTES: usize = 28;
pub(crate) const WITH_OFFSETS_BYTES: usize = 32;

/// RECEIVE COPY STATUS (LID1) and its kin.
pub(crate) const STATUS: u8 = 0x00;
pub(crate) const DATA: u8 = 0x01;
pub(crate) const OPERATING_PARAMETERS: u8 = 0x03;
pub(crate) const FAILURE_DETAILS: u8 = 0x04;
/// RECEIVE ROD TOKEN INFORMATION.
pub(crate) const RECEIVE_TOKEN_INFORMATION: u8 = 0x07;
/// Service actions of the operation code of EXTENDED COPY.
pub(crate) const POPULATE_TOKEN: u8 = 0x10;
pub(crate) const WRITE_USING_TOKEN: u8 = 0x11;
/// The operation codes.
pub(crate) const EXTENDED_COPY: u8 = 0x83;
pub(crate) const RECEIVE_COPY_RESULTS: u8 = 0x84;

/// MAXIMUM RANGE DESCRIPTORS of a command that makes or uses a token.
pub const RANGES_MAX: usize = 64;
/// MAXIMUM TOKEN TRANSFER SIZE in bytes.
pub(crate) const TOKEN_MAX_BYTES: u64 = 256 << 20;
/// OPTIMAL TRANSFER COUNT in bytes.
pub(crate) const TOKEN_OPTIMAL_BYTES: u64 = 64 << 20;
/// DEFAULT and MAXIMUM INACTIVITY TIMEOUT of a token.
pub(crate) const TIMEOUT_DEFAULT_S: u32 = 60;
pub(crate) const TIMEOUT_MAX_S: u32 = 900;
/// MAXIMUM TOKEN LIFETIME.
pub const LIFETIME_S: u32 = 3600;

/// What the device server of a copy asks of the logical units that take part.
impl LogicalUnit {
    /// True when a designator names this unit.
    #[must_use]
    pub fn is_named(&self, designator: &Designator) -> bool {
        vpd::is_named(self, designator)
    }

    /// Which unit it is, and its size.
    #[must_use]
    pub fn copy_target(&self) -> CopyTarget {
        CopyTarget {
            serial: self.identity().serial,
            blocks: self.blocks(),
            block_bytes: self.block().bytes(),
        }
    }

    /// A copy of this unit's begins.
    pub fn copy_began(&mut self, nexus: NexusId, list: &CopyList) {
        if let Some(identifier) = list.identifier {
            let start = Start {
                action: 0,
                background: false,
                partial: false,
                keep: list.keep,
            };
            self.copies.begin(nexus, CopyName::Short(identifier), start);
        }
    }

    /// A token is being made.
    pub fn populate_began(&mut self, nexus: NexusId, populate: &Populate) {
        let start = Start {
            action: POPULATE_TOKEN,
            background: populate.immediate,
            partial: false,
            keep: true,
        };
        let name = CopyName::Long(populate.identifier);
        self.copies.begin(nexus, name, start);
    }

    /// A token was made that stands for so many bytes; the copy has not ended yet.
    pub fn token_made(&mut self, nexus: NexusId, identifier: u32, token: Bytes, bytes: u64) {
        if let Some(state) = self.copies.get_mut(nexus, CopyName::Long(identifier)) {
            state.token = Some(token);
            state.progress.bytes = bytes;
        }
    }

    /// A write by a token begins; `partial`: it writes less than was asked for.
    pub fn token_write_began(&mut self, nexus: NexusId, write: &TokenWrite, partial: bool) {
        let start = Start {
            action: WRITE_USING_TOKEN,
            background: write.immediate,
            partial,
            keep: true,
        };
        let name = CopyName::Long(write.identifier);
        self.copies.begin(nexus, name, start);
    }

    /// It has come so far.
    pub fn copy_advanced(&mut self, nexus: NexusId, name: CopyName, progress: CopyProgress) {
        self.copies.advance(nexus, name, progress);
    }

    /// It ended with this answer.
    pub fn copy_ended(&mut self, nexus: NexusId, name: CopyName, response: &Response) {
        let outcome = match response.status {
            Status::Good => Outcome::Done,
            _ => Outcome::Failed(response.sense),
        };
        self.copies.end(nexus, name, outcome);
    }

    /// Why what a token of this unit stands for must not be read, whoever asks: it is being sanitized.
    #[must_use]
    pub fn token_barred(&self) -> Option<Sense> {
        const READ_16: u8 = 0x88;
        let mut cdb = [0; 16];
        cdb[0] = READ_16;
        let barred = self.state_unreadable || self.sanitize_bars(&cdb).is_some();
        barred.then_some(Sense::OTHER_UNIT_FAILED)
    }

    /// True when nothing may be written, by whoever.
    #[must_use]
    pub fn is_write_protected(&self) -> bool {
        self.state.modes.current.write_protect()
    }

    /// True when the state in force forbids a copy to read from this unit, or with `write` to write to it, for an initiator
    /// that sent it to another unit, also by its sessions with this one.
    #[must_use]
    pub fn forbids_copy(&self, port: &InitiatorPort, write: bool) -> bool {
        const READ_16: u8 = 0x88;
        const WRITE_16: u8 = 0x8a;
        let mut cdb = [0; 16];
        cdb[0] = if write { WRITE_16 } else { READ_16 };
        let barred = self.sanitize_bars(&cdb).is_some();
        let reserved = self.reserved_by().is_some_and(|holder| {
            // The other node's session is not known here: forbidden, whoever it is.
            let nexus = self.nexuses.name(holder.session);
            nexus.is_none_or(|nexus| nexus.initiator.name() != port.name())
        });
        if self.state_unreadable || barred || reserved || write && self.is_write_protected() {
            return true;
        }
        let own = Nexus {
            initiator: port.clone(),
            target: self.group_tag(),
        };
        let table = &self.state.reservations;
        table.reservation.is_some()
            && forbids(table, Some(&own), &cdb)
            && (self.nexuses.of_initiator(port)).all(|nexus| forbids(table, Some(nexus), &cdb))
    }
}
