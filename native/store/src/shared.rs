//! The shared record on the disk: bytes that both copies of a VDisk hold besides the data (docs/formats/shared-record.md).
//!
//! Rules
//! 1. Two slots; the one in force is never written to. So a crash leaves the old bytes or the new ones.
//! 2. The file is made with the first record; before that the record is empty.

use std::io::IoSlice;
use std::sync::Arc;

use crate::error::{SlotProblem, StoreError};
use crate::storage::{Directory, File, failed, read_or_zero, write_all};

/// File of the shared record.
pub(crate) const SHARED: &str = "shared";
/// Bytes from one slot to the next.
const SLOT_BYTES: usize = 128 << 10;
const HEADER_BYTES: usize = 32;
/// Most bytes that a record may hold.
pub const SHARED_MAX_BYTES: usize = SLOT_BYTES - HEADER_BYTES;
const MAGIC: [u8; 8] = *b"TWDKSHRD";
const VERSION: u32 = 1;

/// The record's file and what it holds for sure.
#[derive(Debug)]
pub(crate) struct SharedFile {
    directory: Arc<dyn Directory>,
    file: Option<Arc<dyn File>>,
    sequence: u64,
    bytes: Vec<u8>,
}

/// What a slot turned out to be.
enum Slot {
    Empty,
    Sound(u64, Vec<u8>),
    Corrupt(SlotProblem),
}

impl SharedFile {
    /// Open it; a file that is not there is an empty record.
    pub(crate) fn open(directory: Arc<dyn Directory>) -> Result<Self, StoreError> {
        let file = directory
            .open(SHARED, false)
            .map_err(failed("open", SHARED))?;
        let (mut sequence, mut bytes) = (0, Vec::new());
        if let Some(file) = &file {
            let slots = [read_slot(&**file, 0)?, read_slot(&**file, 1)?];
            if let [Slot::Corrupt(first), Slot::Corrupt(second)] = slots {
                return Err(StoreError::BothSlotsCorrupt { first, second });
            }
            for slot in slots {
                if let Slot::Sound(found, content) = slot
                    && found > sequence
                {
                    (sequence, bytes) = (found, content);
                }
            }
            // What a killed process wrote and did not sync is what is read now: durable before anybody relies on it.
            file.sync().map_err(failed("sync", SHARED))?;
            directory.sync().map_err(failed("sync", "."))?;
        }
        Ok(Self {
            directory,
            file,
            sequence,
            bytes,
        })
    }

    /// What is recorded.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Make other bytes durable; at most [`SHARED_MAX_BYTES`].
    pub(crate) fn store(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if bytes == self.bytes {
            return Ok(());
        }
        assert!(
            bytes.len() <= SHARED_MAX_BYTES,
            "the mirror bounds the record"
        );
        let is_new = self.file.is_none();
        let file = self.opened()?;
        if is_new {
            let both = 2 * SLOT_BYTES as u64;
            file.reserve(both).map_err(failed("reserve", SHARED))?;
        }
        let sequence = self.sequence + 1;
        let slot = encode(sequence, bytes);
        let offset = (sequence % 2) * SLOT_BYTES as u64;
        write_all(&*file, &[IoSlice::new(&slot)], offset).map_err(failed("write", SHARED))?;
        file.sync().map_err(failed("sync", SHARED))?;
        if is_new {
            self.directory.sync().map_err(failed("sync", "."))?;
        }
        self.file = Some(file);
        self.sequence = sequence;
        self.bytes = bytes.to_vec();
        Ok(())
    }

    fn opened(&self) -> Result<Arc<dyn File>, StoreError> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = self
            .directory
            .open(SHARED, true)
            .map_err(failed("open", SHARED))?;
        file.ok_or_else(|| failed("open", SHARED)(std::io::ErrorKind::NotFound.into()))
    }
}

