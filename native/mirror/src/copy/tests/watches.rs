//! Watches: set on both nodes, broken by a change through either, gone where the data come from elsewhere.

use super::*;
use crate::{Watch, WatchState};

const ID: u64 = 0x1234;

fn watch() -> HostOp {
    watch_of(&[(512, 512), (0, 512)])
}

fn watch_of(ranges: &[(u64, u64)]) -> HostOp {
    HostOp::Watch(Box::new(Watch {
        id: ID,
        owner: 1,
        timeout_ms: 1000,
        label: Bytes::from_static(b"label"),
        ranges: ranges.to_vec(),
    }))
}

impl Pair {
    /// How the watch stands on both nodes, in a letter.
    fn watches(&self) -> [char; 2] {
        self.sides.each_ref().map(|side| {
            let copy = side.node.copy(SERIAL).expect("it is open");
            match copy.watch(ID, NOW_NS) {
                WatchState::Unknown => '-',
                WatchState::Broken(_) => 'b',
                WatchState::Expired(_) => 'e',
                WatchState::Intact(watch) => {
                    assert_eq!((&watch.label[..], watch.ranges.len()), (&b"label"[..], 2));
                    'i'
                }
            }
        })
    }
}

#[test]
fn a_watch_through_either_node_is_on_both_and_a_change_through_either_breaks_it_on_both() {
    for at in [MASTER, SLAVE] {
        for (writer, op) in [
            (MASTER, write(b'2')),
            (SLAVE, write(b'2')),
            (MASTER, compare_and_write(b'1', b'2')),
            (SLAVE, compare_and_write(b'1', b'2')),
        ] {
            let mut pair = Pair::new();
            pair.host(at, 1, watch());
            assert_eq!(pair.answer(at, 1), Some(&HostResult::Done));
            assert_eq!(pair.watches(), ['i', 'i']);
            pair.host(1 - at, 2, read());
            pair.host(writer, 3, compare_and_write(b'x', b'y'));
            assert_eq!(pair.watches(), ['i', 'i'], "nothing was changed");
            pair.host(writer, 4, op);
            assert_eq!(pair.watches(), ['b', 'b']);
        }
    }
}

#[test]
fn a_change_at_the_end_of_a_copy_breaks_what_it_touches_only() {
    let mut pair = Pair::new();
    pair.host(MASTER, 1, watch_of(&[(1024, 512), (2048, 512)]));
    pair.host(SLAVE, 2, write(b'2'));
    assert_eq!(pair.watches(), ['i', 'i']);
    let update = Update {
        offset: 2048,
        len_bytes: 512,
        kind: UpdateKind::CopyOf { source: 0 },
    };
    pair.host(SLAVE, 3, HostOp::Update { update, fua: false });
    assert_eq!(pair.watches(), ['b', 'b']);
}

#[test]
fn a_host_hears_of_its_watch_once_both_nodes_have_it_or_one_serves_alone() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Watched);
    pair.host(MASTER, 1, watch());
    assert_eq!(pair.answer(MASTER, 1), None);
    pair.link_down();
    assert_eq!(pair.answer(MASTER, 1), None);
    pair.go_alone(MASTER);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Done));
    assert_eq!(pair.watches()[MASTER], 'i');
    pair.host(MASTER, 2, write(b'2'));
    assert_eq!(pair.watches()[MASTER], 'b');
}

#[test]
fn a_watch_outlives_the_loss_of_either_node_at_the_one_that_goes_on() {
    for gone in [MASTER, SLAVE] {
        let mut pair = Pair::new();
        pair.host(gone, 1, watch());
        pair.link_down();
        pair.go_alone(1 - gone);
        assert_eq!(pair.watches()[1 - gone], 'i');
    }
}

#[test]
fn the_target_of_a_resync_drops_what_it_held_and_the_source_keeps_it() {
    let mut pair = Pair::new();
    pair.host(SLAVE, 1, watch());
    pair.link_down();
    pair.go_alone(MASTER);
    pair.link_up();
    assert_eq!(pair.watches(), ['i', 'i'], "the Slave serves nothing yet");
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.watches(), ['i', '-']);
    pair.host(SLAVE, 2, watch());
    assert_eq!(pair.watches(), ['i', 'i']);
}

#[test]
fn a_watch_that_the_peer_overtook_is_never_intact_where_the_change_is_not() {
    // The Slave's change reached the Master and no further: set anew at the Slave, the watch is of what the Master holds then.
    let mut pair = Pair::new();
    pair.host(SLAVE, 1, watch());
    pair.lose = |body| matches!(body, Body::Granted);
    pair.host(SLAVE, 2, write(b'2'));
    assert_eq!((pair.disks(), pair.watches()), (['2', '1'], ['b', 'i']));
    pair.link_down();
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.disks(), ['2', '2']);
    assert_eq!(pair.watches(), ['b', '-']);
}

#[test]
fn a_watch_is_ended_on_both_nodes_and_with_its_copys_service() {
    let mut pair = Pair::new();
    pair.host(MASTER, 1, watch());
    pair.sides[SLAVE].node.unwatch(SERIAL, ID, NOW_NS);
    pair.run();
    assert_eq!(pair.watches(), ['-', '-']);
    pair.host(SLAVE, 2, watch());
    pair.stop(SLAVE);
    assert_eq!(pair.watches()[SLAVE], '-');
}

#[test]
fn a_watch_that_is_taken_back_is_not_answered() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Watched);
    pair.host(MASTER, 1, watch());
    assert!(pair.sides[MASTER].node.can_withdraw(SERIAL, HostId(1)));
    pair.cancel(MASTER, 1);
    pair.link_down();
    pair.go_alone(MASTER);
    assert_eq!(pair.answer(MASTER, 1), None);
}

#[test]
fn a_peer_that_watches_what_is_behind_the_end_loses_its_link() {
    let mut pair = Pair::new();
    let HostOp::Watch(watch) = watch_of(&[(0, 512), (SIZE_BYTES as u64 - 511, 512)]) else {
        unreachable!("it is a watch");
    };
    pair.assert_link_ends(Body::Watch(watch.clone()));
    // Before there is a lease, too.
    pair.link_down();
    for side in &mut pair.sides {
        side.node.lease(PEER, 0, 0, NOW_NS);
        side.node.link_up(PEER, NOW_NS);
    }
    pair.assert_link_ends(Body::Watch(watch));
}
