//! The logical unit's part: beginning an operation, telling how it stands, taking what its carrying out came to.

use bytes::Bytes;

use super::command::{asked, waits};
use super::{Operation, Sanitize};
use crate::logical_unit::LogicalUnit;
use crate::response::Response;
use crate::sense::Sense;
use crate::unit_state::{STATE_MAX_BYTES, UnitState};

/// Bytes of the state that an operation leaves free: resets and what nodes change by themselves have to have room while it is there.
/// Everything else that could grow is barred then.
const ROOM_BYTES: usize = 256;

/// What carrying out an operation came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SanitizeStep {
    /// So far all copies are durably sanitized.
    Reached {
        /// Passes that are over, fewer than all.
        pass: u8,
        /// Bytes that the next one has done.
        done_bytes: u64,
    },
    /// To its end.
    Ended,
    /// It cannot be carried on.
    Failed,
}

impl LogicalUnit {
    /// The operation that runs.
    #[must_use]
    pub fn sanitizing(&self) -> Option<&Operation> {
        match &self.state.sanitize {
            Sanitize::Running(operation) if !self.state_unreadable => Some(operation),
            _ => None,
        }
    }

    /// How the latest operation stands: the word for it, and how many hundredths are done; `None`: none runs and none failed.
    #[must_use]
    pub fn sanitize_stands(&self) -> Option<(&'static str, u8)> {
        let (word, operation) = match &self.state.sanitize {
            Sanitize::Idle => return None,
            Sanitize::Running(operation) => ("running", operation),
            Sanitize::Failed(operation) => ("failed", operation),
        };
        let parts = u32::from(operation.progress(self.offered_bytes()));
        Some((word, ((parts * 100) >> 16) as u8))
    }

    /// Bytes of all blocks, which an operation has to reach.
    #[must_use]
    pub fn offered_bytes(&self) -> u64 {
        self.blocks() * self.block().bytes()
    }

    /// What a command that has not begun gets instead, because of an operation; `None`: it may go on.
    #[must_use]
    pub fn sanitize_bars(&self, cdb: &[u8; 16]) -> Option<Sense> {
        self.state.sanitize.bars(cdb, self.offered_bytes())
    }

    /// The answer to a SANITIZE that is in force; `None`: it has to wait for the end of the operation.
    #[must_use]
    pub fn sanitize_answer(&self, cdb: &[u8; 16]) -> Option<Response> {
        match &self.state.sanitize {
            Sanitize::Running(_) if waits(cdb) => None,
            Sanitize::Failed(_) if waits(cdb) => Some(Response::check(Sense::SANITIZE_FAILED)),
            _ => Some(Response::good()),
        }
    }

    /// The state after a step of the operation that runs; `None`: none runs.
    #[must_use]
    pub fn after_sanitize_step(&self, step: SanitizeStep) -> Option<Vec<u8>> {
        let operation = self.sanitizing()?;
        let mut state = self.state.clone();
        state.sanitize = match step {
            SanitizeStep::Reached { pass, done_bytes } => Sanitize::Running(Operation {
                pass,
                done_bytes,
                ..operation.clone()
            }),
            SanitizeStep::Ended => Sanitize::Idle,
            SanitizeStep::Failed => Sanitize::Failed(operation.clone()),
        };
        Some(state.encode())
    }

    /// The state after a SANITIZE.
    ///
    /// # Errors
    /// The command is refused.
    pub(crate) fn sanitized(
        &self,
        mut state: UnitState,
        cdb: &[u8; 16],
        data_out: &[Bytes],
    ) -> Result<UnitState, Sense> {
        let asked = asked(cdb, data_out, self.block())?;
        state.sanitize = state.sanitize.after(asked, self.offered_bytes())?;
        if state.encode().len() > STATE_MAX_BYTES - ROOM_BYTES {
            return Err(Sense::NO_RESOURCES);
        }
        Ok(state)
    }
}
