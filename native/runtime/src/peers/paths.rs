//! The paths to a peer: pairs of addresses, how many connections each has, and whether operators know.

use std::net::{IpAddr, SocketAddr};

use super::Peer;
use crate::engine::Engine;
use crate::event::{EngineEvent, PathOf};
use crate::heartbeat::Route;

/// A path that has not been usable for so long is told of, in nanoseconds.
const TOLD_AFTER_NS: u64 = 3_000_000_000;

/// A path to a peer.
pub(crate) struct Path {
    /// This node's address.
    pub(crate) own: IpAddr,
    /// The peer's.
    pub(crate) to: SocketAddr,
    /// The connections that this side keeps over it; none if the peer dials.
    pub(super) dials: Vec<Dial>,
    /// How often one of them has tried to open a link; paths with fewer tries come first.
    pub(super) tries: u64,
    /// When it was last usable; 0: not since the link stands.
    usable_ns: u64,
    /// Operators were told that it is not usable.
    told_down: bool,
}

/// A connection that this side keeps.
#[derive(Default)]
pub(super) struct Dial {
    /// Its place among the endpoints, from the attempt on.
    pub(super) place: Option<usize>,
    /// When to connect next.
    pub(super) redial_ns: u64,
    /// When it has opened the link or joined it, if it has.
    pub(super) joined_ns: Option<u64>,
    /// How often in a row it has ended soon after that.
    pub(super) short_lives: u32,
}

/// A path as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathStatus {
    /// This node's address.
    pub own: IpAddr,
    /// The peer's.
    pub theirs: IpAddr,
    /// Its open connections.
    pub connections: usize,
    /// Bytes that were sent over them.
    pub sent_bytes: u64,
}

impl Path {
    pub(super) fn new(own: IpAddr, to: SocketAddr, dials: usize) -> Self {
        Self {
            own,
            to,
            dials: (0..dials).map(|_| Dial::default()).collect(),
            tries: 0,
            usable_ns: 0,
            told_down: false,
        }
    }

    /// The ends are this node's address and the peer's.
    pub(super) fn is_between(&self, own: IpAddr, theirs: IpAddr) -> bool {
        (self.own, self.to.ip()) == (own, theirs)
    }
}

impl Peer {
    /// Which path has these ends.
    pub(super) fn path_of(&self, own: IpAddr, theirs: IpAddr) -> Option<usize> {
        self.paths
            .iter()
            .position(|path| path.is_between(own, theirs))
    }

    /// Whether several connections are expected.
    pub(super) fn has_several_ways(&self) -> bool {
        self.paths.len() > 1 || self.paths[0].dials.len() > 1
    }

    /// The ways of heartbeats.
    pub(super) fn routes(&self) -> Vec<Route> {
        let route = |path: &Path| Route {
            own: path.own,
            to: path.to,
        };
        self.paths.iter().map(route).collect()
    }

    /// The link has ended: with the next one it is seen anew which paths are usable.
    pub(super) fn forget_paths(&mut self) {
        for path in &mut self.paths {
            (path.usable_ns, path.told_down) = (0, false);
        }
    }
}

impl Engine {
    /// The paths to a peer as they are now, the main one first.
    pub(crate) fn path_status(&self, place: usize) -> Vec<PathStatus> {
        let Some(peer) = self.peers.get(place) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = peer
            .paths
            .iter()
            .map(|path| PathStatus {
                own: path.own,
                theirs: path.to.ip(),
                connections: 0,
                sent_bytes: 0,
            })
            .collect();
        for at in self.connections_of(place) {
            if let Some(connection) = self.connection(at)
                && let Some(way) = connection.way
            {
                paths[way.path].connections += 1;
                paths[way.path].sent_bytes += connection.outbox.sent_bytes();
            }
        }
        paths
    }

    /// Tell of paths that are not usable, and that are again.
    pub(super) fn tell_paths(&mut self, place: usize) {
        let usable = self.path_status(place);
        let now_ns = self.core.now_ns;
        let peer = &mut self.peers[place];
        let Some(link) = peer.link.as_ref().filter(|_| peer.up) else {
            return;
        };
        for (path, status) in peer.paths.iter_mut().zip(usable) {
            let event = PathOf {
                peer: peer.name.clone(),
                own: status.own,
                theirs: status.theirs,
            };
            let down_ns = now_ns.saturating_sub(path.usable_ns.max(link.opened_ns));
            if status.connections > 0 {
                path.usable_ns = now_ns;
                if std::mem::take(&mut path.told_down) {
                    self.events.push(EngineEvent::PathUp(event));
                }
            } else if down_ns > TOLD_AFTER_NS && !path.told_down {
                path.told_down = true;
                self.events.push(EngineEvent::PathDown(event));
            }
        }
    }
}
