//! The files of one copy.

use std::io::IoSlice;
use std::path::Path;

use crate::error::StoreError;
use crate::record::CopyRecord;

/// Something that was found wrong while opening and that the copy survives; to be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenWarning {
    /// A metadata slot is unusable; the other one served.
    SlotCorrupt {
        /// 0 or 1.
        slot: usize,
        /// What is wrong with it.
        problem: crate::SlotProblem,
    },
    /// A page of the dirty bitmap is unusable; all that it covers counts as dirty.
    BitmapPageCorrupt {
        /// Page number in the file.
        page: u64,
    },
}

/// What becomes of the dirty bitmap. Words are (extent, 64 chunk bits), extents in any order and each at most once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitmapChange<'a> {
    /// These words take new values; all others stay.
    Words(&'a [(u64, u64)]),
    /// These words take new values; all others become 0.
    Replace(&'a [(u64, u64)]),
}

/// A copy that was opened.
#[derive(Debug)]
pub struct Opened {
    /// Its files, locked until dropped.
    pub files: CopyFiles,
    /// What it durably knows about itself.
    pub record: CopyRecord,
    /// Dirty bitmap: (extent, word of 64 chunk bits), ascending, only words that are not 0, bits inside the copy only.
    pub bitmap: Vec<(u64, u64)>,
    /// What to log.
    pub warnings: Vec<OpenWarning>,
}

/// The files of one open copy. All methods take `&self` and may be called from several threads; overlapping writes are
/// the caller's to order.
#[derive(Debug)]
pub struct CopyFiles {}

impl CopyFiles {
    /// Make a new copy in `directory` (made too, its parent must exist; an empty directory is fine) and open it.
    /// Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::InUse`], [`StoreError::InvalidRecord`], [`StoreError::Io`].
    pub fn create(directory: &Path, record: &CopyRecord) -> Result<Self, StoreError> {
        let _ = (directory, record);
        todo!()
    }

    /// Open a copy and lock it against other openers.
    ///
    /// # Errors
    /// [`StoreError::NotACopy`], [`StoreError::InUse`], [`StoreError::BothSlotsCorrupt`],
    /// [`StoreError::UnknownVersion`], [`StoreError::Io`].
    pub fn open(directory: &Path) -> Result<Opened, StoreError> {
        let _ = directory;
        todo!()
    }

    /// Remove a copy that is not open: its files, then its directory. Also removes what a crash left half made or half removed.
    ///
    /// # Errors
    /// [`StoreError::NotACopy`] when there is no directory, [`StoreError::InUse`], [`StoreError::Io`] (also when files that are not the
    /// copy's keep the directory in use).
    pub fn delete(directory: &Path) -> Result<(), StoreError> {
        let _ = directory;
        todo!()
    }

    /// The size now, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }

    /// Fill `buffer` from `offset_bytes`; what was never written reads as zeros.
    ///
    /// # Errors
    /// [`StoreError::OutOfBounds`], [`StoreError::Failed`], [`StoreError::Io`].
    pub fn read_into(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        let _ = (offset_bytes, buffer);
        todo!()
    }

    /// Like [`Self::read_into`] but never waits for the disk: false when not all of it is in the page cache (`buffer` is undefined then).
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn try_read_cached_into(
        &self,
        offset_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<bool, StoreError> {
        let _ = (offset_bytes, buffer);
        todo!()
    }

    /// [`Self::read_into`] a new buffer.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn read(&self, offset_bytes: u64, length_bytes: usize) -> Result<Vec<u8>, StoreError> {
        let mut buffer = vec![0; length_bytes];
        self.read_into(offset_bytes, &mut buffer)?;
        Ok(buffer)
    }

    /// [`Self::try_read_cached_into`] a new buffer; `None`: it would have to wait.
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn try_read_cached(
        &self,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut buffer = vec![0; length_bytes];
        Ok(self
            .try_read_cached_into(offset_bytes, &mut buffer)?
            .then_some(buffer))
    }

    /// Write the chunks one after the other from `offset_bytes`; durable after the next [`Self::flush`].
    ///
    /// # Errors
    /// As [`Self::read_into`]; after [`StoreError::Io`] any part of the range may have been written.
    pub fn write(&self, offset_bytes: u64, chunks: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let _ = (offset_bytes, chunks);
        todo!()
    }

    /// Make a range read as zeros and give its space back; durable after the next [`Self::flush`].
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn punch(&self, offset_bytes: u64, length_bytes: u64) -> Result<(), StoreError> {
        let _ = (offset_bytes, length_bytes);
        todo!()
    }

    /// Make durable what [`Self::write`] and [`Self::punch`] had finished before this was called.
    ///
    /// # Errors
    /// [`StoreError::Io`] once when a sync fails, [`StoreError::Failed`] ever after: the copy must count as failed.
    pub fn flush(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Make durable a record and a change of the bitmap. At every moment between, the bitmap on the disk has at least the
    /// bits that belong to the record in force there: bits are gained before the record and lost after it.
    ///
    /// # Errors
    /// [`StoreError::InvalidRecord`]: nothing was written. [`StoreError::Io`]: old or new state, and the copy counts as failed.
    pub fn persist(&self, record: &CopyRecord, bitmap: BitmapChange<'_>) -> Result<(), StoreError> {
        let _ = (record, bitmap);
        todo!()
    }

    /// Persist a record with a larger size, then allow I/O up to it; the new part reads as zeros.
    ///
    /// # Errors
    /// As [`Self::persist`].
    pub fn grow(&self, record: &CopyRecord) -> Result<(), StoreError> {
        let _ = record;
        todo!()
    }

    /// Extents of 4 MiB that hold data, ascending; all others read as zeros.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn allocated_extents(&self) -> Result<Vec<u64>, StoreError> {
        todo!()
    }

    /// Bytes that the copy's files take on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn bytes_allocated(&self) -> Result<u64, StoreError> {
        todo!()
    }
}
