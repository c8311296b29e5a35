//! One third-party copy: which piece comes next, and how far it is. Pure; [`crate::transfers`] carries it out.
//!
//! Rules:
//!
//! * One piece at a time, so that a copy holds a bounded amount of memory and other I/O gets between.
//! * A piece inside one VDisk is one update of the mirror core: source and target are equal at one moment, on both nodes. Between two
//!   VDisks a piece is read, then written.
//! * What a token stands for is read, then its watch is seen to be intact, then it is written, also inside one VDisk: so what is
//!   written is what was there when the token was made.
//! * No block of the target is written in two pieces: whoever writes or reads it meanwhile finds it as before or as copied.
//! * A range that is copied over a part of itself ends up as if it had been read in full first: pieces do not overlap themselves,
//!   and their order is that in which none is overwritten before it is read.

use std::collections::VecDeque;

use twindisk_mirror::{
    Change, ChangeKind, HostOp, HostResult, Payload, Serial, Update, UpdateKind,
};
use twindisk_scsi::{CopyName, CopyProgress, InitiatorPort, Response, Sense};

use crate::access::state_of;

/// Longest piece.
pub const PIECE_MAX_BYTES: u64 = 1 << 20;
/// Longest piece of zeros, which are not read.
const ZEROS_MAX_BYTES: u64 = 64 << 20;
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

impl Place {
    fn behind(&self, bytes: u64) -> Self {
        Self {
            serial: self.serial,
            offset: self.offset + bytes,
        }
    }
}

/// Where what is written comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// From there.
    At(Place),
    /// It is zeros.
    Zeros,
}

/// What a copy does with a VDisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It reads there.
    Read,
    /// It reads there what a token stands for.
    Token,
    /// It writes there.
    Write,
}

/// The token whose data a copy writes: what is read counts only as long as its watch is intact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The VDisk that it was made from.
    pub serial: Serial,
    /// Its watch.
    pub watch: u64,
    /// It ends with the copy.
    pub delete: bool,
}

/// A range to be copied, or a piece of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Move {
    /// From here.
    pub source: Source,
    /// To there.
    pub target: Place,
    /// Length, never 0.
    pub len_bytes: u64,
    /// Length of a logical block of the target; a range copied over a part of itself is at least so far away from it.
    pub block_bytes: u64,
    /// What the initiator counts as done once it is.
    pub segments: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// The reservations of this VDisk are to be known as they are.
    Settling(Serial),
    /// Between two pieces.
    Between,
    /// A piece is being read from this VDisk.
    Reading(Move, Serial),
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
    pub name: Option<CopyName>,
    /// The token that it uses.
    pub token: Option<Token>,
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
    pub fn new(copier: Copier, own: Serial, name: Option<CopyName>, moves: Vec<Move>) -> Self {
        let mut others: Vec<_> = (moves.iter())
            .flat_map(|one| {
                one.source
                    .place()
                    .map(|place| place.serial)
                    .into_iter()
                    .chain([one.target.serial])
            })
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
            name,
            token: None,
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

    /// The same of what a token stands for.
    #[must_use]
    pub fn using(mut self, token: Option<Token>) -> Self {
        self.token = token;
        self
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
            Stage::Reading(_, serial) => *serial,
            Stage::Writing(piece) | Stage::Read(piece, _) => piece.target.serial,
            Stage::Between => self.own,
        }
    }

    /// The VDisks that it has still to do with, each with what it does there.
    pub fn uses(&self) -> impl Iterator<Item = (Serial, Use)> {
        let reads = match self.token {
            Some(_) => Use::Token,
            None => Use::Read,
        };
        self.moves.iter().flat_map(move |one| {
            let source = one.source.place().map(|place| (place.serial, reads));
            source.into_iter().chain([(one.target.serial, Use::Write)])
        })
    }

    /// The VDisk and the watch that have to be intact for the next operation.
    #[must_use]
    pub fn relies_on(&self) -> Option<(Serial, u64)> {
        let token = self.token.filter(|_| !self.moves.is_empty())?;
        Some((token.serial, token.watch))
    }

    /// True for a VDisk that it has still to do with.
    #[must_use]
    pub fn involves(&self, serial: Serial) -> bool {
        let mut used = self.uses().map(|(used, _)| used);
        let flushes = self.unflushed.contains(&serial);
        flushes || self.own == serial || self.at() == serial || used.any(|one| one == serial)
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
            (Stage::Reading(piece, _), HostResult::Data(data)) => {
                self.stage = Stage::Read(piece, data);
            }
            (Stage::Writing(piece), HostResult::Done) => self.written(&piece),
            (_, HostResult::NotReady(why)) if at == self.own && self.may_be_repeated() => {
                return Err(Response::not_serving(state_of(why)));
            }
            (_, HostResult::Overtaken) if at == self.own && self.may_be_repeated() => {
                return Err(Response::busy());
            }
            (_, HostResult::NoSpace) => return Err(Response::check(Sense::NO_SPACE)),
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
            Stage::Read(piece, data) => (piece, write(&piece, kind_of(data))),
            _ => {
                let Some(next) = self.moves.front() else {
                    self.unflushed.retain(|serial| writes_through(*serial));
                    let serial = self.unflushed.pop()?;
                    self.stage = Stage::Flushing(serial);
                    return Some((serial, HostOp::Flush));
                };
                let piece = next.piece(self.done_bytes);
                match piece.source {
                    Source::Zeros => (piece, write(&piece, ChangeKind::Unmap)),
                    Source::At(Place { serial, offset })
                        if serial == piece.target.serial && self.token.is_none() =>
                    {
                        (piece, copy(&piece, offset))
                    }
                    Source::At(Place { serial, offset }) => {
                        let len_bytes = u32::try_from(piece.len_bytes).expect("pieces are short");
                        self.stage = Stage::Reading(piece, serial);
                        return Some((serial, HostOp::Read { offset, len_bytes }));
                    }
                }
            }
        };
        self.stage = Stage::Writing(piece);
        Some((piece.target.serial, op))
    }
}

