//! Which pieces a copy is cut into, and how it ends.

use super::*;
use twindisk_mirror::NotReady;

const OWN: Serial = Serial([1; 16]);
const OTHER: Serial = Serial([2; 16]);

fn one(source: (Serial, u64), target: (Serial, u64), len_bytes: u64) -> Move {
    let place = |(serial, offset)| Place { serial, offset };
    Move {
        source: Source::At(place(source)),
        target: place(target),
        len_bytes,
        block_bytes: 1,
        segments: 1,
    }
}

fn write_back(_: Serial) -> bool {
    false
}

fn transfer(moves: Vec<Move>) -> Transfer {
    let copier = Copier {
        initiator: "iqn.x".to_owned(),
        user: None,
        port: InitiatorPort::new("iqn.x", [0; 6]).unwrap(),
    };
    let mut transfer = Transfer::new(copier, OWN, Some(CopyName::Short(1)), moves);
    transfer.ended(HostResult::Done).unwrap();
    transfer
}

/// Carry a copy inside one VDisk out on a disk of these bytes; where its pieces went, and their lengths.
fn carried_out(disk: &mut [u8], moves: Vec<Move>) -> Vec<(u64, u64)> {
    let mut transfer = transfer(moves);
    let mut pieces = Vec::new();
    while let Some((serial, op)) = transfer.next_op(write_back) {
        assert_eq!(serial, OWN);
        let HostOp::Update { update, .. } = op else {
            panic!("{op:?}")
        };
        let source = update.source().unwrap() as usize;
        let (target, len) = (update.offset as usize, update.len_bytes as usize);
        assert!(
            source.abs_diff(target) >= len,
            "the mirror core wants it so"
        );
        disk.copy_within(source..source + len, target);
        transfer.ended(HostResult::Done).unwrap();
        assert!((1..=PIECE_MAX_BYTES).contains(&update.len_bytes));
        pieces.push((update.offset, update.len_bytes));
    }
    pieces
}

#[test]
fn a_range_copied_over_a_part_of_itself_is_as_if_read_in_full_first() {
    for (source, target, len) in [
        (0, 3, 10),
        (3, 0, 10),
        (0, 1, 19),
        (1, 0, 19),
        (0, 10, 10),
        (5, 4, 7),
    ] {
        let mut disk: Vec<u8> = (0..20).collect();
        let mut expected = disk.clone();
        expected.copy_within(source..source + len, target);
        let range = one((OWN, source as u64), (OWN, target as u64), len as u64);
        carried_out(&mut disk, vec![range]);
        assert_eq!(disk, expected, "{len} bytes from {source} to {target}");
    }
}

#[test]
fn no_block_of_the_target_is_written_in_two_pieces() {
    let long = 3 * PIECE_MAX_BYTES + 100;
    for block_bytes in [512, 4096] {
        for (source, target, len_bytes) in [
            (7, 5 << 20, long),
            (0, (5 << 20) + 100, long),
            (100, 5 << 20, 700),
            (0, 5001, 9000),
            (5001, 0, 9000),
            (0, 4097, 100_000),
            (4097, 0, 100_000),
            (4100, 4, 100_000),
            (3, 4099, 100_000),
        ] {
            let mut disk: Vec<u8> = (0..10u32 << 20).map(|at| (at % 251) as u8).collect();
            let mut expected = disk.clone();
            let from = source as usize..(source + len_bytes) as usize;
            expected.copy_within(from, target as usize);
            let mut range = one((OWN, source), (OWN, target), len_bytes);
            range.block_bytes = block_bytes;
            let pieces = carried_out(&mut disk, vec![range]);
            assert!(
                disk == expected,
                "{len_bytes} bytes from {source} to {target}"
            );
            let mut blocks: Vec<_> = (pieces.iter())
                .flat_map(|(at, len)| at / block_bytes..(at + len).div_ceil(block_bytes))
                .collect();
            let written = blocks.len();
            blocks.sort_unstable();
            blocks.dedup();
            assert_eq!(blocks.len(), written, "{source} to {target}: {pieces:?}");
        }
    }
}

#[test]
fn pieces_are_bounded_and_cover_the_range() {
    let long = 3 * PIECE_MAX_BYTES + 512;
    let mut disk = vec![0; 10 << 20];
    disk[..long as usize].fill(7);
    let pieces = carried_out(&mut disk, vec![one((OWN, 0), (OWN, 5 << 20), long)]);
    assert_eq!(pieces.len(), 4);
    let copied = disk[5 << 20..].iter().filter(|byte| **byte == 7).count();
    assert_eq!(copied as u64, long);
}

#[test]
fn between_two_vdisks_a_piece_is_read_then_written_and_zeros_leave_a_hole() {
    let mut transfer = transfer(vec![one((OWN, 512), (OTHER, 4096), 1024)]);
    assert_eq!(transfer.next_op(write_back), Some((OTHER, HostOp::Settle)));
    transfer.ended(HostResult::Done).unwrap();
    let read = HostOp::Read {
        offset: 512,
        len_bytes: 1024,
    };
    assert_eq!(
        (transfer.next_op(write_back), transfer.at()),
        (Some((OWN, read)), OWN)
    );
    let zeros = Payload::from(bytes::Bytes::from(vec![0; 1024]));
    transfer.ended(HostResult::Data(zeros)).unwrap();
    let change = Change {
        offset: 4096,
        len_bytes: 1024,
        kind: ChangeKind::Unmap,
    };
    let write = HostOp::Change { change, fua: false };
    assert_eq!(transfer.next_op(write_back), Some((OTHER, write)));
    assert_eq!(transfer.at(), OTHER);
    assert_eq!(transfer.progress, CopyProgress::default());
    transfer.ended(HostResult::Done).unwrap();
    assert_eq!(transfer.progress.bytes, 1024);
    assert_eq!(
        (transfer.progress.segments, transfer.next_op(write_back)),
        (1, None)
    );
}

