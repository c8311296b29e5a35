//! What an engine call can fail with. Fields, not sentences: Python makes the sentence.

use std::io;

/// The class of a failed call; each has its exception class in `twindisk.errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The engine knows no such VDisk, peer or copy.
    NotFound,
    /// The VDisk, peer or copy is there already.
    Exists,
    /// The state of the VDisk does not permit the call.
    Refused,
    /// An argument makes no sense.
    Invalid,
    /// A system call failed.
    Io,
    /// Both metadata slots of a copy are unreadable.
    Corrupt,
    /// The engine was shut down.
    Closed,
}

/// A failed engine call; it has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct EngineError {
    /// Which class of failure.
    pub kind: Kind,
    /// A short lower-case phrase that names what is wrong.
    pub problem: String,
    /// The VDisk's name, None when the call is about none.
    pub vdisk: Option<String>,
    /// The peer's mirror address, None when the call is about none.
    pub peer: Option<String>,
    /// The system call's error number, None unless one failed.
    pub errno: Option<i32>,
}

impl EngineError {
    /// An error of `kind` that names no VDisk and no peer yet.
    pub fn new(kind: Kind, problem: impl Into<String>) -> Self {
        Self {
            kind,
            problem: problem.into(),
            vdisk: None,
            peer: None,
            errno: None,
        }
    }

    /// The same error, about this VDisk.
    #[must_use]
    pub fn about_vdisk(mut self, name: &str) -> Self {
        self.vdisk = Some(name.to_owned());
        self
    }

    /// The same error, about this peer.
    #[must_use]
    pub fn about_peer(mut self, address: &str) -> Self {
        self.peer = Some(address.to_owned());
        self
    }

    /// A failed system call: what was being done, and its error number.
    pub fn io(doing: &str, error: &io::Error) -> Self {
        let mut built = Self::new(Kind::Io, format!("{doing}: {error}"));
        built.errno = error.raw_os_error();
        built
    }

    pub(crate) fn closed() -> Self {
        Self::new(Kind::Closed, "the engine was shut down")
    }
}

/// What an engine call returns.
pub type Result<T> = std::result::Result<T, EngineError>;
