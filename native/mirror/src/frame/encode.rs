//! From messages to frames.

use bytes::Bytes;

use super::{HEADER_BYTES, MAGIC, VERSION};
use crate::facts::Role;
use crate::message::{Body, Message, Terms};
use crate::ops::{Change, ChangeKind, Update, UpdateKind};
use crate::payload::{Payload, crc32c_of};
use crate::report::{Sync, ToldFacts};
use crate::watches::Watch;

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

    /// `kinds`: of a write, an unmap, a fill, a sparse write.
    fn change_of(kinds: [u8; 4], change: &Change) -> Self {
        let [write, unmap, fill, sparse] = kinds;
        let kind = match change.kind {
            ChangeKind::Write(_) => write,
            ChangeKind::Unmap => unmap,
            ChangeKind::Fill(_) => fill,
            ChangeKind::Sparse(_) => sparse,
        };
        Self::change(kind, change)
    }

    fn update(update: &Update) -> Self {
        let (kind, payload) = match &update.kind {
            UpdateKind::CompareAndWrite { compare, write } => {
                let mut pieces = compare.pieces().to_vec();
                pieces.extend_from_slice(write.pieces());
                (62, Payload::from_pieces(pieces))
            }
            UpdateKind::Or(bits) => (63, bits.clone()),
            UpdateKind::CopyOf { source } => {
                (66, Bytes::copy_from_slice(&source.to_le_bytes()).into())
            }
        };
        Self {
            offset: update.offset,
            len_bytes: match update.kind {
                UpdateKind::CopyOf { .. } => u32::try_from(update.len_bytes).unwrap_or(u32::MAX),
                _ => 0,
            },
            payload,
            ..Self::bare(kind)
        }
    }

    fn change(kind: u8, change: &Change) -> Self {
        let payload = match &change.kind {
            ChangeKind::Write(payload)
            | ChangeKind::Fill(payload)
            | ChangeKind::Sparse(payload) => payload.clone(),
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
    out.push(
        u8::from(facts.inconsistent) | u8::from(facts.ending) << 1 | u8::from(told.unbroken) << 2,
    );
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

fn watch_bytes(watch: &Watch) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + watch.label.len() + 16 * watch.ranges.len());
    out.extend(watch.id.to_le_bytes());
    out.extend(watch.owner.to_le_bytes());
    out.extend(watch.timeout_ms.to_le_bytes());
    out.extend((watch.label.len() as u16).to_le_bytes());
    out.extend((watch.ranges.len() as u16).to_le_bytes());
    out.extend_from_slice(&watch.label);
    out.extend(words_bytes(&watch.ranges));
    out
}

fn parts(body: &Body) -> Parts {
    match body {
        Body::Facts(told) => Parts::with(1, facts_bytes(told)),
        Body::DirtyWords(words) => Parts::with(2, words_bytes(words)),
        Body::AttachReady(terms) => Parts::with(3, terms_bytes(terms)),
        Body::AttachGo(terms) => Parts::with(4, terms_bytes(terms)),
        Body::AttachRefused => Parts::bare(5),
        Body::Resumed => Parts::bare(6),
        Body::Apply(change) => Parts::change_of([10, 11, 60, 74], change),
        Body::Applied => Parts::bare(12),
        Body::NoSpace => Parts::bare(68),
        Body::Short => Parts::bare(73),
        Body::GiveUp => Parts::bare(69),
        Body::Request(change) => Parts::change_of([13, 14, 61, 13], change),
        Body::Ask(update) => Parts::update(update),
        Body::Resolved(change) => Parts::change_of([64, 67, 64, 64], change),
        Body::Refused { offset } => Parts {
            offset: *offset,
            ..Parts::bare(65)
        },
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
        Body::List { .. }
        | Body::Listed(_)
        | Body::Compare { .. }
        | Body::Same
        | Body::Differs(_) => verify_parts(body),
        other => record_parts(other),
    }
}

/// What is said when copies are verified.
fn verify_parts(body: &Body) -> Parts {
    match body {
        Body::List { offset, extents } => Parts {
            offset: *offset,
            len_bytes: *extents,
            ..Parts::bare(80)
        },
        Body::Listed(words) => Parts::with(81, words_bytes(words)),
        Body::Compare {
            offset,
            len_bytes,
            hash,
        } => Parts {
            offset: *offset,
            len_bytes: *len_bytes,
            ..Parts::with(82, hash.to_vec())
        },
        Body::Same => Parts::bare(83),
        Body::Differs(payload) => Parts {
            payload: payload.clone(),
            ..Parts::bare(84)
        },
        other => unreachable!("{other:?} has parts of its own"),
    }
}

/// What is said of the shared record and of watches.
fn record_parts(body: &Body) -> Parts {
    match body {
        Body::RecordIs {
            record,
            power_on_done,
        } => Parts {
            len_bytes: u32::from(*power_on_done),
            ..Parts::with(50, record.encode())
        },
        Body::RecordAsk => Parts::bare(51),
        Body::RecordTurn => Parts::bare(52),
        Body::RecordUpdate { tag, drain, bytes } => Parts {
            offset: *tag,
            len_bytes: u32::from(*drain),
            payload: bytes.clone().into(),
            ..Parts::bare(53)
        },
        Body::RecordPass => Parts::bare(54),
        Body::RecordApply { record, drain } => Parts {
            len_bytes: u32::from(*drain),
            ..Parts::with(55, record.encode())
        },
        Body::RecordApplied => Parts::bare(56),
        Body::RecordDone => Parts::bare(57),
        Body::Watch(watch) => Parts::with(70, watch_bytes(watch)),
        Body::Watched => Parts::bare(71),
        Body::Unwatch { id } => Parts {
            offset: *id,
            ..Parts::bare(72)
        },
        other => unreachable!("{other:?} has parts of its own"),
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
    let checksum = crc32c_of(&header[..60]);
    header[60..].copy_from_slice(&checksum.to_le_bytes());
    (header, parts.payload)
}