fn encode(sequence: u64, bytes: &[u8]) -> Vec<u8> {
    let mut slot = Vec::with_capacity(HEADER_BYTES + bytes.len());
    slot.extend(MAGIC);
    slot.extend(VERSION.to_le_bytes());
    slot.extend((bytes.len() as u32).to_le_bytes());
    slot.extend(sequence.to_le_bytes());
    slot.extend([0; 8]);
    slot.extend(bytes);
    let checksum = crc32c::crc32c(&slot);
    slot[24..28].copy_from_slice(&checksum.to_le_bytes());
    slot
}

fn read_slot(file: &dyn File, index: u64) -> Result<Slot, StoreError> {
    let mut slot = vec![0; SLOT_BYTES];
    read_or_zero(file, &mut slot, index * SLOT_BYTES as u64).map_err(failed("read", SHARED))?;
    decode(slot, index)
}

fn decode(mut slot: Vec<u8>, index: u64) -> Result<Slot, StoreError> {
    if slot[..HEADER_BYTES].iter().all(|byte| *byte == 0) {
        return Ok(Slot::Empty);
    }
    if slot[..8] != MAGIC {
        return Ok(Slot::Corrupt(SlotProblem::Magic));
    }
    let word = |at: usize| u32::from_le_bytes([slot[at], slot[at + 1], slot[at + 2], slot[at + 3]]);
    let (version, length, checksum) = (word(8), word(12) as usize, word(24));
    let sequence = u64::from(word(16)) | u64::from(word(20)) << 32;
    if length > SHARED_MAX_BYTES {
        return Ok(Slot::Corrupt(SlotProblem::Length));
    }
    slot.truncate(HEADER_BYTES + length);
    slot[24..28].fill(0);
    if crc32c::crc32c(&slot) != checksum {
        return Ok(Slot::Corrupt(SlotProblem::Checksum));
    }
    if version != VERSION {
        return Err(StoreError::UnknownVersion {
            found: version,
            known: VERSION,
        });
    }
    if sequence == 0 || sequence % 2 != index {
        return Ok(Slot::Corrupt(SlotProblem::Field));
    }
    Ok(Slot::Sound(sequence, slot.split_off(HEADER_BYTES)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDirectory;

    fn opened(directory: &MemoryDirectory) -> SharedFile {
        SharedFile::open(Arc::new(directory.clone())).expect("the record is sound")
    }

    #[test]
    fn what_is_stored_comes_back_and_an_unmade_record_is_empty() {
        let directory = MemoryDirectory::default();
        assert_eq!(opened(&directory).bytes(), b"");
        for bytes in [&b"one"[..], b"two", b"", &[7; SHARED_MAX_BYTES]] {
            opened(&directory).store(bytes).unwrap();
            assert_eq!(opened(&directory).bytes(), bytes);
        }
    }

    fn store_all(directory: &MemoryDirectory) -> u64 {
        let mut file = opened(directory);
        let stored = |number: u64| {
            file.store(&vec![number as u8; 2000 * number as usize])
                .is_ok()
        };
        (1..5).map(stored).take_while(|done| *done).count() as u64
    }

    #[test]
    fn a_crash_leaves_the_old_record_or_the_new_one() {
        let whole = MemoryDirectory::default();
        assert_eq!(store_all(&whole), 4);
        for cut in 0..=whole.operations() {
            for seed in 0..10 {
                let directory = MemoryDirectory::default();
                directory.cut_at(cut);
                let done = store_all(&directory);
                let found = opened(&directory.after_crash(seed)).bytes().len() as u64 / 2000;
                assert!(
                    found == done || found == done + 1,
                    "cut {cut}: {found} after {done}"
                );
            }
        }
    }

    #[test]
    fn a_flipped_bit_loses_one_slot_and_never_both() {
        let old = encode(1, b"old");
        for bit in 0..old.len() * 8 {
            let mut slot = old.clone();
            slot[bit / 8] ^= 1 << (bit % 8);
            slot.resize(SLOT_BYTES, 0);
            assert!(
                matches!(decode(slot, 1), Ok(Slot::Corrupt(_))),
                "bit {bit} is not noticed"
            );
        }
    }
}
