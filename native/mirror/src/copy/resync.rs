//! Resync: the Master sends the chunks in which the Slave may differ.
//!
//! Rules:
//! 1. A chunk is copied under the Master's lock, so that it cannot change between reading and taking.
//! 2. Its dirty bit is cleared in memory only; the durable bitmap keeps it until a checkpoint ([`super::checkpoint`]) has flushed both
//!    copies. If the peer is lost, what no checkpoint covers counts as dirty again (`all`).
//! 3. The end, in this order: Master flushes; Master durably notes `ending` (the peer may be current from now on);
//!    Slave flushes and durably settles; Master durably settles. After a crash in between nobody goes on alone with
//!    older data while the other may have newer.

use super::checkpoint::Checkpoints;
use super::persist::Ticket;
use super::task::{Task, TaskKind};
use super::{Copy, Direction, DiskUse, Mode};
use crate::dirty_bitmap::DirtyBitmap;
use crate::facts::Role;
use crate::message::Body;
use crate::ops::{DiskDone, DiskOp};
use crate::report::Report;
use crate::{CHUNK_BYTES, payload::Payload};

/// Chunks on their way at the same time.
const WINDOW: usize = 16;

/// The source's side of a resync.
#[derive(Debug)]
pub struct Resync {
    /// What was dirty at the start and is covered by no checkpoint.
    pub(super) all: DirtyBitmap,
    pub(super) checkpoints: Checkpoints,
    pub(super) total: u64,
    id: u64,
    cursor: u64,
    in_flight: usize,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Copying,
    Flushing,
    Noting(Ticket),
    Offered,
    Settling(Ticket),
}

impl Resync {
    pub(super) fn new(all: DirtyBitmap, id: u64, now_ns: u64) -> Self {
        Self {
            total: all.count(),
            all,
            checkpoints: Checkpoints::new(now_ns),
            id,
            cursor: 0,
            in_flight: 0,
            end: End::Copying,
        }
    }
}

/// The target's side of a resync.
#[derive(Debug)]
pub struct TargetSync {
    dirty: DirtyBitmap,
    pub(super) total: u64,
    settle: Option<Settle>,
}

#[derive(Debug, Clone, Copy)]
struct Settle {
    id: u64,
    generation: u64,
    saving: Option<Ticket>,
}

impl TargetSync {
    pub(super) fn new(dirty: DirtyBitmap) -> Self {
        Self {
            total: dirty.count(),
            dirty,
            settle: None,
        }
    }

    pub(super) fn touches(&self, offset: u64, len_bytes: u64) -> bool {
        self.dirty.touches(offset, len_bytes)
    }

    pub(super) fn left(&self) -> u64 {
        self.dirty.count()
    }
}

impl Copy {
    fn source(&mut self) -> Option<&mut Resync> {
        match &mut self.mode {
            Mode::Mirroring(Direction::Source(resync)) => Some(resync),
            _ => None,
        }
    }

    fn target(&mut self) -> Option<&mut TargetSync> {
        match &mut self.mode {
            Mode::Mirroring(Direction::Target(target)) => Some(target),
            _ => None,
        }
    }

    /// Go as far as it goes; true when something moved.
    pub(super) fn step_resync(&mut self) -> bool {
        match &self.mode {
            Mode::Mirroring(Direction::Source(_)) => self.step_source(),
            Mode::Mirroring(Direction::Target(_)) => self.step_target(),
            _ => false,
        }
    }

    fn step_source(&mut self) -> bool {
        let draining = self.draining.is_some();
        if !draining && self.is_copying() && self.step_checkpoint() {
            return true;
        }
        let Mode::Mirroring(Direction::Source(resync)) = &mut self.mode else {
            return false;
        };
        let (end, id) = (resync.end, resync.id);
        match end {
            End::Copying if draining => false,
            End::Copying => {
                if resync.in_flight < WINDOW
                    && let Some(chunk) = self.dirty.next_chunk(resync.cursor)
                {
                    if !self.pace.may_begin(self.around.now_ns) {
                        return false;
                    }
                    resync.cursor = chunk + 1;
                    resync.in_flight += 1;
                    self.start_chunk(chunk);
                    return true;
                }
                if resync.in_flight > 0 {
                    return false;
                }
                resync.end = End::Flushing;
                self.resync_flushed = false;
                self.disk_op(DiskUse::ResyncFlush, DiskOp::Flush);
                true
            }
            End::Flushing if self.resync_flushed => {
                self.facts.ending = true;
                let ticket = self.facts_changed();
                self.set_end(End::Noting(ticket));
                true
            }
            End::Noting(ticket) if self.persisting.durable(ticket) => {
                self.set_end(End::Offered);
                self.report(Report::Resynced);
                let generation = self.facts.current;
                self.say(id, Body::ResyncEnd { generation });
                true
            }
            End::Settling(ticket) if self.persisting.durable(ticket) => {
                self.enter(Mode::Mirroring(Direction::InSync));
                true
            }
            _ => false,
        }
    }

    fn is_copying(&mut self) -> bool {
        self.source()
            .is_some_and(|resync| resync.end == End::Copying)
    }

    fn set_end(&mut self, end: End) {
        if let Some(resync) = self.source() {
            resync.end = end;
        }
    }

    fn start_chunk(&mut self, chunk: u64) {
        let offset = chunk * CHUNK_BYTES;
        let len_bytes = CHUNK_BYTES.min(self.size_bytes.saturating_sub(offset));
        self.pace.took(len_bytes);
        let id = self.add_task(offset, len_bytes, TaskKind::Chunk { chunk, data: None });
        if len_bytes == 0 {
            self.chunk_settled(id);
        } else {
            self.lock(id, true);
        }
    }

