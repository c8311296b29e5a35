//! The SCSI block device that a VDisk is (SPC-4, SBC-3), without I/O: CDBs come in, answers or requests for I/O go out.
//!
//! Rules
//! 1. [`LogicalUnit::execute`] either finishes a command or hands out one [`IoRequest`] that has been checked in full:
//!    inside the disk, within the limits that the block limits VPD page reports, with all of its data.
//! 2. A refused command has changed nothing.
//! 3. No input makes it panic.
//!
//! docs/protocols/scsi.md has the tables of commands, pages and limits.

mod alua;
mod bounds;
mod capacity;
mod cdb;
mod command_table;
mod compare_and_write;
mod inquiry;
mod lba_status;
mod limits;
mod log;
mod logical_unit;
mod medium;
mod mode;
mod opcodes;
mod read_write;
mod reservations;
mod reserve_release;
mod resets;
mod response;
mod sanitize;
mod sense;
mod shared_state;
#[cfg(test)]
mod tests;
mod third_party;
mod unit_attention;
mod unit_state;
mod unmap;
mod upkeep;
mod verify;
mod vpd;
mod write_protect;
mod write_same;

pub use alua::{AccessState, PeerGroup};
pub use bounds::is_within_bounds;
pub use lba_status::LbaStatus;
pub use limits::{BlockSize, MAX_TRANSFER_BYTES};
pub use logical_unit::{Identity, LogicalUnit, NexusId, SizeTooSmall};
pub use reservations::{InitiatorPort, Kind, Nexus};
pub use reserve_release::Holder;
pub use resets::UnitFunction;
pub use response::{Compare, IoRequest, Response, StateChange, Status, Step};
pub use sanitize::{Method, Operation, SanitizeStep, is_sanitize};
pub use sense::{FieldPointer, Sense, SenseKey};
pub use shared_state::InForce;
pub use third_party::{
    COPIES_MAX, CopyList, CopyName, CopyProgress, CopyRange, CopyTarget, Designator, LIFETIME_S,
    Offload, Populate, RANGES_MAX, TOKEN_BYTES, TOKEN_KEY_BYTES, TokenRange, TokenSource,
    TokenWrite,
};
pub use unit_state::{StateError, UnitState};
pub use upkeep::Upkeep;
