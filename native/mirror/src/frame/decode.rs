//! From frames to messages; nothing of what came is trusted.

use bytes::{Buf, Bytes, BytesMut};

use super::{FrameError, HEADER_BYTES, MAGIC, PAYLOAD_MAX_BYTES, VERSION, WORDS_MAX};
use crate::facts::{Facts, LINEAGE_MAX, Role};
use crate::ids::Serial;
use crate::message::{Body, Message, Terms};
use crate::ops::{Change, ChangeKind, Update, UpdateKind};
use crate::payload::crc32c_of;
use crate::report::{Sync, ToldFacts};
use crate::shared_record::{RECORD_MAX_BYTES, SharedRecord};
use crate::watches::{LABEL_MAX_BYTES, RANGES_MAX, Watch};

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
    if crc32c_of(&head[..60]) != u32_at(head, 60) {
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
    if crc32c_of(&payload) != u32_at(&head, 12) {
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

pub(super) fn body(
    kind: u8,
    offset: u64,
    len_bytes: u32,
    payload: Bytes,
) -> Result<Body, FrameError> {
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
        6 => bare(Body::Resumed)?,
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
        60 => Body::Apply(fill(offset, len_bytes, payload).ok_or(malformed)?),
        61 => Body::Request(fill(offset, len_bytes, payload).ok_or(malformed)?),
        62 => Body::Ask(compare_and_write(offset, payload).ok_or(malformed)?),
        63 => Body::Ask(or(offset, payload).ok_or(malformed)?),
        64 => Body::Resolved(write(offset, payload).ok_or(malformed)?),
        65 => bare(Body::Refused { offset })?,
        66 => Body::Ask(copy_of(offset, len_bytes, &payload).ok_or(malformed)?),
        67 => Body::Resolved(unmap(offset, len_bytes).ok_or(malformed)?),
        68 => bare(Body::NoSpace)?,
        69 => bare(Body::GiveUp)?,
        70 => Body::Watch(Box::new(watch(payload).ok_or(malformed)?)),
        71 => bare(Body::Watched)?,
        72 => bare(Body::Unwatch { id: offset })?,
        73 => bare(Body::Short)?,
        74 => Body::Apply(sparse(offset, payload).ok_or(malformed)?),
        50..=57 => record_body(kind, offset, len_bytes, payload)?,
        80..=84 => verify_body(kind, offset, len_bytes, payload)?,
        _ => return Err(FrameError::Kind(kind)),
    })
}

/// What is said when copies are verified.
fn verify_body(kind: u8, offset: u64, len_bytes: u32, payload: Bytes) -> Result<Body, FrameError> {
    let malformed = FrameError::Payload(kind);
    Ok(match kind {
        81 => Body::Listed(words(payload).ok_or(malformed)?),
        82 => Body::Compare {
            offset,
            len_bytes,
            hash: payload.as_ref().try_into().map_err(|_| malformed)?,
        },
        84 => Body::Differs(payload.into()),
        _ if !payload.is_empty() => return Err(malformed),
        80 => Body::List {
            offset,
            extents: len_bytes,
        },
        _ => Body::Same,
    })
}

/// What is said of the shared record.
fn record_body(kind: u8, offset: u64, len_bytes: u32, payload: Bytes) -> Result<Body, FrameError> {
    let malformed = FrameError::Payload(kind);
    let bare = |body| {
        if payload.is_empty() {
            Ok(body)
        } else {
            Err(malformed)
        }
    };
    Ok(match kind {
        50 if len_bytes <= 1 => Body::RecordIs {
            record: SharedRecord::decode(payload).ok_or(malformed)?,
            power_on_done: len_bytes == 1,
        },
        50 => return Err(malformed),
        51 => bare(Body::RecordAsk)?,
        52 => bare(Body::RecordTurn)?,
        53 if payload.len() <= RECORD_MAX_BYTES && len_bytes <= 1 => Body::RecordUpdate {
            tag: offset,
            drain: len_bytes == 1,
            bytes: payload,
        },
        53 => return Err(malformed),
        54 => bare(Body::RecordPass)?,
        55 if len_bytes <= 1 => Body::RecordApply {
            record: SharedRecord::decode(payload).ok_or(malformed)?,
            drain: len_bytes == 1,
        },
        55 => return Err(malformed),
        56 => bare(Body::RecordApplied)?,
        57 => bare(Body::RecordDone)?,
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

fn sparse(offset: u64, payload: Bytes) -> Option<Change> {
    let kind = ChangeKind::Sparse(payload.clone().into());
    write(offset, payload).map(|change| Change { kind, ..change })
}

fn unmap(offset: u64, len_bytes: u32) -> Option<Change> {
    (len_bytes > 0).then(|| Change {
        offset,
        len_bytes: len_bytes.into(),
        kind: ChangeKind::Unmap,
    })
}

fn fill(offset: u64, len_bytes: u32, payload: Bytes) -> Option<Change> {
    let fits = !payload.is_empty() && len_bytes > 0 && len_bytes as usize % payload.len() == 0;
    fits.then(|| Change {
        offset,
        len_bytes: len_bytes.into(),
        kind: ChangeKind::Fill(payload.into()),
    })
}

fn compare_and_write(offset: u64, mut payload: Bytes) -> Option<Update> {
    let half = payload.len() / 2;
    let fits = half > 0 && payload.len() % 2 == 0;
    fits.then(|| {
        let write = payload.split_off(half).into();
        let compare = payload.into();
        Update {
            offset,
            len_bytes: half as u64,
            kind: UpdateKind::CompareAndWrite { compare, write },
        }
    })
}

fn or(offset: u64, payload: Bytes) -> Option<Update> {
    let len_bytes = payload.len() as u64;
    (len_bytes > 0).then(|| Update {
        offset,
        len_bytes,
        kind: UpdateKind::Or(payload.into()),
    })
}

fn copy_of(offset: u64, len_bytes: u32, payload: &Bytes) -> Option<Update> {
    let source = u64::from_le_bytes(payload.as_ref().try_into().ok()?);
    let apart = offset.abs_diff(source) >= u64::from(len_bytes);
    (len_bytes > 0 && apart).then(|| Update {
        offset,
        len_bytes: len_bytes.into(),
        kind: UpdateKind::CopyOf { source },
    })
}

fn watch(mut payload: Bytes) -> Option<Watch> {
    if payload.len() < 24 {
        return None;
    }
    let (id, owner) = (payload.get_u64_le(), payload.get_u64_le());
    let timeout_ms = payload.get_u32_le();
    let label_bytes = usize::from(payload.get_u16_le());
    let count = usize::from(payload.get_u16_le());
    let fits = label_bytes <= LABEL_MAX_BYTES && count <= RANGES_MAX;
    if !fits || payload.len() != label_bytes + 16 * count {
        return None;
    }
    let label = payload.split_to(label_bytes);
    Some(Watch {
        id,
        owner,
        timeout_ms,
        label,
        ranges: words(payload)?,
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
    if count > LINEAGE_MAX || payload.len() != count * 8 || flags & !7 != 0 {
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
        unbroken: flags & 4 != 0,
    })
}
