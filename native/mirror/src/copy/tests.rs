//! Two nodes with a wire that loses what the test says: commands that were under way when the peer was lost.

mod copies;
mod forsaken;
mod lacking;
mod no_space;
mod overtaken;
mod own_logs;
mod pair;
mod power_on;
mod resync;
mod suspects;
mod turns;
mod verify;
mod watched_reads;
mod watches;

use bytes::Bytes;

use self::pair::{Pair, Side};
use crate::message::{Body, Message};
use crate::report::{CommandError, FactsPair};
use crate::{
    Action, AttachPlan, Change, ChangeKind, Command, CopySpec, DiskDone, DiskId, DiskOp, Facts,
    HostId, HostOp, HostResult, Node, NotReady, Payload, PeerId, RecordChange, Report, Role,
    Serial, SharedRecord, Sync, Update, UpdateKind,
};

const SERIAL: Serial = Serial([6; 16]);
const PEER: PeerId = PeerId(0);
const SIZE_BYTES: usize = 4 << 20;
const NOW_NS: u64 = 1_000_000;
const MASTER: usize = 0;
const SLAVE: usize = 1;

fn block(byte: u8) -> Payload {
    Bytes::from(vec![byte; 512]).into()
}

fn write(byte: u8) -> HostOp {
    let kind = ChangeKind::Write(block(byte));
    HostOp::Change {
        change: Change {
            offset: 0,
            len_bytes: 512,
            kind,
        },
        fua: false,
    }
}

fn update(kind: UpdateKind, fua: bool) -> HostOp {
    HostOp::Update {
        update: Update {
            offset: 0,
            len_bytes: 512,
            kind,
        },
        fua,
    }
}

fn compare_and_write(compare: u8, write: u8) -> HostOp {
    let (compare, write) = (block(compare), block(write));
    update(UpdateKind::CompareAndWrite { compare, write }, false)
}

fn read() -> HostOp {
    HostOp::Read {
        offset: 0,
        len_bytes: 1,
    }
}

fn byte(byte: u8) -> HostResult {
    HostResult::Data(Bytes::from(vec![byte]).into())
}

#[test]
fn an_update_waits_for_the_changes_that_the_slave_sends_again() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Granted);
    pair.host(SLAVE, 1, write(b'F'));
    assert_eq!(pair.disks(), ['F', '1'], "half done");
    pair.host(MASTER, 2, compare_and_write(b'F', b'2'));
    pair.link_down();
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.answer(SLAVE, 1), Some(&HostResult::Done));
    assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
    assert_eq!(pair.disks(), ['2', '2']);
    pair.host(MASTER, 3, compare_and_write(b'F', b'3'));
    let refused = HostResult::Miscompare { offset: 0 };
    assert_eq!(pair.answer(MASTER, 3), Some(&refused));
}

const STANDBY: HostResult = HostResult::NotReady(NotReady::Standby);

#[test]
fn a_comparison_that_may_have_counted_ends_unknown_when_its_node_stops() {
    // Through the Slave: the Master made it, or was asked at least.
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Resolved(_));
    pair.host(SLAVE, 1, compare_and_write(b'1', b'2'));
    assert_eq!(pair.disks(), ['2', '1']);
    pair.link_down();
    pair.stop(SLAVE);
    assert_eq!(pair.answer(SLAVE, 1), Some(&HostResult::Unknown));

    // Through the Master: both have it.
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Applied);
    pair.host(MASTER, 1, compare_and_write(b'1', b'2'));
    assert_eq!(pair.disks(), ['2', '2']);
    pair.link_down();
    pair.stop(MASTER);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Unknown));
}

#[test]
fn a_comparison_that_only_lacks_its_flush_ends_unknown_when_its_node_stops() {
    for at in [MASTER, SLAVE] {
        let mut pair = Pair::new();
        pair.lose = |body| matches!(body, Body::Flushed);
        let (compare, write) = (block(b'1'), block(b'2'));
        let op = update(UpdateKind::CompareAndWrite { compare, write }, true);
        pair.host(at, 1, op);
        assert_eq!(pair.disks(), ['2', '2']);
        pair.link_down();
        pair.stop(at);
        assert_eq!(pair.answer(at, 1), Some(&HostResult::Unknown));
    }
}

#[test]
fn a_comparison_ends_unknown_when_its_node_stops_after_its_disk_failed() {
    let mut pair = Pair::new();
    pair.sides[MASTER].fail_changes = true;
    pair.host(MASTER, 1, compare_and_write(b'1', b'2'));
    pair.host(MASTER, 2, compare_and_write(b'2', b'3'));
    assert_eq!(pair.disks(), ['1', '2'], "the Slave has it");
    pair.stop(MASTER);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Unknown));
    assert_eq!(pair.answer(MASTER, 2), Some(&STANDBY), "never begun");
}

#[test]
fn what_can_be_repeated_ends_not_ready_when_its_node_stops() {
    let or = update(UpdateKind::Or(block(b'2')), false);
    for op in [write(b'2'), or] {
        let mut pair = Pair::new();
        pair.lose = |body| matches!(body, Body::Granted);
        pair.host(SLAVE, 1, op);
        pair.link_down();
        pair.stop(SLAVE);
        assert_eq!(pair.answer(SLAVE, 1), Some(&STANDBY));
    }
}
