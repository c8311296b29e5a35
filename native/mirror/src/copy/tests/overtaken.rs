//! Commands that a Slave held while its peer served without it.

use super::*;

#[test]
fn a_change_that_the_peer_may_have_served_alone_is_not_sent_again() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Granted);
    pair.host(SLAVE, 1, write(b'F'));
    pair.link_down();
    pair.host(SLAVE, 2, HostOp::Flush);
    pair.go_alone(MASTER);
    pair.host(MASTER, 3, read());
    assert_eq!(pair.answer(MASTER, 3), Some(&byte(b'F')));
    pair.host(MASTER, 4, write(b'3'));
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.disks(), ['3', '3']);
    assert_eq!(pair.answer(SLAVE, 1), Some(&HostResult::Overtaken));
    assert_eq!(pair.answer(SLAVE, 2), Some(&HostResult::Done));
}

#[test]
fn a_change_that_a_returned_master_had_begun_is_not_sent_again() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Applied);
    pair.host(MASTER, 1, write(b'2'));
    pair.link_down();
    pair.go_alone(SLAVE);
    pair.host(SLAVE, 2, write(b'3'));
    pair.link_up();
    pair.attach(SLAVE, Sync::Source);
    assert_eq!(pair.disks(), ['3', '3']);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Overtaken));
}

fn everything() -> Vec<HostOp> {
    let range = |offset| (offset, 512);
    let (offset, len_bytes) = range(0);
    vec![
        write(b'F'),
        compare_and_write(b'1', b'F'),
        update(UpdateKind::Or(block(b'F')), false),
        HostOp::Turn { tag: 9 },
        HostOp::Settle,
        HostOp::Allocation { offset, len_bytes },
        read(),
    ]
}

#[test]
fn what_was_not_begun_is_not_begun_either_once_the_peer_has_gone_on() {
    for op in everything() {
        let mut pair = Pair::new();
        pair.link_down();
        pair.host(SLAVE, 1, op.clone());
        pair.go_alone(MASTER);
        pair.link_up();
        pair.host(SLAVE, 2, op.clone());
        pair.attach(MASTER, Sync::Source);
        for id in [1, 2] {
            let answer = pair.answer(SLAVE, id);
            assert_eq!(answer, Some(&HostResult::Overtaken), "{op:?}");
        }
        assert_eq!(pair.disks(), ['1', '1']);
        assert_eq!(pair.record(), []);
        pair.host(SLAVE, 3, op);
        assert_ne!(pair.answer(SLAVE, 3), None);
        assert_ne!(pair.answer(SLAVE, 3), Some(&HostResult::Overtaken));
    }
}

#[test]
fn what_was_held_goes_on_where_the_peer_has_not() {
    // Nobody went on; this copy itself did; this copy did, and its peer came back.
    for (at, back) in [(None, true), (Some(SLAVE), false), (Some(SLAVE), true)] {
        for op in everything() {
            let mut pair = Pair::new();
            pair.link_down();
            pair.host(SLAVE, 1, op.clone());
            if let Some(at) = at {
                pair.go_alone(at);
            }
            if back {
                pair.link_up();
                let (master, sync) = at.map_or((MASTER, Sync::None), |at| (at, Sync::Source));
                pair.attach(master, sync);
            }
            let answer = pair.answer(SLAVE, 1);
            assert_ne!(answer, None, "{op:?}");
            assert_ne!(answer, Some(&HostResult::Overtaken), "{op:?}");
        }
    }
}

#[test]
fn who_was_away_is_told_so_with_the_record_once() {
    let absences = |pair: &Pair| pair.sides.each_ref().map(|side| side.absences);
    let mut pair = Pair::new();
    pair.host(SLAVE, 1, HostOp::Turn { tag: 1 });
    pair.link_down();
    pair.link_up();
    pair.attach(SLAVE, Sync::None);
    assert_eq!(absences(&pair), [0, 0], "nobody went on");
    pair.link_down();
    pair.go_alone(SLAVE);
    assert_eq!(absences(&pair), [0, 0]);
    pair.link_up();
    pair.attach(SLAVE, Sync::Source);
    assert_eq!(absences(&pair), [1, 0]);
    pair.host(MASTER, 2, HostOp::Turn { tag: 2 });
    assert_eq!(absences(&pair), [1, 0]);
}

#[test]
fn who_was_away_is_told_so_later_if_its_record_could_not_be_stored_at_once() {
    let mut pair = Pair::new();
    pair.link_down();
    pair.go_alone(MASTER);
    pair.host(MASTER, 1, HostOp::Turn { tag: 1 });
    pair.link_up();
    pair.lose = |body| matches!(body, Body::AttachGo(_));
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.sides[SLAVE].absences, 0);
    pair.link_down();
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.sides[SLAVE].absences, 1);
}
