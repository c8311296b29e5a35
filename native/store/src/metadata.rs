//! The record and the dirty bitmap on the disk (docs/formats/copy-metadata.md).
//!
//! Invariants
//! 1. The slot in force is never written to.
//! 2. At every moment the bitmap on the disk has at least the bits that belong to the record in force there.
//! 3. `record`, `sequence` and `pages` are what the disk holds for sure; after an error that is no longer known and nothing
//!    more is written (the caller's `Health`).

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;

use crate::bitmap_page::{self, PAGE_BYTES, Words};
use crate::copy_files::{BitmapChange, OpenWarning};
use crate::error::{RecordProblem, StoreError};
use crate::record::{ACTIVE_MAX, CopyRecord, LINEAGE_MAX, extent_count, valid_chunks};
use crate::slot::{self, SLOT_BYTES, SLOTS, Slot};
use crate::storage::{Directory, File, failed, read_or_zero, write_all};

/// File of the record.
pub(crate) const META: &str = "meta";
/// File of the record while a copy is being made.
pub(crate) const META_NEW: &str = "meta.new";
/// File of the dirty bitmap.
pub(crate) const BITMAP: &str = "bitmap";

/// Open metadata files.
#[derive(Debug)]
pub(crate) struct Metadata {
    meta: Arc<dyn File>,
    bitmap: Arc<dyn File>,
    sequence: u64,
    record: CopyRecord,
    pages: BTreeMap<u64, Words>,
}

impl Metadata {
    /// Make both files; the copy exists once this returned, durably but for its directory's own name.
    pub(crate) fn create(
        directory: &dyn Directory,
        record: &CopyRecord,
    ) -> Result<Self, StoreError> {
        check(record)?;
        let bitmap = open(directory, BITMAP, true)?;
        let length = bitmap_length(record.size_bytes);
        bitmap
            .set_len(0)
            .and_then(|()| bitmap.set_len(length))
            .map_err(failed("set length", BITMAP))?;
        bitmap.reserve(length).map_err(failed("reserve", BITMAP))?;
        bitmap.sync().map_err(failed("sync", BITMAP))?;
        let meta = open(directory, META_NEW, true)?;
        let mut bytes = vec![0; SLOTS * SLOT_BYTES];
        let sequence = SLOTS as u64;
        for sequence in 1..=sequence {
            let slot = slot::encode(&Slot {
                sequence,
                record: record.clone(),
            });
            let start = slot::slot_of(sequence) * SLOT_BYTES;
            bytes[start..start + slot.len()].copy_from_slice(&slot);
        }
        write_all(&*meta, &[IoSlice::new(&bytes)], 0).map_err(failed("write", META_NEW))?;
        meta.sync().map_err(failed("sync", META_NEW))?;
        directory
            .rename(META_NEW, META)
            .map_err(failed("rename", META_NEW))?;
        directory.sync().map_err(failed("sync", "."))?;
        Ok(Self {
            meta,
            bitmap,
            sequence,
            record: record.clone(),
            pages: BTreeMap::new(),
        })
    }

    /// Open both files; `None`: there is no record, so no copy.
    pub(crate) fn open(
        directory: &dyn Directory,
    ) -> Result<Option<(Self, Vec<OpenWarning>)>, StoreError> {
        let Some(meta) = directory.open(META, false).map_err(failed("open", META))? else {
            return Ok(None);
        };
        let (slot, corrupt) = read_slots(&*meta)?;
        let mut warnings: Vec<OpenWarning> = Vec::new();
        warnings.extend(corrupt.map(|(slot, problem)| OpenWarning::SlotCorrupt { slot, problem }));
        let bitmap = open(directory, BITMAP, true)?;
        let (pages, bad) = read_bitmap(&*bitmap, slot.record.size_bytes)?;
        warnings.extend(
            bad.iter()
                .map(|page| OpenWarning::BitmapPageCorrupt { page: *page }),
        );
        let metadata = Self {
            meta,
            bitmap,
            sequence: slot.sequence,
            record: slot.record,
            pages,
        };
        metadata.settle(&bad)?;
        Ok(Some((metadata, warnings)))
    }

    /// Make durable what was found, which a killed process may not have synced, with the corrupt pages written anew. In
    /// ascending order, so that a file that was cut off has no hole (a clean page) at any moment.
    fn settle(&self, bad: &[u64]) -> Result<(), StoreError> {
        for page in bad {
            self.write_page(*page, &self.stored(*page))?;
        }
        self.bitmap.sync().map_err(failed("sync", BITMAP))?;
        self.meta.sync().map_err(failed("sync", META))
    }

