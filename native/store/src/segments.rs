//! The content of a copy: thin segment files (docs/formats/vdisk-segments.md).
//!
//! Rules
//! 1. A segment's dirty mark is set after a write into it ended and before that write is answered, so that a flush that begins
//!    later sees it. A flush takes the mark before it syncs.
//!    Every mark is set when a copy is opened: an earlier process may have been killed before it synced what it wrote.
//! 2. Flushes run one at a time: one that finds a mark taken has waited until the sync that took it is over.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::error::StoreError;
use crate::health::Health;
use crate::record::EXTENT_BYTES;
use crate::storage::{Directory, File, failed, read_or_zero, write_all};

/// Bytes of a segment.
pub(crate) const SEGMENT_BYTES: u64 = 1 << 30;

const PREFIX: &str = "segment-";

/// Name of segment number `index`.
pub(crate) fn name_of(index: u64) -> String {
    format!("{PREFIX}{index:08x}")
}

/// Number of the segment that a file name stands for.
pub(crate) fn index_of(name: &str) -> Option<u64> {
    let index = u64::from_str_radix(name.strip_prefix(PREFIX)?, 16).ok()?;
    (name_of(index) == name).then_some(index)
}

#[derive(Debug)]
struct Segment {
    name: String,
    file: Arc<dyn File>,
    dirty: AtomicBool,
}

/// A part of a request that lies in one segment.
#[derive(Debug, Clone, Copy)]
struct Piece {
    index: u64,
    inside: u64,
    start: usize,
    length: u64,
}

/// All segments of an open copy.
#[derive(Debug)]
pub(crate) struct Segments {
    directory: Arc<dyn Directory>,
    health: Health,
    size_bytes: AtomicU64,
    present: RwLock<BTreeMap<u64, Arc<Segment>>>,
    names_dirty: AtomicBool,
    flushing: Mutex<()>,
}

