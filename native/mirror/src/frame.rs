//! Frames of the mirror link (docs/formats/mirror-frame.md): a 64-byte header, then the payload.
//!
//! Rules: header and payload each carry a CRC32C; any mismatch, unknown kind or length beyond the bound ends the
//! link. All numbers are little-endian.

use bytes::{Buf, Bytes, BytesMut};

use crate::facts::{Facts, LINEAGE_MAX, Role};
use crate::ids::Serial;
use crate::message::{Body, Message, Terms};
use crate::ops::{Change, ChangeKind};
use crate::payload::Payload;
use crate::report::{Sync, ToldFacts};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 64;
/// Longest payload that is accepted.
pub const PAYLOAD_MAX_BYTES: usize = 32 << 20;
/// Most words of one `DirtyWords`, most extents of one activity log message.
pub const WORDS_MAX: usize = 32 << 10;
const MAGIC: [u8; 4] = *b"TDM1";
const VERSION: u8 = 1;

/// Why a frame was not understood; the link must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not one of our frames.
    #[error("bad magic")]
    Magic,
    /// Another protocol version.
    #[error("unknown version {0}")]
    Version(u8),
    /// Damaged header.
    #[error("header checksum mismatch")]
    HeaderChecksum,
    /// Damaged payload.
    #[error("payload checksum mismatch")]
    PayloadChecksum,
    /// Longer than the bound.
    #[error("payload of {0} bytes is too long")]
    TooLong(u32),
    /// A kind that this version does not know.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// The payload does not fit the kind.
    #[error("malformed payload of kind {0}")]
    Payload(u8),
}

/// The fields of a header that depend on the kind, and the payload.
struct Parts {
    kind: u8,
    offset: u64,
    len_bytes: u32,
    payload: Payload,
}

impl Parts {
    fn bare(kind: u8) -> Self {
        Self {
            kind,
            offset: 0,
            len_bytes: 0,
            payload: Payload::default(),
        }
    }

    fn with(kind: u8, payload: Vec<u8>) -> Self {
        Self {
            payload: Bytes::from(payload).into(),
            ..Self::bare(kind)
        }
    }

    fn change(kind: u8, change: &Change) -> Self {
        let payload = match &change.kind {
            ChangeKind::Write(payload) => payload.clone(),
            ChangeKind::Unmap => Payload::default(),
        };
        Self {
            kind,
            offset: change.offset,
            len_bytes: u32::try_from(change.len_bytes).unwrap_or(u32::MAX),
            payload,
        }
    }
}

fn words_bytes(words: &[(u64, u64)]) -> Vec<u8> {
    words
        .iter()
        .flat_map(|&(extent, bits)| [extent.to_le_bytes(), bits.to_le_bytes()].concat())
        .collect()
}

fn extents_bytes(extents: &[u64]) -> Vec<u8> {
    extents
        .iter()
        .flat_map(|extent| extent.to_le_bytes())
        .collect()
}

fn role_byte(role: Role) -> u8 {
    match role {
        Role::Master => 1,
        Role::Slave => 2,
    }
}

fn sync_byte(sync: Sync) -> u8 {
    match sync {
        Sync::None => 0,
        Sync::Source => 1,
        Sync::Target => 2,
        Sync::FullSource => 3,
        Sync::FullTarget => 4,
    }
}

fn facts_bytes(told: &ToldFacts) -> Vec<u8> {
    let facts = &told.facts;
    let mut out = Vec::with_capacity(128);
    for number in [
        facts.current,
        facts.base,
        facts.epoch,
        told.seq,
        told.active,
        told.dirty,
        told.size_bytes,
    ] {
        out.extend(number.to_le_bytes());
    }
    out.push(role_byte(facts.role));
    out.push(u8::from(facts.inconsistent) | u8::from(facts.ending) << 1);
    out.push(u8::try_from(facts.lineage.len()).expect("a lineage is short (LINEAGE_MAX)"));
    out.extend(extents_bytes(&facts.lineage));
    out
}

fn terms_bytes(terms: &Terms) -> Vec<u8> {
    let mut out = vec![role_byte(terms.role), sync_byte(terms.sync)];
    out.extend(terms.local_seq.to_le_bytes());
    out.extend(terms.remote_seq.to_le_bytes());
    out
}