    /// The record in force.
    pub(crate) fn record(&self) -> &CopyRecord {
        &self.record
    }

    /// Words of the bitmap that are not 0, ascending.
    pub(crate) fn words(&self) -> Vec<(u64, u64)> {
        let words = self.pages.iter().flat_map(|(page, words)| {
            (bitmap_page::first_extent(*page)..).zip(words.iter().copied())
        });
        words.filter(|(_, word)| *word != 0).collect()
    }

    /// Refuse what must not be persisted in place of the record in force.
    pub(crate) fn check(
        &self,
        record: &CopyRecord,
        bitmap: BitmapChange<'_>,
    ) -> Result<(), StoreError> {
        check(record)?;
        let invalid = |problem| Err(StoreError::InvalidRecord { problem });
        if record.serial != self.record.serial {
            return invalid(RecordProblem::Serial);
        }
        let (BitmapChange::Words(words) | BitmapChange::Replace(words)) = bitmap;
        let extents = extent_count(record.size_bytes);
        match words.iter().find(|(extent, _)| *extent >= extents) {
            Some((extent, _)) => invalid(RecordProblem::Extent { extent: *extent }),
            None => Ok(()),
        }
    }

    /// Make a record and a change of the bitmap durable. Call [`Self::check`] first. After an error nothing more may be persisted.
    pub(crate) fn persist(
        &mut self,
        record: &CopyRecord,
        bitmap: BitmapChange<'_>,
    ) -> Result<(), StoreError> {
        let changed = self.changed_pages(record.size_bytes, bitmap);
        let gains = changed
            .iter()
            .filter_map(|(page, words)| Some((*page, self.union_if_gained(*page, words)?)))
            .collect();
        self.write_pages(gains)?;
        self.write_record(record)?;
        self.write_pages(changed)
    }

    /// Give the bitmap file the length that a larger size needs.
    pub(crate) fn grow_bitmap(&mut self, size_bytes: u64) -> Result<(), StoreError> {
        let length = bitmap_length(size_bytes);
        self.bitmap
            .set_len(length)
            .map_err(failed("set length", BITMAP))?;
        self.bitmap
            .reserve(length)
            .map_err(failed("reserve", BITMAP))?;
        self.bitmap.sync().map_err(failed("sync", BITMAP))
    }

    /// Bytes that the files take.
    pub(crate) fn allocated_bytes(&self) -> Result<u64, StoreError> {
        let meta = self.meta.allocated_bytes().map_err(failed("stat", META))?;
        Ok(meta
            + self
                .bitmap
                .allocated_bytes()
                .map_err(failed("stat", BITMAP))?)
    }

    fn stored(&self, page: u64) -> Words {
        self.pages
            .get(&page)
            .cloned()
            .unwrap_or_else(bitmap_page::clean)
    }

    fn changed_pages(&self, size_bytes: u64, bitmap: BitmapChange<'_>) -> BTreeMap<u64, Words> {
        let mut changed = BTreeMap::new();
        let words = match bitmap {
            BitmapChange::Words(words) => words,
            BitmapChange::Replace(words) => {
                changed.extend(self.pages.keys().map(|page| (*page, bitmap_page::clean())));
                words
            }
        };
        for (extent, word) in words {
            let (page, place) = bitmap_page::place_of(*extent);
            changed.entry(page).or_insert_with(|| self.stored(page))[place] =
                word & valid_chunks(*extent, size_bytes);
        }
        changed
    }

    fn union_if_gained(&self, page: u64, words: &Words) -> Option<Words> {
        let stored = self.stored(page);
        let mut union = stored.clone();
        for (stored, word) in union.iter_mut().zip(words.iter()) {
            *stored |= word;
        }
        (union != stored).then_some(union)
    }

    /// Write the pages that differ from what the disk holds, then sync if there were any.
    fn write_pages(&mut self, pages: BTreeMap<u64, Words>) -> Result<(), StoreError> {
        let mut different = pages;
        different.retain(|page, words| self.stored(*page) != *words);
        if different.is_empty() {
            return Ok(());
        }
        for (page, words) in &different {
            self.write_page(*page, words)?;
        }
        self.bitmap.sync().map_err(failed("sync", BITMAP))?;
        self.pages.extend(different);
        self.pages
            .retain(|_, words| words.iter().any(|word| *word != 0));
        Ok(())
    }

