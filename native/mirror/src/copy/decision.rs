//! What others decide for a copy, carried out.

use super::{Copy, Direction, Mode, PaceLimits, Surroundings, gate};
use crate::report::{Command, CommandError};

impl Copy {
    /// A decision.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn command(&mut self, command: Command, around: Surroundings) -> Result<(), CommandError> {
        self.around = around;
        match command {
            Command::ServeSingle => self.serve_single(),
            Command::Attach(plan) => self.attach(plan),
            Command::GoAlone {
                generation,
                epoch,
                fenced,
            } => self.go_alone(generation, epoch, fenced),
            Command::StopServing(state) => {
                self.stop_serving(state);
                Ok(())
            }
            Command::Leave => self.leave(),
            Command::SwitchRoles => self.switch_roles(),
            Command::Verify { repair } => self.verify(repair),
            Command::EndVerify => self.end_verify(),
        }?;
        self.pump();
        Ok(())
    }

    /// Set how fast resync and verification may go, as one of so many copies that share the limits.
    pub fn limit_pace(&mut self, limits: PaceLimits, shares: u64) {
        self.pace.limit(limits, shares);
    }

    /// True for a copy that sends or compares chunks.
    #[must_use]
    pub fn is_paced(&self) -> bool {
        matches!(self.mode, Mode::Mirroring(Direction::Source(_))) || self.verification.runs()
    }

    fn serve_single(&mut self) -> Result<(), CommandError> {
        if self.peer.is_some() {
            return Err(CommandError::MirrorMismatch);
        }
        if self.facts.inconsistent {
            return Err(CommandError::Inconsistent);
        }
        match self.mode {
            Mode::Single => return Ok(()),
            Mode::Closed(_) | Mode::Held => {}
            _ => return Err(CommandError::WrongMode),
        }
        self.enter(Mode::Single);
        self.close_gate(gate::Then::Release);
        Ok(())
    }
}
