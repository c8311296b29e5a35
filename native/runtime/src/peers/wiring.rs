//! The sockets of a bundle's connections.

use slab::Slab;
use twindisk_mirror::bundle::{Bundle, ConnectionId, Frame, Preamble, Progress, Wires};

use super::connection::Connection;
use crate::engine::{Endpoint, Engine, Slot};

/// The engine's sockets, as a bundle sees them.
pub(super) struct Wiring<'a> {
    endpoints: &'a mut Slab<Slot>,
    dirty: &'a mut Vec<usize>,
}

impl Wires for Wiring<'_> {
    fn progress(&mut self, id: ConnectionId) -> Progress {
        connection_of(self.endpoints, id).map_or(Progress::GONE, |connection| connection.progress())
    }

    fn send(&mut self, over: ConnectionId, preamble: Preamble, frame: Option<Frame>) -> u64 {
        let Some(connection) = connection_of(self.endpoints, over) else {
            return 0;
        };
        connection.send(preamble, frame);
        let given_bytes = connection.given_bytes();
        self.endpoints[over].mark_dirty(over, self.dirty);
        given_bytes
    }
}

fn connection_of(endpoints: &mut Slab<Slot>, place: usize) -> Option<&mut Connection> {
    match &mut endpoints.get_mut(place)?.endpoint {
        Endpoint::Link(connection) => Some(connection),
        _ => None,
    }
}

impl Engine {
    pub(super) fn connection(&self, place: usize) -> Option<&Connection> {
        match &self.endpoints.get(place)?.endpoint {
            Endpoint::Link(connection) => Some(connection),
            _ => None,
        }
    }

    pub(super) fn connection_mut(&mut self, place: usize) -> Option<&mut Connection> {
        connection_of(&mut self.endpoints, place)
    }

    /// Have the bundle of a peer's link do something, with its sockets and the time; None: there is no link.
    pub(super) fn with_bundle<T>(
        &mut self,
        peer: usize,
        act: impl FnOnce(&mut Bundle, &mut Wiring<'_>, u64) -> T,
    ) -> Option<T> {
        let link = self.peers.get_mut(peer)?.link.as_mut()?;
        let mut wiring = Wiring {
            endpoints: &mut self.endpoints,
            dirty: &mut self.dirty,
        };
        Some(act(&mut link.bundle, &mut wiring, self.core.now_ns))
    }

    /// The connections of a peer's link.
    pub(super) fn connections_of(&self, peer: usize) -> Vec<usize> {
        let link = self.peers.get(peer).and_then(|peer| peer.link.as_ref());
        link.map_or_else(Vec::new, |link| link.bundle.connections().collect())
    }
}
