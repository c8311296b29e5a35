//! Which 64 KiB chunks the peer lacks: sparse, one 64-bit word per 4 MiB extent.

use std::collections::BTreeMap;

use crate::{CHUNK_BYTES, EXTENT_BYTES};

/// The 64 chunk bits of each extent that a byte range touches.
pub fn words_of(offset: u64, len_bytes: u64) -> impl Iterator<Item = (u64, u64)> {
    let first = offset / CHUNK_BYTES;
    let last = (offset + len_bytes.max(1) - 1) / CHUNK_BYTES;
    (first / 64..=last / 64).map(move |extent| {
        let low = first.max(extent * 64) % 64;
        let high = last.min(extent * 64 + 63) % 64;
        (extent, (u64::MAX << low) & (u64::MAX >> (63 - high)))
    })
}

/// Extents that a byte range touches.
#[must_use]
pub fn extents_of(offset: u64, len_bytes: u64) -> std::ops::RangeInclusive<u64> {
    offset / EXTENT_BYTES..=(offset + len_bytes.max(1) - 1) / EXTENT_BYTES
}

/// A set of chunks. Words that are 0 are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DirtyBitmap {
    words: BTreeMap<u64, u64>,
}

impl DirtyBitmap {
    /// Mark chunks of one extent; true when any of them was clean.
    pub fn mark(&mut self, extent: u64, bits: u64) -> bool {
        if bits == 0 {
            return false;
        }
        let word = self.words.entry(extent).or_default();
        let news = bits & !*word != 0;
        *word |= bits;
        news
    }

    /// Mark all chunks that a byte range touches.
    pub fn mark_range(&mut self, offset: u64, len_bytes: u64) {
        for (extent, bits) in words_of(offset, len_bytes) {
            self.mark(extent, bits);
        }
    }

    /// Clear one chunk.
    pub fn clear_chunk(&mut self, chunk: u64) {
        self.unmark(chunk / 64, 1 << (chunk % 64));
    }

    /// Clear chunks of one extent.
    pub fn unmark(&mut self, extent: u64, bits: u64) {
        if let Some(word) = self.words.get_mut(&extent) {
            *word &= !bits;
            if *word == 0 {
                self.words.remove(&extent);
            }
        }
    }

    /// Drop chunks that begin at or after a size in bytes.
    pub fn truncate(&mut self, size_bytes: u64) {
        let chunks = size_bytes.div_ceil(CHUNK_BYTES);
        self.words.split_off(&chunks.div_ceil(64));
        if chunks % 64 != 0
            && let Some(word) = self.words.get_mut(&(chunks / 64))
        {
            *word &= u64::MAX >> (64 - chunks % 64);
            if *word == 0 {
                self.words.remove(&(chunks / 64));
            }
        }
    }

    /// True when any chunk of a byte range is dirty.
    #[must_use]
    pub fn touches(&self, offset: u64, len_bytes: u64) -> bool {
        !self.words.is_empty()
            && words_of(offset, len_bytes)
                .any(|(extent, bits)| self.words.get(&extent).is_some_and(|w| w & bits != 0))
    }

    /// The first dirty chunk at or after `chunk`.
    #[must_use]
    pub fn next_chunk(&self, chunk: u64) -> Option<u64> {
        let first = chunk / 64;
        self.words.range(first..).find_map(|(&extent, &word)| {
            let bits = if extent == first {
                word & (u64::MAX << (chunk % 64))
            } else {
                word
            };
            (bits != 0).then(|| extent * 64 + u64::from(bits.trailing_zeros()))
        })
    }

    /// Number of dirty chunks.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.words
            .values()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// True when no chunk is dirty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// All words (extent, bits) that are not 0, ascending.
    pub fn words(&self) -> impl Iterator<Item = (u64, u64)> {
        self.words.iter().map(|(&extent, &word)| (extent, word))
    }

    /// The words from an extent on that are not 0, ascending.
    pub fn words_from(&self, extent: u64) -> impl Iterator<Item = (u64, u64)> {
        (self.words.range(extent..)).map(|(&extent, &word)| (extent, word))
    }

    /// The bits of one extent.
    #[must_use]
    pub fn word(&self, extent: u64) -> u64 {
        self.words.get(&extent).copied().unwrap_or(0)
    }
}

impl FromIterator<(u64, u64)> for DirtyBitmap {
    fn from_iter<I: IntoIterator<Item = (u64, u64)>>(words: I) -> Self {
        let mut bitmap = Self::default();
        for (extent, bits) in words {
            bitmap.mark(extent, bits);
        }
        bitmap
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn chunks_past_the_end_are_dropped() {
        let mut bitmap: DirtyBitmap = [(0, u64::MAX), (1, u64::MAX)].into_iter().collect();
        bitmap.truncate(3 * CHUNK_BYTES + 1);
        assert_eq!(bitmap.words().collect::<Vec<_>>(), [(0, 0b1111)]);
        bitmap.truncate(0);
        assert!(bitmap.is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_chunks(
            ranges in prop::collection::vec((0_u64..40 << 20, 1_u64..9 << 20), 1..8),
            cleared in prop::collection::vec(0_u64..800, 0..50),
        ) {
            let mut bitmap = DirtyBitmap::default();
            let mut set = BTreeSet::new();
            for &(offset, len) in &ranges {
                bitmap.mark_range(offset, len);
                set.extend(offset / CHUNK_BYTES..=(offset + len - 1) / CHUNK_BYTES);
            }
            for &chunk in &cleared {
                bitmap.clear_chunk(chunk);
                set.remove(&chunk);
            }
            prop_assert_eq!(bitmap.count(), set.len() as u64);
            let mut walked = BTreeSet::new();
            let mut next = bitmap.next_chunk(0);
            while let Some(chunk) = next {
                walked.insert(chunk);
                next = bitmap.next_chunk(chunk + 1);
            }
            prop_assert_eq!(&walked, &set);
            for &(offset, len) in &ranges {
                let any = (offset / CHUNK_BYTES..=(offset + len - 1) / CHUNK_BYTES).any(|c| set.contains(&c));
                prop_assert_eq!(bitmap.touches(offset, len), any);
            }
        }
    }
}
