//! How a sanitize operation is carried out: what follows what, without I/O.
//!
//! Rules:
//!
//! * What is said to be done has been flushed on all copies first.
//! * It begins with a turn at the shared state in which that is put in force once more, unchanged, and drained: so everything that the
//!   operation's beginning had to wait for has ended, on both nodes, also if whoever waited for that is gone.

use std::ops::Range;

use bytes::Bytes;
use twindisk_mirror::{Change, ChangeKind, HostId, HostOp, Payload};
use twindisk_scsi::{Operation, SanitizeStep};

/// Bytes after which the state is told how far the operation is: so many at least and at most, else 1/256 of the disk.
const STEP_MIN_BYTES: u64 = 16 << 20;
const STEP_MAX_BYTES: u64 = 4 << 30;
/// Bytes that one change unmaps or overwrites.
const UNMAP_BYTES: u64 = 256 << 20;
const FILL_BYTES: u64 = 1 << 20;
/// Bytes that an overwrite leaves free in the pool: a disk that is full fails all of its VDisks.
const SPARE_BYTES: u64 = 64 << 20;
/// The space of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Space {
    /// Bytes that it takes.
    pub(crate) taken_bytes: u64,
    /// Bytes that its disk has left.
    pub(crate) free_bytes: u64,
}

impl Space {
    /// True when all blocks of a VDisk of this size can be written. Looked at as a whole, so that what fails has as a rule not
    /// even begun, and the pool is not filled for nothing.
    fn has_room(self, size_bytes: u64) -> bool {
        let missing = size_bytes.saturating_sub(self.taken_bytes);
        missing == 0 || self.free_bytes >= missing.saturating_add(SPARE_BYTES)
    }
}

/// How far the carrying out of an operation is. One host operation is under way at every moment.
#[derive(Debug)]
pub(crate) struct Eraser {
    /// Of its host operations.
    pub(crate) id: HostId,
    operation: Operation,
    /// What the present pass writes; `None`: it unmaps.
    block: Option<Bytes>,
    block_bytes: u64,
    size_bytes: u64,
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits for a turn, to change nothing.
    Claiming,
    /// Changes the step from its start on.
    Changing(Range<u64>),
    /// Makes it durable.
    Flushing,
    /// Waits for a turn, to say what it came to.
    Saying(SanitizeStep),
}

impl Eraser {
    /// Carry an operation on from where it is.
    pub(crate) fn new(id: HostId, operation: Operation, block_bytes: u64, size_bytes: u64) -> Self {
        let block = operation.block_of(operation.pass, block_bytes);
        Self {
            id,
            block: block.map(Bytes::from),
            operation,
            block_bytes,
            size_bytes,
            stage: Stage::Claiming,
        }
    }

    /// The range that is done before the state is told again.
    fn step(&self) -> Range<u64> {
        let step_bytes = (self.size_bytes / 256).clamp(STEP_MIN_BYTES, STEP_MAX_BYTES);
        let step_bytes = step_bytes.next_multiple_of(self.block_bytes);
        let start = self.operation.done_bytes.min(self.size_bytes);
        start..(start + step_bytes).min(self.size_bytes)
    }

    /// What follows a host operation that ended well. `None`: nothing, the state says how it ended.
    pub(crate) fn next(&mut self, space: impl Fn() -> Space) -> Option<HostOp> {
        let step = self.step();
        match self.stage.clone() {
            Stage::Claiming if self.block.is_some() && !space().has_room(self.size_bytes) => {
                Some(self.say(SanitizeStep::Failed))
            }
            Stage::Claiming => Some(self.change(step)),
            Stage::Changing(left) => Some(self.change(left)),
            Stage::Flushing => Some(self.reached(step.end)),
            Stage::Saying(SanitizeStep::Reached { .. }) => {
                self.stage = Stage::Claiming;
                self.next(space)
            }
            Stage::Saying(_) => None,
        }
    }

    /// Change the beginning of what is left of the step; flush when nothing is left.
    fn change(&mut self, left: Range<u64>) -> HostOp {
        if left.is_empty() {
            self.stage = Stage::Flushing;
            return HostOp::Flush;
        }
        let (kind, most) = match &self.block {
            Some(block) => (ChangeKind::Fill(Payload::from(block.clone())), FILL_BYTES),
            None => (ChangeKind::Unmap, UNMAP_BYTES),
        };
        let end = left.end.min(left.start + most);
        self.stage = Stage::Changing(end..left.end);
        let change = Change {
            offset: left.start,
            len_bytes: end - left.start,
            kind,
        };
        HostOp::Change { change, fua: false }
    }

    /// Everything up to there is durably done in this pass.
    fn reached(&mut self, done_bytes: u64) -> HostOp {
        let (mut pass, mut done_bytes) = (self.operation.pass, done_bytes);
        if done_bytes >= self.size_bytes {
            (pass, done_bytes) = (pass + 1, 0);
        }
        if pass >= self.operation.passes() {
            return self.say(SanitizeStep::Ended);
        }
        if pass != self.operation.pass {
            let block = self.operation.block_of(pass, self.block_bytes);
            self.block = block.map(Bytes::from);
        }
        self.operation.pass = pass;
        self.operation.done_bytes = done_bytes;
        self.say(SanitizeStep::Reached { pass, done_bytes })
    }

    /// A turn to say so; the tag is put in by who asks for it.
    fn say(&mut self, step: SanitizeStep) -> HostOp {
        self.stage = Stage::Saying(step);
        HostOp::Turn { tag: 0 }
    }
}

