//! One third-party copy: which piece comes next, and how far it is. Pure; [`crate::transfers`] carries it out.
//!
//! Rules:
//!
//! * One piece at a time, so that a copy holds a bounded amount of memory and other I/O gets between.
//! * A piece inside one VDisk is one update of the mirror core: source and target are equal at one moment, on both nodes. Between two
//!   VDisks a piece is read, then written.
//! * A range that is copied over a part of itself ends up as if it had been read in full first: pieces do not overlap themselves,
//!   and their order is that in which none is overwritten before it is read.

use std::collections::VecDeque;

use twindisk_mirror::{
    Change, ChangeKind, HostOp, HostResult, Payload, Serial, Update, UpdateKind,
};
use twindisk_scsi::{CopyProgress, InitiatorPort, Response, Sense};

use crate::access::state_of;

/// Longest piece.
pub const PIECE_MAX_BYTES: u64 = 1 << 20;
/// Bytes that a copy holds: a piece, and what is made of it on its way to the peer.
pub const HELD_BYTES: usize = 2 * PIECE_MAX_BYTES as usize;

/// Who asked for a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copier {
    /// The initiator's iSCSI name.
    pub initiator: String,
    /// The CHAP user that it proved to be.
    pub user: Option<String>,
    /// Its end of the nexus.
    pub port: InitiatorPort,
}

/// A place on a VDisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The VDisk.
    pub serial: Serial,
    /// First byte.
    pub offset: u64,
}

/// A range to be copied, or a piece of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// From here.
    pub source: Place,
    /// To there.
    pub target: Place,
    /// Length, never 0.
    pub len_bytes: u64,
    /// What the initiator counts as done once it is.
    pub segments: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// The reservations of this VDisk are to be known as they are.
    Settling(Serial),
    /// Between two pieces.
    Between,
    /// A piece is being read.
    Reading(Move),
    /// It was read.
    Read(Move, Payload),
    /// A piece is being written, or copied inside its VDisk.
    Writing(Move),
    /// This VDisk, whose write cache is off, is being flushed.
    Flushing(Serial),
}

/// A copy under way.
#[derive(Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Who asked for it.
    pub copier: Copier,
    /// The list identifier, if its status may be asked for.
    pub identifier: Option<u8>,
    /// How far it is.
    pub progress: CopyProgress,
    /// To be answered with this once the operation under way has ended.
    pub stopped: Option<Response>,
    own: Serial,
    unsettled: Vec<Serial>,
    /// The VDisks that it writes to and that were not flushed for it.
    unflushed: Vec<Serial>,
    moves: VecDeque<Move>,
    /// Bytes of the first move that are done.
    done_bytes: u64,
    repeatable: bool,
    stage: Stage,
}

impl Transfer {
    /// A copy that the VDisk `own` was asked for. Its first operation is to settle there.
    #[must_use]
    pub fn new(copier: Copier, own: Serial, identifier: Option<u8>, moves: Vec<Move>) -> Self {
        let mut others: Vec<_> = (moves.iter())
            .flat_map(|one| [one.source.serial, one.target.serial])
            .filter(|serial| *serial != own)
            .collect();
        others.sort_unstable();
        others.dedup();
        let mut targets: Vec<_> = moves.iter().map(|one| one.target.serial).collect();
        targets.sort_unstable();
        targets.dedup();
        let is_read = |one: &Move| (moves.iter()).any(|other| one.overwrites(other));
        Self {
            copier,
            identifier,
            progress: CopyProgress::default(),
            stopped: None,
            own,
            unsettled: others,
            unflushed: targets,
            repeatable: !moves.iter().any(is_read),
            moves: moves.into(),
            done_bytes: 0,
            stage: Stage::Settling(own),
        }
    }

    /// The VDisk that was asked for it.
    #[must_use]
    pub fn own(&self) -> Serial {
        self.own
    }

