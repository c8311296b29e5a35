//! A resync's checkpoints: what the peer surely has need not be looked at again if the resync is interrupted.
//!
//! Rules:
//! 1. A chunk that was found equal or taken leaves the durable bitmap only once both copies were flushed after that: the peer's,
//!    because it could lose what it took; this one's, because what was equal must not turn older here.
//! 2. What changes meanwhile, and after, is the activity log's.

use super::resync::Resync;
use super::{Copy, Direction, Mode};
use crate::dirty_bitmap::DirtyBitmap;

/// Time between the end of a checkpoint and the beginning of the next.
const INTERVAL_NS: u64 = 2_000_000_000;

/// How far the peer surely is.
#[derive(Debug)]
pub struct Checkpoints {
    /// Settled since the latest checkpoint began.
    settled: DirtyBitmap,
    /// The task that flushes both copies, and the chunks that it makes sure of.
    under_way: Option<(u64, DirtyBitmap)>,
    latest_ns: u64,
}

impl Checkpoints {
    pub(super) fn new(now_ns: u64) -> Self {
        Self {
            settled: DirtyBitmap::default(),
            under_way: None,
            latest_ns: now_ns,
        }
    }

    /// The peer has a chunk, but may not have flushed it.
    pub(super) fn settled(&mut self, chunk: u64) {
        self.settled.mark(chunk / 64, 1 << (chunk % 64));
    }
}

impl Copy {
    /// Begin or end a checkpoint; true when something moved.
    pub(super) fn step_checkpoint(&mut self) -> bool {
        let now_ns = self.around.now_ns;
        let Mode::Mirroring(Direction::Source(Resync {
            all, checkpoints, ..
        })) = &mut self.mode
        else {
            return false;
        };
        if let Some((task, chunks)) = &checkpoints.under_way {
            if self.tasks.contains_key(task) {
                return false;
            }
            for (extent, bits) in chunks.words() {
                all.unmark(extent, bits);
                self.persisting.want_word(extent, all.word(extent));
            }
            checkpoints.under_way = None;
            checkpoints.latest_ns = now_ns;
            return true;
        }
        let early = now_ns.saturating_sub(checkpoints.latest_ns) < INTERVAL_NS;
        if early || checkpoints.settled.is_empty() {
            return false;
        }
        let chunks = std::mem::take(&mut checkpoints.settled);
        let task = self.start_flush(None);
        if let Mode::Mirroring(Direction::Source(resync)) = &mut self.mode {
            resync.checkpoints.under_way = Some((task, chunks));
        }
        true
    }
}
