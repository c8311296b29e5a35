//! Connecting to peers, and what happens as time passes.
//!
//! Rules:
//!
//! * All connections are dialed at once. The first that is made opens the link; the others wait for that, and join. So a dead path delays
//!   nothing.
//! * A connection that ends is dialed again by its own clock, quickly as long as there is no link.

use super::Peer;
use super::connection::{Connection, Way};
use super::paths::Path;
use crate::engine::{Endpoint, Engine};

/// Shortest time between two attempts to connect, in nanoseconds; up to 150 % more, by chance of the clock.
const REDIAL_NS: u64 = 200_000_000;
/// The same while the link stands without the connection.
const REDIAL_SPARE_NS: u64 = 1_000_000_000;
/// TCP sends again after 0.2 s, 0.6 s and 1.4 s; where the peer may be silent for less than that, that is waited for.
const UNANSWERED_LEAST_NS: u64 = 1_000_000_000;
/// A connection that ends sooner after it has joined makes the next wait twice as long: frames that it was given are late each time.
const SHORT_LIFE_NS: u64 = 10_000_000_000;
/// After so many of them in a row the wait grows no more.
const SHORT_LIVES_MAX: u32 = 4;
/// How far apart the connections of one peer are dialed, in nanoseconds, when the link is lost.
const STAGGER_NS: u64 = 37_000_000;

impl Engine {
    /// Connect where a connection is missing, close what does not get on, notice silence.
    pub(crate) fn tick_peers(&mut self) {
        let now_ns = self.core.now_ns;
        let late: Vec<_> = self
            .endpoints
            .iter()
            .filter(|(_, slot)| matches!(&slot.endpoint, Endpoint::Link(one) if !one.is_open() && now_ns >= one.deadline_ns))
            .map(|(place, _)| place)
            .collect();
        for place in late {
            self.close_connection(place, "refused");
        }
        let peers: Vec<_> = self.peers.iter().map(|(place, _)| place).collect();
        for place in peers {
            if self.is_silent(place) {
                self.close_link(place, "silent");
            }
            self.tick_connections(place);
            self.dial_missing(place);
            self.begin_handshakes(place);
            if self.peers[place].paths.len() > 1 {
                self.tell_paths(place);
            }
        }
    }

    fn tick_connections(&mut self, peer: usize) {
        let (now_ns, silence_ns) = (self.core.now_ns, self.settings.silence_ns);
        let known = &mut self.peers[peer];
        if now_ns.saturating_sub(known.vitals.last_heard_ns()) > silence_ns / 2 {
            known.missed_ns = now_ns;
        }
        let missed_ns = known.missed_ns;
        for place in self.connections_of(peer) {
            let Some(connection) = self.connection_mut(place) else {
                continue;
            };
            connection.measure(now_ns);
            let is_dead = connection.waits_since_ns().is_some_and(|since_ns| {
                // After an outage TCP may be still for as long as that took: it waits twice as long before each time that it sends again.
                let times = if missed_ns > since_ns { 2 } else { 1 };
                now_ns - since_ns > (times * silence_ns).max(UNANSWERED_LEAST_NS)
            });
            if is_dead {
                // A path may let heartbeats through and no TCP: they would say for ever that the peer lives.
                self.close_connection(place, "silent");
            } else if connection.tick() {
                self.schedule(place);
            }
        }
        let silent = self.with_bundle(peer, |bundle, wires, now_ns| bundle.tick(wires, now_ns));
        if let Some(silent) = silent.flatten() {
            self.close_connection(silent, "silent");
        }
    }

    /// Whether nothing was heard of a peer for too long, although its link stands.
    fn is_silent(&self, place: usize) -> bool {
        let peer = &self.peers[place];
        peer.link.as_ref().is_some_and(|link| {
            let heard_ns = peer.vitals.last_heard_ns().max(link.opened_ns);
            self.core.now_ns.saturating_sub(heard_ns) > self.settings.silence_ns
        })
    }

    fn dial_missing(&mut self, peer: usize) {
        let now_ns = self.core.now_ns;
        for path in 0..self.peers[peer].paths.len() {
            for at in 0..self.peers[peer].paths[path].dials.len() {
                let dial = &mut self.peers[peer].paths[path].dials[at];
                if dial.place.is_none() && now_ns >= dial.redial_ns {
                    dial.redial_ns = now_ns + REDIAL_NS;
                    let place = self.dial(Way { peer, path });
                    self.peers[peer].paths[path].dials[at].place = place;
                }
            }
        }
    }