    /// The VDisk on which its operation is under way.
    #[must_use]
    pub fn at(&self) -> Serial {
        match &self.stage {
            Stage::Settling(serial) | Stage::Flushing(serial) => *serial,
            Stage::Reading(piece) => piece.source.serial,
            Stage::Writing(piece) | Stage::Read(piece, _) => piece.target.serial,
            Stage::Between => self.own,
        }
    }

    /// The VDisks that it has still to do with, each with whether it writes there.
    pub fn uses(&self) -> impl Iterator<Item = (Serial, bool)> {
        let sides = |one: &Move| [(one.source.serial, false), (one.target.serial, true)];
        self.moves.iter().flat_map(sides)
    }

    /// The operation under way has ended.
    ///
    /// # Errors
    /// The answer to the command: the copy cannot go on.
    pub fn ended(&mut self, result: HostResult) -> Result<(), Response> {
        let at = self.at();
        let stage = std::mem::replace(&mut self.stage, Stage::Between);
        match (stage, result) {
            (Stage::Settling(_) | Stage::Flushing(_), HostResult::Done) => {}
            (Stage::Reading(piece), HostResult::Data(data)) => {
                self.stage = Stage::Read(piece, data);
            }
            (Stage::Writing(piece), HostResult::Done) => self.written(&piece),
            (_, HostResult::NotReady(why)) if at == self.own && self.may_be_repeated() => {
                return Err(Response::not_serving(state_of(why)));
            }
            (_, HostResult::Unknown) => return Err(Response::check(Sense::OUTCOME_UNKNOWN)),
            _ => return Err(Response::check(Sense::NOT_REACHABLE)),
        }
        Ok(())
    }

    /// True when the whole command may be sent again: nothing that it has written is what it reads.
    fn may_be_repeated(&self) -> bool {
        self.repeatable || self.progress.bytes == 0
    }

    fn written(&mut self, piece: &Move) {
        self.done_bytes += piece.len_bytes;
        self.progress.bytes += piece.len_bytes;
        if self
            .moves
            .front()
            .is_some_and(|one| one.len_bytes <= self.done_bytes)
        {
            self.moves.pop_front();
            self.done_bytes = 0;
            self.progress.segments = piece.segments;
        }
    }

    /// The next operation, and on which VDisk; `None`: all is done. `writes_through` tells of a VDisk whether what is written is to
    /// be durable before the answer.
    pub fn next_op(&mut self, writes_through: impl Fn(Serial) -> bool) -> Option<(Serial, HostOp)> {
        if let Some(serial) = self.unsettled.pop() {
            self.stage = Stage::Settling(serial);
            return Some((serial, HostOp::Settle));
        }
        let (piece, op) = match std::mem::replace(&mut self.stage, Stage::Between) {
            Stage::Read(piece, data) => (piece, write(&piece, data)),
            _ => {
                let Some(next) = self.moves.front() else {
                    self.unflushed.retain(|serial| writes_through(*serial));
                    let serial = self.unflushed.pop()?;
                    self.stage = Stage::Flushing(serial);
                    return Some((serial, HostOp::Flush));
                };
                let piece = next.piece(self.done_bytes);
                if piece.source.serial != piece.target.serial {
                    let Move {
                        source, len_bytes, ..
                    } = piece;
                    let len_bytes = u32::try_from(len_bytes).expect("pieces are short");
                    let offset = source.offset;
                    self.stage = Stage::Reading(piece);
                    return Some((source.serial, HostOp::Read { offset, len_bytes }));
                }
                (piece, copy(&piece))
            }
        };
        self.stage = Stage::Writing(piece);
        Some((piece.target.serial, op))
    }
}

