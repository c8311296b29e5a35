//! Changes under way whose sessions are gone: what somebody may have seen is carried through. A change of the record that ends commands
//! is not answered before they have ended, for what their initiators lose by it must not reach a disk later.

use super::turns::turn;
use super::*;

fn changes() -> [HostOp; 2] {
    [write(b'2'), compare_and_write(b'1', b'2')]
}

#[test]
fn of_either_node_they_are_waited_for_on_both_disks() {
    for change in changes() {
        for (writer, asker, slow) in (0..8).map(|bits| (bits & 1, bits >> 1 & 1, bits >> 2)) {
            let mut pair = Pair::new();
            pair.sides[slow].hold_changes = true;
            pair.host(writer, 1, change.clone());
            pair.cancel(writer, 1);
            pair.host(asker, 2, turn(2));
            let case = (writer, asker, slow);
            assert_eq!(pair.answer(asker, 2), None, "{case:?}");
            pair.release_changes(slow);
            assert_eq!(pair.answer(asker, 2), Some(&HostResult::Done), "{case:?}");
            assert_eq!(pair.disks(), ['2', '2'], "{case:?}");
            assert_eq!(pair.answer(writer, 1), None, "{case:?}");
        }
    }
}

#[test]
fn of_a_node_that_serves_alone_they_are_waited_for() {
    for change in changes() {
        let mut pair = Pair::new();
        pair.link_down();
        pair.go_alone(MASTER);
        pair.sides[MASTER].hold_changes = true;
        pair.host(MASTER, 1, change);
        pair.cancel(MASTER, 1);
        pair.host(MASTER, 2, turn(2));
        assert_eq!(pair.answer(MASTER, 2), None);
        pair.release_changes(MASTER);
        assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
    }
}

#[test]
fn those_of_a_peer_that_was_lost_are_waited_for_before_anything_is_answered() {
    for (writer, stays) in [(MASTER, MASTER), (SLAVE, MASTER), (MASTER, SLAVE)] {
        let mut pair = Pair::new();
        pair.sides[stays].hold_changes = true;
        pair.host(writer, 1, write(b'2'));
        pair.cancel(writer, 1);
        pair.host(stays, 2, turn(2));
        pair.link_down();
        pair.go_alone(stays);
        assert_eq!(pair.answer(stays, 2), None, "{writer} {stays}");
        pair.release_changes(stays);
        assert_eq!(pair.answer(stays, 2), Some(&HostResult::Done));
        let disk = pair.disks();
        pair.host(stays, 3, read());
        assert_eq!(pair.disks(), disk);
    }
}

/// Begun at the Master, whose activity log is not durable yet; applied at the Slave and read there. The peer is lost, then the
/// session at the Master.
fn begun_and_forsaken(op: HostOp) -> Pair {
    let mut pair = Pair::new();
    pair.sides[MASTER].hold_persists = true;
    pair.host(MASTER, 1, op);
    pair.host(SLAVE, 2, read());
    assert_eq!(pair.answer(SLAVE, 2), Some(&byte(b'2')));
    assert_eq!(pair.disks(), ['1', '2']);
    pair.link_down();
    pair.cancel(MASTER, 1);
    pair.release_persists(MASTER);
    pair
}

#[test]
fn a_change_that_was_read_at_the_slave_outlives_its_session() {
    for op in [write(b'2'), compare_and_write(b'1', b'2')] {
        let mut pair = begun_and_forsaken(op);
        pair.go_alone(MASTER);
        pair.host(MASTER, 3, read());
        assert_eq!(pair.answer(MASTER, 3), Some(&byte(b'2')));
        assert_eq!(pair.answer(MASTER, 1), None, "nobody waits for it");
    }
}

#[test]
fn a_change_whose_session_is_gone_is_dropped_where_the_peer_went_on() {
    let mut pair = begun_and_forsaken(write(b'2'));
    pair.go_alone(SLAVE);
    pair.host(SLAVE, 3, write(b'3'));
    pair.link_up();
    pair.attach(SLAVE, Sync::Source);
    assert_eq!(pair.disks(), ['3', '3']);

    let mut pair = begun_and_forsaken(write(b'2'));
    pair.stop(MASTER);
    pair.go_alone(MASTER);
    assert_eq!(pair.disks()[MASTER], '1');
}

#[test]
fn a_change_that_nobody_heard_of_goes_with_its_session() {
    let mut pair = Pair::new();
    pair.link_down();
    pair.host(MASTER, 1, write(b'2'));
    pair.cancel(MASTER, 1);
    pair.go_alone(MASTER);
    assert_eq!(pair.disks()[MASTER], '1');
}
