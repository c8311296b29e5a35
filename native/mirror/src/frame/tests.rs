//! Every message survives the wire; damage is noticed.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use super::decode::body;
use super::*;
use crate::facts::{Facts, Role};
use crate::ids::Serial;
use crate::message::{Body, Message, Terms};
use crate::ops::{Change, ChangeKind, Update, UpdateKind};
use crate::report::{Sync, ToldFacts};
use crate::shared_record::SharedRecord;
use crate::watches::{LABEL_MAX_BYTES, RANGES_MAX, Watch};

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
        unbroken: true,
    };
    vec![
        Body::Facts(Box::new(told)),
        Body::DirtyWords(vec![(1, 2), (3, 4)]),
        Body::AttachReady(terms),
        Body::AttachGo(terms),
        Body::AttachRefused,
        Body::Resumed,
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

fn verify_bodies() -> Vec<Body> {
    vec![
        Body::List {
            offset: 4 << 20,
            extents: 256,
        },
        Body::Listed(vec![(1, u64::MAX), (2, 1)]),
        Body::Compare {
            offset: 65536,
            len_bytes: 65536,
            hash: [7; 32],
        },
        Body::Same,
        Body::Differs(Bytes::from_static(b"other").into()),
    ]
}

fn record_bodies() -> Vec<Body> {
    let record = SharedRecord::default()
        .changed(15, Bytes::from_static(b"before"))
        .expect("six bytes have room");
    vec![
        Body::RecordIs {
            record: record.clone(),
            power_on_done: true,
        },
        Body::RecordAsk,
        Body::RecordTurn,
        Body::RecordUpdate {
            tag: 14,
            drain: true,
            bytes: Bytes::from_static(b"table"),
        },
        Body::RecordPass,
        Body::RecordApply {
            record,
            drain: true,
        },
        Body::RecordApplied,
        Body::RecordDone,
        Body::Watch(Box::new(Watch {
            id: 16,
            owner: 17,
            timeout_ms: 18,
            label: Bytes::from_static(b"label"),
            ranges: vec![(1 << 40, 512), (0, 4096)],
        })),
        Body::Watch(Box::new(Watch {
            id: 1,
            owner: 2,
            timeout_ms: 3,
            label: Bytes::new(),
            ranges: vec![],
        })),
        Body::Watched,
        Body::Unwatch { id: 19 },
    ]
}

fn bodies_of_updates() -> Vec<Body> {
    let fill = Change {
        offset: 1 << 41,
        len_bytes: 6,
        kind: ChangeKind::Fill(Bytes::from_static(b"xyz").into()),
    };
    let resolved = Change {
        offset: 7,
        len_bytes: 3,
        kind: ChangeKind::Write(Bytes::from_static(b"abc").into()),
    };
    let sparse = Change {
        offset: 512,
        len_bytes: 4,
        kind: ChangeKind::Sparse(Bytes::from_static(b"a\0\0b").into()),
    };
    vec![
        Body::Apply(fill.clone()),
        Body::Request(fill),
        Body::Ask(Update {
            offset: 8,
            len_bytes: 2,
            kind: UpdateKind::CompareAndWrite {
                compare: Bytes::from_static(b"ab").into(),
                write: Bytes::from_static(b"cd").into(),
            },
        }),
        Body::Ask(Update {
            offset: 9,
            len_bytes: 4,
            kind: UpdateKind::Or(Bytes::from_static(b"bits").into()),
        }),
        Body::Ask(Update {
            offset: 1 << 40,
            len_bytes: 1 << 20,
            kind: UpdateKind::CopyOf { source: 1 << 20 },
        }),
        Body::Resolved(resolved),
        Body::Resolved(Change {
            offset: 7,
            len_bytes: 3,
            kind: ChangeKind::Unmap,
        }),
        Body::Refused { offset: 511 },
        Body::Apply(sparse),
        Body::NoSpace,
        Body::Short,
        Body::GiveUp,
    ]
}

fn every_body() -> impl Iterator<Item = Body> {
    let more = bodies_of_updates()
        .into_iter()
        .chain(record_bodies())
        .chain(verify_bodies());
    all_bodies().into_iter().chain(more)
}

fn bytes_of(message: &Message) -> BytesMut {
    let (header, payload) = encode(message);
    let mut out = BytesMut::from(&header[..]);
    out.extend_from_slice(&payload.to_contiguous());
    out
}

#[test]
fn every_message_survives_the_wire_in_any_pieces() {
    for body in every_body() {
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
fn a_copy_of_a_range_that_overlaps_itself_is_not_taken() {
    for (offset, source, len_bytes, is_taken) in [
        (4096, 4096, 512, false),
        (4096, 4097, 512, false),
        (4096, 3585, 512, false),
        (4096, 3584, 512, true),
        (4096, 4608, 512, true),
        (4096, 0, 0, false),
    ] {
        let body = Body::Ask(Update {
            offset,
            len_bytes,
            kind: UpdateKind::CopyOf { source },
        });
        let whole = bytes_of(&Message {
            serial: Serial([1; 16]),
            epoch: 1,
            id: 2,
            body,
        });
        let found = decode(&mut whole.clone());
        assert_eq!(found.is_ok(), is_taken, "{offset} {source}: {found:?}");
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for body in every_body() {
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

#[test]
fn a_watch_that_is_too_long_or_counts_wrong_is_malformed() {
    let watch = |label: usize, ranges: usize, more: usize| {
        let mut payload = vec![0; 20];
        payload.extend((label as u16).to_le_bytes());
        payload.extend((ranges as u16).to_le_bytes());
        payload.resize(24 + label + 16 * ranges + more, 1);
        body(70, 0, 0, payload.into())
    };
    assert!(watch(LABEL_MAX_BYTES, RANGES_MAX, 0).is_ok());
    for (label, ranges, more) in [
        (LABEL_MAX_BYTES + 1, 0, 0),
        (0, RANGES_MAX + 1, 0),
        (0, 1, 1),
    ] {
        assert_eq!(watch(label, ranges, more), Err(FrameError::Payload(70)));
    }
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(kind in any::<u8>(), offset in any::<u64>(), len in any::<u32>(),
                                      payload in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = body(kind, offset, len, payload.into());
    }
}
