//! Frames of the mirror link: any bytes to the codec, and well-formed messages of any content to a node's core.

use bytes::{Bytes, BytesMut};
use twindisk_mirror::message::Message;
use twindisk_mirror::{
    Action, AttachPlan, Change, ChangeKind, Command, CopySpec, DiskDone, DiskId, DiskOp, Facts,
    HostId, HostOp, Node, NotReady, Payload, PeerId, RecordChange, Role, Serial, SharedRecord,
    Sync, Update, UpdateKind, Watch, frame,
};

use crate::input::Input;

const SERIAL: Serial = Serial([0x6e; 16]);
const PEER: PeerId = PeerId(1);
const SIZE_BYTES: u64 = 16 << 20;
const KINDS: [u8; 38] = [
    1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 30, 31, 32, 33, 34, 35,
    36, 40, 41, 42, 3, 4, 10, 60, 61, 62, 63, 64, 65,
];

/// Run an input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    if input.byte() & 1 == 0 {
        any_bytes(input.0);
    } else {
        any_messages(&mut input);
    }
}

/// Whatever is decoded can be encoded again, to the same message.
fn any_bytes(data: &[u8]) {
    let mut buffer = BytesMut::from(data);
    while let Ok(Some(message)) = frame::decode(&mut buffer) {
        let mut again = encoded(&message);
        let decoded = frame::decode(&mut again).expect("an encoded message can be decoded");
        assert_eq!(decoded.as_ref(), Some(&message));
        assert!(again.is_empty());
    }
}

fn encoded(message: &Message) -> BytesMut {
    let (header, payload) = frame::encode(message);
    let mut bytes = BytesMut::from(&header[..]);
    for piece in payload.pieces() {
        bytes.extend_from_slice(piece);
    }
    bytes
}