#[test]
fn what_a_token_stands_for_is_read_before_it_is_written_also_inside_one_vdisk() {
    let token = Token {
        serial: OWN,
        watch: 7,
        delete: false,
    };
    let mut transfer = transfer(vec![one((OWN, 0), (OWN, 4 << 20), 1 << 20)]).using(Some(token));
    assert!(transfer.uses().eq([(OWN, Use::Token), (OWN, Use::Write)]));
    let read = HostOp::Read {
        offset: 0,
        len_bytes: 1 << 20,
    };
    assert_eq!(transfer.next_op(write_back), Some((OWN, read)));
    let data = Payload::from(bytes::Bytes::from(vec![7; 1 << 20]));
    transfer.ended(HostResult::Data(data.clone())).unwrap();
    assert_eq!(
        transfer.relies_on(),
        Some((OWN, 7)),
        "what was read counts?"
    );
    let change = Change {
        offset: 4 << 20,
        len_bytes: 1 << 20,
        kind: ChangeKind::Write(data),
    };
    let write = HostOp::Change { change, fua: false };
    assert_eq!(transfer.next_op(write_back), Some((OWN, write)));
    transfer.ended(HostResult::Done).unwrap();
    assert_eq!(transfer.relies_on(), None, "all of it is written");
    assert_eq!(transfer.next_op(write_back), None);
}

#[test]
fn zeros_are_not_read_and_unmapped_in_long_pieces() {
    let mut zeros = one((OWN, 0), (OWN, 512), ZEROS_MAX_BYTES + 512);
    zeros.source = Source::Zeros;
    let mut transfer = transfer(vec![zeros]);
    assert!(transfer.uses().eq([(OWN, Use::Write)]));
    for (offset, len_bytes) in [(512, ZEROS_MAX_BYTES), (512 + ZEROS_MAX_BYTES, 512)] {
        let change = Change {
            offset,
            len_bytes,
            kind: ChangeKind::Unmap,
        };
        let unmap = HostOp::Change { change, fua: false };
        assert_eq!(transfer.next_op(write_back), Some((OWN, unmap)));
        transfer.ended(HostResult::Done).unwrap();
    }
    assert_eq!(transfer.progress.bytes, ZEROS_MAX_BYTES + 512);
    assert_eq!(transfer.next_op(write_back), None);
}

#[test]
fn a_copy_has_to_do_with_a_vdisk_until_it_is_flushed() {
    let mut copy = transfer(vec![one((OWN, 0), (OTHER, 0), 512)]);
    let data = || Payload::from(bytes::Bytes::from(vec![1; 512]));
    let results = [HostResult::Done, HostResult::Data(data()), HostResult::Done];
    for result in results.into_iter().map(Some).chain([None]) {
        assert!(copy.involves(OWN) && copy.involves(OTHER));
        let (at, op) = copy.next_op(|_| true).unwrap();
        assert_eq!(copy.at(), at);
        match result {
            Some(result) => copy.ended(result).unwrap(),
            None => assert_eq!((at, op), (OTHER, HostOp::Flush)),
        }
    }
    assert!(copy.involves(OWN) && copy.involves(OTHER));
}

#[test]
fn where_the_write_cache_is_off_the_copy_ends_with_a_flush() {
    let mut transfer = transfer(vec![one((OWN, 0), (OWN, 512), 512)]);
    drop(transfer.next_op(|_| true));
    transfer.ended(HostResult::Done).unwrap();
    assert_eq!(transfer.next_op(|_| true), Some((OWN, HostOp::Flush)));
    transfer.ended(HostResult::Done).unwrap();
    assert_eq!(transfer.next_op(|_| true), None);
}

#[test]
fn only_a_copy_that_reads_nothing_of_what_it_wrote_may_be_sent_again() {
    let standby = || HostResult::NotReady(NotReady::Standby);
    let apart = vec![one((OWN, 0), (OWN, 4 << 20), 2 << 20)];
    let over = vec![one((OWN, 0), (OWN, 512), 2 << 20)];
    for (moves, again) in [(apart, true), (over, false)] {
        let mut copy = transfer(moves.clone());
        drop(copy.next_op(write_back));
        assert_eq!(copy.ended(standby()), Err(Response::check(Sense::STANDBY)));
        let mut copy = transfer(moves);
        drop(copy.next_op(write_back));
        copy.ended(HostResult::Done).unwrap();
        drop(copy.next_op(write_back));
        let refused = if again {
            Sense::STANDBY
        } else {
            Sense::NOT_REACHABLE
        };
        assert_eq!(copy.ended(standby()), Err(Response::check(refused)));
    }
    let mut copy = transfer(vec![one((OWN, 0), (OTHER, 0), 512)]);
    drop(copy.next_op(write_back));
    let refused = Response::check(Sense::NOT_REACHABLE);
    assert_eq!(copy.ended(standby()), Err(refused), "the other VDisk");
}
