//! Changes of the shared record that were interrupted: each is made once, or its outcome is said to be unknown.

use super::*;
use crate::shared_record::{RECORD_MAX_BYTES, TAGS_MAX};

const UNKNOWN: HostResult = HostResult::Unknown;

pub(super) fn turn(tag: u64) -> HostOp {
    HostOp::Turn { tag }
}

impl Pair {
    /// What both nodes hold: the hosts whose changes were made, in order.
    pub(super) fn record(&self) -> Vec<u8> {
        let [one, other] = self.sides.each_ref().map(|side| {
            let copy = side.node.copy(SERIAL).expect("it is there");
            copy.shared_record().bytes().to_vec()
        });
        assert_eq!(one, other);
        one
    }

    /// So many other changes.
    fn turns(&mut self, at: usize, count: usize) {
        for id in 100..100 + count as u64 {
            self.host(at, id, turn(id));
        }
    }

    /// This node went on alone, made so many other changes, and is the source now.
    fn went_on(&mut self, at: usize, changes: usize) {
        self.go_alone(at);
        self.turns(at, changes);
        self.link_up();
        self.attach(at, Sync::Source);
    }

    fn can_withdraw(&self, at: usize, id: u64) -> bool {
        self.sides[at].node.can_withdraw(SERIAL, HostId(id))
    }

    /// How often host 1's change is in the record.
    fn made(&self) -> usize {
        self.record().iter().filter(|host| **host == 1).count()
    }
}

/// A change of host 1, interrupted by the loss of the first such message.
fn interrupted(at: usize, lose: fn(&Body) -> bool) -> Pair {
    let mut pair = Pair::new();
    pair.lose = lose;
    pair.host(at, 1, turn(1));
    pair.link_down();
    assert_eq!(pair.answer(at, 1), None);
    pair
}

#[test]
fn a_change_that_the_peer_has_forgotten_is_not_made_again() {
    for (at, lose) in [
        (
            SLAVE,
            (|body| matches!(body, Body::RecordApply { .. })) as fn(&Body) -> bool,
        ),
        (SLAVE, |body| matches!(body, Body::RecordDone)),
        (MASTER, |body| matches!(body, Body::RecordApplied)),
    ] {
        for (others, answer) in [(TAGS_MAX - 1, HostResult::Done), (TAGS_MAX, UNKNOWN)] {
            let mut pair = interrupted(at, lose);
            pair.went_on(1 - at, others);
            assert_eq!(pair.answer(at, 1), Some(&answer));
            assert_eq!(pair.made(), 1);
            pair.host(at, 2, turn(2));
            assert_eq!(
                pair.answer(at, 2),
                Some(&HostResult::Done),
                "no turn is stuck"
            );
        }
    }
}

#[test]
fn a_change_that_the_peer_never_made_is_known_as_such_only_while_tags_tell() {
    for (at, lose) in [
        (
            SLAVE,
            (|body| matches!(body, Body::RecordUpdate { .. })) as fn(&Body) -> bool,
        ),
        (MASTER, |body| matches!(body, Body::RecordApply { .. })),
    ] {
        for (others, answer) in [(TAGS_MAX, HostResult::Overtaken), (TAGS_MAX + 1, UNKNOWN)] {
            let mut pair = interrupted(at, lose);
            pair.went_on(1 - at, others);
            assert_eq!(pair.answer(at, 1), Some(&answer));
            assert_eq!(pair.made(), 0);
        }
    }
}

#[test]
fn a_change_that_waited_behind_many_after_the_attach_is_not_made_again() {
    for (at, lose) in [
        (
            SLAVE,
            (|body| matches!(body, Body::RecordDone)) as fn(&Body) -> bool,
        ),
        (MASTER, |body| matches!(body, Body::RecordApply { .. })),
        (MASTER, |body| matches!(body, Body::RecordApplied)),
    ] {
        let mut pair = interrupted(at, lose);
        pair.turns(1 - at, TAGS_MAX + 2);
        pair.link_up();
        pair.attach(MASTER, Sync::None);
        assert_eq!(pair.answer(at, 1), Some(&HostResult::Done));
        assert_eq!(pair.made(), 1);
        let host = |id| pair.answer(1 - at, id);
        assert!((100..110).all(|id| host(id) == Some(&HostResult::Done)));
    }
}