fn parts(body: &Body) -> Parts {
    match body {
        Body::Facts(told) => Parts::with(1, facts_bytes(told)),
        Body::DirtyWords(words) => Parts::with(2, words_bytes(words)),
        Body::AttachReady(terms) => Parts::with(3, terms_bytes(terms)),
        Body::AttachGo(terms) => Parts::with(4, terms_bytes(terms)),
        Body::AttachRefused => Parts::bare(5),
        Body::Apply(change) => Parts::change(
            if change.kind == ChangeKind::Unmap {
                11
            } else {
                10
            },
            change,
        ),
        Body::Applied => Parts::bare(12),
        Body::Request(change) => Parts::change(
            if change.kind == ChangeKind::Unmap {
                14
            } else {
                13
            },
            change,
        ),
        Body::Granted => Parts::bare(15),
        Body::Unlock => Parts::bare(16),
        Body::Read { offset, len_bytes } => Parts {
            offset: *offset,
            len_bytes: *len_bytes,
            ..Parts::bare(17)
        },
        Body::ReadData(payload) => Parts {
            payload: payload.clone(),
            ..Parts::bare(18)
        },
        Body::Flush => Parts::bare(19),
        Body::Flushed => Parts::bare(20),
        Body::ActiveAdd(extents) => Parts::with(21, extents_bytes(extents)),
        Body::ActiveRemove(extents) => Parts::with(22, extents_bytes(extents)),
        Body::ChunkHash {
            offset,
            len_bytes,
            hash,
        } => Parts {
            offset: *offset,
            len_bytes: *len_bytes,
            ..Parts::with(30, hash.to_vec())
        },
        Body::ChunkSame => Parts::bare(31),
        Body::ChunkDiffers => Parts::bare(32),
        Body::ChunkData { offset, data } => Parts {
            offset: *offset,
            payload: data.clone(),
            ..Parts::bare(33)
        },
        Body::ChunkTaken => Parts::bare(34),
        Body::ResyncEnd { generation } => Parts {
            offset: *generation,
            ..Parts::bare(35)
        },
        Body::ResyncEnded => Parts::bare(36),
        Body::Leave => Parts::bare(40),
        Body::LeaveSeen => Parts::bare(41),
        Body::Switch { epoch } => Parts {
            offset: *epoch,
            ..Parts::bare(42)
        },
    }
}

/// Encode a message: the header, and the payload's pieces uncopied.
#[must_use]
pub fn encode(message: &Message) -> ([u8; HEADER_BYTES], Payload) {
    let parts = parts(&message.body);
    let payload_bytes = u32::try_from(parts.payload.len_bytes())
        .expect("payloads are bounded by the command sizes");
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&MAGIC);
    header[4] = VERSION;
    header[5] = parts.kind;
    header[8..12].copy_from_slice(&payload_bytes.to_le_bytes());
    header[12..16].copy_from_slice(&parts.payload.crc32c().to_le_bytes());
    header[16..32].copy_from_slice(&message.serial.0);
    header[32..40].copy_from_slice(&message.epoch.to_le_bytes());
    header[40..48].copy_from_slice(&message.id.to_le_bytes());
    header[48..56].copy_from_slice(&parts.offset.to_le_bytes());
    header[56..60].copy_from_slice(&parts.len_bytes.to_le_bytes());
    let checksum = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&checksum.to_le_bytes());
    (header, parts.payload)
}

/// Take the next whole message from what was received; `None`: more bytes are needed.
///
/// # Errors
/// [`FrameError`]; nothing of the link can be trusted after it.
pub fn decode(input: &mut BytesMut) -> Result<Option<Message>, FrameError> {
    let Some(head) = input.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    if head[..4] != MAGIC {
        return Err(FrameError::Magic);
    }
    if head[4] != VERSION {
        return Err(FrameError::Version(head[4]));
    }
    if crc32c::crc32c(&head[..60]) != u32_at(head, 60) {
        return Err(FrameError::HeaderChecksum);
    }
    let payload_bytes = u32_at(head, 8);
    if payload_bytes as usize > PAYLOAD_MAX_BYTES {
        return Err(FrameError::TooLong(payload_bytes));
    }
    let total = HEADER_BYTES + payload_bytes as usize;
    if input.len() < total {
        input.reserve(total - input.len());
        return Ok(None);
    }
    let head = *head;
    input.advance(HEADER_BYTES);
    let payload = input.split_to(payload_bytes as usize).freeze();
    if crc32c::crc32c(&payload) != u32_at(&head, 12) {
        return Err(FrameError::PayloadChecksum);
    }
    let mut serial = [0; 16];
    serial.copy_from_slice(&head[16..32]);
    Ok(Some(Message {
        serial: Serial(serial),
        epoch: u64_at(&head, 32),
        id: u64_at(&head, 40),
        body: body(head[5], u64_at(&head, 48), u32_at(&head, 56), payload)?,
    }))
}

