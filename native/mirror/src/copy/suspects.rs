//! In which chunks this copy may differ from its peer's.
//!
//! Rules:
//! 1. Dirty chunks and the activity log together name every difference (decision 0002), and may name more: what was under way in
//!    both copies when they parted, and whole extents after a crash.
//! 2. Of a copy that mirrors they say nothing about who changed what: the Master's bitmap holds both sides' then.

use super::{Copy, Mode};
use crate::dirty_bitmap::DirtyBitmap;
use crate::report::CommandError;

impl Copy {
    /// Words of everything in which this copy may differ from another: dirty chunks and the activity log.
    pub(super) fn suspect_words(&self) -> DirtyBitmap {
        self.dirty.words().chain(self.active.masks()).collect()
    }

    /// The first `limit` of those words from an extent on, ascending. It takes no longer the more there are behind them.
    ///
    /// # Errors
    /// `WrongMode`: the copy mirrors, or is about to.
    pub fn suspects_from(
        &self,
        extent: u64,
        limit: usize,
    ) -> Result<Vec<(u64, u64)>, CommandError> {
        if matches!(self.mode, Mode::Mirroring(_) | Mode::Attaching(_)) {
            return Err(CommandError::WrongMode);
        }
        let logged = self.active.masks().filter(|(named, _)| *named >= extent);
        let mut found: DirtyBitmap = (self.dirty.words_from(extent).take(limit))
            .chain(logged)
            .collect();
        found.truncate(self.size_bytes);
        Ok(found.words().take(limit).collect())
    }
}
