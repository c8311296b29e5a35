//! Copies from one range of a VDisk to another: equal at one moment, on both nodes, whoever is lost.

use super::*;

const TO: usize = 1024;

fn copy() -> HostOp {
    HostOp::Update {
        update: Update {
            offset: TO as u64,
            len_bytes: 512,
            kind: UpdateKind::CopyOf { source: 0 },
        },
        fua: false,
    }
}

impl Pair {
    /// The first byte of the copy's target on both disks.
    fn targets(&self) -> [char; 2] {
        self.sides
            .each_ref()
            .map(|side| char::from(side.disk[TO + 511]))
    }
}

#[test]
fn a_copy_through_either_node_is_on_both() {
    for at in [MASTER, SLAVE] {
        let mut pair = Pair::new();
        pair.host(1 - at, 1, write(b'2'));
        pair.host(at, 2, copy());
        assert_eq!(pair.answer(at, 2), Some(&HostResult::Done));
        assert_eq!(pair.targets(), ['2', '2']);
        assert_eq!(pair.sides[at].disk[TO + 512], b'1', "and no more");
    }
}

#[test]
fn zeros_are_copied_as_a_hole() {
    for at in [MASTER, SLAVE] {
        let mut pair = Pair::new();
        pair.host(at, 1, write(0));
        pair.host(at, 2, copy());
        assert_eq!(pair.answer(at, 2), Some(&HostResult::Done));
        assert_eq!(pair.targets(), ['\0', '\0']);
        let punched = pair.sides.each_ref().map(|side| side.punched);
        assert_eq!(punched, [1, 1]);
    }
}

#[test]
fn nobody_writes_to_what_is_copied_before_both_nodes_have_the_copy() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Applied);
    pair.host(MASTER, 1, copy());
    pair.host(MASTER, 2, write(b'F'));
    assert_eq!(pair.disks()[MASTER], '1', "the write waits");
    pair.link_down();
    pair.go_alone(MASTER);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Done));
    assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
    assert_eq!(
        (pair.disks()[MASTER], pair.targets()[MASTER]),
        ('F', '1'),
        "the copy was first, and stays so"
    );
}

#[test]
fn a_copy_that_lost_its_master_is_made_afresh_from_what_is_there_then() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Granted);
    pair.host(SLAVE, 1, copy());
    pair.host(MASTER, 2, write(b'F'));
    assert_eq!(pair.disks(), ['1', '1'], "it waits for the copy");
    pair.link_down();
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.answer(SLAVE, 1), Some(&HostResult::Done));
    assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
    assert_eq!((pair.disks(), pair.targets()), (['F', 'F'], ['F', 'F']));
}

#[test]
fn a_copy_may_be_repeated_and_so_ends_not_ready() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Resolved(_));
    pair.host(SLAVE, 1, copy());
    pair.link_down();
    pair.stop(SLAVE);
    assert_eq!(pair.answer(SLAVE, 1), Some(&STANDBY));
}

#[test]
fn a_peer_that_copies_from_behind_the_end_loses_its_link() {
    let mut pair = Pair::new();
    let update = Update {
        offset: 0,
        len_bytes: 512,
        kind: UpdateKind::CopyOf {
            source: SIZE_BYTES as u64 - 511,
        },
    };
    pair.assert_link_ends(Body::Ask(update));
}
