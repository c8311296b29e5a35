//! Verification: what differs is found, nothing else is, and it is repaired as was asked.

use super::*;
use crate::CHUNK_BYTES;
use crate::report::{Verified, VerifyState};

const CHUNK: usize = CHUNK_BYTES as usize;

impl Pair {
    fn verify(&mut self, repair: Option<Role>) {
        self.command(MASTER, Command::Verify { repair });
        self.run();
    }

    fn verified(&self) -> Verified {
        let copy = self.sides[MASTER].node.copy(SERIAL);
        copy.unwrap().status().verified.expect("it has begun")
    }

    fn are_equal(&self) -> bool {
        self.sides[MASTER].disk == self.sides[SLAVE].disk
    }

    /// Change what is on a disk behind everybody's back.
    fn corrupt(&mut self, at: usize, offset: usize, byte: u8) {
        self.sides[at].disk[offset] = byte;
    }
}

#[test]
fn copies_that_are_equal_are_compared_whole_and_nothing_is_found() {
    let mut pair = Pair::new();
    pair.verify(None);
    let expected = Verified {
        state: VerifyState::Completed,
        done_bytes: SIZE_BYTES as u64,
        compared_bytes: SIZE_BYTES as u64,
        ..Verified::begun(None, SIZE_BYTES as u64)
    };
    assert_eq!(pair.verified(), expected);
}

#[test]
fn what_differs_is_told_by_the_sector_and_left_alone() {
    let mut pair = Pair::new();
    pair.corrupt(SLAVE, 3 * CHUNK + 512 + 7, b'x');
    pair.corrupt(MASTER, 9 * CHUNK - 1, b'x');
    pair.corrupt(MASTER, 9 * CHUNK, b'x');
    pair.verify(None);
    let found = pair.verified();
    let ranges = [(3 * CHUNK_BYTES + 512, 512), (9 * CHUNK_BYTES - 512, 1024)];
    assert_eq!(found.ranges, ranges, "those that touch are one");
    assert_eq!((found.differing_bytes, found.repaired_bytes), (1536, 0));
    assert!(!pair.are_equal());
}

#[test]
fn a_repair_takes_the_bytes_of_the_copy_that_was_named() {
    for (repair, right) in [(Role::Master, b'1'), (Role::Slave, b'x')] {
        let mut pair = Pair::new();
        pair.corrupt(SLAVE, 5000, b'x');
        pair.verify(Some(repair));
        let found = pair.verified();
        assert_eq!(found.state, VerifyState::Completed);
        assert_eq!(
            (found.ranges, found.repaired_bytes),
            (vec![(4608, 512)], 512)
        );
        let disks = pair.sides.each_ref().map(|side| side.disk[5000]);
        assert_eq!(disks, [right, right]);
        assert!(pair.are_equal());
    }
}

#[test]
fn zeros_are_repaired_as_a_hole() {
    let mut pair = Pair::new();
    for side in &mut pair.sides {
        side.disk.fill(0);
    }
    pair.corrupt(SLAVE, 5000, b'x');
    pair.verify(Some(Role::Master));
    assert!(pair.are_equal());
    let punched = pair.sides.each_ref().map(|side| side.punched);
    assert_eq!(punched, [1, 1]);
}

#[test]
fn a_change_that_only_one_copy_has_yet_is_no_difference() {
    for at in [MASTER, SLAVE] {
        let mut pair = Pair::new();
        pair.sides[SLAVE].hold_persists = true;
        pair.host(at, 1, write(b'2'));
        assert_eq!(pair.disks(), ['2', '1'], "the Slave's log is not durable");
        pair.verify(None);
        assert_eq!(pair.verified().state, VerifyState::Running, "it waits");
        pair.release_persists(SLAVE);
        let found = pair.verified();
        assert_eq!(found.state, VerifyState::Completed);
        assert_eq!(found.ranges, []);
        assert_eq!(pair.answer(at, 1), Some(&HostResult::Done));
    }
}

#[test]
fn a_write_waits_for_a_chunk_that_is_compared_and_a_read_does_not() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Same);
    pair.verify(None);
    pair.host(MASTER, 1, read());
    pair.host(MASTER, 2, write(b'2'));
    assert_eq!(pair.answer(MASTER, 1), Some(&byte(b'1')));
    assert_eq!(pair.answer(MASTER, 2), None);
}

#[test]
fn it_ends_with_the_attach_and_a_repair_that_was_cut_short_is_resynced() {
    let mut pair = Pair::new();
    pair.corrupt(SLAVE, 5000, b'x');
    pair.lose = |body| matches!(body, Body::Apply(_));
    pair.verify(Some(Role::Slave));
    assert_eq!(pair.sides[MASTER].disk[5000], b'x', "repaired here only");
    pair.corrupt(SLAVE, 5000, b'y');
    pair.link_down();
    assert_eq!(pair.verified().state, VerifyState::Interrupted);
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert!(pair.are_equal(), "the activity log named the extent");
    pair.verify(None);
    assert_eq!(pair.verified().ranges, [], "a new one begins anew");
}

#[test]
fn a_repair_that_was_cut_short_stays_in_the_log_though_all_was_flushed_meanwhile() {
    let mut pair = Pair::new();
    pair.corrupt(SLAVE, 5000, b'x');
    pair.sides[SLAVE].hold_changes = true;
    pair.verify(Some(Role::Slave));
    pair.host(MASTER, 1, HostOp::Flush);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Done));
    pair.link_down();
    let copy = pair.sides[MASTER].node.copy(SERIAL).unwrap();
    assert_eq!(copy.active.masks().collect::<Vec<_>>(), [(0, 1)]);
}

#[test]
fn it_can_be_ended_before_its_time() {
    let mut pair = Pair::new();
    pair.command(MASTER, Command::Verify { repair: None });
    pair.command(MASTER, Command::EndVerify);
    pair.run();
    let found = pair.verified();
    assert_eq!(found.state, VerifyState::Cancelled);
    assert_eq!(found.compared_bytes, 0);
}

#[test]
fn only_a_master_in_sync_verifies_and_only_once_at_a_time() {
    let mut pair = Pair::new();
    let begin = Command::Verify { repair: None };
    let mut ask = |at: usize, command| pair.sides[at].node.command(SERIAL, command, NOW_NS);
    assert_eq!(ask(SLAVE, begin), Err(CommandError::WrongMode));
    assert_eq!(
        ask(MASTER, Command::EndVerify),
        Err(CommandError::WrongMode)
    );
    assert_eq!(ask(MASTER, begin), Ok(()));
    assert_eq!(ask(MASTER, begin), Err(CommandError::VerifyRuns));
    pair.run();
    pair.link_down();
    let alone = pair.sides[MASTER].node.command(SERIAL, begin, NOW_NS);
    assert_eq!(alone, Err(CommandError::WrongMode));
}

#[test]
fn a_peer_that_differs_by_another_length_loses_its_link() {
    let mut pair = Pair::new();
    pair.corrupt(SLAVE, 0, b'x');
    pair.lose = |body| matches!(body, Body::Differs(_));
    pair.verify(None);
    let epoch = pair.sides[MASTER].node.copy(SERIAL).unwrap().facts.epoch;
    for id in 0..100 {
        let body = Body::Differs(block(b'x'));
        let message = Message {
            serial: SERIAL,
            epoch,
            id,
            body,
        };
        pair.sides[MASTER].node.receive(PEER, message, NOW_NS);
    }
    assert_eq!(pair.verified().state, VerifyState::Interrupted);
}