#[test]
fn a_change_that_nobody_else_has_is_made_by_whoever_goes_on() {
    for (at, lose) in [
        (
            SLAVE,
            (|body| matches!(body, Body::RecordUpdate { .. })) as fn(&Body) -> bool,
        ),
        (SLAVE, |body| matches!(body, Body::RecordApply { .. })),
        (SLAVE, |body| matches!(body, Body::RecordApplied)),
        (MASTER, |body| matches!(body, Body::RecordApply { .. })),
        (MASTER, |body| matches!(body, Body::RecordApplied)),
    ] {
        let mut pair = interrupted(at, lose);
        pair.go_alone(at);
        assert_eq!(pair.answer(at, 1), Some(&HostResult::Done));
        pair.link_up();
        pair.attach(at, Sync::Source);
        assert_eq!(pair.made(), 1);
    }
}

#[test]
fn a_change_is_taken_back_only_while_it_cannot_have_been_made() {
    let mut pair = interrupted(SLAVE, |body| matches!(body, Body::RecordTurn));
    assert!(pair.can_withdraw(SLAVE, 1), "nothing was computed");
    pair.cancel(SLAVE, 1);
    pair.go_alone(SLAVE);
    assert_eq!(pair.sides[SLAVE].answers, []);
    for (at, lose) in [
        (
            SLAVE,
            (|body| matches!(body, Body::RecordUpdate { .. })) as fn(&Body) -> bool,
        ),
        (SLAVE, |body| matches!(body, Body::RecordApply { .. })),
        (SLAVE, |body| matches!(body, Body::RecordDone)),
        (MASTER, |body| matches!(body, Body::RecordApply { .. })),
    ] {
        let pair = interrupted(at, lose);
        assert!(!pair.can_withdraw(at, 1));
    }
}

#[test]
fn a_change_that_may_have_been_made_ends_unknown_when_its_node_stops() {
    let mut pair = interrupted(SLAVE, |body| matches!(body, Body::RecordUpdate { .. }));
    pair.host(SLAVE, 2, turn(2));
    pair.stop(SLAVE);
    assert_eq!(pair.answer(SLAVE, 1), Some(&UNKNOWN));
    assert_eq!(pair.answer(SLAVE, 2), Some(&STANDBY), "never begun");
}

#[test]
fn a_change_that_was_made_once_is_put_in_force_again_on_both_nodes() {
    let mut pair = interrupted(SLAVE, |body| matches!(body, Body::RecordDone));
    pair.link_up();
    pair.lose = |body| matches!(body, Body::RecordApplied);
    pair.attach(MASTER, Sync::None);
    assert_eq!(pair.answer(SLAVE, 1), None, "the Slave has to say so");
    pair.link_down();
    pair.link_up();
    pair.attach(MASTER, Sync::None);
    assert_eq!(pair.answer(SLAVE, 1), Some(&HostResult::Done));
    assert_eq!(pair.made(), 1);
}

#[test]
fn a_change_that_makes_the_record_too_long_ends_and_the_next_has_its_turn() {
    for at in [MASTER, SLAVE] {
        let mut pair = Pair::new();
        for (id, grow_bytes, answer) in [
            (1, RECORD_MAX_BYTES, HostResult::Done),
            (2, 1, HostResult::NoRoom),
            (3, 0, HostResult::Done),
        ] {
            pair.sides[at].grow_bytes = grow_bytes;
            pair.host(at, id, turn(id));
            assert_eq!(pair.answer(at, id), Some(&answer));
        }
        assert_eq!(pair.record().len(), RECORD_MAX_BYTES);
        pair.host(1 - at, 4, read());
        assert_eq!(pair.answer(1 - at, 4), Some(&byte(b'1')), "the link stands");
    }
    let mut pair = Pair::new();
    pair.link_down();
    pair.go_alone(MASTER);
    pair.sides[MASTER].grow_bytes = RECORD_MAX_BYTES + 1;
    pair.host(MASTER, 1, turn(1));
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::NoRoom));
    pair.sides[MASTER].grow_bytes = 1;
    pair.host(MASTER, 2, turn(2));
    assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
}

#[test]
fn that_a_change_was_made_counts_no_more_where_another_record_counts() {
    let mut pair = interrupted(MASTER, |body| matches!(body, Body::RecordApply { .. }));
    pair.link_up();
    pair.lose = |body| matches!(body, Body::AttachGo(_));
    pair.attach(MASTER, Sync::None);
    assert_eq!(
        pair.answer(MASTER, 1),
        None,
        "made here, and nobody else knows"
    );
    pair.link_down();
    pair.go_alone(SLAVE);
    pair.host(SLAVE, 2, turn(2));
    pair.link_up();
    pair.attach(SLAVE, Sync::Source);
    assert_eq!(pair.record(), [2]);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Overtaken));
}
