//! Bytes of one metadata slot (docs/formats/copy-metadata.md), without I/O.

use crate::error::{SlotProblem, StoreError};
use crate::record::{ACTIVE_MAX, CopyRecord, LINEAGE_MAX, Role};

/// Bytes from one slot to the next.
pub(crate) const SLOT_BYTES: usize = 32 << 10;
/// Slots in the file.
pub(crate) const SLOTS: usize = 2;
/// Version that this program writes and knows.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"TWDKMETA";
const HEADER_BYTES: usize = 128;
const WRITE_BYTES: usize = 4096;

const MASTER: u32 = 1;
const INCONSISTENT: u32 = 1 << 1;
const ENDING: u32 = 1 << 2;
const FLAGS: u32 = MASTER | INCONSISTENT | ENDING;

/// A slot's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Counts the records of this copy.
    pub(crate) sequence: u64,
    /// The record.
    pub(crate) record: CopyRecord,
}

/// Slot that a sequence number belongs to.
pub(crate) fn slot_of(sequence: u64) -> usize {
    usize::from(sequence % SLOTS as u64 == 1)
}

/// Bytes to be written at the slot's start. The record must have passed its checks (activity log and lineage have room).
pub(crate) fn encode(slot: &Slot) -> Vec<u8> {
    let record = &slot.record;
    let length = HEADER_BYTES + 8 * record.active.len();
    let mut bytes = Vec::with_capacity(length.next_multiple_of(WRITE_BYTES));
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&(length as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&flags(record).to_le_bytes());
    bytes.extend_from_slice(&slot.sequence.to_le_bytes());
    bytes.extend_from_slice(&record.serial);
    for number in [record.size_bytes, record.current, record.base, record.epoch] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for index in 0..LINEAGE_MAX {
        bytes.extend_from_slice(
            &record
                .lineage
                .get(index)
                .copied()
                .unwrap_or(0)
                .to_le_bytes(),
        );
    }
    bytes.extend_from_slice(&(record.active.len() as u32).to_le_bytes());
    bytes.resize(HEADER_BYTES, 0);
    for extent in &record.active {
        bytes.extend_from_slice(&extent.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&bytes);
    bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
    bytes.resize(length.next_multiple_of(WRITE_BYTES), 0);
    bytes
}

fn flags(record: &CopyRecord) -> u32 {
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    bit(record.role == Role::Master, MASTER)
        | bit(record.inconsistent, INCONSISTENT)
        | bit(record.ending, ENDING)
}

/// What a slot's bytes turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// A record.
    Sound(Slot),
    /// Sound, but of a version that is not known.
    UnknownVersion(u32),
    /// Unusable.
    Corrupt(SlotProblem),
}

/// Read slot number `index` from its bytes (fewer than [`SLOT_BYTES`] if the file is short).
pub(crate) fn decode(bytes: &[u8], index: usize) -> Decoded {
    let length = match checked_length(bytes) {
        Ok(length) => length,
        Err(problem) => return Decoded::Corrupt(problem),
    };
    let version = u32_at(bytes, 8);
    if version != VERSION {
        return Decoded::UnknownVersion(version);
    }
    match fields(&bytes[..length], index) {
        Some(slot) => Decoded::Sound(slot),
        None => Decoded::Corrupt(SlotProblem::Field),
    }
}

/// Choose between both slots: the sound one with the higher sequence number, and what is wrong with the other.
pub(crate) fn choose(
    first: Decoded,
    second: Decoded,
) -> Result<(Slot, Option<(usize, SlotProblem)>), StoreError> {
    match (first, second) {
        (Decoded::UnknownVersion(found), _) | (_, Decoded::UnknownVersion(found)) => {
            Err(StoreError::UnknownVersion {
                found,
                known: VERSION,
            })
        }
        (Decoded::Sound(first), Decoded::Sound(second)) => Ok((
            if first.sequence > second.sequence {
                first
            } else {
                second
            },
            None,
        )),
        (Decoded::Sound(slot), Decoded::Corrupt(problem)) => Ok((slot, Some((1, problem)))),
        (Decoded::Corrupt(problem), Decoded::Sound(slot)) => Ok((slot, Some((0, problem)))),
        (Decoded::Corrupt(first), Decoded::Corrupt(second)) => {
            Err(StoreError::BothSlotsCorrupt { first, second })
        }
    }
}

fn checked_length(bytes: &[u8]) -> Result<usize, SlotProblem> {
    if bytes.len() < HEADER_BYTES {
        return Err(SlotProblem::Short);
    }
    if bytes[..8] != MAGIC {
        return Err(SlotProblem::Magic);
    }
    let length = u32_at(bytes, 12) as usize;
    if !(HEADER_BYTES..=SLOT_BYTES).contains(&length) {
        return Err(SlotProblem::Length);
    }
    if bytes.len() < length {
        return Err(SlotProblem::Short);
    }
    let checksum = crc32c::crc32c(&bytes[..16]);
    let checksum = crc32c::crc32c_append(checksum, &[0; 4]);
    let checksum = crc32c::crc32c_append(checksum, &bytes[20..length]);
    if checksum == u32_at(bytes, 16) {
        Ok(length)
    } else {
        Err(SlotProblem::Checksum)
    }
}

