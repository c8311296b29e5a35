//! Verification: the Master compares both copies chunk by chunk while hosts go on, and makes them equal again if told to.
//!
//! Rules:
//! 1. Only copies in sync are compared, and a chunk only under the Master's lock: no change is under way in it on either node
//!    then, so that what differs there is never a matter of timing.
//! 2. A chunk is compared under a shared lock, which hosts' reads pass. To be repaired it is compared anew under an exclusive one.
//! 3. A repair is a change of both copies, like a host's, to the bytes of the copy that was chosen: activity log, disk, `Apply`. So a
//!    crash in its middle leaves nothing that the log does not name. Both copies are flushed before a repair is reported.
//! 4. What holds data on neither copy is not compared: both list what holds data, stretch by stretch.
//! 5. A verification ends with the attach that it began in, and only the Master knows of it.

use std::collections::BTreeMap;

use super::task::{Task, TaskKind};
use super::{Copy, Direction, DiskUse, Mode};
use crate::dirty_bitmap::DirtyBitmap;
use crate::facts::Role;
use crate::message::Body;
use crate::ops::{DiskDone, DiskOp};
use crate::report::{CommandError, Report, Verified, VerifyState};
use crate::{CHUNK_BYTES, EXTENT_BYTES};

/// Extents whose data both copies list at a time.
pub const STRETCH_EXTENTS: u64 = 256;
/// Chunks that are compared at the same time.
const WINDOW: usize = 16;
/// Ranges that are named; what differs beyond them is counted.
const RANGES_MAX: usize = 1000;

/// The verification under way, and what the latest one found.
#[derive(Debug, Default)]
pub struct Verification {
    run: Option<Run>,
    found: Option<Verified>,
}

#[derive(Debug)]
struct Run {
    repair: Option<Role>,
    /// What comes before was listed.
    listed_bytes: u64,
    /// Listed, and not looked at yet.
    chunks: DirtyBitmap,
    in_flight: usize,
    stage: Stage,
    cancelled: bool,
    /// Merged: first byte, length.
    ranges: BTreeMap<u64, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Comparing,
    Listing,
    /// Both copies are flushed after repairs, by this task.
    Flushing(u64),
}

/// What the step after this one is.
enum Next {
    Wait,
    Compare(u64),
    List(u64),
    Flush,
    End,
}

impl Run {
    fn next(&self, size_bytes: u64, repaired: bool) -> Next {
        if self.stage != Stage::Comparing {
            return Next::Wait;
        }
        let chunk = self.chunks.next_chunk(0).filter(|_| !self.cancelled);
        match chunk {
            Some(_) if self.in_flight == WINDOW => Next::Wait,
            Some(chunk) => Next::Compare(chunk),
            None if self.listed_bytes < size_bytes && !self.cancelled => {
                Next::List(self.listed_bytes)
            }
            None if self.in_flight > 0 => Next::Wait,
            None if repaired => Next::Flush,
            None => Next::End,
        }
    }

    /// Take a range in, merged with those that it touches; false: there are too many.
    fn note(&mut self, offset: u64, len_bytes: u64) -> bool {
        let mut start = offset;
        let mut end = offset + len_bytes;
        if let Some((&before, &len)) = self.ranges.range(..offset).next_back()
            && before + len == offset
        {
            start = before;
        }
        if let Some(len) = self.ranges.remove(&end) {
            end += len;
        }
        let room = self.ranges.len() < RANGES_MAX || start != offset || end != offset + len_bytes;
        if room {
            self.ranges.insert(start, end - start);
        }
        room
    }
}

impl Verification {
    /// How the one under way, or the latest one, stands.
    pub(super) fn status(&self) -> Option<Verified> {
        let mut found = self.found.clone()?;
        if let Some(run) = &self.run {
            let looked_at = (run.chunks.next_chunk(0)).map(|chunk| chunk * CHUNK_BYTES);
            found.done_bytes = looked_at.unwrap_or(run.listed_bytes.min(found.total_bytes));
            found.ranges = run.ranges.iter().map(|(&at, &len)| (at, len)).collect();
        }
        Some(found)
    }

    pub(super) fn runs(&self) -> bool {
        self.run.is_some()
    }

    /// Whose bytes count where the copies differ.
    pub(super) fn repair(&self) -> Option<Role> {
        self.run.as_ref().and_then(|run| run.repair)
    }

    /// A range differs.
    pub(super) fn differs(&mut self, offset: u64, len_bytes: u64) {
        if let (Some(run), Some(found)) = (&mut self.run, &mut self.found) {
            found.differing_bytes += len_bytes;
            found.truncated |= !run.note(offset, len_bytes);
        }
    }

    /// A chunk is done with.
    pub(super) fn compared(&mut self, compared_bytes: u64, repaired_bytes: u64) {
        if let (Some(run), Some(found)) = (&mut self.run, &mut self.found) {
            run.in_flight -= 1;
            found.compared_bytes += compared_bytes;
            found.repaired_bytes += repaired_bytes;
        }
    }
}

impl Copy {
    /// Begin to compare; where the copies differ, `repair` says whose bytes count, None: nothing is changed.
    pub(super) fn verify(&mut self, repair: Option<Role>) -> Result<(), CommandError> {
        if !matches!(self.mode, Mode::Mirroring(Direction::InSync)) || !self.is_master() {
            return Err(CommandError::WrongMode);
        }
        if self.verification.runs() {
            return Err(CommandError::VerifyRuns);
        }
        self.verification.run = Some(Run {
            repair,
            listed_bytes: 0,
            chunks: DirtyBitmap::default(),
            in_flight: 0,
            stage: Stage::Comparing,
            cancelled: false,
            ranges: BTreeMap::new(),
        });
        self.verification.found = Some(Verified::begun(repair, self.size_bytes));
        Ok(())
    }

