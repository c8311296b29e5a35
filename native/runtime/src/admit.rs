//! Who gets a session: reinstatement, limits, and the report of those who were not let in.
//!
//! Rules:
//!
//! * An initiator's name, ISID and target are one session: a new login with the same closes the old connection first.
//! * Connections that have not logged in take a bounded number of places ([`crate::logins`]). Sessions are bounded for each initiator
//!   at each target, and in all.
//! * Refusals are reported, but not more than [`REPORTS_PER_PERIOD`] in a period: who floods a portal fills no log.

use std::net::{IpAddr, SocketAddr};

use twindisk_iscsi::{LoginRefusal, RefusedLogin, SessionKind, SessionRequest};
use twindisk_scsi::InitiatorPort;

use crate::engine::{Endpoint, Engine};
use crate::event::{EngineEvent, VdiskEvent};
use crate::logins::{Origin, gives_way};
use crate::session::Login;
use crate::share::Share;
use crate::vdisk::place_of_target;

/// Sessions of one initiator with one target (or of discovery) on this node.
pub const SESSIONS_PER_INITIATOR_MAX: usize = 32;
/// Sessions on this node.
pub const SESSIONS_MAX: usize = 4096;
/// Refused logins reported in each period.
pub const REPORTS_PER_PERIOD: u32 = 20;
const PERIOD_NS: u64 = 10_000_000_000;

/// How many refusals were reported of late.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    period_ends_ns: u64,
    reported: u32,
    unreported: u64,
}

impl Reports {
    /// Whether a refusal at `now_ns` is to be reported, and how many were not since the last report.
    fn take(&mut self, now_ns: u64) -> Option<u64> {
        if now_ns >= self.period_ends_ns {
            self.period_ends_ns = now_ns + PERIOD_NS;
            self.reported = 0;
        }
        if self.reported == REPORTS_PER_PERIOD {
            self.unreported += 1;
            return None;
        }
        self.reported += 1;
        Some(std::mem::take(&mut self.unreported))
    }
}

impl Engine {
    pub(crate) fn decide_login(&mut self, place: usize, request: SessionRequest) {
        let outcome = self.admit(&request);
        let tsih = self.fresh_tsih();
        let share = self.share_of(&request.initiator);
        let Some(session) = self.session_mut(place) else {
            return;
        };
        let vdisk = match outcome {
            Ok(vdisk) => vdisk,
            Err(refusal) => return session.connection.reject_login(refusal),
        };
        session.connection.accept_login(tsih);
        session.share = share;
        session.count_memory();
        session.login = Some(Login {
            initiator: request.initiator.clone(),
            user: request.user,
            isid: request.isid,
            vdisk,
            tsih,
        });
        let (nexus, address) = (session.nexus, session.address.to_string());
        if let Some(vdisk) = vdisk.and_then(|vdisk| self.core.vdisks.get_mut(vdisk)) {
            vdisk.unit.open_nexus(nexus);
            if let Some(port) = InitiatorPort::new(&request.initiator, request.isid) {
                vdisk.unit.name_nexus(nexus, port);
            }
            let event = VdiskEvent::SessionOpened {
                initiator: request.initiator,
                address,
            };
            self.events
                .push(EngineEvent::Vdisk(vdisk.name.clone(), event));
        }
    }

    /// A share in common with the initiator's sessions.
    fn share_of(&self, initiator: &str) -> Share {
        let of_initiator = |login: &Login| login.initiator.eq_ignore_ascii_case(initiator);
        self.endpoints
            .iter()
            .find_map(|(_, slot)| match &slot.endpoint {
                Endpoint::Session(session) if session.login.as_ref().is_some_and(of_initiator) => {
                    Some(Share::beside(&session.share))
                }
                _ => None,
            })
            .or_else(|| self.remaining_share(initiator).map(Share::beside))
            .unwrap_or_else(|| Share::new(&self.account))
    }

    /// Decide about a login; the VDisk's place, or None for discovery. Closes the session that it reinstates.
    fn admit(&mut self, request: &SessionRequest) -> Result<Option<usize>, LoginRefusal> {
        let vdisk = match (&request.kind, &request.target) {
            (SessionKind::Discovery, _) => None,
            (SessionKind::Normal, Some(iqn)) => {
                Some(place_of_target(&self.core.vdisks, iqn).ok_or(LoginRefusal::NotFound)?)
            }
            (SessionKind::Normal, None) => return Err(LoginRefusal::NotFound),
        };
        let of_initiator = |login: &Login| {
            login.vdisk == vdisk && login.initiator.eq_ignore_ascii_case(&request.initiator)
        };
        let same = |login: &Login| of_initiator(login) && login.isid == request.isid;
        if request.tsih != 0 {
            let known = self
                .logins()
                .any(|(_, login)| same(login) && login.tsih == request.tsih);
            return Err(if known {
                LoginRefusal::TooManyConnections
            } else {
                LoginRefusal::NoSuchSession
            });
        }
        let old: Vec<_> = self
            .logins()
            .filter(|(_, login)| vdisk.is_some() && same(login))
            .map(|(place, _)| place)
            .collect();
        let others = self
            .logins()
            .filter(|(_, login)| of_initiator(login))
            .count()
            - old.len();
        if others >= SESSIONS_PER_INITIATOR_MAX || self.logins().count() - old.len() >= SESSIONS_MAX
        {
            return Err(LoginRefusal::OutOfResources);
        }
        for place in old {
            self.close_session(place);
        }
        Ok(vdisk)
    }

    /// Close a connection that has not logged in, if there are as many as may be when one more comes from `from`.
    pub(crate) fn make_room_for_login(&mut self, from: IpAddr) {
        let logins = self
            .endpoints
            .iter()
            .filter_map(|(place, slot)| match &slot.endpoint {
                Endpoint::Session(session) if session.login.is_none() => Some((place, session)),
                _ => None,
            });
        let (places, logins): (Vec<_>, Vec<_>) = logins
            .map(|(place, session)| {
                let number = session.nexus.0;
                ((number, place), (number, Origin::of(session.address.ip())))
            })
            .unzip();
        let leaves = gives_way(&logins, Origin::of(from));
        if let Some((_, place)) = places
            .into_iter()
            .find(|(number, _)| Some(*number) == leaves)
        {
            self.close_session(place);
        }
    }

    pub(crate) fn report_refusal(&mut self, refused: RefusedLogin, address: SocketAddr) {
        const REDIRECTION: u16 = 0x0100;
        if refused.status & 0xff00 == REDIRECTION {
            return;
        }
        if let Some(unreported) = self.refusals.take(self.core.now_ns) {
            self.events.push(EngineEvent::LoginRefused {
                initiator: refused.initiator,
                target: refused.target,
                address: address.to_string(),
                status: refused.status,
                unreported,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_reported() {
        let mut reports = Reports::default();
        for _ in 0..REPORTS_PER_PERIOD {
            assert_eq!(reports.take(5), Some(0));
        }
        for _ in 0..1000 {
            assert_eq!(reports.take(PERIOD_NS), None);
        }
        assert_eq!(reports.take(5 + PERIOD_NS), Some(1000));
        assert_eq!(reports.take(5 + PERIOD_NS), Some(0));
    }
}