impl Source {
    fn place(&self) -> Option<Place> {
        match self {
            Self::At(place) => Some(*place),
            Self::Zeros => None,
        }
    }
}

impl Move {
    /// The next piece when so many bytes are done.
    fn piece(&self, done_bytes: u64) -> Self {
        let left_bytes = self.len_bytes - done_bytes;
        let Source::At(source) = self.source else {
            let len_bytes = left_bytes.min(ZEROS_MAX_BYTES);
            return self.part(Source::Zeros, done_bytes, len_bytes);
        };
        let apart_bytes = source.offset.abs_diff(self.target.offset);
        let same = source.serial == self.target.serial;
        let overlaps = same && apart_bytes < self.len_bytes;
        let most_bytes = if overlaps {
            left_bytes.min(PIECE_MAX_BYTES).min(apart_bytes)
        } else {
            left_bytes.min(PIECE_MAX_BYTES)
        };
        // A piece ends where a block of the target does, or with the range.
        let over_bytes = |at_bytes: u64| (self.target.offset + at_bytes) % self.block_bytes;
        // Towards the end of the disk: from behind, so that what is overwritten was read before.
        let (skip_bytes, end_bytes) = if overlaps && self.target.offset > source.offset {
            match left_bytes - most_bytes {
                0 => (0, left_bytes),
                skip_bytes => {
                    let short_bytes = self.block_bytes - over_bytes(skip_bytes);
                    (skip_bytes + short_bytes % self.block_bytes, left_bytes)
                }
            }
        } else {
            let end_bytes = done_bytes + most_bytes;
            let is_last = end_bytes == self.len_bytes;
            let behind_bytes = if is_last { 0 } else { over_bytes(end_bytes) };
            (done_bytes, end_bytes - behind_bytes)
        };
        self.part(
            Source::At(source.behind(skip_bytes)),
            skip_bytes,
            end_bytes - skip_bytes,
        )
    }

    fn part(&self, source: Source, skip_bytes: u64, len_bytes: u64) -> Self {
        Self {
            source,
            target: self.target.behind(skip_bytes),
            len_bytes,
            ..*self
        }
    }

    /// True when it writes where `other` reads.
    fn overwrites(&self, other: &Self) -> bool {
        let target = &self.target;
        other.source.place().is_some_and(|source| {
            target.serial == source.serial
                && target.offset < source.offset + other.len_bytes
                && source.offset < target.offset + self.len_bytes
        })
    }
}

fn copy(piece: &Move, source: u64) -> HostOp {
    let update = Update {
        offset: piece.target.offset,
        len_bytes: piece.len_bytes,
        kind: UpdateKind::CopyOf { source },
    };
    HostOp::Update { update, fua: false }
}

/// Zeros take no room.
fn kind_of(data: Payload) -> ChangeKind {
    if data.is_zero() {
        ChangeKind::Unmap
    } else {
        ChangeKind::Write(data)
    }
}

fn write(piece: &Move, kind: ChangeKind) -> HostOp {
    let change = Change {
        offset: piece.target.offset,
        len_bytes: piece.len_bytes,
        kind,
    };
    HostOp::Change { change, fua: false }
}

#[cfg(test)]
mod tests;
