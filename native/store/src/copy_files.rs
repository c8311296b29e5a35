//! The files of one copy.

use std::fs;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{RecordProblem, StoreError};
use crate::health::Health;
use crate::metadata::{self, Metadata};
use crate::real_files::{RealDirectory, sync_directory};
use crate::record::CopyRecord;
use crate::segments::{self, Segments};
use crate::shared::{SHARED, SharedFile};
use crate::storage::{Directory, failed};

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
    /// The shared record; empty when none was stored yet.
    pub shared: Vec<u8>,
    /// What to log.
    pub warnings: Vec<OpenWarning>,
}

/// The files of one open copy. All methods take `&self` and may be called from several threads; overlapping reads and writes are
/// the caller's to order.
#[derive(Debug)]
pub struct CopyFiles {
    health: Health,
    content: Segments,
    metadata: Mutex<Metadata>,
    shared: Mutex<SharedFile>,
}

impl CopyFiles {
    /// Make a new copy in `directory` (made too, its parent must exist; an empty directory is fine) and open it.
    /// Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`], [`StoreError::InUse`], [`StoreError::InvalidRecord`], [`StoreError::Io`].
    pub fn create(directory: &Path, record: &CopyRecord) -> Result<Self, StoreError> {
        match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(failed("make directory", "."))?,
        }
        let locked = lock(directory)?;
        if locked
            .open(metadata::META, false)
            .map_err(failed("open", metadata::META))?
            .is_some()
        {
            return Err(StoreError::AlreadyExists {
                directory: directory.to_owned(),
            });
        }
        delete_in(&locked)?; // segments that a crash left behind must not show through
        let files = Self::create_in(Arc::new(locked), record)?;
        sync_parent(directory)?;
        Ok(files)
    }

    /// Open a copy and lock it against other openers.
    ///
    /// # Errors
    /// [`StoreError::NotACopy`], [`StoreError::InUse`], [`StoreError::BothSlotsCorrupt`],
    /// [`StoreError::UnknownVersion`], [`StoreError::Io`].
    pub fn open(directory: &Path) -> Result<Opened, StoreError> {
        let opened = Self::open_in(Arc::new(lock(directory)?))?;
        opened.ok_or_else(|| StoreError::NotACopy {
            directory: directory.to_owned(),
        })
    }

    /// Remove a copy that is not open: its files, then its directory. Also removes what a crash left half made or half removed.
    ///
    /// # Errors
    /// [`StoreError::NotACopy`] when there is no directory, [`StoreError::InUse`], [`StoreError::Io`] (also when files that are
    /// not the copy's keep the directory in use).
    pub fn delete(directory: &Path) -> Result<(), StoreError> {
        let locked = lock(directory)?;
        delete_in(&locked)?;
        fs::remove_dir(directory).map_err(failed("remove", "."))?;
        sync_parent(directory)
    }

    pub(crate) fn create_in(
        directory: Arc<dyn Directory>,
        record: &CopyRecord,
    ) -> Result<Self, StoreError> {
        let metadata = Metadata::create(&*directory, record)?;
        Self::with(directory, metadata)
    }

    pub(crate) fn open_in(directory: Arc<dyn Directory>) -> Result<Option<Opened>, StoreError> {
        let Some((metadata, warnings)) = Metadata::open(&*directory)? else {
            return Ok(None);
        };
        let (record, bitmap) = (metadata.record().clone(), metadata.words());
        let files = Self::with(directory, metadata)?;
        let shared = files.shared().bytes().to_vec();
        Ok(Some(Opened {
            files,
            record,
            bitmap,
            shared,
            warnings,
        }))
    }

    fn with(directory: Arc<dyn Directory>, metadata: Metadata) -> Result<Self, StoreError> {
        let health = Health::default();
        let size_bytes = metadata.record().size_bytes;
        let shared = SharedFile::open(Arc::clone(&directory))?;
        let content = Segments::open(directory, size_bytes, health.clone())?;
        Ok(Self {
            health,
            content,
            metadata: Mutex::new(metadata),
            shared: Mutex::new(shared),
        })
    }

    /// The size now, in bytes.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.content.size_bytes()
    }

    /// Fill `buffer` from `offset_bytes`; what was never written reads as zeros.
    ///
    /// # Errors
    /// [`StoreError::OutOfBounds`], [`StoreError::Failed`], [`StoreError::Io`].
    pub fn read_into(&self, offset_bytes: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.content.read(offset_bytes, buffer)
    }

    /// Like [`Self::read_into`] but never waits for the disk: false when not all of it is in the page cache (`buffer` holds
    /// anything then).
    ///
    /// # Errors
    /// As [`Self::read_into`].
    pub fn try_read_cached_into(
        &self,
        offset_bytes: u64,
        buffer: &mut [u8],
    ) -> Result<bool, StoreError> {
        self.content.read_cached(offset_bytes, buffer)
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
        self.content.write(offset_bytes, chunks)
    }

    /// Make a range read as zeros and give its space back; durable after the next [`Self::flush`].
    ///
    /// # Errors
    /// As [`Self::write`].
    pub fn punch(&self, offset_bytes: u64, length_bytes: u64) -> Result<(), StoreError> {
        self.content.punch(offset_bytes, length_bytes)
    }

    /// Make durable what [`Self::write`] and [`Self::punch`] had finished before this was called.
    ///
    /// # Errors
    /// [`StoreError::Io`] once when a sync fails, [`StoreError::Failed`] ever after: the copy must count as failed.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.content.flush()
    }

    /// Make durable a record and a change of the bitmap. At every moment between, the bitmap on the disk has at least the
    /// bits that belong to the record in force there: bits are gained before the record and lost after it. Content is not
    /// flushed. Nothing is written when nothing changes.
    ///
    /// # Errors
    /// [`StoreError::InvalidRecord`]: nothing was written. [`StoreError::Io`]: old or new state, and the copy counts as failed.
    pub fn persist(&self, record: &CopyRecord, bitmap: BitmapChange<'_>) -> Result<(), StoreError> {
        let mut metadata = self.metadata();
        self.health.check()?;
        metadata.check(record, bitmap)?;
        if record.size_bytes != self.size_bytes() {
            return Err(StoreError::InvalidRecord {
                problem: RecordProblem::Size {
                    size_bytes: record.size_bytes,
                },
            });
        }
        self.health.must(metadata.persist(record, bitmap))
    }

    /// Make a shared record durable, at most [`crate::SHARED_MAX_BYTES`]; a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// [`StoreError::Io`], after which the copy counts as failed.
    pub fn persist_shared(&self, bytes: &[u8]) -> Result<(), StoreError> {
        let mut shared = self.shared();
        self.health.check()?;
        self.health.must(shared.store(bytes))
    }

    /// Persist a record with a larger size, then allow I/O up to it; the new part reads as zeros.
    ///
    /// # Errors
    /// As [`Self::persist`].
    pub fn grow(&self, record: &CopyRecord) -> Result<(), StoreError> {
        let nothing = BitmapChange::Words(&[]);
        let mut metadata = self.metadata();
        self.health.check()?;
        metadata.check(record, nothing)?;
        if record.size_bytes <= self.size_bytes() {
            return Err(StoreError::InvalidRecord {
                problem: RecordProblem::Size {
                    size_bytes: record.size_bytes,
                },
            });
        }
        self.health.must(metadata.grow_bitmap(record.size_bytes))?;
        self.health.must(metadata.persist(record, nothing))?;
        self.content.grow(record.size_bytes);
        Ok(())
    }

    /// Extents of 4 MiB that hold data, ascending; all others read as zeros.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn allocated_extents(&self) -> Result<Vec<u64>, StoreError> {
        self.content.allocated_extents()
    }

    /// The (offset, length) ranges that hold data inside a range, in bytes, ascending. What is in none of them reads as
    /// zeros.
    ///
    /// # Errors
    /// [`StoreError::OutOfBounds`], [`StoreError::Io`].
    pub fn data_ranges(
        &self,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        self.content.data_ranges(offset_bytes, length_bytes)
    }

    /// Bytes that the copy's files take on the disk.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn bytes_allocated(&self) -> Result<u64, StoreError> {
        Ok(self.content.allocated_bytes()? + self.metadata().allocated_bytes()?)
    }

    fn shared(&self) -> MutexGuard<'_, SharedFile> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn metadata(&self) -> MutexGuard<'_, Metadata> {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Remove a copy's files, `meta` first: from then on it is no copy.
fn delete_in(directory: &dyn Directory) -> Result<(), StoreError> {
    let names = directory.names().map_err(failed("list", "."))?;
    if names.iter().any(|name| name == metadata::META) {
        directory
            .remove(metadata::META)
            .map_err(failed("remove", metadata::META))?;
        directory.sync().map_err(failed("sync", "."))?;
    }
    let ours = |name: &&String| {
        [metadata::META_NEW, metadata::BITMAP, SHARED].contains(&name.as_str())
            || segments::index_of(name).is_some()
    };
    for name in names.iter().filter(ours) {
        directory.remove(name).map_err(failed("remove", name))?;
    }
    Ok(())
}

pub(crate) fn lock(directory: &Path) -> Result<RealDirectory, StoreError> {
    match RealDirectory::lock(directory) {
        Ok(Some(locked)) => Ok(locked),
        Ok(None) => Err(StoreError::InUse {
            directory: directory.to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::NotACopy {
            directory: directory.to_owned(),
        }),
        Err(error) => Err(failed("open", ".")(error)),
    }
}

fn sync_parent(directory: &Path) -> Result<(), StoreError> {
    let parent = match directory.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => directory,
    };
    sync_directory(parent).map_err(failed("sync", ".."))
}