/// A frame whose checksums are right.
fn frame_of(input: &mut Input<'_>) -> Vec<u8> {
    // Later kinds have places of their own, so that the inputs of before keep their meaning.
    let kind = match input.byte() {
        byte @ 228.. => 50 + (byte & 7),
        byte @ 226.. => 66 + (byte & 1),
        byte @ 216.. => 80 + byte % 5,
        byte @ 213.. => 70 + (byte - 213),
        byte => KINDS[usize::from(byte) % KINDS.len()],
    };
    let [epoch, id, offset, len]: [u8; 4] = input.array();
    let payload = match kind {
        1 => {
            let count = usize::from(input.byte() & 3);
            let mut facts = Vec::new();
            for _ in 0..7 {
                facts.extend_from_slice(&u64::from(input.byte()).to_le_bytes());
            }
            facts[48..56].copy_from_slice(&SIZE_BYTES.to_le_bytes());
            let role = input.byte() % 2 + 1;
            facts.extend_from_slice(&[role, input.byte() & 7, count as u8]);
            for _ in 0..count {
                facts.extend_from_slice(&u64::from(input.byte()).to_le_bytes());
            }
            facts
        }
        3 | 4 => {
            let mut terms = vec![input.byte() % 2 + 1, input.byte() % 5];
            terms.extend_from_slice(&u64::from(input.byte()).to_le_bytes());
            terms.extend_from_slice(&u64::from(input.byte()).to_le_bytes());
            terms
        }
        60 | 61 => vec![0x3c; 512],
        62 => vec![0; (usize::from(len & 7) + 1) * 1024],
        10 | 13 | 18 | 33 | 63 | 64 => vec![0x5a; (usize::from(len & 31) + 1) * 512],
        50 | 55 => {
            let mut record = vec![0; 16];
            record[0] = input.byte();
            record[8] = 1;
            record.extend_from_slice(&u64::from(input.byte()).to_le_bytes());
            record.extend_from_slice(input.piece(64));
            record
        }
        70 => watch(input),
        66 => (u64::from(input.byte()) << 16).to_le_bytes().to_vec(),
        82 => vec![0; 32],
        84 => vec![0xa5; 64 << 10],
        2 | 21 | 22 | 30 | 53 | 81 => input.piece(64).to_vec(),
        _ => Vec::new(),
    };
    let mut head = [0; 64];
    head[..4].copy_from_slice(b"TDM1");
    head[4] = 1;
    head[5] = kind;
    head[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    head[12..16].copy_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    head[16..32].copy_from_slice(&SERIAL.0);
    head[32..40].copy_from_slice(&u64::from(epoch).to_le_bytes());
    head[40..48].copy_from_slice(&u64::from(id).to_le_bytes());
    let offset = match kind {
        35 | 42 | 72 => u64::from(offset),
        _ => u64::from(offset) << 16,
    };
    head[48..56].copy_from_slice(&offset.to_le_bytes());
    let len_bytes = match kind {
        53 | 55 => u32::from(len & 1),
        _ => u32::from(len) * 512,
    };
    head[56..60].copy_from_slice(&len_bytes.to_le_bytes());
    let checksum = crc32c::crc32c(&head[..60]);
    head[60..].copy_from_slice(&checksum.to_le_bytes());
    [&head[..], &payload].concat()
}

/// What follows the head of a frame that sets a watch; its counts are right, or one off.
fn watch(input: &mut Input<'_>) -> Vec<u8> {
    let [id, owner, timeout, counts]: [u8; 4] = input.array();
    let (label, ranges) = (usize::from(counts & 15), usize::from(counts >> 4 & 7));
    let mut payload = u64::from(id).to_le_bytes().to_vec();
    payload.extend(u64::from(owner).to_le_bytes());
    payload.extend((u32::from(timeout) << 4).to_le_bytes());
    payload.extend([label as u8, 0, ranges as u8, 0]);
    payload.resize(24 + label, 0x1a);
    for _ in 0..ranges {
        payload.extend((u64::from(input.byte()) << 15).to_le_bytes());
        payload.extend((u64::from(input.byte()) << 9).to_le_bytes());
    }
    payload.resize(payload.len() + usize::from(counts >> 7), 0);
    payload
}

fn any_messages(input: &mut Input<'_>) {
    let mut node = Node::new(0);
    let role = if input.byte() & 1 == 0 {
        Role::Master
    } else {
        Role::Slave
    };
    let spec = CopySpec {
        serial: SERIAL,
        size_bytes: SIZE_BYTES,
        peer: Some(PEER),
        facts: Facts::new(u64::from(input.byte() & 3), role),
        active: Vec::new(),
        bitmap: Vec::new(),
        shared: SharedRecord::default(),
        unbroken: None,
    };
    node.add_copy(spec, 0);
    node.link_up(PEER, 0);
    node.lease(PEER, u64::MAX, 0, 0);
    let (mut now_ns, mut host) = (1, 0);
    let mut pending = Vec::new();
    for _ in 0..64 {
        if input.is_empty() {
            break;
        }
        match input.byte() & 15 {
            0..=8 => {
                let mut bytes = BytesMut::from(&frame_of(input)[..]);
                if let Ok(Some(message)) = frame::decode(&mut bytes) {
                    node.receive(PEER, message, now_ns);
                }
            }
            9 | 10 => {
                host += 1;
                node.host(SERIAL, HostId(host), host_op(input), now_ns);
            }
            11 => {
                // Whether the copy takes it is up to its mode.
                let _ = node.command(SERIAL, command(input), now_ns);
            }
            12 => {
                now_ns += 1_000_000 * u64::from(input.byte());
                node.tick(now_ns);
            }
            13 => {
                node.link_down(PEER, now_ns);
                node.link_up(PEER, now_ns);
            }
            14 => node.cancel(SERIAL, HostId(u64::from(input.byte())), now_ns),
            _ => {
                pending.reverse();
            }
        }
        settle(&mut node, &mut pending, input.byte(), now_ns);
    }
}

fn host_op(input: &mut Input<'_>) -> HostOp {
    let [choice, offset, len] = input.array();
    let (offset, len_bytes) = (u64::from(offset) << 15, (u32::from(len) + 1) * 512);
    let fua = choice & 8 != 0;
    let bytes = |value: u8| Payload::from(Bytes::from(vec![value; len_bytes as usize]));
    let update = |kind| HostOp::Update {
        update: Update {
            offset,
            len_bytes: u64::from(len_bytes),
            kind,
        },
        fua,
    };
    let kind = match choice & 7 {
        6 => {
            let len_bytes = u64::from(len_bytes);
            return HostOp::Allocation { offset, len_bytes };
        }
        0 => return HostOp::Read { offset, len_bytes },
        1 => return HostOp::Flush,
        7 if choice & 0x10 != 0 => return HostOp::Turn { tag: offset },
        7 if choice & 0x20 != 0 => return HostOp::Settle,
        7 if choice & 0x40 != 0 => {
            let ranges = vec![(offset, u64::from(len_bytes))];
            return HostOp::Watch(Box::new(Watch {
                id: u64::from(choice >> 7),
                owner: 1,
                timeout_ms: u32::from(len),
                label: Bytes::from_static(b"label"),
                ranges,
            }));
        }
        2 => ChangeKind::Unmap,
        3 => ChangeKind::Fill(Bytes::from(vec![0x77; 512]).into()),
        4 if fua => {
            // Behind the range, so that they do not overlap; the VDisk is longer.
            let source = offset + u64::from(len_bytes);
            return update(UpdateKind::CopyOf { source });
        }
        4 => return update(UpdateKind::Or(bytes(1))),
        5 => {
            let (compare, write) = (bytes(choice >> 7), bytes(2));
            return update(UpdateKind::CompareAndWrite { compare, write });
        }
        _ => ChangeKind::Write(Bytes::from(vec![0xa5; len_bytes as usize]).into()),
    };
    let change = Change {
        offset,
        len_bytes: u64::from(len_bytes),
        kind,
    };
    HostOp::Change { change, fua }
}

fn command(input: &mut Input<'_>) -> Command {
    const SYNCS: [Sync; 5] = [
        Sync::None,
        Sync::Source,
        Sync::Target,
        Sync::FullSource,
        Sync::FullTarget,
    ];
    let [choice, first, second, third] = input.array();
    match choice & 7 {
        0 => Command::ServeSingle,
        1..=3 => {
            let sync = SYNCS[usize::from(first) % 5];
            let source = matches!(sync, Sync::Source | Sync::FullSource);
            let target = matches!(sync, Sync::Target | Sync::FullTarget);
            let role = if source || !target && first & 0x80 == 0 {
                Role::Master
            } else {
                Role::Slave
            };
            Command::Attach(AttachPlan {
                role,
                sync,
                epoch: u64::from(choice >> 3) + 1,
                generation: 77,
                local_seq: u64::from(second),
                remote_seq: u64::from(third),
            })
        }
        4 => Command::GoAlone {
            generation: 78,
            epoch: u64::from(first),
            fenced: second & 1 == 0,
        },
        5 => Command::StopServing(NotReady::Standby),
        6 => Command::Leave,
        _ if first & 1 == 0 => Command::SwitchRoles,
        _ if first & 2 == 0 => Command::EndVerify,
        _ => {
            let right = if second & 1 == 0 {
                Role::Master
            } else {
                Role::Slave
            };
            let repair = (second & 2 == 0).then_some(right);
            Command::Verify { repair }
        }
    }
}

/// Carry out what the core asks for: some disk operations now, the rest later or not at all.
fn settle(node: &mut Node, pending: &mut Vec<(DiskId, DiskOp)>, choice: u8, now_ns: u64) {
    for _ in 0..64 {
        let mut actions = Vec::new();
        node.take_actions(&mut actions);
        for action in actions {
            match action {
                Action::Disk { id, op, .. } => pending.push((id, op)),
                Action::Send { message, .. } => {
                    let mut bytes = encoded(&message);
                    let decoded = frame::decode(&mut bytes).expect("we send what can be decoded");
                    assert_eq!(decoded, Some(message));
                }
                Action::Record { id, .. } => node.record_taken(SERIAL, id, now_ns),
                Action::Turn { host, .. } => {
                    let bytes = Bytes::from(vec![choice; usize::from(choice)]);
                    let drain = choice & 4 != 0;
                    let change = (choice & 8 == 0).then_some(RecordChange { bytes, drain });
                    node.turn_computed(SERIAL, host, change, now_ns);
                }
                _ => {}
            }
        }
        if pending.is_empty() || choice & 3 == 0 {
            return;
        }
        let (id, op) = pending.remove(0);
        #[allow(
            unreachable_patterns,
            reason = "a new operation must not stop the fuzzers"
        )]
        let done = match op {
            _ if choice == 0xff => DiskDone::Failed(5),
            DiskOp::Read { len_bytes, offset } => {
                assert!(offset + u64::from(len_bytes) <= SIZE_BYTES);
                DiskDone::Data(Bytes::from(vec![0; len_bytes as usize]).into())
            }
            DiskOp::Change(change) => {
                assert!(change.offset + change.len_bytes <= SIZE_BYTES);
                DiskDone::Done
            }
            DiskOp::Allocated => DiskDone::Extents(vec![0, 2]),
            DiskOp::Ranges { offset, len_bytes } => {
                DiskDone::Ranges(vec![(offset, len_bytes.min(512))])
            }
            DiskOp::Flush | DiskOp::Persist(_) => DiskDone::Done,
            // What is new is answered so until it has an arm.
            _ => DiskDone::Done,
        };
        node.disk_done(SERIAL, id, done, now_ns);
    }
}
