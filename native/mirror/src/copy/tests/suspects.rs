//! Copies that went on apart: what a copy says it may differ in, part by part, and a blank one in its place.

use super::*;
use crate::{CHUNK_BYTES, EXTENT_BYTES};

const EXTENTS: u64 = 40;

/// A copy that went on alone with these dirty words, and with these extents in its activity log.
fn went_alone(bitmap: &[(u64, u64)], active: &[u64]) -> Node {
    let mut facts = Facts::new(7, Role::Master);
    facts.outdate_peer(8);
    let mut node = Node::new(0);
    let spec = CopySpec {
        serial: SERIAL,
        size_bytes: EXTENTS * EXTENT_BYTES + CHUNK_BYTES + 1,
        peer: Some(PEER),
        facts,
        active: active.to_vec(),
        bitmap: bitmap.to_vec(),
        shared: SharedRecord::default(),
        unbroken: None,
    };
    node.add_copy(spec, 0);
    node
}

fn all_by_parts(node: &Node, limit: usize) -> Vec<(u64, u64)> {
    let copy = node.copy(SERIAL).expect("it is there");
    let (mut words, mut extent) = (vec![], 0);
    loop {
        let part = copy
            .suspects_from(extent, limit)
            .expect("it does not mirror");
        assert!(part.len() <= limit);
        words.extend(&part);
        match part.last() {
            Some((last, _)) if part.len() == limit => extent = last + 1,
            _ => return words,
        }
    }
}

#[test]
fn dirty_chunks_and_whole_extents_of_the_log_are_told_in_parts_of_any_length() {
    let node = went_alone(&[(1, 0b100), (7, 1), (9, u64::MAX)], &[0, 7, EXTENTS]);
    let all = [
        (0, u64::MAX),
        (1, 0b100),
        (7, u64::MAX),
        (9, u64::MAX),
        (EXTENTS, 0b11),
    ];
    for limit in 1..=6 {
        assert_eq!(all_by_parts(&node, limit), all, "{limit} at a time");
    }
}

#[test]
fn a_copy_that_mirrors_says_nothing() {
    let mut pair = Pair::new();
    let suspects = |pair: &Pair| {
        let copy = pair.sides[MASTER].node.copy(SERIAL);
        copy.expect("it is there").suspects_from(0, 9)
    };
    assert_eq!(suspects(&pair), Err(CommandError::WrongMode));
    pair.link_down();
    pair.go_alone(MASTER);
    assert_eq!(suspects(&pair), Ok(vec![]));
}

#[test]
fn a_blank_copy_in_place_of_one_that_went_on_apart_is_filled_over_the_link_that_stands() {
    for seqs in [0, 3] {
        let mut pair = Pair::new();
        pair.link_down();
        for at in [MASTER, SLAVE] {
            pair.go_alone(at);
            pair.stop(at);
        }
        for _ in 0..seqs {
            pair.go_alone(SLAVE);
            pair.stop(SLAVE);
        }
        pair.link_up();
        let before = pair.sides[SLAVE].facts.clone().expect("both told theirs");
        assert_ne!(before.local.facts.base, 0);
        assert_ne!(before.remote.facts.base, 0);
        let spec = CopySpec {
            serial: SERIAL,
            size_bytes: SIZE_BYTES as u64,
            peer: Some(PEER),
            facts: Facts::new(0, Role::Slave),
            active: vec![],
            bitmap: vec![],
            shared: SharedRecord::default(),
            unbroken: None,
        };
        pair.sides[MASTER].disk.fill(b'm');
        let slave = &mut pair.sides[SLAVE];
        slave.facts = None;
        slave.disk.fill(0);
        slave.node.remove_copy(SERIAL);
        slave.node.add_copy(spec, NOW_NS);
        pair.run();
        let told = pair.sides.each_ref().map(|side| side.facts.clone());
        let [Some(master), Some(slave)] = told else {
            panic!("both hear of the other's copy: {told:?}");
        };
        assert!(master.remote.facts.blank() && slave.local.facts.blank());
        assert_eq!(slave.remote, master.local);
        pair.attach(MASTER, Sync::FullSource);
        let copy = pair.sides[SLAVE].node.copy(SERIAL).expect("it is there");
        assert_eq!(copy.status().mode, "mirroring");
    }
}
