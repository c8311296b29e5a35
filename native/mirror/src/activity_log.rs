//! The activity log: extents in which the two copies may differ after a crash.
//!
//! Rules:
//! 1. A copy changes an extent only once the extent is durable in its own log.
//! 2. On an attached Master an extent leaves the log only when no change is under way in it and both copies flushed
//!    after the last one ended; the Slave's log follows the Master's.
//! 3. Chunk masks say what changed since; they are memory only: after a restart a named extent is suspect as a whole.

use std::collections::HashMap;

use crate::dirty_bitmap::words_of;

/// Extents that a Master's log holds before it must make room.
pub const CAPACITY: usize = 1024;
/// Extents that a metadata slot can hold; a Slave follows its Master and may pass `CAPACITY` for a moment.
pub const SLOT_CAPACITY: usize = 2048;
/// Extents that are taken in ahead of a sequential writer.
const READ_AHEAD_EXTENTS: u64 = 16;

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    /// Chunks changed since the last barrier began.
    written: u64,
    /// Chunks changed before the barrier under way, not known to be flushed.
    pending: u64,
    /// Changes under way.
    writers: u32,
    durable: bool,
    /// Order of use, for eviction.
    used: u64,
}

impl Entry {
    fn idle(self) -> bool {
        self.writers == 0 && self.written == 0 && self.pending == 0
    }
}

/// The log of one copy.
#[derive(Debug, Default)]
pub struct ActivityLog {
    entries: HashMap<u64, Entry>,
    /// Entries that are not durable yet.
    fresh: usize,
    clock: u64,
    barrier: bool,
    /// `CAPACITY`, or less in a simulation.
    capacity: Option<usize>,
}

impl ActivityLog {
    /// The log as found at start: every extent is suspect as a whole.
    pub fn loaded(extents: impl IntoIterator<Item = u64>) -> Self {
        let entry = Entry {
            written: u64::MAX,
            durable: true,
            ..Entry::default()
        };
        Self {
            entries: extents.into_iter().map(|extent| (extent, entry)).collect(),
            ..Self::default()
        }
    }

    /// Make room scarcer than `CAPACITY`, so that a simulation gets to the end of it.
    pub fn limit(&mut self, capacity: usize) {
        self.capacity = Some(capacity.clamp(1, CAPACITY));
    }

