//! The engine's part of peers: dialing, taking connections, heartbeats, loss.
//!
//! Rules:
//!
//! * A peer has at most one open link; a newer authenticated one replaces it, because the peer made it after losing the old.
//! * The mirror core says when a peer counts as up (link and lease) and as lost; events to Python follow its word.
//! * A peer that was not heard for `silence_ns` is lost even if TCP still stands.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use mio::net::TcpStream;
use twindisk_mirror::handshake::{Session as LinkSession, VERSION};
use twindisk_mirror::message::Message;
use twindisk_mirror::{LinkLoss, PeerId};

use crate::engine::{Endpoint, Engine};
use crate::event::EngineEvent;
use crate::heartbeat::{Heartbeats, Route, Vitals};
use crate::link::{Arrived, Broken, Link};
use crate::socket::Outbox;

/// Shortest time between two attempts to connect, in nanoseconds; up to 150 % more, by chance of the clock.
const REDIAL_NS: u64 = 200_000_000;

/// This node's end of mirroring.
pub(crate) struct Mirror {
    pub(crate) address: IpAddr,
    pub(crate) secret: Vec<u8>,
    pub(crate) heartbeats: Heartbeats,
}

/// A peer that links are kept with.
pub(crate) struct Peer {
    /// Its mirror address as Python gave it: its name.
    pub(crate) name: String,
    /// The same with its port.
    pub(crate) address: SocketAddr,
    /// This side connects.
    pub(crate) dial: bool,
    /// The link's place among the endpoints, from the attempt on.
    pub(crate) link: Option<usize>,
    /// The mirror core said that it is up.
    pub(crate) up: bool,
    /// What its heart knows.
    pub(crate) vitals: Arc<Vitals>,
    /// When the link's handshake was done.
    opened_ns: u64,
    /// When to connect next.
    redial_ns: u64,
    /// Why the link was lost, for the event.
    loss: &'static str,
    /// The version that it was said to speak, which is not this node's.
    told_version: Option<u8>,
}

impl Peer {
    pub(crate) fn new(name: String, address: SocketAddr, dial: bool) -> Self {
        Self {
            name,
            address,
            dial,
            link: None,
            up: false,
            vitals: Arc::default(),
            opened_ns: 0,
            redial_ns: 0,
            loss: "reset",
            told_version: None,
        }
    }
}

/// The mirror core's name for the peer at a place.
pub(crate) fn peer_id(place: usize) -> PeerId {
    PeerId(u32::try_from(place).expect("peers are few"))
}

impl Engine {
    fn link_mut(&mut self, place: usize) -> Option<&mut Link> {
        match &mut self.endpoints.get_mut(place)?.endpoint {
            Endpoint::Link(link) => Some(link),
            _ => None,
        }
    }

    /// A peer (or anybody) connected to the mirror address.
    pub(crate) fn accept_link(&mut self, stream: TcpStream) {
        let Some(mirror) = &self.mirror else {
            return;
        };
        if let Ok(link) = Link::accepted(stream, &mirror.secret, self.core.now_ns) {
            // A connection that cannot be watched is dropped, which closes it.
            let _ = self.keep(Endpoint::Link(Box::new(link)));
        }
    }

    pub(crate) fn serve_link(&mut self, place: usize) {
        let mut arrived = Vec::new();
        let Some(link) = self.link_mut(place) else {
            return;
        };
        let outcome = link.pump(&mut arrived);
        self.mark_dirty(place);
        for thing in arrived {
            match thing {
                Arrived::Session(session) => self.link_opened(place, &session),
                Arrived::Message(message) => self.link_message(place, message),
            }
        }
        match outcome {
            Ok(true) => self.schedule(place),
            Ok(false) => {}
            Err(Broken::Reset) => self.close_link(place, "reset"),
            Err(Broken::Protocol) => self.close_link(place, "protocol"),
            Err(Broken::Version(theirs)) => {
                self.tell_version(place, theirs);
                self.close_link(place, "protocol");
            }
        }
    }

