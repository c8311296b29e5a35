//! The files of a VDisk copy: thin segments that hold its content, and the facts that it durably knows about itself.
//!
//! Rules
//! 1. One directory per copy; one opener at a time. docs/formats has the byte tables.
//! 2. What is acknowledged as durable survives a crash at any moment; a crash in between leaves the old or the new state.
//! 3. After a failed sync nothing is known about what the kernel still holds: the copy has failed, for good.

mod bitmap_page;
mod copy_files;
#[cfg(test)]
mod crash_tests;
mod error;
#[cfg(test)]
mod every_crash_tests;
mod health;
#[cfg(test)]
mod memory;
mod metadata;
mod real_files;
mod record;
mod relabel;
mod segments;
mod shared;
mod slot;
mod storage;
#[cfg(test)]
mod tests;

pub use copy_files::{BitmapChange, CopyFiles, OpenWarning, Opened};
pub use error::{RecordProblem, SlotProblem, StoreError};
pub use record::{
    ACTIVE_MAX, CHUNK_BYTES, CopyRecord, EXTENT_BYTES, LINEAGE_MAX, Role, extent_count,
    valid_chunks,
};
pub use shared::SHARED_MAX_BYTES;