fn u32_at(head: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

fn u64_at(head: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(u32_at(head, at)) | u64::from(u32_at(head, at + 4)) << 32
}

fn body(kind: u8, offset: u64, len_bytes: u32, payload: Bytes) -> Result<Body, FrameError> {
    let malformed = FrameError::Payload(kind);
    let bare = |body| {
        if payload.is_empty() {
            Ok(body)
        } else {
            Err(malformed)
        }
    };
    Ok(match kind {
        1 => Body::Facts(Box::new(facts(payload).ok_or(malformed)?)),
        2 => Body::DirtyWords(words(payload).ok_or(malformed)?),
        3 => Body::AttachReady(terms(payload).ok_or(malformed)?),
        4 => Body::AttachGo(terms(payload).ok_or(malformed)?),
        5 => bare(Body::AttachRefused)?,
        10 => Body::Apply(write(offset, payload).ok_or(malformed)?),
        11 => Body::Apply(unmap(offset, len_bytes).ok_or(malformed)?),
        12 => bare(Body::Applied)?,
        13 => Body::Request(write(offset, payload).ok_or(malformed)?),
        14 => Body::Request(unmap(offset, len_bytes).ok_or(malformed)?),
        15 => bare(Body::Granted)?,
        16 => bare(Body::Unlock)?,
        17 => bare(Body::Read { offset, len_bytes })?,
        18 => Body::ReadData(payload.into()),
        19 => bare(Body::Flush)?,
        20 => bare(Body::Flushed)?,
        21 => Body::ActiveAdd(extents(payload).ok_or(malformed)?),
        22 => Body::ActiveRemove(extents(payload).ok_or(malformed)?),
        30 => {
            let hash = payload.as_ref().try_into().map_err(|_| malformed)?;
            Body::ChunkHash {
                offset,
                len_bytes,
                hash,
            }
        }
        31 => bare(Body::ChunkSame)?,
        32 => bare(Body::ChunkDiffers)?,
        33 => Body::ChunkData {
            offset,
            data: payload.into(),
        },
        34 => bare(Body::ChunkTaken)?,
        35 => bare(Body::ResyncEnd { generation: offset })?,
        36 => bare(Body::ResyncEnded)?,
        40 => bare(Body::Leave)?,
        41 => bare(Body::LeaveSeen)?,
        42 => bare(Body::Switch { epoch: offset })?,
        _ => return Err(FrameError::Kind(kind)),
    })
}

fn write(offset: u64, payload: Bytes) -> Option<Change> {
    let len_bytes = payload.len() as u64;
    (len_bytes > 0).then(|| Change {
        offset,
        len_bytes,
        kind: ChangeKind::Write(payload.into()),
    })
}

fn unmap(offset: u64, len_bytes: u32) -> Option<Change> {
    (len_bytes > 0).then(|| Change {
        offset,
        len_bytes: len_bytes.into(),
        kind: ChangeKind::Unmap,
    })
}

fn words(mut payload: Bytes) -> Option<Vec<(u64, u64)>> {
    let fits = payload.len() % 16 == 0 && payload.len() / 16 <= WORDS_MAX;
    fits.then(|| {
        (0..payload.len() / 16)
            .map(|_| (payload.get_u64_le(), payload.get_u64_le()))
            .collect()
    })
}

fn extents(mut payload: Bytes) -> Option<Vec<u64>> {
    let fits = payload.len() % 8 == 0 && payload.len() / 8 <= WORDS_MAX;
    fits.then(|| {
        (0..payload.len() / 8)
            .map(|_| payload.get_u64_le())
            .collect()
    })
}

fn role(byte: u8) -> Option<Role> {
    match byte {
        1 => Some(Role::Master),
        2 => Some(Role::Slave),
        _ => None,
    }
}

fn terms(mut payload: Bytes) -> Option<Terms> {
    if payload.len() != 18 {
        return None;
    }
    let role = role(payload.get_u8())?;
    let sync = match payload.get_u8() {
        0 => Sync::None,
        1 => Sync::Source,
        2 => Sync::Target,
        3 => Sync::FullSource,
        4 => Sync::FullTarget,
        _ => return None,
    };
    Some(Terms {
        role,
        sync,
        local_seq: payload.get_u64_le(),
        remote_seq: payload.get_u64_le(),
    })
}

fn facts(mut payload: Bytes) -> Option<ToldFacts> {
    if payload.len() < 59 {
        return None;
    }
    let [current, base, epoch, seq, active, dirty, size_bytes] =
        std::array::from_fn(|_| payload.get_u64_le());
    let role = role(payload.get_u8())?;
    let flags = payload.get_u8();
    let count = usize::from(payload.get_u8());
    if count > LINEAGE_MAX || payload.len() != count * 8 || flags & !3 != 0 {
        return None;
    }
    let lineage = extents(payload)?;
    let facts = Facts {
        current,
        base,
        lineage,
        epoch,
        role,
        inconsistent: flags & 1 != 0,
        ending: flags & 2 != 0,
    };
    Some(ToldFacts {
        facts,
        seq,
        active,
        dirty,
        size_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all_bodies() -> Vec<Body> {
        let change = Change {
            offset: 7,
            len_bytes: 3,
            kind: ChangeKind::Write(Bytes::from_static(b"abc").into()),
        };
        let unmap = Change {
            offset: 1 << 40,
            len_bytes: 4096,
            kind: ChangeKind::Unmap,
        };
        let terms = Terms {
            role: Role::Master,
            sync: Sync::FullSource,
            local_seq: 3,
            remote_seq: 4,
        };
        let mut facts = Facts::new(9, Role::Slave);
        facts.outdate_peer(10);
        facts.lineage.push(77);
        let told = ToldFacts {
            facts,
            seq: 5,
            active: 6,
            dirty: 7,
            size_bytes: 8,
        };
        vec![
            Body::Facts(Box::new(told)),
            Body::DirtyWords(vec![(1, 2), (3, 4)]),
            Body::AttachReady(terms),
            Body::AttachGo(terms),
            Body::AttachRefused,
            Body::Apply(change.clone()),
            Body::Apply(unmap.clone()),
            Body::Applied,
            Body::Request(change),
            Body::Request(unmap),
            Body::Granted,
            Body::Unlock,
            Body::Read {
                offset: 5,
                len_bytes: 6,
            },
            Body::ReadData(Bytes::from_static(b"data").into()),
            Body::Flush,
            Body::Flushed,
            Body::ActiveAdd(vec![1, 2, 3]),
            Body::ActiveRemove(vec![]),
            Body::ChunkHash {
                offset: 1,
                len_bytes: 2,
                hash: [3; 32],
            },
            Body::ChunkSame,
            Body::ChunkDiffers,
            Body::ChunkData {
                offset: 9,
                data: Bytes::from_static(b"chunk").into(),
            },
            Body::ChunkTaken,
            Body::ResyncEnd { generation: 12 },
            Body::ResyncEnded,
            Body::Leave,
            Body::LeaveSeen,
            Body::Switch { epoch: 13 },
        ]
    }

    fn bytes_of(message: &Message) -> BytesMut {
        let (header, payload) = encode(message);
        let mut out = BytesMut::from(&header[..]);
        out.extend_from_slice(&payload.to_contiguous());
        out
    }

    #[test]
    fn every_message_survives_the_wire_in_any_pieces() {
        for body in all_bodies() {
            let message = Message {
                serial: Serial([0x6e; 16]),
                epoch: 1,
                id: 2,
                body,
            };
            let whole = bytes_of(&message);
            let mut input = BytesMut::new();
            for (index, byte) in whole.iter().enumerate() {
                assert_eq!(decode(&mut input), Ok(None), "complete before byte {index}");
                input.extend_from_slice(&[*byte]);
            }
            assert_eq!(decode(&mut input), Ok(Some(message)));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        for body in all_bodies() {
            let whole = bytes_of(&Message {
                serial: Serial([1; 16]),
                epoch: 1,
                id: 2,
                body,
            });
            for bit in 0..whole.len() * 8 {
                let mut damaged = whole.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(decode(&mut damaged).is_err(), "bit {bit} of {whole:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_payloads_never_panic(kind in any::<u8>(), offset in any::<u64>(), len in any::<u32>(),
                                          payload in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = body(kind, offset, len, payload.into());
        }
    }
}
