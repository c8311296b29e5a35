//! Byte-range locks: the order of all operations on one copy.
//!
//! Rules: requests that conflict (overlap, at least one exclusive) are granted in the order in which they came; a
//! request waits for every earlier conflicting one, granted or waiting. So nothing starves, and on the Master this
//! order is the order of the VDisk.

/// Names one request; chosen by the caller, unique while it is held or waits.
pub type LockId = u64;

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: LockId,
    start: u64,
    end: u64,
    exclusive: bool,
    granted: bool,
}

impl Entry {
    fn conflicts(&self, other: &Self) -> bool {
        self.start < other.end && other.start < self.end && (self.exclusive || other.exclusive)
    }
}

/// The locks of one copy. Requests in flight are few (hundreds), so a vector in order of arrival is the fastest table.
#[derive(Debug, Default)]
pub struct RangeLocks {
    entries: Vec<Entry>,
    waiting: usize,
}

impl RangeLocks {
    /// Ask for a range; true when it is granted at once, else it is granted by a later [`release`](Self::release).
    pub fn request(&mut self, id: LockId, offset: u64, len_bytes: u64, exclusive: bool) -> bool {
        let mut entry = Entry {
            id,
            start: offset,
            end: offset.saturating_add(len_bytes),
            exclusive,
            granted: true,
        };
        entry.granted = !self.entries.iter().any(|earlier| earlier.conflicts(&entry));
        if !entry.granted {
            self.waiting += 1;
        }
        self.entries.push(entry);
        entry.granted
    }

    /// Give a range back (or withdraw a request); the ids that are granted by it are appended, in order.
    pub fn release(&mut self, id: LockId, granted: &mut Vec<LockId>) {
        let Some(position) = self.entries.iter().position(|entry| entry.id == id) else {
            return;
        };
        let gone = self.entries.remove(position);
        if !gone.granted {
            self.waiting -= 1;
        }
        if self.waiting == 0 {
            return;
        }
        for index in position..self.entries.len() {
            let entry = self.entries[index];
            if entry.granted || !entry.conflicts(&gone) {
                continue;
            }
            if !self.entries[..index]
                .iter()
                .any(|earlier| earlier.conflicts(&entry))
            {
                self.entries[index].granted = true;
                self.waiting -= 1;
                granted.push(entry.id);
            }
        }
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.waiting = 0;
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

    proptest! {
        #[test]
        fn granted_ranges_never_conflict_and_all_are_granted_in_the_end(
            requests in prop::collection::vec((0_u64..40, 1_u64..10, any::<bool>()), 1..40),
        ) {
            let mut locks = RangeLocks::default();
            let mut held = Vec::new();
            for (id, &(offset, len, exclusive)) in requests.iter().enumerate() {
                if locks.request(id as u64, offset, len, exclusive) {
                    held.push(id as u64);
                }
            }
            let mut done = 0;
            while let Some(id) = held.pop() {
                for (i, a) in locks.entries.iter().enumerate().filter(|(_, e)| e.granted) {
                    for b in locks.entries[..i].iter().filter(|e| e.granted) {
                        prop_assert!(!a.conflicts(b));
                    }
                }
                locks.release(id, &mut held);
                done += 1;
            }
            prop_assert_eq!(done, requests.len());
            prop_assert!(locks.is_empty());
        }
    }
}
