//! Who is told, and when, that what follows from power on is to be done.

use super::*;

fn told(pair: &Pair) -> [usize; 2] {
    pair.sides.each_ref().map(|side| side.power_ons)
}

#[test]
fn copies_that_have_not_served_before_say_so_and_one_that_has_speaks_for_both() {
    let mut pair = Pair::new();
    assert_eq!(told(&pair), [1, 1]);
    pair.link_down();
    pair.link_up();
    pair.attach(SLAVE, Sync::None);
    assert_eq!(told(&pair), [1, 1], "both had served");
    pair.link_down();
    pair.go_alone(SLAVE);
    pair.sides[MASTER] = Side::new(Role::Slave);
    pair.link_up();
    pair.attach(SLAVE, Sync::Source);
    assert_eq!(told(&pair), [0, 1], "the one that went on had served");
}

#[test]
fn a_copy_that_serves_alone_from_its_start_says_that_it_has_not_served_before() {
    for (is_new, power_ons) in [(true, 1), (false, 0)] {
        let mut pair = Pair::new();
        pair.link_down();
        if is_new {
            pair.sides[SLAVE] = Side::new(Role::Slave);
        }
        let before = pair.sides[SLAVE].power_ons;
        pair.go_alone(SLAVE);
        assert_eq!(pair.sides[SLAVE].power_ons - before, power_ons);
    }
}

#[test]
fn the_target_of_a_resync_has_served() {
    let mut pair = Pair::new();
    pair.link_down();
    pair.go_alone(SLAVE);
    pair.sides[MASTER] = Side::new(Role::Slave);
    pair.link_up();
    pair.lose = |body| matches!(body, Body::ResyncEnd { .. });
    pair.attach(SLAVE, Sync::Source);
    // Before the resync has ended, its source is started anew.
    pair.link_down();
    pair.sides[SLAVE] = Side::new(Role::Master);
    pair.link_up();
    pair.attach(SLAVE, Sync::Source);
    assert_eq!(told(&pair), [0, 0]);
}

#[test]
fn a_master_that_did_not_come_to_mirror_with_a_copy_that_had_served_says_that_it_has_not() {
    let mut pair = Pair::new();
    pair.link_down();
    pair.sides[MASTER] = Side::new(Role::Master);
    pair.link_up();
    // Its peer is lost after it has said how it stands, before this copy has made durable what follows.
    pair.sides[MASTER].hold_persists = true;
    pair.attach(MASTER, Sync::Source);
    pair.link_down();
    pair.release_persists(MASTER);
    pair.go_alone(MASTER);
    assert_eq!(told(&pair), [1, 1]);
}

#[test]
fn a_copy_that_gets_another_peer_has_served() {
    let mut pair = Pair::new();
    let node = &mut pair.sides[MASTER].node;
    node.set_peer(SERIAL, Some(PeerId(1)), NOW_NS).unwrap();
    pair.run();
    pair.go_alone(MASTER);
    assert_eq!(told(&pair), [1, 1]);
}

#[test]
fn it_is_said_until_it_is_done_by_whoever_serves() {
    let mut sides = [Side::new(Role::Master), Side::new(Role::Slave)];
    sides.iter_mut().for_each(|side| side.sleeps = true);
    let mut pair = Pair::of(sides);
    assert_eq!(told(&pair), [1, 1]);
    // The Master dies before it has done it.
    pair.link_down();
    pair.go_alone(SLAVE);
    assert_eq!(told(&pair), [1, 2]);
    pair.sides[SLAVE].sleeps = false;
    pair.sides[MASTER] = Side::new(Role::Slave);
    pair.link_up();
    pair.attach(SLAVE, Sync::Source);
    assert_eq!(told(&pair), [1, 3]);
    pair.link_down();
    pair.go_alone(SLAVE);
    assert_eq!(told(&pair), [1, 3]);
}