impl Segments {
    /// Open every segment that is there.
    pub(crate) fn open(
        directory: Arc<dyn Directory>,
        size_bytes: u64,
        health: Health,
    ) -> Result<Self, StoreError> {
        let mut present = BTreeMap::new();
        for name in directory.names().map_err(failed("list", "."))? {
            if let Some(index) = index_of(&name)
                && let Some(segment) = open_segment(&*directory, name, false)?
            {
                present.insert(index, Arc::new(segment));
            }
        }
        Ok(Self {
            directory,
            health,
            size_bytes: AtomicU64::new(size_bytes),
            present: RwLock::new(present),
            names_dirty: AtomicBool::new(true),
            flushing: Mutex::new(()),
        })
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn grow(&self, size_bytes: u64) {
        self.size_bytes.fetch_max(size_bytes, Ordering::AcqRel);
    }

    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<(), StoreError> {
        self.check(offset, buffer.len() as u64)?;
        for piece in pieces(offset, buffer.len() as u64) {
            let part = &mut buffer[piece.start..piece.start + piece.length as usize];
            match self.segment(piece.index) {
                Some(segment) => read_or_zero(&*segment.file, part, piece.inside)
                    .map_err(failed("read", &segment.name))?,
                None => part.fill(0),
            }
        }
        Ok(())
    }

    pub(crate) fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> Result<bool, StoreError> {
        self.check(offset, buffer.len() as u64)?;
        for piece in pieces(offset, buffer.len() as u64) {
            let part = &mut buffer[piece.start..piece.start + piece.length as usize];
            match self.segment(piece.index) {
                Some(segment) => {
                    let read = segment
                        .file
                        .read_cached_at(part, piece.inside)
                        .map_err(failed("read", &segment.name))?;
                    if read != Some(part.len()) {
                        return Ok(false);
                    }
                }
                None => part.fill(0),
            }
        }
        Ok(true)
    }

    pub(crate) fn write(&self, offset: u64, chunks: &[IoSlice<'_>]) -> Result<(), StoreError> {
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        self.check(offset, length)?;
        for piece in pieces(offset, length) {
            let segment = self.segment_or_new(piece.index)?;
            let written = if piece.length == length {
                write_all(&*segment.file, chunks, piece.inside)
            } else {
                write_all(
                    &*segment.file,
                    &part_of(chunks, piece.start, piece.length as usize),
                    piece.inside,
                )
            };
            segment.dirty.store(true, Ordering::Release);
            written.map_err(failed("write", &segment.name))?;
        }
        Ok(())
    }

    pub(crate) fn punch(&self, offset: u64, length: u64) -> Result<(), StoreError> {
        self.check(offset, length)?;
        for piece in pieces(offset, length) {
            if let Some(segment) = self.segment(piece.index) {
                let punched = segment.file.punch(piece.inside, piece.length);
                segment.dirty.store(true, Ordering::Release);
                punched.map_err(failed("punch", &segment.name))?;
            }
        }
        Ok(())
    }

    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let _turn = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.check()?;
        for segment in self.all() {
            if segment.dirty.swap(false, Ordering::AcqRel) {
                let synced = segment.file.sync();
                segment.dirty.fetch_or(synced.is_err(), Ordering::AcqRel);
                self.health
                    .must(synced.map_err(failed("sync", &segment.name)))?;
            }
        }
        if self.names_dirty.swap(false, Ordering::AcqRel) {
            let synced = self.directory.sync();
            self.names_dirty.fetch_or(synced.is_err(), Ordering::AcqRel);
            self.health.must(synced.map_err(failed("sync", ".")))?;
        }
        Ok(())
    }

    pub(crate) fn allocated_extents(&self) -> Result<Vec<u64>, StoreError> {
        let present = self
            .present
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let size_bytes = self.size_bytes();
        let mut extents: Vec<u64> = Vec::new();
        for (index, segment) in present {
            let base = index * SEGMENT_BYTES;
            let mut from = 0;
            while let Some(data) = segment
                .file
                .next_data(from)
                .map_err(failed("seek", &segment.name))?
            {
                let end = (base + data.end.min(SEGMENT_BYTES)).min(size_bytes);
                let first = ((base + data.start) / EXTENT_BYTES)
                    .max(extents.last().map_or(0, |last| last + 1));
                extents.extend(first..end.div_ceil(EXTENT_BYTES).max(first));
                from = data.end;
            }
        }
        Ok(extents)
    }

    /// The (offset, length) ranges that hold data inside a range, ascending.
    pub(crate) fn data_ranges(
        &self,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Result<Vec<(u64, u64)>, StoreError> {
        self.check(offset_bytes, length_bytes)?;
        let end_bytes = offset_bytes + length_bytes;
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let present = self
            .present
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let first = offset_bytes / SEGMENT_BYTES;
        for (index, segment) in present.range(first..end_bytes.div_ceil(SEGMENT_BYTES)) {
            let base = index * SEGMENT_BYTES;
            let mut from = offset_bytes.saturating_sub(base);
            while from < SEGMENT_BYTES && base + from < end_bytes {
                let Some(data) = segment
                    .file
                    .next_data(from)
                    .map_err(failed("seek", &segment.name))?
                else {
                    break;
                };
                let start = base + data.start.max(from);
                let end = (base + data.end.min(SEGMENT_BYTES)).min(end_bytes);
                match ranges.last_mut() {
                    Some(last) if last.0 + last.1 == start => last.1 += end.saturating_sub(start),
                    _ if start < end => ranges.push((start, end - start)),
                    _ => {}
                }
                from = data.end;
            }
        }
        Ok(ranges)
    }

    pub(crate) fn allocated_bytes(&self) -> Result<u64, StoreError> {
        let sizes = self.all().into_iter().map(|segment| {
            segment
                .file
                .allocated_bytes()
                .map_err(failed("stat", &segment.name))
        });
        sizes.sum()
    }

    fn check(&self, offset_bytes: u64, length_bytes: u64) -> Result<(), StoreError> {
        let size_bytes = self.size_bytes();
        match offset_bytes.checked_add(length_bytes) {
            Some(end) if end <= size_bytes => self.health.check(),
            _ => Err(StoreError::OutOfBounds {
                offset_bytes,
                length_bytes,
                size_bytes,
            }),
        }
    }

    fn all(&self) -> Vec<Arc<Segment>> {
        self.present
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    fn segment(&self, index: u64) -> Option<Arc<Segment>> {
        self.present
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&index)
            .cloned()
    }

    fn segment_or_new(&self, index: u64) -> Result<Arc<Segment>, StoreError> {
        if let Some(segment) = self.segment(index) {
            return Ok(segment);
        }
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(segment) = present.get(&index) {
            return Ok(segment.clone());
        }
        let name = name_of(index);
        let segment = open_segment(&*self.directory, name.clone(), true)?;
        let segment =
            segment.ok_or_else(|| failed("open", &name)(std::io::ErrorKind::NotFound.into()))?;
        self.names_dirty.store(true, Ordering::Release);
        let segment = Arc::new(segment);
        present.insert(index, segment.clone());
        Ok(segment)
    }
}

/// Open a segment and see that it has its full length.
fn open_segment(
    directory: &dyn Directory,
    name: String,
    create: bool,
) -> Result<Option<Segment>, StoreError> {
    let Some(file) = directory
        .open(&name, create)
        .map_err(failed("open", &name))?
    else {
        return Ok(None);
    };
    if file.len().map_err(failed("stat", &name))? != SEGMENT_BYTES {
        file.set_len(SEGMENT_BYTES)
            .map_err(failed("set length", &name))?;
    }
    Ok(Some(Segment {
        name,
        file,
        dirty: AtomicBool::new(true),
    }))
}

fn pieces(offset: u64, length: u64) -> impl Iterator<Item = Piece> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == length {
            return None;
        }
        let at = offset + done;
        let inside = at % SEGMENT_BYTES;
        let piece = Piece {
            index: at / SEGMENT_BYTES,
            inside,
            start: done as usize,
            length: (length - done).min(SEGMENT_BYTES - inside),
        };
        done += piece.length;
        Some(piece)
    })
}

