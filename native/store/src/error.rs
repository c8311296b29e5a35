//! Errors of the store, with fields; sentences here are for logs.

use std::io;
use std::path::PathBuf;

/// Why a metadata slot cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotProblem {
    /// The file ends before the slot does.
    Short,
    /// The magic is not there.
    Magic,
    /// The length field cannot be true.
    Length,
    /// The checksum differs: torn by a crash, or rotten.
    Checksum,
    /// The checksum is right but a field has a value that no version writes.
    Field,
}

/// What can go wrong with a copy's files.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{operation} of {file}: {source}")]
    Io {
        /// What was tried, one word: `read`, `write`, `sync`, ...
        operation: &'static str,
        /// The file's name inside the copy's directory.
        file: String,
        /// The reason.
        source: io::Error,
    },
    /// Another process or another handle has the copy open.
    #[error("the copy in {directory} is open already")]
    InUse {
        /// The copy's directory.
        directory: PathBuf,
    },
    /// A copy is there already.
    #[error("{directory} holds a copy already")]
    AlreadyExists {
        /// The copy's directory.
        directory: PathBuf,
    },
    /// No copy is there (or its creation never ended).
    #[error("{directory} holds no copy")]
    NotACopy {
        /// The directory.
        directory: PathBuf,
    },
    /// Both metadata slots are unusable: nobody knows what this copy holds.
    #[error("both metadata slots are corrupt ({first:?}, {second:?})")]
    BothSlotsCorrupt {
        /// What is wrong with slot 0.
        first: SlotProblem,
        /// What is wrong with slot 1.
        second: SlotProblem,
    },
    /// A sound slot of a version that this program does not know.
    #[error("metadata version {found} is not known (this program knows {known})")]
    UnknownVersion {
        /// Version in the slot.
        found: u32,
        /// Version of this program.
        known: u32,
    },
    /// A range that is not inside the copy.
    #[error("{length_bytes} bytes at {offset_bytes} are not inside {size_bytes} bytes")]
    OutOfBounds {
        /// First byte asked for.
        offset_bytes: u64,
        /// Length asked for.
        length_bytes: u64,
        /// Size of the copy.
        size_bytes: u64,
    },
    /// A record that cannot be stored: it would not be what was opened, or it has no room.
    #[error("the record cannot be stored: {problem}")]
    InvalidRecord {
        /// What is wrong with it.
        problem: RecordProblem,
    },
    /// A sync or a metadata write failed earlier: what the kernel holds is no longer known to be on the disk.
    #[error("the copy failed earlier and must be opened anew")]
    Failed,
}

/// Why a record is refused; nothing has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordProblem {
    /// The serial is another one.
    #[error("another serial")]
    Serial,
    /// The size is 0, or `persist` was given another size, or `grow` one that is not larger.
    #[error("size of {size_bytes} bytes")]
    Size {
        /// The size given.
        size_bytes: u64,
    },
    /// The activity log has no room.
    #[error("{count} active extents")]
    TooManyActive {
        /// Extents given.
        count: usize,
    },
    /// The lineage is too long or holds a 0.
    #[error("lineage of {count} generations")]
    Lineage {
        /// Generations given.
        count: usize,
    },
    /// An extent lies outside the copy.
    #[error("extent {extent} is outside the copy")]
    Extent {
        /// The extent.
        extent: u64,
    },
}

impl StoreError {
    /// The operating system's error number, when it was the operating system that refused.
    #[must_use]
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Io { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }
}
