//! Byte-range locks: the order of all operations on one copy.
//!
//! Rules: requests that conflict (overlap, at least one exclusive) are granted in the order in which they came; a
//! request waits for every earlier conflicting one, granted or waiting. So nothing starves, and on the Master this
//! order is the order of the VDisk. On a Slave that lacks space for a while, reads that wait let changes pass. A request for two ranges takes its place with both at once, so that two of them never
//! wait for each other.

/// Names one request; chosen by the caller, unique while it is held or waits.
pub type LockId = u64;

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: LockId,
    start: u64,
    end: u64,
    exclusive: bool,
    granted: bool,
    /// One of the two ranges of a request.
    paired: bool,
}

impl Entry {
    fn conflicts(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end && (self.exclusive || other.exclusive)
    }

    /// A read that waits; the second range of a change is none.
    fn gives_way(&self) -> bool {
        !self.granted && !self.exclusive && !self.paired
    }
}

/// The locks of one copy. Requests in flight are few (hundreds), so a vector in order of arrival is the fastest table.
#[derive(Debug, Default)]
pub struct RangeLocks {
    entries: Vec<Entry>,
    waiting: usize,
    /// See [`RangeLocks::changes_first`].
    changes_first: bool,
}

impl RangeLocks {
    /// Ask for a range; true when it is granted at once, else it is granted by a later [`release`](Self::release).
    pub fn request(&mut self, id: LockId, offset: u64, len_bytes: u64, exclusive: bool) -> bool {
        self.queue(Entry {
            id,
            start: offset,
            end: offset.saturating_add(len_bytes),
            exclusive,
            granted: true,
            paired: false,
        })
    }

    /// Ask for a range of `len_bytes` to write and for another, as long, to read; they do not overlap. True when both are granted
    /// at once.
    pub fn request_two(&mut self, id: LockId, write: u64, read: u64, len_bytes: u64) -> bool {
        let entry = |offset: u64, exclusive| Entry {
            id,
            start: offset,
            end: offset.saturating_add(len_bytes),
            exclusive,
            granted: true,
            paired: true,
        };
        let may_write = self.queue(entry(write, true));
        let may_read = self.queue(entry(read, false));
        may_write && may_read
    }

    fn queue(&mut self, mut entry: Entry) -> bool {
        let place = if self.changes_first && (entry.exclusive || entry.paired) {
            // Others were granted since.
            self.entries.sort_by_key(Entry::gives_way);
            self.entries.partition_point(|earlier| !earlier.gives_way())
        } else {
            self.entries.len()
        };
        let mut earlier = self.entries[..place].iter();
        entry.granted = !earlier.any(|earlier| earlier.conflicts(&entry));
        if !entry.granted {
            self.waiting += 1;
        }
        self.entries.insert(place, entry);
        entry.granted
    }

    /// While it is on, shared requests that wait are behind all exclusive ones, those that come later too. The ids that are granted by
    /// it are appended, in order.
    pub fn changes_first(&mut self, on: bool, granted: &mut Vec<LockId>) {
        self.changes_first = on;
        if on && self.waiting > 0 {
            // It is stable.
            self.entries.sort_by_key(Entry::gives_way);
            self.grant(0, |_| true, granted);
        }
    }

    /// Give a range back (or withdraw a request); the ids that are granted by it are appended, in order.
    pub fn release(&mut self, id: LockId, granted: &mut Vec<LockId>) {
        while self.release_one(id, granted) {}
    }

    /// Give one range of a request back; true when it has another one.
    fn release_one(&mut self, id: LockId, granted: &mut Vec<LockId>) -> bool {
        let Some(position) = self.entries.iter().position(|entry| entry.id == id) else {
            return false;
        };
        let gone = self.entries.remove(position);
        if !gone.granted {
            self.waiting -= 1;
        }
        if self.waiting == 0 {
            return gone.paired;
        }
        self.grant(position, |entry| entry.conflicts(&gone), granted);
        gone.paired
    }

    /// Grant what nothing stands in the way of any more, among those from a place on of which that may be so.
    fn grant(&mut self, from: usize, may: impl Fn(&Entry) -> bool, granted: &mut Vec<LockId>) {
        for index in from..self.entries.len() {
            let entry = self.entries[index];
            if entry.granted || !may(&entry) {
                continue;
            }
            if !self.entries[..index]
                .iter()
                .any(|earlier| earlier.conflicts(&entry))
            {
                self.entries[index].granted = true;
                self.waiting -= 1;
                if !entry.paired || self.has_all(entry.id) {
                    granted.push(entry.id);
                }
            }
        }
    }

    fn has_all(&self, id: LockId) -> bool {
        let mut own = self.entries.iter().filter(|entry| entry.id == id);
        own.all(|entry| entry.granted)
    }

