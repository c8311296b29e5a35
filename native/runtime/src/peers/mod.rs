//! The engine's part of peers: connections over all paths, heartbeats, loss.
//!
//! Rules:
//!
//! * A peer has at most one link, a bundle of connections ([`twindisk_mirror::bundle`]); a newer authenticated one replaces it, because the peer made it
//!   after losing the old.
//! * The mirror core says when a peer counts as up (link and lease) and as lost; events to Python follow its word.
//! * A peer that was not heard over any path for `silence_ns` is lost even if TCP still stands. A connection whose TCP has had no answer for as long is closed
//!   even if the peer is heard.

pub mod connection;
mod dialing;
pub mod known;
mod link;
pub(crate) mod paths;
#[cfg(test)]
mod tests;
mod traffic;
mod wiring;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use twindisk_mirror::bundle::Bundle;
use twindisk_mirror::handshake::SessionId;
use twindisk_mirror::{LinkLoss, PeerId};

use crate::engine::Engine;
use crate::event::EngineEvent;
use crate::heartbeat::{Heartbeats, Vitals};
use paths::Path;

/// Most connections on one path.
pub const CONNECTIONS_MAX: usize = 8;
/// Most paths to a peer.
pub const PATHS_MAX: usize = 4;

/// This node's end of mirroring.
pub(crate) struct Mirror {
    /// The mirror address, and with it the port of all.
    pub(crate) address: SocketAddr,
    /// Where it listens besides, for further paths.
    pub(crate) further: Vec<IpAddr>,
    pub(crate) secret: Vec<u8>,
    pub(crate) heartbeats: Heartbeats,
}

/// A link that stands.
pub(crate) struct Link {
    /// The session that connections join.
    id: SessionId,
    bundle: Bundle,
    /// When it was opened.
    opened_ns: u64,
    /// When the connection that opened it was made.
    begun_ns: u64,
    /// Bytes of the messages for the peer so far.
    pub(crate) sent_bytes: u64,
}

/// A peer that links are kept with.
pub(crate) struct Peer {
    /// Its mirror address as Python gave it: its name.
    pub(crate) name: String,
    /// This side connects.
    pub(crate) dial: bool,
    /// The ways to it, the main one first.
    pub(crate) paths: Vec<Path>,
    /// The link, from the handshake of its first connection on.
    pub(crate) link: Option<Link>,
    /// The mirror core said that it is up.
    pub(crate) up: bool,
    /// What its heart knows.
    pub(crate) vitals: Arc<Vitals>,
    /// When it was last found not to have been heard for half of the time that it may be silent.
    missed_ns: u64,
    /// Why the link was lost, for the event.
    loss: &'static str,
    /// The version that it was said to speak, which is not this node's.
    told_version: Option<u8>,
}

impl Peer {
    fn new(name: String, dial: bool, paths: Vec<Path>) -> Self {
        Self {
            name,
            dial,
            paths,
            link: None,
            up: false,
            vitals: Arc::default(),
            missed_ns: 0,
            loss: "reset",
            told_version: None,
        }
    }

    /// Its mirror address.
    fn address(&self) -> IpAddr {
        self.paths[0].to.ip()
    }
}

/// The mirror core's name for the peer at a place.
pub(crate) fn peer_id(place: usize) -> PeerId {
    PeerId(u32::try_from(place).expect("peers are few"))
}

impl Engine {
    /// The mirror core's word: link and lease stand.
    pub(crate) fn peer_up(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(peer.0 as usize) {
            peer.up = true;
            self.events.push(EngineEvent::PeerUp(peer.name.clone()));
        }
    }

    /// The mirror core's word: the peer is lost.
    pub(crate) fn peer_down(&mut self, peer: PeerId, loss: LinkLoss) {
        let place = peer.0 as usize;
        let Some(known) = self.peers.get_mut(place) else {
            return;
        };
        known.up = false;
        let reason = match loss {
            LinkLoss::Silent => "silent",
            LinkLoss::Protocol => "protocol",
            LinkLoss::Closed => known.loss,
        };
        self.events.push(EngineEvent::PeerDown {
            peer: known.name.clone(),
            reason,
        });
        self.close_link(place, reason);
    }

    /// Tell the mirror core how the leases and promises stand now; a promise holds without a link too.
    pub(crate) fn renew_leases(&mut self) {
        for place in 0..self.peers.capacity() {
            self.renew_lease(place);
        }
    }

    fn renew_lease(&mut self, place: usize) {
        let Some(peer) = self.peers.get(place) else {
            return;
        };
        let (serve_ns, promised_ns) = (
            peer.vitals.serve_until_ns(),
            peer.vitals.promised_until_ns(),
        );
        let now_ns = self.core.now_ns;
        self.core
            .node
            .lease(peer_id(place), serve_ns, promised_ns, now_ns);
    }
}
