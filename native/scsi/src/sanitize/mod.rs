//! SANITIZE (SBC-3 §4.11, §5.30): making everything that was ever written unreadable, on both nodes.
//!
//! Rules
//! 1. An operation is a section of the [state](crate::unit_state) that both nodes share: it is in force, and everything that
//!    was under way has ended, before the first block is changed; it goes on whatever ends the command, a session or a node.
//! 2. While it runs, and after it failed, data can neither be read nor written through either node ([`Sanitize::bars`]).
//! 3. It has ended when the state says so; that is said only of what is durable on both copies, or on the only one that is not
//!    durably out of date. How far it is said to be is durable in the same sense.
//! 4. One node carries it out: the one that orders changes. All of it is pure: who does that is the caller's concern.

mod command;
mod operation;
mod section;
#[cfg(test)]
mod tests;
mod unit;

pub use command::is_sanitize;
pub(crate) use command::sanitize;
pub use operation::{Method, Operation};
pub use unit::SanitizeStep;

use crate::opcodes::{INQUIRY, REQUEST_SENSE};
use crate::sense::Sense;

const REPORT_LUNS: u8 = 0xa0;

/// How the latest operation stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Sanitize {
    /// There was none, or it has ended well.
    #[default]
    Idle,
    /// It runs.
    Running(Operation),
    /// It could not be carried out to its end.
    Failed(Operation),
}

impl Sanitize {
    /// What a command gets instead of being carried out (SBC-3 §4.11.2, §4.11.3). `size_bytes`: of the disk.
    pub(crate) fn bars(&self, cdb: &[u8; 16], size_bytes: u64) -> Option<Sense> {
        match (self, cdb[0]) {
            (_, INQUIRY | REPORT_LUNS | REQUEST_SENSE) => None,
            (Self::Failed(_), _) if is_sanitize(cdb) => None,
            _ => self.sense(size_bytes),
        }
    }

    /// What REQUEST SENSE says of it.
    pub(crate) fn sense(&self, size_bytes: u64) -> Option<Sense> {
        match self {
            Self::Idle => None,
            Self::Running(operation) => Some(Sense::sanitizing(operation.progress(size_bytes))),
            Self::Failed(_) => Some(Sense::SANITIZE_FAILED),
        }
    }
}
