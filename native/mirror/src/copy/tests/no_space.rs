//! Full disks: a change that finds no space is made on neither copy, and the copies serve on.

use super::*;
use crate::copy::no_space::{ENOSPC, is_no_space};

pub(super) const BOTH: [usize; 2] = [MASTER, SLAVE];

/// A pair whose first block is a hole, with these disks full.
pub(super) fn hole(full: &[usize]) -> Pair {
    let mut pair = Pair::new();
    let change = Change {
        offset: 0,
        len_bytes: 512,
        kind: ChangeKind::Unmap,
    };
    pair.host(MASTER, 1, HostOp::Change { change, fua: false });
    for at in full {
        pair.sides[*at].full = true;
    }
    pair
}

fn or() -> HostOp {
    update(UpdateKind::Or(block(b'2')), false)
}

fn compared() -> HostOp {
    compare_and_write(0, b'2')
}

pub(super) fn mode(pair: &Pair, at: usize) -> &'static str {
    pair.sides[at].node.copy(SERIAL).unwrap().status().mode
}

pub(super) fn assert_equal(pair: &Pair) {
    let [left, right] = &pair.sides;
    assert!(left.disk == right.disk);
}

/// Both nodes mirror, hold the same, and take what needs no space.
pub(super) fn assert_serve_on(pair: &mut Pair) {
    assert_equal(pair);
    for at in BOTH {
        assert_eq!(mode(pair, at), "mirroring");
        let kind = ChangeKind::Write(block(b'5'));
        let change = Change {
            offset: 512,
            len_bytes: 512,
            kind,
        };
        pair.host(at, 50, HostOp::Change { change, fua: true });
        assert_eq!(pair.answer(at, 50), Some(&HostResult::Done));
        pair.host(at, 51, read());
        assert!(matches!(pair.answer(at, 51), Some(HostResult::Data(_))));
    }
    assert_equal(pair);
}

#[test]
fn where_the_master_has_no_space_a_change_is_made_on_neither_copy() {
    for full in [&[MASTER][..], &[MASTER, SLAVE]] {
        for at in BOTH {
            for op in [write(b'2'), or(), compared()] {
                for room_bytes in [[0, 0], [100, 200], [0, 512 - 1]] {
                    let mut pair = hole(full);
                    for (side, bytes) in pair.sides.iter_mut().zip(room_bytes) {
                        side.room_bytes = bytes;
                    }
                    pair.host(at, 2, op.clone());
                    let answer = pair.answer(at, 2);
                    assert_eq!(answer, Some(&HostResult::NoSpace), "{full:?} {at}");
                    assert_serve_on(&mut pair);
                }
            }
        }
    }
}

#[test]
fn where_the_slave_has_not_even_the_space_to_undo_it_gives_up() {
    for at in BOTH {
        let mut pair = hole(&[MASTER, SLAVE]);
        pair.sides[MASTER].room_bytes = 200;
        pair.host(at, 2, write(b'2'));
        assert_eq!(mode(&pair, SLAVE), "failed");
        pair.command(SLAVE, Command::StopServing(NotReady::Unavailable));
        pair.link_down();
        pair.go_alone(MASTER);
        if at == MASTER {
            assert_eq!(pair.answer(at, 2), Some(&HostResult::NoSpace));
        }
        assert_eq!(mode(&pair, MASTER), "alone");
    }
}

#[test]
fn where_only_the_slave_has_no_space_it_gives_up_and_the_master_has_the_change() {
    for at in BOTH {
        let mut pair = hole(&[SLAVE]);
        pair.host(at, 2, write(b'2'));
        assert_eq!(mode(&pair, SLAVE), "failed");
        assert_eq!(pair.answer(at, 2), None);
        pair.command(SLAVE, Command::StopServing(NotReady::Unavailable));
        pair.link_down();
        pair.go_alone(MASTER);
        assert_eq!(pair.disks()[MASTER], '2');
        if at == MASTER {
            assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
        }
    }
}

#[test]
fn a_copy_that_serves_alone_tells_of_no_space_and_serves_on() {
    let mut pair = hole(&[MASTER]);
    pair.link_down();
    pair.go_alone(MASTER);
    for (id, op) in [(2, write(b'2')), (3, or()), (4, write(b'3'))] {
        pair.host(MASTER, id, op);
        assert_eq!(pair.answer(MASTER, id), Some(&HostResult::NoSpace));
    }
    assert_eq!(mode(&pair, MASTER), "alone");
    pair.sides[MASTER].full = false;
    pair.host(MASTER, 5, write(b'2'));
    assert_eq!(pair.answer(MASTER, 5), Some(&HostResult::Done));
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert_equal(&pair);
}

#[test]
fn whoever_is_lost_meanwhile_the_copies_end_equal() {
    let steps: [fn(&Body) -> bool; 4] = [
        |body| matches!(body, Body::Apply(_)),
        |body| matches!(body, Body::Applied),
        |body| matches!(body, Body::NoSpace),
        |body| matches!(body, Body::Apply(change) if change.kind == ChangeKind::Unmap),
    ];
    for full in [&[MASTER][..], &[MASTER, SLAVE]] {
        for (at, survivor) in [
            (MASTER, MASTER),
            (MASTER, SLAVE),
            (SLAVE, MASTER),
            (SLAVE, SLAVE),
        ] {
            for lose in steps {
                let mut pair = hole(full);
                pair.lose = lose;
                pair.host(at, 2, write(b'2'));
                pair.link_down();
                pair.go_alone(survivor);
                // It may have been told before.
                let expected = [HostResult::Done, HostResult::NoSpace];
                if at == survivor {
                    let answer = pair.answer(at, 2).expect("it is answered");
                    assert!(expected[usize::from(full.contains(&at))..].contains(answer));
                }
                for side in &mut pair.sides {
                    side.full = false;
                }
                pair.link_up();
                pair.attach(survivor, Sync::Source);
                assert_equal(&pair);
                assert!(pair.answer(at, 2).is_some());
            }
        }
    }
}

#[test]
fn a_change_that_finds_no_space_after_the_peer_was_lost_is_no_failure() {
    let mut pair = hole(&[]);
    pair.sides[MASTER].hold_changes = true;
    pair.host(MASTER, 2, write(b'2'));
    pair.link_down();
    let side = &mut pair.sides[MASTER];
    side.hold_changes = false;
    for (id, _) in std::mem::take(&mut side.held_changes) {
        side.node
            .disk_done(SERIAL, id, DiskDone::Failed(ENOSPC), NOW_NS);
    }
    pair.go_alone(MASTER);
    assert_eq!(mode(&pair, MASTER), "alone");
    assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
}

#[test]
fn any_other_error_is_a_failure_of_the_disk() {
    let mut pair = hole(&[]);
    pair.sides[MASTER].fail_changes = true;
    pair.host(MASTER, 2, write(b'2'));
    assert_eq!(mode(&pair, MASTER), "failed");
}

#[test]
fn a_quota_that_is_used_up_is_no_space_either() {
    assert!([28, 122].into_iter().all(is_no_space));
    assert!(![5, 30].into_iter().any(is_no_space));
}