    /// Extents above which a Master makes room.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity.unwrap_or(CAPACITY)
    }

    /// Extents above which changes wait for room.
    #[must_use]
    pub fn capacity_max(&self) -> usize {
        self.capacity() * SLOT_CAPACITY / CAPACITY - self.capacity() / 8
    }

    /// Begin a change: count it in, mark its chunks. True when all its extents are durable in the log.
    pub fn begin(&mut self, offset: u64, len_bytes: u64) -> bool {
        self.clock += 1;
        let mut durable = true;
        for (extent, bits) in words_of(offset, len_bytes) {
            let entry = self.entries.entry(extent).or_insert_with(|| {
                self.fresh += 1;
                Entry::default()
            });
            entry.written |= bits;
            entry.writers += 1;
            entry.used = self.clock;
            durable &= entry.durable;
        }
        durable
    }

    /// True when every extent of a range is durable in the log.
    #[must_use]
    pub fn covers(&self, offset: u64, len_bytes: u64) -> bool {
        words_of(offset, len_bytes)
            .all(|(extent, _)| self.entries.get(&extent).is_some_and(|entry| entry.durable))
    }

    /// How many extents of a range are not in the log.
    #[must_use]
    pub fn missing(&self, offset: u64, len_bytes: u64) -> usize {
        words_of(offset, len_bytes)
            .filter(|(extent, _)| !self.entries.contains_key(extent))
            .count()
    }

    /// End a change that was begun.
    pub fn end(&mut self, offset: u64, len_bytes: u64) {
        for (extent, bits) in words_of(offset, len_bytes) {
            if let Some(entry) = self.entries.get_mut(&extent) {
                entry.written |= bits;
                entry.writers = entry.writers.saturating_sub(1);
            }
        }
    }

    /// Take extents in without a change in them; true when any is new.
    pub fn add(&mut self, extents: impl IntoIterator<Item = u64>) -> bool {
        let before = self.fresh;
        for extent in extents {
            self.entries.entry(extent).or_insert_with(|| {
                self.fresh += 1;
                Entry {
                    used: self.clock,
                    ..Entry::default()
                }
            });
        }
        self.fresh != before
    }

    /// Extents worth taking in with a new one, since a sequential writer will need them soon.
    pub fn ahead_of(&self, extent: u64, extents_total: u64) -> impl Iterator<Item = u64> + use<'_> {
        let sequential = extent > 0 && self.entries.contains_key(&(extent - 1));
        let room = self.capacity().saturating_sub(self.entries.len() + 1) as u64;
        let ahead = if sequential {
            READ_AHEAD_EXTENTS.min(room)
        } else {
            0
        };
        (extent + 1..(extent + 1 + ahead).min(extents_total))
            .filter(|e| !self.entries.contains_key(e))
    }

    /// Drop an extent (the Master said that it is clean, or its bits are durable in the dirty bitmap).
    pub fn remove(&mut self, extent: u64) {
        if let Some(entry) = self.entries.remove(&extent)
            && !entry.durable
        {
            self.fresh -= 1;
        }
    }

    /// Drop up to `count` idle extents, least recently used first, and name them.
    pub fn evict_idle(&mut self, count: usize) -> Vec<u64> {
        self.evict(count, Entry::idle)
            .into_iter()
            .map(|(extent, _)| extent)
            .collect()
    }

    /// Drop up to `count` extents without changes under way, and give their chunk masks.
    pub fn evict_quiet(&mut self, count: usize) -> Vec<(u64, u64)> {
        self.evict(count, |entry| entry.writers == 0)
    }

    fn evict(&mut self, count: usize, may_go: impl Fn(Entry) -> bool) -> Vec<(u64, u64)> {
        let mut found: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, e)| e.durable && may_go(**e))
            .map(|(&x, e)| (e.used, x))
            .collect();
        found.sort_unstable();
        found.truncate(count);
        found
            .into_iter()
            .filter_map(|(_, extent)| {
                self.entries
                    .remove(&extent)
                    .map(|entry| (extent, entry.written | entry.pending))
            })
            .collect()
    }

    /// Both copies are about to be flushed; false when such a barrier is under way already.
    pub fn barrier_begin(&mut self) -> bool {
        if self.barrier {
            return false;
        }
        self.barrier = true;
        for entry in self.entries.values_mut() {
            entry.pending |= entry.written;
            entry.written = 0;
        }
        true
    }

    /// Both copies were flushed.
    pub fn barrier_end(&mut self) {
        self.barrier = false;
        for entry in self.entries.values_mut() {
            entry.pending = 0;
        }
    }

    /// The barrier under way came to nothing: what it covered counts as not flushed.
    pub fn barrier_abort(&mut self) {
        self.barrier = false;
        for entry in self.entries.values_mut() {
            entry.written |= entry.pending;
            entry.pending = 0;
        }
    }

    /// All changes under way, `(offset, len_bytes)` each, were given up: their chunks count as changed, also where a barrier that
    /// they outlived has ended meanwhile.
    pub fn abandon_writers(&mut self, under_way: impl IntoIterator<Item = (u64, u64)>) {
        self.barrier_abort();
        for (offset, len_bytes) in under_way {
            for (extent, bits) in words_of(offset, len_bytes) {
                if let Some(entry) = self.entries.get_mut(&extent) {
                    entry.written |= bits;
                }
            }
        }
        for entry in self.entries.values_mut() {
            entry.writers = 0;
        }
    }

    /// The log as of a persist that named these extents is durable.
    pub fn persisted(&mut self, extents: &[u64]) {
        for extent in extents {
            if let Some(entry) = self.entries.get_mut(extent)
                && !entry.durable
            {
                entry.durable = true;
                self.fresh -= 1;
            }
        }
    }

    /// True when an extent waits to become durable.
    #[must_use]
    pub fn has_fresh(&self) -> bool {
        self.fresh > 0
    }

    /// Chunk masks of all extents in which anything changed.
    pub fn masks(&self) -> impl Iterator<Item = (u64, u64)> {
        self.entries
            .iter()
            .map(|(&x, e)| (x, e.written | e.pending))
            .filter(|&(_, bits)| bits != 0)
    }

    /// The extents, ascending.
    #[must_use]
    pub fn extents(&self) -> Vec<u64> {
        let mut extents: Vec<_> = self.entries.keys().copied().collect();
        extents.sort_unstable();
        extents
    }

    /// Number of extents.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when the log names nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// True when nothing changed since both copies were flushed.
    #[must_use]
    pub fn all_idle(&self) -> bool {
        self.entries.values().all(|entry| entry.idle())
    }

    /// Empty the log: what it named is known to be equal, or is in the dirty bitmap.
    pub fn clear(&mut self) {
        *self = Self {
            clock: self.clock,
            capacity: self.capacity,
            ..Self::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EXTENT_BYTES;

    fn durable_log(extents: &[u64]) -> ActivityLog {
        let mut log = ActivityLog::default();
        log.add(extents.iter().copied());
        log.persisted(extents);
        log
    }

    #[test]
    fn a_change_needs_its_extents_durable() {
        let mut log = ActivityLog::default();
        assert!(!log.begin(EXTENT_BYTES - 1, 2));
        assert!(!log.covers(0, 1));
        log.persisted(&[0]);
        assert!(!log.covers(EXTENT_BYTES - 1, 2));
        log.persisted(&[1]);
        assert!(log.covers(EXTENT_BYTES - 1, 2) && !log.has_fresh());
    }

    #[test]
    fn a_change_that_ends_during_a_barrier_is_not_covered_by_it() {
        let mut log = durable_log(&[0]);
        assert!(log.begin(0, 512));
        assert!(log.barrier_begin());
        log.end(0, 512);
        log.barrier_end();
        assert!(log.evict_idle(9).is_empty());
        assert!(log.barrier_begin());
        log.barrier_end();
        assert_eq!(log.evict_idle(9), [0]);
    }

    #[test]
    fn an_aborted_barrier_keeps_what_it_covered() {
        let mut log = durable_log(&[3]);
        log.begin(3 * EXTENT_BYTES, 512);
        log.end(3 * EXTENT_BYTES, 512);
        assert!(log.barrier_begin() && !log.barrier_begin());
        log.barrier_abort();
        assert_eq!(log.masks().collect::<Vec<_>>(), [(3, 1)]);
        assert!(log.evict_idle(9).is_empty());
    }

    #[test]
    fn a_change_that_is_given_up_after_a_barrier_is_marked() {
        let mut log = durable_log(&[0, 1]);
        log.begin(EXTENT_BYTES - 1, 2);
        assert!(log.barrier_begin());
        log.barrier_end();
        log.abandon_writers([(EXTENT_BYTES - 1, 2), (9 * EXTENT_BYTES, 512)]);
        let mut masks: Vec<_> = log.masks().collect();
        masks.sort_unstable();
        assert_eq!(masks, [(0, 1 << 63), (1, 1)]);
    }

    #[test]
    fn an_extent_with_a_change_under_way_stays() {
        let mut log = durable_log(&[0, 1]);
        log.begin(0, 512);
        assert_eq!(log.evict_quiet(9), [(1, 0)]);
    }

    #[test]
    fn loaded_extents_are_suspect_as_a_whole() {
        let log = ActivityLog::loaded([7]);
        assert_eq!(log.masks().collect::<Vec<_>>(), [(7, u64::MAX)]);
    }
}
