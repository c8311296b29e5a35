//! The engine's part of sessions: accepting, writing, closing. Logins are decided in [`crate::admit`].
//!
//! Rules:
//!
//! * When a session ends, its commands that have not begun are withdrawn; those under way end without an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use twindisk_iscsi::{CHALLENGE_RANDOM_BYTES, Challenge, PortalConfig};
use twindisk_scsi::NexusId;

use crate::engine::{Endpoint, Engine};
use crate::event::{EngineEvent, VdiskEvent};
use crate::session::{Login, Pump, Session};

impl Engine {
    pub(crate) fn session_mut(&mut self, place: usize) -> Option<&mut Session> {
        match &mut self.endpoints.get_mut(place)?.endpoint {
            Endpoint::Session(session) => Some(session),
            _ => None,
        }
    }

    pub(crate) fn open_session(&mut self, stream: TcpStream, from: SocketAddr, portal: SocketAddr) {
        self.last_nexus += 1;
        let local = stream.local_addr().unwrap_or(portal);
        let config = Arc::new(PortalConfig {
            address: local.to_string(),
            ..PortalConfig::default()
        });
        let nexus = NexusId(self.last_nexus);
        let mut random = [0; CHALLENGE_RANDOM_BYTES];
        if getrandom::fill(&mut random).is_err() {
            return;
        }
        let challenge = Challenge::new(random);
        self.make_room_for_login();
        if let Ok(session) = Session::new(stream, from, nexus, config, challenge, self.core.now_ns)
        {
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
        } else if session.socket.is_readable() && session.may_read() {
            self.schedule(place);
        }
    }

    /// Close a connection at once.
    pub(crate) fn close_session(&mut self, place: usize) {
        if self.session_mut(place).is_none() {
            return;
        }
        let Endpoint::Session(session) = self.endpoints.remove(place).endpoint else {
            return;
        };
        for id in self
            .core
            .requests
            .ids(|request| request.nexus == session.nexus)
        {
            if let Some(request) = self.core.requests.remove(id)
                && let Some(vdisk) = self.core.vdisks.get(request.vdisk)
            {
                self.core.node.cancel(vdisk.serial, id, self.core.now_ns);
            }
            self.waiters_see(id);
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
            if session.closing || session.connection.tick(now_ns).is_err() {
                self.close_session(place);
            } else if !session.is_flushed() {
                self.mark_dirty(place);
            }
        }
    }
}