impl Move {
    /// The next piece when so many bytes are done.
    fn piece(&self, done_bytes: u64) -> Self {
        let left_bytes = self.len_bytes - done_bytes;
        let apart_bytes = self.source.offset.abs_diff(self.target.offset);
        let same = self.source.serial == self.target.serial;
        let overlaps = same && apart_bytes < self.len_bytes;
        let len_bytes = if overlaps {
            left_bytes.min(PIECE_MAX_BYTES).min(apart_bytes)
        } else {
            left_bytes.min(PIECE_MAX_BYTES)
        };
        // Towards the end of the disk: from behind, so that what is overwritten was read before.
        let skip_bytes = if overlaps && self.target.offset > self.source.offset {
            left_bytes - len_bytes
        } else {
            done_bytes
        };
        let place = |at: &Place| Place {
            serial: at.serial,
            offset: at.offset + skip_bytes,
        };
        Self {
            source: place(&self.source),
            target: place(&self.target),
            len_bytes,
            segments: self.segments,
        }
    }

    /// True when it writes where `other` reads.
    fn overwrites(&self, other: &Self) -> bool {
        let (target, source) = (&self.target, &other.source);
        target.serial == source.serial
            && target.offset < source.offset + other.len_bytes
            && source.offset < target.offset + self.len_bytes
    }
}

fn copy(piece: &Move) -> HostOp {
    let update = Update {
        offset: piece.target.offset,
        len_bytes: piece.len_bytes,
        kind: UpdateKind::CopyOf {
            source: piece.source.offset,
        },
    };
    HostOp::Update { update, fua: false }
}