    /// Begin to connect; None: not now.
    fn dial(&mut self, way: Way) -> Option<usize> {
        let path = &self.peers[way.peer].paths[way.path];
        let connection = Connection::dial(path.own, path.to, way, self.core.now_ns).ok()?;
        self.keep(Endpoint::Link(Box::new(connection))).ok()
    }

    /// A connection has ended: dial it anew after a while.
    pub(super) fn redial_later(&mut self, way: Way, place: usize) {
        let now_ns = self.core.now_ns;
        let peer = &mut self.peers[way.peer];
        let is_linked = peer.link.is_some();
        let dials = &mut peer.paths[way.path].dials;
        if let Some(dial) = dials.iter_mut().find(|dial| dial.place == Some(place)) {
            dial.place = None;
            if let Some(joined_ns) = dial.joined_ns.take() {
                let is_short = now_ns - joined_ns < SHORT_LIFE_NS;
                dial.short_lives = if is_short { dial.short_lives + 1 } else { 0 };
            }
            let wait_ns = if is_linked {
                REDIAL_SPARE_NS << dial.short_lives.min(SHORT_LIVES_MAX)
            } else {
                REDIAL_NS
            };
            dial.redial_ns = now_ns + spread(wait_ns, now_ns);
        }
    }

    /// Connections that are made join the link; if there is none, the first opens one.
    pub(super) fn begin_handshakes(&mut self, peer: usize) {
        let Some(known) = self.peers.get(peer) else {
            return;
        };
        let join = known.link.as_ref().map(|link| link.id);
        let mut paths: Vec<_> = known.paths.iter().collect();
        paths.sort_by_key(|path| path.tries);
        let dials = paths.into_iter().flat_map(|path| &path.dials);
        let places: Vec<_> = dials.filter_map(|dial| dial.place).collect();
        let opens = |place: &usize| {
            self.connection(*place)
                .is_some_and(Connection::is_beginning)
        };
        let mut may_open = join.is_none() && !places.iter().any(opens);
        let Some(mirror) = &self.mirror else {
            return;
        };
        let (name, secret) = (mirror.address.ip(), mirror.secret.clone());
        let now_ns = self.core.now_ns;
        for place in places {
            let is_made = self.connection(place).is_some_and(Connection::is_made);
            if is_made
                && (join.is_some() || std::mem::take(&mut may_open))
                && let Some(connection) = self.connection_mut(place)
            {
                // Without random bytes it stays as it is, and is closed when its time is over.
                let _ = connection.begin(&secret, name, join, now_ns);
                self.schedule(place);
                self.mark_dirty(place);
                if join.is_none() {
                    self.peers[peer].tried(place);
                }
            }
        }
    }
}

impl Peer {
    /// There is no link: what is dialed is dialed soon.
    pub(super) fn redial_soon(&mut self, now_ns: u64) {
        let dials = self.paths.iter_mut().flat_map(|path| &mut path.dials);
        for (dial, number) in dials.zip(0..) {
            let soon_ns = now_ns + spread(REDIAL_NS, now_ns + number * STAGGER_NS);
            dial.redial_ns = dial.redial_ns.min(soon_ns);
        }
    }

    /// A connection has opened the link, or joined it.
    pub(super) fn joined(&mut self, place: usize, now_ns: u64) {
        let mut dials = self.paths.iter_mut().flat_map(|path| &mut path.dials);
        if let Some(dial) = dials.find(|dial| dial.place == Some(place)) {
            dial.joined_ns = Some(now_ns);
        }
    }

    /// A connection tries to open the link.
    fn tried(&mut self, place: usize) {
        let is_of = |path: &&mut Path| path.dials.iter().any(|dial| dial.place == Some(place));
        if let Some(path) = self.paths.iter_mut().find(is_of) {
            path.tries += 1;
        }
    }
}

/// A time from `least_ns` on, spread by whatever the clock's low digits are, so that two nodes do not keep step.
fn spread(least_ns: u64, now_ns: u64) -> u64 {
    least_ns + now_ns % (least_ns * 3 / 2)
}
