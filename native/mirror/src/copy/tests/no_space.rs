//! Full disks: a change that finds no space is made on neither copy, and the copies serve on.

use super::*;
use crate::copy::no_space::{ENOSPC, is_no_space};

const BOTH: [usize; 2] = [MASTER, SLAVE];

/// A pair whose first block is a hole, with these disks full.
fn hole(full: &[usize]) -> Pair {
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

fn mode(pair: &Pair, at: usize) -> &'static str {
    pair.sides[at].node.copy(SERIAL).unwrap().status().mode
}

fn assert_equal(pair: &Pair) {
    let [left, right] = &pair.sides;
    assert_eq!(left.disk[..1024], right.disk[..1024]);
}

/// Both nodes mirror, hold the same, and take what needs no space.
fn assert_serve_on(pair: &mut Pair) {
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

/// A pair whose first three blocks are holes; there is room for so many of them, on both disks.
fn cramped(room_blocks: usize) -> Pair {
    let mut pair = hole(&BOTH);
    for number in [1, 2] {
        let change = Change {
            offset: number * 512,
            len_bytes: 512,
            kind: ChangeKind::Unmap,
        };
        pair.host(MASTER, 1, HostOp::Change { change, fua: false });
    }
    for side in &mut pair.sides {
        side.room_bytes = room_blocks * 512;
    }
    pair
}

fn write_block(number: u64) -> HostOp {
    let change = Change {
        offset: number * 512,
        len_bytes: 512,
        kind: ChangeKind::Write(block(b'2')),
    };
    HostOp::Change { change, fua: false }
}

/// Three changes, the last two of the Master's hosts: the Master's disk takes them in this order, the Slave's in that one.
fn race(pair: &mut Pair, first_at: usize, order: [usize; 3]) {
    pair.sides[SLAVE].hold_changes = true;
    for (id, at) in [(10, first_at), (11, MASTER), (12, MASTER)] {
        pair.host(at, id, write_block(id - 10));
    }
    let held = &mut pair.sides[SLAVE].held_changes;
    let mut sorted: Vec<_> = order.map(|place| held.get(place).cloned()).into();
    *held = sorted.drain(..).flatten().collect();
    pair.release_changes(SLAVE);
}

const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

#[test]
fn a_slave_that_took_others_than_the_master_into_the_last_space_follows() {
    for room_blocks in 0..=3 {
        for order in ORDERS {
            for at in BOTH {
                let mut pair = cramped(room_blocks);
                race(&mut pair, at, order);
                for number in 0..3 {
                    let result = if number < room_blocks {
                        HostResult::Done
                    } else {
                        HostResult::NoSpace
                    };
                    let holder = if number == 0 { at } else { MASTER };
                    let answer = pair.answer(holder, 10 + number as u64);
                    assert_eq!(answer, Some(&result), "{room_blocks} {order:?} {at}");
                }
                let [left, right] = &pair.sides;
                assert_eq!(left.disk[..2048], right.disk[..2048]);
                for side in &mut pair.sides {
                    side.room_bytes = 512;
                }
                assert_serve_on(&mut pair);
            }
        }
    }
}

#[test]
fn a_slave_with_less_space_gives_up_in_the_end() {
    for order in ORDERS {
        for at in BOTH {
            let mut pair = cramped(2);
            pair.sides[SLAVE].room_bytes = 512;
            race(&mut pair, at, order);
            assert_eq!(mode(&pair, SLAVE), "failed", "{order:?} {at}");
            assert_eq!(mode(&pair, MASTER), "mirroring");
            pair.command(SLAVE, Command::StopServing(NotReady::Unavailable));
            pair.link_down();
            pair.go_alone(MASTER);
            assert_eq!(pair.answer(MASTER, 11), Some(&HostResult::Done));
            assert_eq!(pair.answer(MASTER, 12), Some(&HostResult::NoSpace));
        }
    }
}

#[test]
fn while_the_slave_lacks_space_nothing_new_begins() {
    let mut pair = cramped(1);
    pair.sides[SLAVE].hold_changes = true;
    for id in [10, 11] {
        pair.host(MASTER, id, write_block(id - 10));
    }
    // The Slave's disk takes the second one first, and the first one finds no space.
    let held = &mut pair.sides[SLAVE].held_changes;
    let (first, second) = (held.remove(0), held.remove(0));
    for (id, op) in [second, first] {
        pair.sides[SLAVE].hold_changes = false;
        pair.sides[SLAVE].disk(id, op);
        pair.sides[SLAVE].hold_changes = true;
    }
    pair.run();
    pair.host(MASTER, 20, write_block(3));
    pair.host(SLAVE, 21, write_block(3));
    let unchanged = pair.sides[MASTER].disk[3 * 512];
    assert_ne!(unchanged, b'2');
    pair.host(MASTER, 22, read());
    assert_eq!(pair.answer(MASTER, 22), None, "its range is locked");
    pair.release_changes(SLAVE);
    let expected = [
        (MASTER, 10, HostResult::Done),
        (MASTER, 11, HostResult::NoSpace),
        (MASTER, 20, HostResult::Done),
        (SLAVE, 21, HostResult::Done),
    ];
    for (at, id, result) in expected {
        assert_eq!(pair.answer(at, id), Some(&result), "{id}");
    }
    assert_eq!(
        pair.sides[MASTER].disk[..2048],
        pair.sides[SLAVE].disk[..2048]
    );
}

#[test]
fn whoever_is_lost_while_the_slave_lacks_space_the_copies_end_equal() {
    let steps: [fn(&Body) -> bool; 3] = [
        |body| matches!(body, Body::Short),
        |body| matches!(body, Body::NoSpace),
        |body| matches!(body, Body::Apply(change) if change.kind == ChangeKind::Unmap),
    ];
    for at in BOTH {
        for survivor in BOTH {
            for lose in steps {
                let mut pair = cramped(1);
                pair.lose = lose;
                pair.sides[SLAVE].hold_changes = true;
                pair.host(at, 10, write_block(0));
                pair.host(MASTER, 11, write_block(1));
                pair.sides[SLAVE].held_changes.reverse();
                pair.release_changes(SLAVE);
                pair.link_down();
                pair.go_alone(survivor);
                for side in &mut pair.sides {
                    side.full = false;
                }
                pair.link_up();
                pair.attach(survivor, Sync::Source);
                let [left, right] = &pair.sides;
                assert_eq!(left.disk[..2048], right.disk[..2048]);
                for (at, id) in [(at, 10), (MASTER, 11)] {
                    assert!(pair.answer(at, id).is_some());
                }
            }
        }
    }
}
