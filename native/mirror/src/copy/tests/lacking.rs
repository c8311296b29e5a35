//! A Slave without space for what the Master has made: it tries again, and gives up only if it has less space than the Master.

use super::no_space::{BOTH, assert_equal, assert_serve_on, hole, mode};
use super::*;

/// A pair whose first three blocks are holes; there is room for so many of them, on both disks.
fn cramped(room_blocks: usize) -> Pair {
    let mut pair = hole(&BOTH);
    pair.host(MASTER, 1, unmap(0, 3));
    for side in &mut pair.sides {
        side.room_bytes = room_blocks * 512;
    }
    pair
}

fn change(number: u64, count: u64, kind: ChangeKind, fua: bool) -> HostOp {
    let change = Change {
        offset: number * 512,
        len_bytes: count * 512,
        kind,
    };
    HostOp::Change { change, fua }
}

fn unmap(number: u64, count: u64) -> HostOp {
    change(number, count, ChangeKind::Unmap, false)
}

fn write_blocks(number: u64, count: u64) -> HostOp {
    let data = Bytes::from(vec![b'2'; count as usize * 512]);
    change(number, count, ChangeKind::Write(data.into()), false)
}

fn write_block(number: u64) -> HostOp {
    write_blocks(number, 1)
}

/// Have a disk carry out one of the changes that it holds, and go on holding the others.
fn carry_out(pair: &mut Pair, at: usize, place: usize) {
    let side = &mut pair.sides[at];
    let (id, op) = side.held_changes.remove(place);
    side.hold_changes = false;
    side.disk(id, op);
    side.hold_changes = true;
    pair.run();
}

/// Three changes, the last two of the Master's hosts: the Master's disk takes them in this order, the Slave's in that one.
fn race(pair: &mut Pair, first_at: usize, order: [usize; 3]) {
    pair.sides[SLAVE].hold_changes = true;
    for (id, at) in [(10, first_at), (11, MASTER), (12, MASTER)] {
        pair.host(at, id, write_block(id - 10));
    }
    let held = &mut pair.sides[SLAVE].held_changes;
    let sorted = order.iter().filter_map(|&place| held.get(place).cloned());
    *held = sorted.collect();
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
                assert_equal(&pair);
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
    carry_out(&mut pair, SLAVE, 1);
    carry_out(&mut pair, SLAVE, 0);
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
    assert_equal(&pair);
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
                assert_equal(&pair);
                for (at, id) in [(at, 10), (MASTER, 11)] {
                    assert!(pair.answer(at, id).is_some());
                }
            }
        }
    }
}

#[test]
fn a_read_across_what_waits_for_space_and_another_change_holds_nothing_up() {
    let read = HostOp::Read {
        offset: 0,
        len_bytes: 1024,
    };
    let allocation = HostOp::Allocation {
        offset: 0,
        len_bytes: 2048,
    };
    for (first_at, across) in [(MASTER, &read), (SLAVE, &read), (MASTER, &allocation)] {
        let mut pair = cramped(1);
        pair.sides[SLAVE].hold_changes = true;
        pair.host(first_at, 10, write_block(0));
        // It waits for the first one at the Slave, and the second one for it.
        pair.host(SLAVE, 20, across.clone());
        pair.host(MASTER, 11, write_block(1));
        pair.sides[SLAVE].room_bytes = 0;
        let held = std::mem::take(&mut pair.sides[SLAVE].held_changes);
        pair.sides[SLAVE].hold_changes = false;
        for (id, op) in held {
            pair.sides[SLAVE].disk(id, op);
        }
        pair.sides[SLAVE].room_bytes = 512;
        pair.run();
        assert_eq!(pair.answer(first_at, 10), Some(&HostResult::Done));
        assert_eq!(pair.answer(MASTER, 11), Some(&HostResult::NoSpace));
        assert!(pair.answer(SLAVE, 20).is_some());
        assert_eq!(mode(&pair, SLAVE), "mirroring");
    }
}

