//! The durable facts of one copy (docs/formats/copy-metadata.md) and the geometry that they count in.

/// Bytes of an extent, the unit of the activity log.
pub const EXTENT_BYTES: u64 = 4 << 20;
/// Bytes of a chunk, the unit of the dirty bitmap. One bitmap word of 64 chunks covers one extent.
pub const CHUNK_BYTES: u64 = 64 << 10;
/// Most extents that the activity log holds.
pub const ACTIVE_MAX: usize = 2048;
/// Most generations that a lineage holds.
pub const LINEAGE_MAX: usize = 4;

/// Role that the copy had last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Orders the writes.
    Master,
    /// Follows.
    Slave,
}

/// Everything that a copy durably knows about itself, but for its dirty bitmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyRecord {
    /// The VDisk's serial and NAA identifier; never changes.
    pub serial: [u8; 16],
    /// The VDisk's size; any number but 0, never shrinks.
    pub size_bytes: u64,
    /// Id of the present generation; 0: blank, holds nothing yet.
    pub current: u64,
    /// What `current` was when this copy went on alone; 0: in sync.
    pub base: u64,
    /// Generations passed through since `base`, oldest first, at most [`LINEAGE_MAX`], none of them 0.
    pub lineage: Vec<u64>,
    /// Epoch of the last attach.
    pub epoch: u64,
    /// Role that the copy had last.
    pub role: Role,
    /// The copy is in the middle of a resync towards it: its content is of no one time.
    pub inconsistent: bool,
    /// The end of a resync was offered to the peer: it may have become current again.
    pub ending: bool,
    /// Activity log: extents that may differ between the copies after a crash, at most [`ACTIVE_MAX`], in any order.
    pub active: Vec<u64>,
}

/// Extents that a copy of `size_bytes` has; the last may be short.
#[must_use]
pub fn extent_count(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(EXTENT_BYTES)
}

/// Bits of an extent's bitmap word that stand for chunks inside the copy; bit 0 is the first chunk.
#[must_use]
pub fn valid_chunks(extent: u64, size_bytes: u64) -> u64 {
    let Some(start) = extent
        .checked_mul(EXTENT_BYTES)
        .filter(|start| *start < size_bytes)
    else {
        return 0;
    };
    let chunks = (size_bytes - start).min(EXTENT_BYTES).div_ceil(CHUNK_BYTES);
    u64::MAX >> (64 - chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_extent_of_an_odd_size_has_only_its_own_chunks() {
        let size_bytes = EXTENT_BYTES + CHUNK_BYTES + 1;
        assert_eq!(extent_count(size_bytes), 2);
        assert_eq!(valid_chunks(0, size_bytes), u64::MAX);
        assert_eq!(valid_chunks(1, size_bytes), 0b11);
        assert_eq!(valid_chunks(2, size_bytes), 0);
        assert_eq!(valid_chunks(u64::MAX, size_bytes), 0);
    }
}
