//! Watches of a copy: whether ranges still hold what they held when somebody began to watch them.
//!
//! Rules
//! 1. A watch is intact only if no change of this copy's disk that touches it was begun since it was set. So what is read while it
//!    stands, and seen to stand after the read, is what the ranges held at that moment.
//! 2. Watches are in memory only. They end with the process, when their copy becomes the target of a resync or stops serving, when
//!    they were not used for as long as they say, and after [`LIFETIME_NS`] at the latest.
//! 3. Their number and length are bounded; who has most of them loses the oldest.
//! 4. While there is none, a change costs one comparison.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::dirty_bitmap::extents_of;

/// Watches of one copy.
pub const WATCHES_MAX: usize = 256;
/// Ranges of one watch.
pub const RANGES_MAX: usize = 64;
/// Bytes of [`Watch::label`].
pub const LABEL_MAX_BYTES: usize = 512;
/// A watch ends so long after it was set, however often it is used.
pub const LIFETIME_NS: u64 = 3600 * 1_000_000_000;

/// What is to be watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// Names it on both nodes; never used twice.
    pub id: u64,
    /// For whom; nobody of either node has the same number as another one.
    pub owner: u64,
    /// It ends when it was not used at a node for so long.
    pub timeout_ms: u32,
    /// What the caller keeps with it, at most [`LABEL_MAX_BYTES`].
    pub label: Bytes,
    /// (first byte, length), in the caller's order, none empty, at most [`RANGES_MAX`].
    pub ranges: Vec<(u64, u64)>,
}

impl Watch {
    /// First byte and length of what lies between its ranges, them included; not empty.
    #[must_use]
    pub fn span(&self) -> (u64, u64) {
        let begin = self.ranges.iter().map(|(offset, _)| *offset).min();
        let end = self.ranges.iter().map(|(offset, len)| offset + len).max();
        let begin = begin.unwrap_or(0);
        (begin, end.map_or(1, |end| end - begin))
    }
}

