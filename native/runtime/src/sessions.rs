//! The engine's part of sessions: accepting, writing, closing. Logins are decided in [`crate::admit`].
//!
//! Rules:
//!
//! * When a session ends, its commands that have not begun are withdrawn; those under way end without an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use twindisk_iscsi::{CHALLENGE_RANDOM_BYTES, Challenge, PortalConfig, Redirect};
use twindisk_scsi::{NexusId, Response};

use crate::engine::{Endpoint, Engine, Slot};
use crate::event::{EngineEvent, VdiskEvent};
use crate::portal::Purpose;
use crate::session::{CLOSING_TICKS, Login, Pump, Session};
use crate::share::Share;

/// An initiator that is dropped comes back after this time at the earliest.
const COME_BACK_SECONDS: u16 = 1;

impl Engine {
    pub(crate) fn session_mut(&mut self, place: usize) -> Option<&mut Session> {
        match &mut self.endpoints.get_mut(place)?.endpoint {
            Endpoint::Session(session) => Some(session),
            _ => None,
        }
    }

    /// The session at `place`, if it is the one with this nexus.
    pub(crate) fn session_of(&mut self, place: usize, nexus: NexusId) -> Option<&mut Session> {
        self.session_mut(place)
            .filter(|session| session.nexus == nexus)
    }

    pub(crate) fn open_session(
        &mut self,
        stream: TcpStream,
        from: SocketAddr,
        portal: SocketAddr,
        redirect: Option<Redirect>,
    ) {
        self.last_nexus += 1;
        let local = stream.local_addr().unwrap_or(portal);
        let address = match &redirect {
            Some(redirect) => redirect.address.clone(),
            None => local.to_string(),
        };
        let config = Arc::new(PortalConfig {
            address,
            redirect,
            ..PortalConfig::default()
        });
        let nexus = NexusId(self.last_nexus);
        let mut random = [0; CHALLENGE_RANDOM_BYTES];
        if getrandom::fill(&mut random).is_err() {
            return;
        }
        let challenge = Challenge::new(random);
        self.make_room_for_login(from.ip());
        let share = Share::beside(&self.strangers);
        let now_ns = self.core.now_ns;
        if let Ok(session) = Session::new(stream, from, nexus, config, challenge, share, now_ns) {
            // A connection that cannot be watched is dropped, which closes it.
            let _ = self.keep(Endpoint::Session(Box::new(session)));
        }
    }

    pub(crate) fn serve_session(&mut self, place: usize) {
        self.mark_dirty(place);
        loop {
            let Endpoint::Session(session) = &mut self.endpoints[place].endpoint else {
                return;
            };
            match session.pump(place, &mut self.core) {
                Pump::Idle => return,
                Pump::More => return self.schedule(place),
                Pump::Login(request) => self.decide_login(place, request),
                Pump::Tasks {
                    task,
                    function,
                    lun,
                } => self.manage_tasks(place, task, function, lun),
                Pump::Refused(refused) => {
                    let address = session.address;
                    return self.report_refusal(refused, address);
                }
                Pump::Close => {
                    session.closing = true;
                    return;
                }
            }
        }
    }

    pub(crate) fn logins(&self) -> impl Iterator<Item = (usize, &Login)> {
        self.endpoints
            .iter()
            .filter_map(|(place, slot)| match &slot.endpoint {
                Endpoint::Session(session) => session.login.as_ref().map(|login| (place, login)),
                _ => None,
            })
    }

    pub(crate) fn fresh_tsih(&mut self) -> u16 {
        loop {
            self.last_tsih = self.last_tsih.wrapping_add(1);
            let tsih = self.last_tsih;
            if tsih != 0 && !self.logins().any(|(_, login)| login.tsih == tsih) {
                return tsih;
            }
        }
    }

    pub(crate) fn flush_session(&mut self, place: usize) {
        let Some(session) = self.session_mut(place) else {
            return;
        };
        let broken = session.flush().is_err();
        if broken || (session.closing && session.is_flushed()) {
            self.close_session(place);
        } else if session.may_go_on() {
            self.schedule(place);
        }
    }