    fn write_page(&self, page: u64, words: &Words) -> Result<(), StoreError> {
        let bytes = bitmap_page::encode(page, words);
        write_all(
            &*self.bitmap,
            &[IoSlice::new(&bytes)],
            page * PAGE_BYTES as u64,
        )
        .map_err(failed("write", BITMAP))
    }

    fn write_record(&mut self, record: &CopyRecord) -> Result<(), StoreError> {
        if *record == self.record {
            return Ok(());
        }
        let sequence = self.sequence + 1;
        let bytes = slot::encode(&Slot {
            sequence,
            record: record.clone(),
        });
        let offset = slot::slot_of(sequence) * SLOT_BYTES;
        write_all(&*self.meta, &[IoSlice::new(&bytes)], offset as u64)
            .map_err(failed("write", META))?;
        self.meta.sync().map_err(failed("sync", META))?;
        self.sequence = sequence;
        self.record.clone_from(record);
        Ok(())
    }
}

fn open(directory: &dyn Directory, name: &str, create: bool) -> Result<Arc<dyn File>, StoreError> {
    let file = directory.open(name, create).map_err(failed("open", name))?;
    file.ok_or_else(|| failed("open", name)(std::io::ErrorKind::NotFound.into()))
}

fn bitmap_length(size_bytes: u64) -> u64 {
    bitmap_page::page_count(extent_count(size_bytes)) * PAGE_BYTES as u64
}

fn check(record: &CopyRecord) -> Result<(), StoreError> {
    let problem = if record.size_bytes == 0 {
        RecordProblem::Size { size_bytes: 0 }
    } else if record.active.len() > ACTIVE_MAX {
        RecordProblem::TooManyActive {
            count: record.active.len(),
        }
    } else if record.lineage.len() > LINEAGE_MAX || record.lineage.contains(&0) {
        RecordProblem::Lineage {
            count: record.lineage.len(),
        }
    } else {
        let extents = extent_count(record.size_bytes);
        match record.active.iter().find(|extent| **extent >= extents) {
            Some(extent) => RecordProblem::Extent { extent: *extent },
            None => return Ok(()),
        }
    };
    Err(StoreError::InvalidRecord { problem })
}

fn read_slots(meta: &dyn File) -> Result<(Slot, Option<(usize, crate::SlotProblem)>), StoreError> {
    let length = meta.len().map_err(failed("stat", META))?;
    let mut bytes = vec![0; length.min((SLOTS * SLOT_BYTES) as u64) as usize];
    read_or_zero(meta, &mut bytes, 0).map_err(failed("read", META))?;
    let (first, second) = bytes.split_at(bytes.len().min(SLOT_BYTES));
    slot::choose(slot::decode(first, 0), slot::decode(second, 1))
}

/// The pages that are not clean, and the numbers of those that are corrupt (and count as all dirty).
fn read_bitmap(
    bitmap: &dyn File,
    size_bytes: u64,
) -> Result<(BTreeMap<u64, Words>, Vec<u64>), StoreError> {
    let count = bitmap_page::page_count(extent_count(size_bytes));
    let there = bitmap.len().map_err(failed("stat", BITMAP))? / PAGE_BYTES as u64;
    let (mut pages, mut bad) = (BTreeMap::new(), Vec::new());
    let mut page = 0;
    while let Some(data) = bitmap
        .next_data(page * PAGE_BYTES as u64)
        .map_err(failed("seek", BITMAP))?
    {
        let first = (data.start / PAGE_BYTES as u64).max(page);
        let end = data.end.div_ceil(PAGE_BYTES as u64).min(count).min(there);
        if first >= end {
            break;
        }
        for page in first..end {
            let mut bytes = [0; PAGE_BYTES];
            read_or_zero(bitmap, &mut bytes, page * PAGE_BYTES as u64)
                .map_err(failed("read", BITMAP))?;
            match bitmap_page::decode(page, &bytes) {
                Some(words) if words.iter().all(|word| *word == 0) => {}
                Some(words) => drop(pages.insert(page, within(page, words, size_bytes))),
                None => bad.push(page),
            }
        }
        page = end;
    }
    bad.extend(there..count);
    for page in &bad {
        pages.insert(
            *page,
            within(
                *page,
                Box::new([u64::MAX; bitmap_page::PAGE_WORDS]),
                size_bytes,
            ),
        );
    }
    Ok((pages, bad))
}

/// Drop the bits that stand for nothing inside the VDisk.
fn within(page: u64, mut words: Words, size_bytes: u64) -> Words {
    for (extent, word) in (bitmap_page::first_extent(page)..).zip(words.iter_mut()) {
        *word &= valid_chunks(extent, size_bytes);
    }
    words
}