    /// End the verification under way before its time.
    pub(super) fn end_verify(&mut self) -> Result<(), CommandError> {
        let run = self.verification.run.as_mut();
        run.ok_or(CommandError::WrongMode)?.cancelled = true;
        Ok(())
    }

    /// Go as far as it goes; true when something moved.
    pub(super) fn step_verify(&mut self) -> bool {
        let waits = self.draining.is_some() || self.resuming || self.gated();
        let (Some(run), Some(found)) = (&mut self.verification.run, &self.verification.found)
        else {
            return false;
        };
        if let Stage::Flushing(id) = run.stage
            && !self.tasks.contains_key(&id)
        {
            self.verification_ended(VerifyState::Completed);
            return true;
        }
        match run.next(self.size_bytes, found.repaired_bytes > 0) {
            _ if waits => false,
            Next::Wait => false,
            Next::Compare(chunk) => {
                if !self.pace.may_begin(self.around.now_ns) {
                    return false;
                }
                run.chunks.clear_chunk(chunk);
                run.in_flight += 1;
                self.start_comparison(chunk * CHUNK_BYTES);
                true
            }
            Next::List(from_bytes) => {
                run.stage = Stage::Listing;
                self.start_list(from_bytes);
                true
            }
            Next::Flush => {
                let id = self.start_flush(None);
                if let Some(run) = &mut self.verification.run {
                    run.stage = Stage::Flushing(id);
                }
                true
            }
            Next::End => {
                self.verification_ended(VerifyState::Completed);
                true
            }
        }
    }

    /// It is over; what it found is reported. Nothing happens when none is under way.
    pub(super) fn verification_ended(&mut self, how: VerifyState) {
        let Some(mut found) = self
            .verification
            .status()
            .filter(|_| self.verification.runs())
        else {
            return;
        };
        let cancelled = (self.verification.run.take()).is_some_and(|run| run.cancelled);
        found.state = match how {
            VerifyState::Completed if cancelled => VerifyState::Cancelled,
            how => how,
        };
        self.verification.found = Some(found.clone());
        self.report(Report::Verified(Box::new(found)));
    }

    fn start_list(&mut self, offset: u64) {
        let len_bytes = (STRETCH_EXTENTS * EXTENT_BYTES).min(self.size_bytes - offset);
        let kind = TaskKind::List {
            chunks: DirtyBitmap::default(),
            local_pending: true,
            peer_pending: true,
        };
        let id = self.add_task(offset, len_bytes, kind);
        let extents = STRETCH_EXTENTS as u32;
        self.say(id, Body::List { offset, extents });
        self.list_for(id, offset, len_bytes);
    }

    fn list_for(&mut self, id: u64, offset: u64, len_bytes: u64) {
        self.disk_op(DiskUse::Task(id), DiskOp::Ranges { offset, len_bytes });
    }

    /// Slave: the Master asks what holds data here.
    pub(super) fn start_peer_list(&mut self, peer_id: u64, offset: u64, extents: u32) {
        let len_bytes = (u64::from(extents) * EXTENT_BYTES).min(self.size_bytes - offset);
        let id = self.add_task(offset, len_bytes, TaskKind::PeerList { peer_id });
        self.list_for(id, offset, len_bytes);
    }

    /// This copy's list is there, on either node.
    pub(super) fn own_list(&mut self, id: u64, done: DiskDone) {
        let mut chunks = DirtyBitmap::default();
        if let DiskDone::Ranges(ranges) = done {
            for (offset, len_bytes) in ranges {
                chunks.mark_range(offset, len_bytes);
            }
        }
        match self.tasks.get_mut(&id).map(|task| &mut task.kind) {
            Some(TaskKind::PeerList { peer_id }) => {
                let peer_id = *peer_id;
                self.finish(id);
                self.say(peer_id, Body::Listed(chunks.words().collect()));
            }
            Some(TaskKind::List { local_pending, .. }) => {
                *local_pending = false;
                self.take_list(id, chunks);
            }
            _ => {}
        }
    }

    /// Master: the Slave's list is there.
    pub(super) fn peer_list(&mut self, id: u64, words: Vec<(u64, u64)>) {
        if let Some(Task {
            kind: TaskKind::List { peer_pending, .. },
            ..
        }) = self.tasks.get_mut(&id)
        {
            *peer_pending = false;
            self.take_list(id, words.into_iter().collect());
        }
    }

    fn take_list(&mut self, id: u64, more: DirtyBitmap) {
        let Some(Task {
            offset,
            len_bytes,
            kind:
                TaskKind::List {
                    chunks,
                    local_pending,
                    peer_pending,
                },
            ..
        }) = self.tasks.get_mut(&id)
        else {
            return;
        };
        let first = *offset / EXTENT_BYTES;
        let asked = first..first + STRETCH_EXTENTS;
        for (extent, bits) in more.words().filter(|(extent, _)| asked.contains(extent)) {
            chunks.mark(extent, bits);
        }
        if *local_pending || *peer_pending {
            return;
        }
        let (end, mut chunks) = (*offset + *len_bytes, std::mem::take(chunks));
        self.finish(id);
        chunks.truncate(self.size_bytes);
        if let Some(run) = &mut self.verification.run {
            run.listed_bytes = end;
            run.chunks = chunks;
            run.stage = Stage::Comparing;
        }
    }
}