    /// Tell an initiator that it is dropped, as far as that can be written at once, and close its connection.
    pub(crate) fn dismiss(&mut self, place: usize) {
        if let Some(session) = self.session_mut(place) {
            session.connection.announce_drop(COME_BACK_SECONDS);
            // Who does not read is not waited for.
            let _ = session.flush();
        }
        self.close_session(place);
    }

    /// Let nobody in any more and ask those who are in to log out within `seconds`; how many.
    pub fn ask_to_log_out(&mut self, seconds: u16) -> usize {
        let is_portal = |slot: &Slot| matches!(&slot.endpoint, Endpoint::Listener(listener) if listener.purpose == Purpose::Portal);
        self.endpoints.retain(|_, slot| !is_portal(slot));
        let mut asked = 0;
        for place in self.connections() {
            let Some(session) = self.session_mut(place) else {
                continue;
            };
            if session.login.is_none() {
                self.close_session(place);
                continue;
            }
            session.connection.request_logout(seconds);
            self.mark_dirty(place);
            asked += 1;
        }
        asked
    }

    /// Connections of initiators that are logged in.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.logins().count()
    }

    /// Drop all connections of initiators.
    pub fn dismiss_all(&mut self) {
        for place in self.connections() {
            self.dismiss(place);
        }
    }

    /// The places of all connections of initiators.
    fn connections(&self) -> Vec<usize> {
        let is_session = |slot: &Slot| matches!(slot.endpoint, Endpoint::Session(_));
        let places = self.endpoints.iter().filter(|(_, slot)| is_session(slot));
        places.map(|(place, _)| place).collect()
    }

    /// Close a connection at once.
    pub(crate) fn close_session(&mut self, place: usize) {
        if self.session_mut(place).is_none() {
            return;
        }
        let Endpoint::Session(mut session) = self.endpoints.remove(place).endpoint else {
            return;
        };
        self.keep_remains(&mut session);
        for id in self
            .core
            .requests
            .ids(|request| request.nexus == session.nexus)
        {
            if self.copy_is_at_work(id) {
                self.stop_copies(&[id], &Response::task_aborted());
                continue;
            }
            if let Some(request) = self.core.requests.remove(id)
                && let Some(vdisk) = self.core.vdisks.get(request.vdisk)
            {
                let serial = request.copies_at().unwrap_or(vdisk.serial);
                self.core.node.cancel(serial, id, self.core.now_ns);
            }
            self.ended(id);
        }
        self.waiters.retain(|waiter| waiter.nexus != session.nexus);
        if let Some(login) = session.login
            && let Some(vdisk) = login
                .vdisk
                .and_then(|vdisk| self.core.vdisks.get_mut(vdisk))
        {
            vdisk.unit.close_nexus(session.nexus);
            let (initiator, address) = (login.initiator, session.address.to_string());
            let event = VdiskEvent::SessionClosed { initiator, address };
            self.events
                .push(EngineEvent::Vdisk(vdisk.name.clone(), event));
            if let Some(place) = login.vdisk {
                self.release_lost(place);
            }
        }
    }

    /// The places of all sessions of a VDisk.
    pub(crate) fn sessions_of(&self, vdisk: usize) -> Vec<usize> {
        self.logins()
            .filter(|(_, login)| login.vdisk == Some(vdisk))
            .map(|(place, _)| place)
            .collect()
    }

    pub(crate) fn tick_sessions(&mut self) {
        let now_ns = self.core.now_ns;
        let places: Vec<_> = self.endpoints.iter().map(|(place, _)| place).collect();
        for place in places {
            let Some(session) = self.session_mut(place) else {
                continue;
            };
            session.socket.rest();
            session.closing_ticks += u32::from(session.closing);
            if session.closing_ticks > CLOSING_TICKS || !session.tick(now_ns) {
                self.close_session(place);
            } else if session.closing {
                // Not closed yet: what was said last, such as why a login is refused, may not be written yet.
                self.mark_dirty(place);
            } else if !session.is_flushed() {
                self.mark_dirty(place);
            } else {
                session.count_memory();
                if session.may_go_on() {
                    // Another session has given room back.
                    self.schedule(place);
                }
            }
        }
    }
}