/// The `length` bytes of the chunks that begin `start` bytes in.
fn part_of<'a>(chunks: &'a [IoSlice<'_>], start: usize, length: usize) -> Vec<IoSlice<'a>> {
    let (mut skip, mut left) = (start, length);
    let mut part = Vec::new();
    for chunk in chunks {
        let begin = skip.min(chunk.len());
        let end = chunk.len().min(begin + left);
        skip -= begin;
        left -= end - begin;
        if begin < end {
            part.push(IoSlice::new(&chunk[begin..end]));
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_exact_names_are_segments() {
        assert_eq!(name_of(0x1f), "segment-0000001f");
        assert_eq!(index_of("segment-0000001f"), Some(0x1f));
        for other in [
            "segment-1f",
            "segment-0000001F",
            "segment-+000001f",
            "segment-",
            "meta",
            "segment-0000001f.old",
        ] {
            assert_eq!(index_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_request_is_cut_at_segment_borders() {
        let cut: Vec<_> = pieces(SEGMENT_BYTES - 10, SEGMENT_BYTES + 20)
            .map(|piece| (piece.index, piece.inside, piece.start, piece.length))
            .collect();
        assert_eq!(
            cut,
            [
                (0, SEGMENT_BYTES - 10, 0, 10),
                (1, 0, 10, SEGMENT_BYTES),
                (2, 0, 10 + SEGMENT_BYTES as usize, 10)
            ]
        );
        assert_eq!(pieces(5, 0).count(), 0);
    }

    #[test]
    fn chunks_are_cut_without_a_copy() {
        let chunks = [
            IoSlice::new(b"abc"),
            IoSlice::new(b""),
            IoSlice::new(b"defg"),
            IoSlice::new(b"hi"),
        ];
        let flat = |start, length| {
            part_of(&chunks, start, length)
                .iter()
                .flat_map(|chunk| chunk.to_vec())
                .collect::<Vec<u8>>()
        };
        assert_eq!(flat(0, 9), b"abcdefghi");
        assert_eq!(flat(2, 3), b"cde");
        assert_eq!(flat(3, 4), b"defg");
        assert_eq!(flat(8, 1), b"i");
    }
}