/// Zeros take no room.
fn write(piece: &Move, data: Payload) -> HostOp {
    let kind = if data.is_zero() {
        ChangeKind::Unmap
    } else {
        ChangeKind::Write(data)
    };
    let change = Change {
        offset: piece.target.offset,
        len_bytes: piece.len_bytes,
        kind,
    };
    HostOp::Change { change, fua: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twindisk_mirror::NotReady;

    const OWN: Serial = Serial([1; 16]);
    const OTHER: Serial = Serial([2; 16]);

    fn one(source: (Serial, u64), target: (Serial, u64), len_bytes: u64) -> Move {
        let place = |(serial, offset)| Place { serial, offset };
        Move {
            source: place(source),
            target: place(target),
            len_bytes,
            segments: 1,
        }
    }

    fn write_back(_: Serial) -> bool {
        false
    }

    fn transfer(moves: Vec<Move>) -> Transfer {
        let copier = Copier {
            initiator: "iqn.x".to_owned(),
            user: None,
            port: InitiatorPort::new("iqn.x", [0; 6]).unwrap(),
        };
        let mut transfer = Transfer::new(copier, OWN, Some(1), moves);
        transfer.ended(HostResult::Done).unwrap();
        transfer
    }

    /// Carry a copy inside one VDisk out on a disk of these bytes.
    fn carried_out(disk: &mut [u8], moves: Vec<Move>) -> usize {
        let mut transfer = transfer(moves);
        let mut pieces = 0;
        while let Some((serial, op)) = transfer.next_op(write_back) {
            assert_eq!(serial, OWN);
            let HostOp::Update { update, .. } = op else {
                panic!("{op:?}")
            };
            let source = update.source().unwrap() as usize;
            let (target, len) = (update.offset as usize, update.len_bytes as usize);
            assert!(
                source.abs_diff(target) >= len,
                "the mirror core wants it so"
            );
            disk.copy_within(source..source + len, target);
            transfer.ended(HostResult::Done).unwrap();
            pieces += 1;
        }
        pieces
    }

    #[test]
    fn a_range_copied_over_a_part_of_itself_is_as_if_read_in_full_first() {
        for (source, target, len) in [
            (0, 3, 10),
            (3, 0, 10),
            (0, 1, 19),
            (1, 0, 19),
            (0, 10, 10),
            (5, 4, 7),
        ] {
            let mut disk: Vec<u8> = (0..20).collect();
            let mut expected = disk.clone();
            expected.copy_within(source..source + len, target);
            let range = one((OWN, source as u64), (OWN, target as u64), len as u64);
            carried_out(&mut disk, vec![range]);
            assert_eq!(disk, expected, "{len} bytes from {source} to {target}");
        }
    }

    #[test]
    fn pieces_are_bounded_and_cover_the_range() {
        let long = 3 * PIECE_MAX_BYTES + 512;
        let mut disk = vec![0; 10 << 20];
        disk[..long as usize].fill(7);
        let pieces = carried_out(&mut disk, vec![one((OWN, 0), (OWN, 5 << 20), long)]);
        assert_eq!(pieces, 4);
        let copied = disk[5 << 20..].iter().filter(|byte| **byte == 7).count();
        assert_eq!(copied as u64, long);
    }

    #[test]
    fn between_two_vdisks_a_piece_is_read_then_written_and_zeros_leave_a_hole() {
        let mut transfer = transfer(vec![one((OWN, 512), (OTHER, 4096), 1024)]);
        assert_eq!(transfer.next_op(write_back), Some((OTHER, HostOp::Settle)));
        transfer.ended(HostResult::Done).unwrap();
        let read = HostOp::Read {
            offset: 512,
            len_bytes: 1024,
        };
        assert_eq!(
            (transfer.next_op(write_back), transfer.at()),
            (Some((OWN, read)), OWN)
        );
        let zeros = Payload::from(bytes::Bytes::from(vec![0; 1024]));
        transfer.ended(HostResult::Data(zeros)).unwrap();
        let change = Change {
            offset: 4096,
            len_bytes: 1024,
            kind: ChangeKind::Unmap,
        };
        let write = HostOp::Change { change, fua: false };
        assert_eq!(transfer.next_op(write_back), Some((OTHER, write)));
        assert_eq!(transfer.at(), OTHER);
        assert_eq!(transfer.progress, CopyProgress::default());
        transfer.ended(HostResult::Done).unwrap();
        assert_eq!(transfer.progress.bytes, 1024);
        assert_eq!(
            (transfer.progress.segments, transfer.next_op(write_back)),
            (1, None)
        );
    }

    #[test]
    fn where_the_write_cache_is_off_the_copy_ends_with_a_flush() {
        let mut transfer = transfer(vec![one((OWN, 0), (OWN, 512), 512)]);
        drop(transfer.next_op(|_| true));
        transfer.ended(HostResult::Done).unwrap();
        assert_eq!(transfer.next_op(|_| true), Some((OWN, HostOp::Flush)));
        transfer.ended(HostResult::Done).unwrap();
        assert_eq!(transfer.next_op(|_| true), None);
    }

    #[test]
    fn only_a_copy_that_reads_nothing_of_what_it_wrote_may_be_sent_again() {
        let standby = || HostResult::NotReady(NotReady::Standby);
        let apart = vec![one((OWN, 0), (OWN, 4 << 20), 2 << 20)];
        let over = vec![one((OWN, 0), (OWN, 512), 2 << 20)];
        for (moves, again) in [(apart, true), (over, false)] {
            let mut copy = transfer(moves.clone());
            drop(copy.next_op(write_back));
            assert_eq!(copy.ended(standby()), Err(Response::check(Sense::STANDBY)));
            let mut copy = transfer(moves);
            drop(copy.next_op(write_back));
            copy.ended(HostResult::Done).unwrap();
            drop(copy.next_op(write_back));
            let refused = if again {
                Sense::STANDBY
            } else {
                Sense::NOT_REACHABLE
            };
            assert_eq!(copy.ended(standby()), Err(Response::check(refused)));
        }
        let mut copy = transfer(vec![one((OWN, 0), (OTHER, 0), 512)]);
        drop(copy.next_op(write_back));
        let refused = Response::check(Sense::NOT_REACHABLE);
        assert_eq!(copy.ended(standby()), Err(refused), "the other VDisk");
    }
}
