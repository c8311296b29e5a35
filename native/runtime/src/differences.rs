//! What Python needs in order to say where two copies that parted differ: which chunks may, and hashes of chunks.
//!
//! Rules:
//!
//! * Nothing here changes a copy, takes a lock or holds up the engine: bytes are read in the caller's thread, as they are.
//! * A chunk that initiators change meanwhile has the hash of a moment in between.

use bytes::Bytes;
use twindisk_mirror::{CHUNK_BYTES, Payload};

use crate::control::{refused, store_error};
use crate::engine::Engine;
use crate::error::Result;
use crate::handle::{Handle, invalid};

/// Most chunks whose hashes are told at a time: whoever closes the copy waits for them.
pub const HASHES_MAX: usize = 1024;

impl Engine {
    /// In which chunks a copy may differ from its peer's: the first `limit` words (extent, its 64 chunk bits) from an extent on.
    ///
    /// # Errors
    /// `NotFound`; `Refused`: the copy mirrors.
    pub fn suspects(&self, name: &str, extent: u64, limit: usize) -> Result<Vec<(u64, u64)>> {
        let vdisk = &self.core.vdisks[self.vdisk_place(name)?];
        let unknown = || invalid("unknown copy").about_vdisk(name);
        (self.core.node.copy(vdisk.serial))
            .ok_or_else(unknown)?
            .suspects_from(extent, limit)
            .map_err(|error| refused(error, name))
    }
}

impl Handle {
    /// BLAKE3 hashes of chunks of an open copy, in the order in which they are named; the last chunk of a VDisk may be short.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`: more than [`HASHES_MAX`], or outside the VDisk; `Io`.
    pub fn chunk_hashes(&self, name: &str, chunks: &[u64]) -> Result<Vec<[u8; 32]>> {
        if chunks.len() > HASHES_MAX {
            return Err(invalid("too many chunks at a time").about_vdisk(name));
        }
        let owned = name.to_owned();
        let files = self.call(move |engine| {
            let place = engine.vdisk_place(&owned)?;
            Ok(std::sync::Arc::clone(&engine.core.vdisks[place].files))
        })??;
        let size_bytes = files.size_bytes();
        let hash = |chunk: &u64| {
            let offset = chunk.checked_mul(CHUNK_BYTES);
            let offset = offset.filter(|offset| *offset < size_bytes);
            let offset = offset.ok_or_else(|| invalid("the chunk lies outside the VDisk"))?;
            let len_bytes = CHUNK_BYTES.min(size_bytes - offset) as usize;
            let bytes = files
                .read(offset, len_bytes)
                .map_err(|error| store_error(&error))?;
            Ok(Payload::from(Bytes::from(bytes)).hash())
        };
        let hashes: Result<Vec<_>> = chunks.iter().map(hash).collect();
        hashes.map_err(|error| error.about_vdisk(name))
    }
}