fn fields(bytes: &[u8], index: usize) -> Option<Slot> {
    let flags = u32_at(bytes, 20);
    let sequence = u64_at(bytes, 24);
    let size_bytes = u64_at(bytes, 48);
    let count = u32_at(bytes, 112) as usize;
    if flags & !FLAGS != 0
        || slot_of(sequence) != index
        || sequence == 0
        || size_bytes == 0
        || count > ACTIVE_MAX
    {
        return None;
    }
    if bytes.len() != HEADER_BYTES + 8 * count {
        return None;
    }
    let mut serial = [0; 16];
    serial.copy_from_slice(&bytes[32..48]);
    Some(Slot {
        sequence,
        record: CopyRecord {
            serial,
            size_bytes,
            current: u64_at(bytes, 56),
            base: u64_at(bytes, 64),
            epoch: u64_at(bytes, 72),
            lineage: (0..LINEAGE_MAX)
                .map(|past| u64_at(bytes, 80 + 8 * past))
                .take_while(|id| *id != 0)
                .collect(),
            role: if flags & MASTER != 0 {
                Role::Master
            } else {
                Role::Slave
            },
            inconsistent: flags & INCONSISTENT != 0,
            ending: flags & ENDING != 0,
            active: (0..count)
                .map(|entry| u64_at(bytes, HEADER_BYTES + 8 * entry))
                .collect(),
        },
    })
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(
        bytes[offset..offset + 4]
            .try_into()
            .expect("the slice is 4 bytes long"),
    )
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(
        bytes[offset..offset + 8]
            .try_into()
            .expect("the slice is 8 bytes long"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record() -> CopyRecord {
        CopyRecord {
            serial: *b"\x6eserial-of-16-by",
            size_bytes: 10_000_000_001,
            current: 3,
            base: 2,
            lineage: vec![7, 8],
            epoch: 12,
            role: Role::Master,
            inconsistent: false,
            ending: true,
            active: vec![5, 0, 2000],
        }
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        for count in [0, 1, 496, 497, ACTIVE_MAX] {
            let slot = Slot {
                sequence: 4,
                record: CopyRecord {
                    active: (0..count as u64).collect(),
                    ..record()
                },
            };
            let bytes = encode(&slot);
            assert!(bytes.len() <= SLOT_BYTES && bytes.len().is_multiple_of(WRITE_BYTES));
            assert_eq!(decode(&bytes, 0), Decoded::Sound(slot));
        }
    }

    #[test]
    fn the_bytes_are_those_of_version_1() {
        let bytes = encode(&Slot {
            sequence: 4,
            record: record(),
        });
        assert_eq!(bytes[..16], *b"TWDKMETA\x01\0\0\0\x98\0\0\0");
        assert_eq!(bytes[16..24], [0x69, 0x6e, 0x35, 0xb3, 0x05, 0, 0, 0]);
        assert_eq!(
            bytes[80..104],
            [
                7, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
            ]
        );
        assert_eq!(bytes[112..116], [3, 0, 0, 0]);
        assert_eq!(bytes[144..152], 2000_u64.to_le_bytes());
    }

    #[test]
    fn a_slot_in_the_other_place_is_corrupt() {
        let bytes = encode(&Slot {
            sequence: 4,
            record: record(),
        });
        assert_eq!(decode(&bytes, 1), Decoded::Corrupt(SlotProblem::Field));
    }

    #[test]
    fn each_fault_has_its_name() {
        let sound = encode(&Slot {
            sequence: 4,
            record: record(),
        });
        let with = |offset: usize, byte: u8| {
            let mut bytes = sound.clone();
            bytes[offset] = byte;
            decode(&bytes, 0)
        };
        assert_eq!(
            decode(&[0; SLOT_BYTES], 0),
            Decoded::Corrupt(SlotProblem::Magic)
        );
        assert_eq!(
            decode(&sound[..100], 0),
            Decoded::Corrupt(SlotProblem::Short)
        );
        assert_eq!(
            decode(&sound[..130], 0),
            Decoded::Corrupt(SlotProblem::Short)
        );
        assert_eq!(with(15, 1), Decoded::Corrupt(SlotProblem::Length));
        assert_eq!(with(140, 0xff), Decoded::Corrupt(SlotProblem::Checksum));
    }

    #[test]
    fn a_newer_version_is_refused_even_beside_a_sound_slot() {
        let mut bytes = encode(&Slot {
            sequence: 4,
            record: record(),
        });
        bytes[8] = 2;
        bytes[16..20].fill(0);
        let checksum = crc32c::crc32c(&bytes[..HEADER_BYTES + 24]);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        let newer = decode(&bytes, 0);
        assert_eq!(newer, Decoded::UnknownVersion(2));
        let older = Decoded::Sound(Slot {
            sequence: 3,
            record: record(),
        });
        assert!(matches!(
            choose(newer, older),
            Err(StoreError::UnknownVersion { found: 2, known: 1 })
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400), index in 0..2_usize) {
            decode(&bytes, index);
        }

        #[test]
        fn one_flipped_bit_never_passes(bit in 0..(HEADER_BYTES + 24) * 8) {
            let mut bytes = encode(&Slot { sequence: 4, record: record() });
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(matches!(decode(&bytes, 0), Decoded::Corrupt(_)));
        }
    }
}
