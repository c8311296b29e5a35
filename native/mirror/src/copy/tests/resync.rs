//! Resync: what was copied and flushed on both nodes is not looked at again when it is interrupted.

use super::*;
use crate::CHUNK_BYTES;
use crate::copy::PaceLimits;

const MIB: u64 = 1 << 20;
const LATER_NS: u64 = NOW_NS + 3_000_000_000;

impl Pair {
    /// In resync of the whole disk, as slow as can be: it stands still after four chunks until time passes.
    fn slow_resync() -> Self {
        let mut pair = Self::new();
        pair.link_down();
        pair.go_alone(MASTER);
        let change = Change {
            offset: 0,
            len_bytes: SIZE_BYTES as u64,
            kind: ChangeKind::Write(Bytes::from(vec![b'2'; SIZE_BYTES]).into()),
        };
        pair.host(MASTER, 1, HostOp::Change { change, fua: false });
        let limits = PaceLimits {
            min_bytes_per_s: MIB,
            max_bytes_per_s: MIB,
            latency_ns: 1,
        };
        pair.sides[MASTER].node.set_pace(limits);
        pair.sides[MASTER].node.tick(NOW_NS);
        pair.link_up();
        pair.attach(MASTER, Sync::Source);
        pair
    }

    /// Let time pass for the Master.
    fn tick(&mut self, now_ns: u64) {
        let node = &mut self.sides[MASTER].node;
        node.lease(PEER, now_ns + 1_000_000_000, 0, now_ns);
        node.tick(now_ns);
        self.run();
    }

    /// Chunks that the Master has not sent, and those that it had to look at.
    fn left(&self) -> (u64, u64) {
        let status = self.sides[MASTER].node.copy(SERIAL).unwrap().status();
        (status.dirty, status.resync_total)
    }

    fn interrupt(&mut self) {
        self.link_down();
        self.link_up();
        self.attach(MASTER, Sync::Source);
    }
}

#[test]
fn what_a_checkpoint_covers_is_not_compared_again() {
    let mut pair = Pair::slow_resync();
    let chunks = SIZE_BYTES as u64 / CHUNK_BYTES;
    let (left, total) = pair.left();
    assert_eq!(total, chunks);
    assert!(left < chunks, "some were sent");
    pair.tick(LATER_NS);
    pair.interrupt();
    assert_eq!(pair.left().1, left, "those were flushed on both nodes");
}

#[test]
fn what_was_not_flushed_on_both_nodes_is_compared_again() {
    let mut pair = Pair::slow_resync();
    let (left, total) = pair.left();
    assert!(left < total);
    pair.lose = |body| matches!(body, Body::Flushed);
    pair.tick(LATER_NS);
    pair.interrupt();
    assert_eq!(pair.left().1, total);
}

#[test]
fn the_durable_bitmap_follows_the_checkpoints() {
    let mut pair = Pair::slow_resync();
    let (left, total) = pair.left();
    pair.tick(LATER_NS);
    let words = pair.sides[MASTER].persisted.last().cloned();
    let kept: u32 = words
        .iter()
        .flatten()
        .map(|(_, bits)| bits.count_ones())
        .sum();
    assert_eq!((u64::from(kept), total), (left, 64), "one extent");
}