    /// Source: the chunk was read; ask whether the peer has it already.
    pub(super) fn chunk_read(&mut self, id: u64, done: DiskDone) {
        let Some(Task {
            offset,
            len_bytes,
            kind: TaskKind::Chunk { data, .. },
            ..
        }) = self.tasks.get_mut(&id)
        else {
            return;
        };
        if let DiskDone::Data(bytes) = done {
            let hash = bytes.hash();
            *data = Some(bytes);
            let len_bytes = u32::try_from(*len_bytes).expect("a chunk is 64 KiB at most");
            let ask = Body::ChunkHash {
                offset: *offset,
                len_bytes,
                hash,
            };
            self.say(id, ask);
        }
    }

    /// Source: the peer has other bytes.
    pub(super) fn chunk_differs(&mut self, id: u64) {
        if let Some(Task {
            offset,
            kind: TaskKind::Chunk { data, .. },
            ..
        }) = self.tasks.get_mut(&id)
            && let Some(data) = data.take()
        {
            let offset = *offset;
            self.counters.resynced(data.len_bytes());
            self.say(id, Body::ChunkData { offset, data });
        }
    }

    /// Source: the peer has the chunk now.
    pub(super) fn chunk_settled(&mut self, id: u64) {
        let Some(Task {
            kind: TaskKind::Chunk { chunk, .. },
            ..
        }) = self.finish(id)
        else {
            return;
        };
        self.dirty.clear_chunk(chunk);
        if let Some(resync) = self.source() {
            resync.in_flight -= 1;
            resync.checkpoints.settled(chunk);
        }
    }

    /// Source: the peer has settled.
    pub(super) fn resync_ended(&mut self, id: u64) {
        if !self
            .source()
            .is_some_and(|resync| resync.end == End::Offered && resync.id == id)
        {
            return;
        }
        self.facts.settle(self.facts.current);
        self.dirty = DirtyBitmap::default();
        if let Some(resync) = self.source() {
            resync.all = DirtyBitmap::default();
        }
        let ticket = self.facts_changed();
        self.persisting.want_bitmap_reset();
        self.set_end(End::Settling(ticket));
    }

    /// Target: compare a chunk.
    pub(super) fn start_compare(
        &mut self,
        peer_id: u64,
        offset: u64,
        len_bytes: u32,
        hash: [u8; 32],
    ) {
        if self.target().is_some() {
            let id = self.add_task(
                offset,
                len_bytes.into(),
                TaskKind::PeerHash { peer_id, hash },
            );
            self.lock(id, false);
        }
    }

    pub(super) fn chunk_compared(&mut self, id: u64, done: DiskDone) {
        let Some(Task {
            offset,
            kind: TaskKind::PeerHash { peer_id, hash },
            ..
        }) = self.finish(id)
        else {
            return;
        };
        let same = matches!(done, DiskDone::Data(bytes) if bytes.hash() == hash);
        if same && let Some(target) = self.target() {
            target.dirty.clear_chunk(offset / CHUNK_BYTES);
        }
        self.say(
            peer_id,
            if same {
                Body::ChunkSame
            } else {
                Body::ChunkDiffers
            },
        );
    }

    /// Target: take a chunk.
    pub(super) fn start_chunk_data(&mut self, peer_id: u64, offset: u64, data: Payload) {
        if self.target().is_some() {
            let len_bytes = data.len_bytes();
            let id = self.add_task(offset, len_bytes, TaskKind::PeerChunk { peer_id, data });
            self.lock(id, true);
        }
    }

    pub(super) fn chunk_taken(&mut self, id: u64) {
        let Some(Task {
            offset,
            len_bytes,
            kind: TaskKind::PeerChunk { peer_id, .. },
            ..
        }) = self.finish(id)
        else {
            return;
        };
        self.counters.resynced(len_bytes);
        if let Some(target) = self.target() {
            target.dirty.clear_chunk(offset / CHUNK_BYTES);
        }
        self.say(peer_id, Body::ChunkTaken);
    }

    /// Target: nothing is left to copy.
    pub(super) fn resync_offered_end(&mut self, id: u64, generation: u64) {
        if let Some(target) = self.target()
            && target.settle.is_none()
            && target.dirty.is_empty()
        {
            target.settle = Some(Settle {
                id,
                generation,
                saving: None,
            });
            self.resync_flushed = false;
            self.disk_op(DiskUse::ResyncFlush, DiskOp::Flush);
        }
    }

    fn step_target(&mut self) -> bool {
        let flushed = self.resync_flushed;
        let Some(Settle {
            id,
            generation,
            saving,
        }) = self.target().and_then(|target| target.settle)
        else {
            return false;
        };
        match saving {
            None if flushed => {
                self.facts.settle(generation);
                self.facts.role = Role::Slave;
                self.dirty = DirtyBitmap::default();
                let ticket = self.facts_changed();
                self.persisting.want_bitmap_reset();
                if let Some(settle) = self.target().and_then(|target| target.settle.as_mut()) {
                    settle.saving = Some(ticket);
                }
                true
            }
            Some(ticket) if self.persisting.durable(ticket) => {
                self.say(id, Body::ResyncEnded);
                self.enter(Mode::Mirroring(Direction::InSync));
                self.report(Report::Resynced);
                true
            }
            _ => false,
        }
    }
}