#[test]
fn what_a_change_took_in_part_is_given_back_where_the_slave_had_all_of_it() {
    for reverse in [false, true] {
        let mut pair = cramped(3);
        pair.host(MASTER, 1, unmap(3, 1));
        for side in &mut pair.sides {
            side.room_bytes = 3 * 512;
        }
        pair.sides[SLAVE].hold_changes = true;
        pair.host(MASTER, 10, write_blocks(0, 2));
        pair.host(MASTER, 11, write_blocks(2, 2));
        if reverse {
            pair.sides[SLAVE].held_changes.reverse();
        }
        pair.release_changes(SLAVE);
        assert_eq!(pair.answer(MASTER, 10), Some(&HostResult::Done));
        assert_eq!(pair.answer(MASTER, 11), Some(&HostResult::NoSpace));
        assert_eq!(mode(&pair, SLAVE), "mirroring");
        assert_equal(&pair);
    }
}

#[test]
fn a_slave_cannot_want_again_what_was_not_granted() {
    let mut pair = cramped(1);
    pair.sides[MASTER].hold_changes = true;
    pair.host(SLAVE, 10, write_block(0));
    let epoch = pair.sides[MASTER].node.copy(SERIAL).unwrap().facts.epoch;
    for id in 0..50 {
        let message = Message {
            serial: SERIAL,
            epoch,
            id,
            body: Body::Short,
        };
        pair.sides[MASTER].node.receive(PEER, message, NOW_NS);
    }
    pair.run();
    assert_eq!(pair.answer(SLAVE, 10), None);
    pair.release_changes(MASTER);
    assert_eq!(pair.answer(SLAVE, 10), Some(&HostResult::Done));
}

/// Random commands at both nodes, whose disks carry changes out in any order, and have room for few blocks.
fn jostle(pair: &mut Pair, random: &mut impl FnMut(u64) -> u64) -> Vec<(usize, u64)> {
    let mut asked = vec![];
    for side in &mut pair.sides {
        side.hold_changes = true;
    }
    for id in 100..120 {
        let (at, block) = (random(2) as usize, random(6));
        let op = match random(10) {
            0 => change(block, 1, ChangeKind::Unmap, true),
            1 => unmap(block, 1),
            2 => HostOp::Read {
                offset: block * 512,
                len_bytes: 1024,
            },
            3 => HostOp::Flush,
            4 => HostOp::Allocation {
                offset: 0,
                len_bytes: 4096,
            },
            _ => write_blocks(block, 1 + random(3)),
        };
        pair.host(at, id, op);
        if random(8) == 0 {
            pair.cancel(at, id);
        } else {
            asked.push((at, id));
        }
        for _ in 0..random(3) {
            carry_out_one(pair, random);
        }
    }
    asked
}

/// Have one of the disks carry out one of its changes.
fn carry_out_one(pair: &mut Pair, random: &mut impl FnMut(u64) -> u64) {
    let at = random(2) as usize;
    let count = pair.sides[at].held_changes.len() as u64;
    if count > 0 {
        carry_out(pair, at, random(count) as usize);
    }
}

proptest::proptest! {
    #[test]
    fn disks_with_equally_little_space_stay_equal_in_whatever_order_they_work(seed in 1_u64.., room in 0_usize..6) {
        let mut state = seed;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let mut pair = cramped(room);
        pair.host(MASTER, 1, unmap(3, 13));
        for side in &mut pair.sides {
            side.room_bytes = room * 512;
        }
        let asked = jostle(&mut pair, &mut random);
        while pair.sides.iter().any(|side| !side.held_changes.is_empty()) {
            carry_out_one(&mut pair, &mut random);
        }
        for (at, id) in asked {
            proptest::prop_assert!(pair.answer(at, id).is_some(), "{id}");
        }
        assert_equal(&pair);
        proptest::prop_assert_eq!([mode(&pair, MASTER), mode(&pair, SLAVE)], ["mirroring"; 2]);
    }
}
