//! Directories and files of the operating system.

use std::fs;
use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};

use crate::storage::{Directory, File};

/// Most chunks that one `pwritev` takes (IOV_MAX of Linux).
const CHUNKS_MAX: usize = 1024;
/// Zeros written at once where holes cannot be punched.
const ZEROS_BYTES: usize = 1 << 20;
/// Unit of `st_blocks`.
const STAT_BLOCK_BYTES: u64 = 512;

/// A directory, held open and locked against other openers until dropped.
#[derive(Debug)]
pub(crate) struct RealDirectory {
    path: PathBuf,
    handle: fs::File,
}

impl RealDirectory {
    /// Open and lock; `None`: somebody else has it locked.
    pub(crate) fn lock(path: &Path) -> io::Result<Option<Self>> {
        let handle = fs::File::open(path)?;
        match rustix::fs::flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self {
                path: path.to_owned(),
                handle,
            })),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// Make the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

impl Directory for RealDirectory {
    fn open(&self, name: &str, create: bool) -> io::Result<Option<Arc<dyn File>>> {
        let mut options = fs::OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(create)
            .truncate(false);
        match options.open(self.path.join(name)) {
            Ok(file) => Ok(Some(Arc::new(RealFile(file)))),
            Err(error) if !create && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

#[derive(Debug)]
struct RealFile(fs::File);

impl RealFile {
    fn write_zeros(&self, offset: u64, length: u64) -> io::Result<()> {
        let zeros = vec![0; ZEROS_BYTES];
        let mut done = 0;
        while done < length {
            let piece = (length - done).min(ZEROS_BYTES as u64);
            self.0
                .write_all_at(&zeros[..piece as usize], offset + done)?;
            done += piece;
        }
        Ok(())
    }
}

impl File for RealFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<Option<usize>> {
        match rustix::io::preadv2(
            &self.0,
            &mut [IoSliceMut::new(buffer)],
            offset,
            ReadWriteFlags::NOWAIT,
        ) {
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR | Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn write_at(&self, chunks: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let chunks = &chunks[..chunks.len().min(CHUNKS_MAX)];
        Ok(rustix::io::retry_on_intr(|| {
            rustix::io::pwritev(&self.0, chunks, offset)
        })?)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.0, flags, offset, length)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.write_zeros(offset, length),
            other => Ok(other?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        let flags = FallocateFlags::KEEP_SIZE;
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(&self.0, flags, 0, length)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => Ok(other?),
        }
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let start = match rustix::fs::seek(&self.0, SeekFrom::Data(from)) {
            Err(Errno::NXIO) => return Ok(None),
            other => other?,
        };
        let end = match rustix::fs::seek(&self.0, SeekFrom::Hole(start)) {
            Err(Errno::NXIO) => return Ok(None),
            other => other?,
        };
        Ok(Some(start..end))
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(self.0.metadata()?.blocks() * STAT_BLOCK_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &Path) -> RealFile {
        let mut options = fs::OpenOptions::new();
        RealFile(
            options
                .read(true)
                .write(true)
                .create_new(true)
                .open(directory.join("file"))
                .unwrap(),
        )
    }

    #[test]
    fn more_chunks_than_one_call_takes_are_all_written() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        let bytes: Vec<u8> = (0..3000_u32).map(|byte| byte as u8).collect();
        let chunks: Vec<IoSlice<'_>> = bytes.chunks(1).map(IoSlice::new).collect();
        crate::storage::write_all(&file, &chunks, 7).unwrap();
        let mut read = vec![0xff; 3010];
        crate::storage::read_or_zero(&file, &mut read, 7).unwrap();
        assert_eq!(read[..3000], bytes);
        assert_eq!(read[3000..], [0; 10]);
    }

    #[test]
    fn zeros_stand_in_for_a_hole() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        file.0.write_all_at(&vec![7; 3 << 20], 0).unwrap();
        file.write_zeros(1, (2 << 20) + 5).unwrap();
        let mut read = vec![0; 3 << 20];
        crate::storage::read_or_zero(&file, &mut read, 0).unwrap();
        assert_eq!(read[0], 7);
        assert!(read[1..(2 << 20) + 6].iter().all(|byte| *byte == 0));
        assert!(read[(2 << 20) + 6..].iter().all(|byte| *byte == 7));
    }

    #[test]
    fn data_ranges_end_with_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = file(directory.path());
        assert_eq!(file.next_data(0).unwrap(), None);
        file.0.write_all_at(&[1; 4096], 1 << 20).unwrap();
        file.set_len(4 << 20).unwrap();
        let data = file.next_data(0).unwrap().unwrap();
        assert!(data.start <= 1 << 20 && data.end >= (1 << 20) + 4096);
        assert_eq!(file.next_data(4 << 20).unwrap(), None);
    }
}
