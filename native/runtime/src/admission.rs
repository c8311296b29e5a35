//! Changing who is let in.
//!
//! Rule: what changes holds for everyone at once. Sessions that the new rules would not let in as they are end, and so does every
//! connection that is still at its login, for it may have begun under the old ones.

use std::sync::Arc;

use twindisk_iscsi::Admission;

use crate::engine::{Endpoint, Engine};
use crate::error::{EngineError, Kind, Result};
use crate::session::Login;

impl Engine {
    /// Set which initiators are let in to a VDisk; how many sessions ended by it.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`: the rules make no sense.
    pub fn set_admission(&mut self, name: &str, admission: Admission) -> Result<usize> {
        let place = self.vdisk_place(name)?;
        check(&admission).map_err(|error| error.about_vdisk(name))?;
        let admission = Arc::new(admission);
        let before = std::mem::replace(
            &mut self.core.vdisks[place].admission,
            Arc::clone(&admission),
        );
        Ok(self.end_unwanted(Some(place), &before, &admission))
    }

    /// Set who may hold discovery sessions; how many of them ended by it.
    ///
    /// # Errors
    /// `Invalid`: the rules make no sense.
    pub fn set_discovery(&mut self, admission: Admission) -> Result<usize> {
        check(&admission)?;
        let admission = Arc::new(admission);
        let before = std::mem::replace(&mut self.core.discovery, Arc::clone(&admission));
        Ok(self.end_unwanted(None, &before, &admission))
    }

    /// Close the connections that have not logged in.
    pub(crate) fn end_logins_under_way(&mut self) {
        let places: Vec<_> = (self.endpoints.iter())
            .filter(|(_, slot)| {
                matches!(&slot.endpoint, Endpoint::Session(session) if session.login.is_none())
            })
            .map(|(place, _)| place)
            .collect();
        for place in places {
            self.dismiss(place);
        }
    }

    fn end_unwanted(&mut self, vdisk: Option<usize>, before: &Admission, now: &Admission) -> usize {
        if before == now {
            return 0;
        }
        let stays = |login: &Login| {
            login.vdisk != vdisk || now.keeps(&login.initiator, login.user.as_deref(), before)
        };
        let mut unwanted = Vec::new();
        for (place, slot) in &self.endpoints {
            if let Endpoint::Session(session) = &slot.endpoint {
                match &session.login {
                    Some(login) if stays(login) => {}
                    login => unwanted.push((place, login.is_some())),
                }
            }
        }
        for (place, _) in &unwanted {
            self.dismiss(*place);
        }
        unwanted.iter().filter(|(_, session)| *session).count()
    }
}

/// Say what makes no sense as an engine error.
pub(crate) fn check(admission: &Admission) -> Result<()> {
    admission
        .check()
        .map_err(|fault| EngineError::new(Kind::Invalid, fault.to_string()))
}