/// How a watch stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatchState<'a> {
    /// There is none, or it was dropped.
    Unknown,
    /// A range was changed.
    Broken(&'a Watch),
    /// It was not used in time.
    Expired(&'a Watch),
    /// The ranges hold what they held.
    Intact(&'a Watch),
}

#[derive(Debug)]
struct Entry {
    watch: Watch,
    broken: bool,
    set_ns: u64,
    used_ns: u64,
}

/// All watches of a copy.
#[derive(Debug, Default)]
pub struct Watches {
    entries: BTreeMap<u64, Entry>,
    /// (extent, id) of every extent that an intact watch touches.
    extents: BTreeSet<(u64, u64)>,
}

impl Entry {
    fn until_ns(&self) -> u64 {
        let unused_ns = u64::from(self.watch.timeout_ms) * 1_000_000;
        (self.used_ns + unused_ns).min(self.set_ns + LIFETIME_NS)
    }

    fn touches(&self, offset: u64, len_bytes: u64) -> bool {
        let touch = |&(first, len): &(u64, u64)| first < offset + len_bytes && offset < first + len;
        self.watch.ranges.iter().any(touch)
    }
}

impl Watches {
    /// True when there is nothing to be looked after.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Set a watch, or set it anew; what does not fit any more goes.
    pub fn set(&mut self, watch: Watch, now_ns: u64) {
        self.drop(watch.id);
        while self.entries.len() >= WATCHES_MAX {
            self.drop_one();
        }
        for &(offset, len_bytes) in &watch.ranges {
            let touched = extents_of(offset, len_bytes).map(|extent| (extent, watch.id));
            self.extents.extend(touched);
        }
        let entry = Entry {
            broken: false,
            set_ns: now_ns,
            used_ns: now_ns,
            watch,
        };
        self.entries.insert(entry.watch.id, entry);
    }

    /// A range is about to be changed.
    pub fn changing(&mut self, offset: u64, len_bytes: u64) {
        if self.entries.is_empty() {
            return;
        }
        let extents = extents_of(offset, len_bytes);
        let near = self
            .extents
            .range((*extents.start(), 0)..=(*extents.end(), u64::MAX));
        let near: BTreeSet<u64> = near.map(|(_, id)| *id).collect();
        for id in near {
            if let Some(entry) = self.entries.get_mut(&id)
                && entry.touches(offset, len_bytes)
            {
                entry.broken = true;
                Self::forget_extents(&mut self.extents, entry);
            }
        }
    }

    /// How a watch stands.
    #[must_use]
    pub fn get(&self, id: u64, now_ns: u64) -> WatchState<'_> {
        match self.entries.get(&id) {
            None => WatchState::Unknown,
            Some(entry) if entry.broken => WatchState::Broken(&entry.watch),
            Some(entry) if entry.until_ns() <= now_ns => WatchState::Expired(&entry.watch),
            Some(entry) => WatchState::Intact(&entry.watch),
        }
    }

    /// A watch is used: it stays for as long again.
    pub fn used(&mut self, id: u64, now_ns: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.used_ns = now_ns;
        }
    }

    /// End a watch.
    pub fn drop(&mut self, id: u64) {
        if let Some(entry) = self.entries.remove(&id) {
            Self::forget_extents(&mut self.extents, &entry);
        }
    }

    /// End all of them.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forget those that have been over for as long as they might have been unused.
    pub fn tick(&mut self, now_ns: u64) {
        let over = |entry: &Entry| {
            let unused_ns = u64::from(entry.watch.timeout_ms) * 1_000_000;
            entry.until_ns() + unused_ns <= now_ns
        };
        let over: Vec<_> = (self.entries.iter())
            .filter(|(_, entry)| over(entry))
            .map(|(&id, _)| id)
            .collect();
        for id in over {
            self.drop(id);
        }
    }

    /// End the oldest watch of the owner who has most of them; one that is broken first of all.
    fn drop_one(&mut self) {
        let mut owned = BTreeMap::<u64, usize>::new();
        for entry in self.entries.values() {
            *owned.entry(entry.watch.owner).or_default() += 1;
        }
        let victim = self.entries.values().min_by_key(|entry| {
            let count = owned[&entry.watch.owner];
            (
                !entry.broken,
                usize::MAX - count,
                entry.set_ns,
                entry.watch.id,
            )
        });
        if let Some(id) = victim.map(|entry| entry.watch.id) {
            self.drop(id);
        }
    }

    fn forget_extents(extents: &mut BTreeSet<(u64, u64)>, entry: &Entry) {
        for &(offset, len_bytes) in &entry.watch.ranges {
            for extent in extents_of(offset, len_bytes) {
                extents.remove(&(extent, entry.watch.id));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EXTENT_BYTES;

    const S: u64 = 1_000_000_000;

    fn watch(id: u64, owner: u64, ranges: &[(u64, u64)]) -> Watch {
        Watch {
            id,
            owner,
            timeout_ms: 10_000,
            label: Bytes::new(),
            ranges: ranges.to_vec(),
        }
    }

    fn stands(watches: &Watches, id: u64) -> bool {
        matches!(watches.get(id, 0), WatchState::Intact(_))
    }

    #[test]
    fn only_a_change_that_touches_a_range_breaks_a_watch() {
        let far = 3 * EXTENT_BYTES;
        let ranges = [(4096, 512), (EXTENT_BYTES - 512, 1024), (far, 512)];
        for (offset, len_bytes, breaks) in [
            (0, 4096, false),
            (4607, 1, true),
            (4608, 512, false),
            (4095, 2, true),
            (0, EXTENT_BYTES, true),
            (EXTENT_BYTES, 512, true),
            (EXTENT_BYTES + 512, far - EXTENT_BYTES - 512, false),
            (far + 511, EXTENT_BYTES, true),
            (0, 100 * EXTENT_BYTES, true),
        ] {
            let mut watches = Watches::default();
            watches.set(watch(1, 1, &ranges), 0);
            watches.set(watch(2, 1, &[(50 * EXTENT_BYTES, 1)]), 0);
            watches.changing(offset, len_bytes);
            assert_eq!(!stands(&watches, 1), breaks, "{len_bytes} from {offset}");
            assert_eq!(stands(&watches, 2), len_bytes < 50 * EXTENT_BYTES);
        }
    }

    #[test]
    fn a_broken_watch_says_so_until_it_is_set_anew() {
        let mut watches = Watches::default();
        watches.set(watch(1, 1, &[(0, 512)]), 0);
        watches.changing(0, 1);
        assert!(matches!(watches.get(1, 0), WatchState::Broken(_)));
        watches.set(watch(1, 1, &[(0, 512)]), 5);
        assert!(stands(&watches, 1));
        watches.changing(0, 1);
        assert!(matches!(watches.get(1, 6), WatchState::Broken(_)));
        watches.drop(1);
        assert_eq!(watches.get(1, 6), WatchState::Unknown);
        assert!(watches.is_empty() && watches.extents.is_empty());
    }

    #[test]
    fn a_watch_ends_when_it_is_not_used_and_after_its_life() {
        let mut watches = Watches::default();
        watches.set(watch(1, 1, &[(0, 512)]), S);
        assert!(matches!(watches.get(1, 11 * S - 1), WatchState::Intact(_)));
        assert!(matches!(watches.get(1, 11 * S), WatchState::Expired(_)));
        let mut now_ns = S;
        while now_ns < LIFETIME_NS {
            watches.used(1, now_ns);
            assert!(matches!(watches.get(1, now_ns), WatchState::Intact(_)));
            now_ns += 9 * S;
        }
        watches.used(1, LIFETIME_NS);
        assert!(matches!(
            watches.get(1, LIFETIME_NS + S),
            WatchState::Expired(_)
        ));
        watches.tick(LIFETIME_NS + 2 * S);
        assert!(
            !watches.is_empty(),
            "it is told for a while that it expired"
        );
        watches.tick(LIFETIME_NS + 11 * S);
        assert!(watches.is_empty() && watches.extents.is_empty());
    }

    #[test]
    fn who_has_most_watches_loses_the_oldest() {
        let mut watches = Watches::default();
        watches.set(watch(0, 7, &[(0, 512)]), 0);
        for id in 1..=1000 {
            watches.set(watch(id, 8, &[(id * EXTENT_BYTES, 512)]), id);
        }
        assert_eq!(watches.entries.len(), WATCHES_MAX);
        assert_eq!(watches.extents.len(), WATCHES_MAX);
        assert!(stands(&watches, 0), "another one's");
        assert!(!stands(&watches, 745));
        assert!((746..=1000).all(|id| stands(&watches, id)));
        watches.changing(900 * EXTENT_BYTES, 1);
        watches.set(watch(1001, 8, &[(0, 512)]), 1001);
        assert_eq!(watches.get(900, 0), WatchState::Unknown, "of no use");
        assert!(stands(&watches, 746));
    }
}