#[cfg(test)]
mod tests {
    use twindisk_scsi::Method;

    use super::*;

    const BLOCK_BYTES: u64 = 512;
    const PLENTY: Space = Space {
        taken_bytes: 0,
        free_bytes: u64::MAX,
    };

    fn eraser(method: Method, size_bytes: u64) -> Eraser {
        let operation = Operation::new(method, false);
        Eraser::new(HostId(1), operation, BLOCK_BYTES, size_bytes)
    }

    fn overwrite(count: u8, size_bytes: u64) -> Eraser {
        let method = Method::Overwrite {
            pattern: vec![7],
            invert: true,
            count,
        };
        eraser(method, size_bytes)
    }

    /// Carry out all of it on a disk whose blocks are bytes: what is said to be reached, and what the disk holds at each time.
    fn carry_out(eraser: &mut Eraser, disk: &mut [u8]) -> Vec<(SanitizeStep, Vec<u8>)> {
        let mut said = Vec::new();
        let mut flushed = disk.to_vec();
        while let Some(op) = eraser.next(|| PLENTY) {
            match op {
                HostOp::Change { change, .. } => {
                    let at = |bytes: u64| usize::try_from(bytes / BLOCK_BYTES).unwrap();
                    let range = at(change.offset)..at(change.offset + change.len_bytes);
                    assert!(!range.is_empty());
                    let byte = match &change.kind {
                        ChangeKind::Fill(block) => {
                            assert_eq!(block.len_bytes(), BLOCK_BYTES);
                            block.to_contiguous()[0]
                        }
                        _ => 0,
                    };
                    disk[range].fill(byte);
                }
                HostOp::Flush => flushed = disk.to_vec(),
                HostOp::Turn { .. } => {
                    let Stage::Saying(step) = eraser.stage else {
                        panic!("a turn to say nothing: {:?}", eraser.stage);
                    };
                    said.push((step, flushed.clone()));
                }
                op => panic!("{op:?}"),
            }
        }
        said
    }

    #[test]
    fn only_what_was_flushed_is_said_to_be_done() {
        let size_bytes = (40 << 20) + 512;
        let mut disk = vec![0x55; (size_bytes / BLOCK_BYTES) as usize];
        let said = carry_out(&mut overwrite(2, size_bytes), &mut disk);
        assert!(disk.iter().all(|byte| *byte == 7));
        let (last, before) = said.split_last().unwrap();
        assert_eq!(last, &(SanitizeStep::Ended, disk));
        let mut reached = Vec::new();
        for (step, flushed) in before {
            let SanitizeStep::Reached { pass, done_bytes } = *step else {
                panic!("{step:?}");
            };
            reached.push((pass, done_bytes >> 20));
            let done = (done_bytes / BLOCK_BYTES) as usize;
            let (written, rest) = [(0xf8, 0x55), (7, 0xf8)][usize::from(pass)];
            assert!(flushed[..done].iter().all(|byte| *byte == written));
            assert!(flushed[done..].iter().all(|byte| *byte == rest));
        }
        assert_eq!(reached, [(0, 16), (0, 32), (1, 0), (1, 16), (1, 32)]);
    }

    #[test]
    fn another_node_goes_on_from_what_is_durable() {
        let size_bytes = 64 << 20;
        let mut disk = vec![0x55; (size_bytes / BLOCK_BYTES) as usize];
        let half = disk.len() / 2;
        disk[..half].fill(0);
        let mut erase = eraser(Method::BlockErase, size_bytes);
        erase.operation.done_bytes = size_bytes / 2;
        carry_out(&mut erase, &mut disk);
        assert!(disk.iter().all(|byte| *byte == 0));
        // The crash came between the last step and the end.
        erase = eraser(Method::BlockErase, size_bytes);
        erase.operation.done_bytes = size_bytes;
        let said = carry_out(&mut erase, &mut disk);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].0, SanitizeStep::Ended);
    }

    #[test]
    fn an_overwrite_that_would_fill_the_pool_fails_before_it_does() {
        let size_bytes = 32 << 20;
        for (taken_bytes, free_bytes, fails) in [
            (0, SPARE_BYTES + size_bytes - 1, true),
            (0, SPARE_BYTES + size_bytes, false),
            (size_bytes / 2, SPARE_BYTES + size_bytes / 2, false),
            (size_bytes, 0, false),
        ] {
            let space = || Space {
                taken_bytes,
                free_bytes,
            };
            let mut eraser = overwrite(1, size_bytes);
            let next = eraser.next(space).unwrap();
            assert_eq!(matches!(next, HostOp::Turn { .. }), fails);
            assert_eq!(eraser.stage == Stage::Saying(SanitizeStep::Failed), fails);
            let mut erase = self::eraser(Method::BlockErase, size_bytes);
            let next = erase.next(space).unwrap();
            assert!(matches!(next, HostOp::Change { .. }), "it takes no space");
        }
    }

    #[test]
    fn steps_grow_with_the_disk_and_are_whole_blocks() {
        for (size_bytes, expected) in [
            (1 << 20, 1 << 20),
            (1 << 30, STEP_MIN_BYTES),
            (8 << 30, 32 << 20),
            (64 << 40, STEP_MAX_BYTES),
        ] {
            let step = eraser(Method::BlockErase, size_bytes).step();
            assert_eq!(step.end - step.start, expected);
        }
        let mut odd = eraser(Method::BlockErase, (9 << 30) + 512);
        odd.block_bytes = 4096;
        assert_eq!(odd.step().end % 4096, 0);
    }
}
