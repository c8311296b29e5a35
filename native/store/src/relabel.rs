//! Giving a copy another identity: it becomes the copy of another VDisk, with the same data.
//!
//! Rules
//! 1. The record with the new serial comes first. So at every moment the copy is all of the one VDisk or counts as the other's,
//!    and what is left of the old one (dirty bits, the shared record) is less than nothing: it goes when it is done again.
//! 2. The content is not touched.

use std::path::Path;
use std::sync::Arc;

use crate::copy_files::{BitmapChange, CopyFiles, lock};
use crate::error::{RecordProblem, StoreError};
use crate::metadata::Metadata;
use crate::record::CopyRecord;
use crate::shared::SHARED;
use crate::storage::{Directory, failed};

impl CopyFiles {
    /// Put a record in force, whatever serial it names, with an empty dirty bitmap and without a shared record. The copy must not
    /// be open. Durable when this returns; may be repeated.
    ///
    /// # Errors
    /// As [`CopyFiles::open`]; [`StoreError::InvalidRecord`]: it has another size; after [`StoreError::Io`] the copy has the old
    /// record or the new one.
    pub fn relabel(directory: &Path, record: &CopyRecord) -> Result<(), StoreError> {
        let locked: Arc<dyn Directory> = Arc::new(lock(directory)?);
        Self::relabel_in(&*locked, record)?.ok_or_else(|| StoreError::NotACopy {
            directory: directory.to_owned(),
        })
    }

    /// None: there is no copy.
    pub(crate) fn relabel_in(
        directory: &dyn Directory,
        record: &CopyRecord,
    ) -> Result<Option<()>, StoreError> {
        let Some((mut metadata, _)) = Metadata::open(directory)? else {
            return Ok(None);
        };
        if record.size_bytes != metadata.record().size_bytes {
            return Err(StoreError::InvalidRecord {
                problem: RecordProblem::Size {
                    size_bytes: record.size_bytes,
                },
            });
        }
        metadata.persist(record, BitmapChange::Replace(&[]))?;
        let names = directory.names().map_err(failed("list", "."))?;
        if names.iter().any(|name| name == SHARED) {
            directory.remove(SHARED).map_err(failed("remove", SHARED))?;
            directory.sync().map_err(failed("sync", "."))?;
        }
        Ok(Some(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryDirectory;
    use crate::record::{EXTENT_BYTES, Role};

    const OLD: [u8; 16] = [0x6e; 16];
    const NEW: [u8; 16] = [0x6f; 16];

    fn record(serial: [u8; 16]) -> CopyRecord {
        CopyRecord {
            serial,
            size_bytes: 520 * EXTENT_BYTES,
            current: 90,
            base: 77,
            lineage: vec![80],
            epoch: 5,
            role: Role::Master,
            inconsistent: false,
            ending: false,
            active: vec![1, 2],
        }
    }

    fn relabelled() -> CopyRecord {
        CopyRecord {
            current: 7,
            base: 0,
            lineage: Vec::new(),
            epoch: 0,
            active: Vec::new(),
            ..record(NEW)
        }
    }

    const WORDS: [(u64, u64); 2] = [(1, 0b1010), (515, u64::MAX)];

    fn went_alone() -> MemoryDirectory {
        let directory = MemoryDirectory::default();
        let files = CopyFiles::create_in(Arc::new(directory.clone()), &record(OLD)).unwrap();
        files.persist_shared(b"one reservation").unwrap();
        files
            .persist(&record(OLD), BitmapChange::Words(&WORDS))
            .unwrap();
        directory
    }

    fn is_all_new(directory: &MemoryDirectory) -> bool {
        let opened = CopyFiles::open_in(Arc::new(directory.clone())).unwrap();
        let opened = opened.expect("it is a copy");
        opened.record == relabelled() && opened.bitmap.is_empty() && opened.shared.is_empty()
    }

    #[test]
    fn a_crash_anywhere_leaves_all_of_the_old_copy_or_one_that_becomes_the_new_one_when_repeated() {
        let whole = went_alone();
        let before = whole.operations();
        CopyFiles::relabel_in(&whole, &relabelled()).unwrap();
        assert!(is_all_new(&whole));
        let mut old_seen = 0;
        for cut in before..=whole.operations() {
            let directory = went_alone();
            directory.cut_at(cut);
            let done = CopyFiles::relabel_in(&directory, &relabelled()).is_ok();
            directory.each_crash(|crashed| {
                let found = CopyFiles::open_in(Arc::new(crashed.copied())).unwrap();
                let found = found.expect("it is a copy");
                if found.record.serial == OLD {
                    old_seen += 1;
                    assert!(!done && found.record == record(OLD), "cut {cut}");
                    assert_eq!(
                        (found.bitmap, found.shared.as_slice()),
                        (WORDS.to_vec(), &b"one reservation"[..])
                    );
                } else {
                    assert_eq!(found.record, relabelled(), "cut {cut}");
                }
                CopyFiles::relabel_in(crashed, &relabelled()).unwrap();
                assert!(is_all_new(crashed), "cut {cut}");
            });
        }
        assert!(old_seen > 0);
    }

    #[test]
    fn another_size_is_refused_and_nothing_is_no_copy() {
        let directory = went_alone();
        let larger = CopyRecord {
            size_bytes: record(OLD).size_bytes * 2,
            ..relabelled()
        };
        assert!(CopyFiles::relabel_in(&directory, &larger).is_err());
        assert!(matches!(
            CopyFiles::relabel_in(&MemoryDirectory::default(), &relabelled()),
            Ok(None)
        ));
    }
}
