//! The only door to a file system: a directory and its files, as two small traits. `real_files` goes to the operating system,
//! `memory` (tests) loses and tears what was not synced.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use crate::error::StoreError;

/// One directory of one copy.
pub(crate) trait Directory: Debug + Send + Sync {
    /// Open a file for reading and writing, making it first if `create`; `None`: it is not there.
    fn open(&self, name: &str, create: bool) -> io::Result<Option<Arc<dyn File>>>;
    /// Names of all files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// Give a file another name, in place of a file that has it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Remove a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Make the names durable.
    fn sync(&self) -> io::Result<()>;
}

/// One open file.
pub(crate) trait File: Debug + Send + Sync {
    /// Read up to `buffer.len()` bytes; fewer before the end of the file is allowed, 0 means the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Like `read_at` without waiting for the disk; `None`: it would have to wait.
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>>;
    /// Write the chunks one after the other; returns how many bytes were written, at least 1 if there are any.
    fn write_at(&self, chunks: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Make a range inside the file read as zeros and give its space back.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Make content and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Set the length; a longer file reads as zeros at its end.
    fn set_len(&self, length: u64) -> io::Result<()>;
    /// Have space for the file's first bytes, so that to write them never finds none. Where the file system cannot promise that,
    /// nothing is done.
    fn reserve(&self, length: u64) -> io::Result<()>;
    /// The first range at or behind `from` that holds data.
    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>>;
    /// Bytes that the file takes.
    fn allocated_bytes(&self) -> io::Result<u64>;
}

/// Turn an [`io::Error`] into the store's, with what was tried and on which file.
pub(crate) fn failed(operation: &'static str, file: &str) -> impl FnOnce(io::Error) -> StoreError {
    move |source| StoreError::Io {
        operation,
        file: file.to_owned(),
        source,
    }
}

/// Fill `buffer`; what lies behind the end of the file reads as zeros.
pub(crate) fn read_or_zero(file: &dyn File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buffer.len() {
        match file.read_at(&mut buffer[done..], offset + done as u64)? {
            0 => {
                buffer[done..].fill(0);
                return Ok(());
            }
            count => done += count,
        }
    }
    Ok(())
}

/// Write all of the chunks.
pub(crate) fn write_all(file: &dyn File, chunks: &[IoSlice<'_>], offset: u64) -> io::Result<()> {
    let total: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    let mut written = if total == 0 {
        0
    } else {
        file.write_at(chunks, offset)?
    };
    if written == total {
        return Ok(());
    }
    let mut rest = chunks.to_vec();
    let mut rest = rest.as_mut_slice();
    let mut advance = written;
    while written < total {
        if advance == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, advance);
        advance = file.write_at(rest, offset + written as u64)?;
        written += advance;
    }
    Ok(())
}