    /// True when a request was granted, and not given back since.
    #[must_use]
    pub fn holds(&self, id: LockId) -> bool {
        self.entries.iter().any(|entry| entry.id == id) && self.has_all(id)
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many ranges are held or waited for.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when nothing is held or waited for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn release(locks: &mut RangeLocks, id: LockId) -> Vec<LockId> {
        let mut granted = Vec::new();
        locks.release(id, &mut granted);
        granted
    }

    #[test]
    fn overlapping_writes_are_granted_in_order() {
        let mut locks = RangeLocks::default();
        assert!(locks.request(1, 0, 10, true));
        assert!(!locks.request(2, 5, 10, true));
        assert!(!locks.request(3, 12, 10, true));
        assert_eq!(release(&mut locks, 1), [2]);
        assert_eq!(release(&mut locks, 2), [3]);
    }

    #[test]
    fn reads_share_and_wait_for_an_earlier_waiting_write() {
        let mut locks = RangeLocks::default();
        assert!(locks.request(1, 0, 10, false));
        assert!(locks.request(2, 0, 10, false));
        assert!(!locks.request(3, 0, 10, true));
        assert!(!locks.request(4, 0, 10, false));
        assert!(release(&mut locks, 1).is_empty());
        assert_eq!(release(&mut locks, 2), [3]);
        assert_eq!(release(&mut locks, 3), [4]);
    }

    #[test]
    fn ranges_that_only_touch_do_not_conflict() {
        let mut locks = RangeLocks::default();
        assert!(locks.request(1, 0, 10, true));
        assert!(locks.request(2, 10, 10, true));
    }

    #[test]
    fn who_wants_two_ranges_waits_for_both_and_is_waited_for_at_both() {
        let mut locks = RangeLocks::default();
        assert!(locks.request(1, 0, 10, true));
        assert!(locks.request(2, 100, 10, true));
        assert!(!locks.request_two(3, 0, 100, 10));
        assert!(!locks.request(4, 105, 1, true));
        assert!(!locks.request(5, 5, 1, false));
        assert!(locks.request(6, 50, 10, true), "what lies between is free");
        assert!(release(&mut locks, 1).is_empty());
        assert_eq!(release(&mut locks, 2), [3]);
        assert!(!locks.request(7, 100, 10, false), "behind a waiting write");
        assert_eq!(release(&mut locks, 3), [5, 4]);
        assert_eq!(release(&mut locks, 4), [7]);
        assert_eq!(locks.len(), 3);
    }

    #[test]
    fn two_that_copy_into_each_others_range_do_not_wait_for_each_other() {
        let mut locks = RangeLocks::default();
        assert!(locks.request_two(1, 0, 100, 10));
        assert!(!locks.request_two(2, 100, 0, 10));
        assert!(!locks.request_two(3, 0, 100, 10));
        assert!(release(&mut locks, 2).is_empty(), "withdrawn");
        assert_eq!(release(&mut locks, 1), [3]);
        assert!(release(&mut locks, 3).is_empty());
        assert!(locks.is_empty());
    }

    #[test]
    fn ranges_that_are_only_copied_from_are_shared() {
        let mut locks = RangeLocks::default();
        assert!(locks.request_two(1, 0, 100, 10));
        assert!(locks.request_two(2, 20, 100, 10));
        assert!(locks.request(3, 100, 10, false));
    }

    #[test]
    fn reads_that_wait_give_way_while_changes_are_first() {
        let mut locks = RangeLocks::default();
        assert!(locks.request(1, 0, 10, true));
        assert!(!locks.request(2, 0, 20, false));
        assert!(!locks.request(3, 10, 10, true), "behind the read");
        let mut granted = Vec::new();
        locks.changes_first(true, &mut granted);
        assert_eq!(granted, [3]);
        assert!(locks.request(4, 20, 10, false));
        assert!(locks.request(5, 30, 10, true));
        assert!(!locks.request(6, 20, 10, true), "it is being read");
        assert!(!locks.request(7, 20, 10, false));
        assert_eq!(release(&mut locks, 4), [6]);
        assert_eq!(release(&mut locks, 1), []);
        assert_eq!(release(&mut locks, 3), [2]);
        locks.changes_first(false, &mut granted);
        assert_eq!(release(&mut locks, 6), [7]);
    }

    proptest! {
        #[test]
        fn granted_ranges_never_conflict_and_all_are_granted_in_the_end(
            requests in prop::collection::vec(
                (0_u64..40, 1_u64..10, any::<bool>(), prop::option::of(50_u64..90)), 1..40),
            turns in prop::collection::vec(0_usize..40, 0..4),
        ) {
            let mut locks = RangeLocks::default();
            let mut held = Vec::new();
            for (id, &(offset, len, exclusive, other)) in requests.iter().enumerate() {
                let granted = match other {
                    Some(other) if exclusive => locks.request_two(id as u64, offset, other, len),
                    Some(other) => locks.request_two(id as u64, other, offset, len),
                    None => locks.request(id as u64, offset, len, exclusive),
                };
                if granted {
                    held.push(id as u64);
                }
                if turns.contains(&id) {
                    locks.changes_first(!locks.changes_first, &mut held);
                }
            }
            let mut done = 0;
            while let Some(id) = held.pop() {
                for (i, a) in locks.entries.iter().enumerate().filter(|(_, e)| e.granted) {
                    for b in locks.entries[..i].iter().filter(|e| e.granted) {
                        prop_assert!(!a.conflicts(b));
                    }
                }
                let before = locks.entries.len();
                locks.release(id, &mut held);
                prop_assert!(locks.entries.len() < before, "granted once");
                done += 1;
            }
            prop_assert_eq!(done, requests.len());
            prop_assert!(locks.is_empty());
        }
    }
}