    fn link_opened(&mut self, place: usize, session: &LinkSession) {
        let dialed = self.link_mut(place).and_then(|link| link.peer);
        let accepted = || {
            let dialer: IpAddr = session.dialer.parse().ok()?;
            self.peers
                .iter()
                .find(|(_, peer)| peer.address.ip() == dialer && !peer.dial)
                .map(|(peer, _)| peer)
        };
        let Some(peer_place) = dialed.or_else(accepted) else {
            return self.close_link(place, "refused");
        };
        let old = self.peers[peer_place].link.filter(|old| *old != place);
        if let Some(old) = old {
            self.close_link(old, "reset");
        }
        if let Some(link) = self.link_mut(place) {
            link.peer = Some(peer_place);
        }
        let peer = &mut self.peers[peer_place];
        peer.link = Some(place);
        peer.opened_ns = self.core.now_ns;
        peer.told_version = None;
        if let Some(mirror) = &self.mirror
            && let Some(key) = session.key
        {
            let main = Route {
                own: mirror.address,
                to: peer.address,
            };
            mirror
                .heartbeats
                .begin(peer_place, vec![main], key, peer.dial, &peer.vitals);
        }
        let (serve_ns, promised_ns) = (
            peer.vitals.serve_until_ns(),
            peer.vitals.promised_until_ns(),
        );
        self.core
            .node
            .lease(peer_id(peer_place), serve_ns, promised_ns, self.core.now_ns);
        self.core
            .node
            .link_up(peer_id(peer_place), self.core.now_ns);
    }

    /// Tell, once, that the other side speaks another version. Nothing is proven: a peer whose link stands is not concerned.
    fn tell_version(&mut self, place: usize, theirs: u8) {
        let Some(link) = self.link_mut(place) else {
            return;
        };
        let (dialed, from) = (link.peer, link.socket.stream.peer_addr());
        let peer = match (dialed, from) {
            (Some(place), _) => self.peers.get_mut(place),
            (None, Ok(from)) => self
                .peers
                .iter_mut()
                .map(|(_, peer)| peer)
                .find(|peer| peer.address.ip() == from.ip() && !peer.dial),
            (None, Err(_)) => None,
        };
        if let Some(peer) = peer
            && !peer.up
            && peer.told_version != Some(theirs)
        {
            peer.told_version = Some(theirs);
            self.events.push(EngineEvent::PeerVersion {
                peer: peer.name.clone(),
                theirs,
                ours: VERSION,
            });
        }
    }

    fn link_message(&mut self, place: usize, message: Message) {
        if let Some(peer) = self.link_mut(place).and_then(|link| link.peer) {
            self.core
                .node
                .receive(peer_id(peer), message, self.core.now_ns);
        }
    }

    /// Send to a peer; a message to a peer without a link is dropped, as the mirror core expects.
    pub(crate) fn send(&mut self, peer: PeerId, message: &Message) {
        let place = self.peers.get(peer.0 as usize).and_then(|peer| peer.link);
        if let Some(place) = place
            && let Some(link) = self.link_mut(place)
            && link.is_open()
        {
            link.send(message);
            self.mark_dirty(place);
        }
    }

    /// Write what waits for peers now instead of at the end of the pass.
    pub(crate) fn flush_links(&mut self) {
        for at in 0..self.peers.capacity() {
            if let Some(place) = self.peers.get(at).and_then(|peer| peer.link)
                && self
                    .link_mut(place)
                    .is_some_and(|link| link.outbox.len_bytes() > 0)
            {
                self.flush_link(place);
            }
        }
    }

    pub(crate) fn flush_link(&mut self, place: usize) {
        let Some(link) = self.link_mut(place) else {
            return;
        };
        if link.flush().is_err() {
            self.close_link(place, "reset");
        } else if link.socket.is_readable() {
            self.schedule(place);
        }
    }

