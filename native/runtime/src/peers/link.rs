//! Opening and closing: connections, and the link that they make.

use std::net::IpAddr;

use twindisk_mirror::bundle::Bundle;
use twindisk_mirror::handshake::{Session, VERSION};

use super::connection::Way;
use super::{CONNECTIONS_MAX, Link, peer_id};
use crate::engine::Engine;
use crate::event::EngineEvent;

impl Engine {
    /// The handshake of a connection is done: it opens a link, or joins the one that stands.
    pub(super) fn connection_opened(&mut self, place: usize, session: &Session) {
        let dialed = self.connection_mut(place).and_then(|one| one.way);
        let Some(way) = dialed.or_else(|| self.way_of(place, session)) else {
            return self.close_connection(place, "refused");
        };
        let stands = self.peers[way.peer].link.as_ref().map(|link| link.id);
        match session.key {
            Some(_) if self.is_late(way.peer, place) => {
                return self.close_connection(place, "refused");
            }
            Some(key) => self.open_link(way.peer, session, key, place),
            None if stands == Some(session.id) && self.has_room(way) => {}
            None => return self.close_connection(place, "refused"),
        }
        let now_ns = self.core.now_ns;
        let Some(connection) = self.connection_mut(place) else {
            // It broke when what was left of the link before was carried out.
            return self.close_link(way.peer, "reset");
        };
        connection.way = Some(way);
        connection.measure(now_ns);
        self.peers[way.peer].joined(place, now_ns);
        self.with_bundle(way.peer, |bundle, _, now_ns| bundle.join(place, now_ns));
        if session.key.is_some() {
            self.renew_lease(way.peer);
            let now_ns = self.core.now_ns;
            self.core.node.link_up(peer_id(way.peer), now_ns);
        }
        self.begin_handshakes(way.peer);
    }

    /// Which peer an accepted connection is from, and over which of its paths.
    fn way_of(&self, place: usize, session: &Session) -> Option<Way> {
        let dialer: IpAddr = session.dialer.parse().ok()?;
        let (peer, known) = self
            .peers
            .iter()
            .find(|(_, peer)| peer.address() == dialer && !peer.dial)?;
        let (own, theirs) = self.ends_of(place)?;
        let path = known.path_of(own, theirs)?;
        Some(Way { peer, path })
    }

    fn has_room(&self, way: Way) -> bool {
        let ways = self.connections_of(way.peer).into_iter();
        let ways = ways.filter_map(|place| self.connection(place)?.way);
        ways.filter(|&other| other == way).count() < CONNECTIONS_MAX
    }

    /// Whether a connection that is to open a link came before the one that opened the link that stands: its peer has given it up since.
    fn is_late(&self, peer: usize, place: usize) -> bool {
        let peer = &self.peers[peer];
        let (link, connection) = (peer.link.as_ref(), self.connection(place));
        !peer.dial
            && link.is_some_and(|link| connection.is_some_and(|one| one.begun_ns < link.begun_ns))
    }

    fn open_link(&mut self, place: usize, session: &Session, key: [u8; 32], opener: usize) {
        if self.peers[place].link.is_some() {
            self.close_link(place, "reset");
        }
        // While there is no link: what the mirror core still has to say is of the old one.
        self.carry_out();
        let now_ns = self.core.now_ns;
        let begun_ns = self.connection(opener).map_or(now_ns, |one| one.begun_ns);
        let peer = &mut self.peers[place];
        peer.told_version = None;
        peer.link = Some(Link {
            id: session.id,
            bundle: Bundle::new(
                peer.has_several_ways(),
                self.settings.heartbeat_ns,
                self.settings.silence_ns,
            ),
            opened_ns: now_ns,
            begun_ns,
            sent_bytes: 0,
        });
        if let Some(mirror) = &self.mirror {
            mirror
                .heartbeats
                .begin(place, peer.routes(), key, peer.dial, &peer.vitals);
        }
    }

    /// Close a connection; with its last one the link ends, for `reason`.
    pub(super) fn close_connection(&mut self, place: usize, reason: &'static str) {
        let Some(connection) = self.connection_mut(place) else {
            return;
        };
        let way = connection.way;
        self.endpoints.remove(place);
        let Some(way) = way.filter(|way| self.peers.contains(way.peer)) else {
            return;
        };
        self.redial_later(way, place);
        if self.connections_of(way.peer).contains(&place) {
            let left = self.with_bundle(way.peer, |bundle, wires, now_ns| {
                bundle.leave(place, wires, now_ns)
            });
            if left.is_some_and(|left| left.is_err()) {
                self.close_link(way.peer, reason);
            }
        }
        self.begin_handshakes(way.peer);
    }

    /// Close a peer's link, if there is one; `reason` is told if the peer counted as up.
    pub(crate) fn close_link(&mut self, place: usize, reason: &'static str) {
        let connections = self.connections_of(place);
        let Some(peer) = self.peers.get_mut(place) else {
            return;
        };
        if peer.link.take().is_none() {
            return;
        }
        peer.loss = reason;
        peer.forget_paths();
        peer.redial_soon(self.core.now_ns);
        for connection in connections {
            self.close_connection(connection, reason);
        }
        if let Some(mirror) = &self.mirror {
            mirror.heartbeats.end(place);
        }
        // The heart may have promised since the core last heard; from here on it promises nothing more.
        self.renew_leases();
        let now_ns = self.core.now_ns;
        self.core.node.link_down(peer_id(place), now_ns);
    }

    /// Tell, once, that the other side speaks another version. Nothing is proven: a peer whose link stands is not concerned.
    pub(super) fn tell_version(&mut self, place: usize, theirs: u8) {
        let dialed = self.connection_mut(place).and_then(|one| one.way);
        let ends = self.ends_of(place);
        let peer = match (dialed, ends) {
            (Some(way), _) => self.peers.get_mut(way.peer),
            (None, Some((own, from))) => self
                .peers
                .iter_mut()
                .map(|(_, peer)| peer)
                .find(|peer| !peer.dial && peer.path_of(own, from).is_some()),
            (None, None) => None,
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

    /// This node's and the other side's address of a connection.
    fn ends_of(&self, place: usize) -> Option<(IpAddr, IpAddr)> {
        let stream = &self.connection(place)?.socket.stream;
        let (own, theirs) = (stream.local_addr().ok()?, stream.peer_addr().ok()?);
        Some((own.ip(), theirs.ip()))
    }
}