    /// Close a link; `reason` is told if the peer counted as up.
    pub(crate) fn close_link(&mut self, place: usize, reason: &'static str) {
        let Some(link) = self.link_mut(place) else {
            return;
        };
        let peer_place = link.peer;
        self.endpoints.remove(place);
        let Some((peer_place, peer)) = peer_place
            .and_then(|at| self.peers.get_mut(at).map(|peer| (at, peer)))
            .filter(|(_, peer)| peer.link == Some(place))
        else {
            return;
        };
        peer.link = None;
        peer.loss = reason;
        // Spread over 200 to 500 ms by whatever the clock's low digits are, so that two nodes do not keep step.
        peer.redial_ns = self.core.now_ns + REDIAL_NS + self.core.now_ns % (REDIAL_NS * 3 / 2);
        if let Some(mirror) = &self.mirror {
            mirror.heartbeats.end(peer_place);
        }
        // The heart may have promised since the core last heard; from here on it promises nothing more.
        self.renew_leases();
        self.core
            .node
            .link_down(peer_id(peer_place), self.core.now_ns);
    }

    /// The mirror core's word: link and lease stand.
    pub(crate) fn peer_up(&mut self, peer: PeerId) {
        if let Some(peer) = self.peers.get_mut(peer.0 as usize) {
            peer.up = true;
            self.events.push(EngineEvent::PeerUp(peer.name.clone()));
        }
    }

    /// The mirror core's word: the peer is lost.
    pub(crate) fn peer_down(&mut self, peer: PeerId, loss: LinkLoss) {
        let Some(known) = self.peers.get_mut(peer.0 as usize) else {
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
        if let Some(place) = known.link {
            self.close_link(place, reason);
        }
    }

    /// Tell the mirror core how the leases and promises stand now; a promise holds without a link too.
    pub(crate) fn renew_leases(&mut self) {
        for (place, peer) in &self.peers {
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

    /// Connect where there is no link, close what does not get on, notice silence.
    pub(crate) fn tick_peers(&mut self) {
        let now_ns = self.core.now_ns;
        let late: Vec<_> = self
            .endpoints
            .iter()
            .filter(|(_, slot)| matches!(&slot.endpoint, Endpoint::Link(link) if !link.is_open() && now_ns >= link.deadline_ns))
            .map(|(place, _)| place)
            .collect();
        for place in late {
            self.close_link(place, "refused");
        }
        for place in self
            .peers
            .iter()
            .map(|(place, _)| place)
            .collect::<Vec<_>>()
        {
            if let Some(silent) = self.silent_link(place) {
                self.close_link(silent, "silent");
            }
            if let Some(link) = self.peers[place].link
                && self.link_mut(link).is_some_and(Link::tick)
            {
                self.schedule(link);
            }
            let peer = &self.peers[place];
            if peer.link.is_none() && peer.dial && now_ns >= peer.redial_ns {
                self.dial(place);
            }
        }
    }

    /// The open link of a peer that was not heard for too long.
    fn silent_link(&self, place: usize) -> Option<usize> {
        let peer = &self.peers[place];
        let heard_ns = peer.vitals.last_heard_ns().max(peer.opened_ns);
        let is_silent = self.core.now_ns.saturating_sub(heard_ns) > self.settings.silence_ns;
        peer.link
            .filter(|link| match &self.endpoints[*link].endpoint {
                Endpoint::Link(link) => is_silent && link.is_open(),
                _ => false,
            })
    }

    fn dial(&mut self, place: usize) {
        let Some(mirror) = &self.mirror else {
            return;
        };
        let peer = &mut self.peers[place];
        peer.redial_ns = self.core.now_ns + REDIAL_NS;
        let dialed = Link::dial(
            mirror.address,
            peer.address,
            place,
            &mirror.secret,
            self.core.now_ns,
        );
        if let Ok(link) = dialed
            && let Ok(kept) = self.keep(Endpoint::Link(Box::new(link)))
        {
            self.peers[place].link = Some(kept);
        }
    }
}
