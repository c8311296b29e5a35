//! The heartbeat thread: UDP datagrams on this node's mirror addresses, apart from the engine's loop.
//!
//! Rules:
//!
//! * A busy loop or a slow disk does not silence the heart; a loop that has not turned for [`WATCHDOG_NS`] does, so
//!   that an engine that is stuck loses its peer and its lease.
//! * What the hearts know is published through atomics; the loop reads them without waiting.
//! * A peer's promise outlives its link: a new session's heart starts with the promise of the one before.
//! * A peer has one heart and one lease, however many routes lead to it. An ask goes over all of them; one answer over any is enough.
//!   An answer goes back over the route on which its ask came. A route that fails holds up no other.
//! * A datagram belongs to the peer that has a route from the socket's address to the sender's. Whatever fits no route is ignored.
//! * A turn takes a bounded number of datagrams from each socket: a flood does not keep the heart from beating.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::SocketType;
use twindisk_mirror::heart::Heart;

use crate::abort::AbortOnPanic;
use crate::clock::boottime_ns;
use crate::portal::absent;

/// The heart stops when the engine's loop has not turned for this long, in nanoseconds.
pub const WATCHDOG_NS: u64 = 10_000_000_000;
/// The thread looks for new hearts and for its end at least this often.
const LOOK_NS: u64 = 50_000_000;
/// It waits for datagrams at least this long between two turns, if there are none.
const WAIT_MIN_NS: u64 = 1_000_000;
/// Datagrams that one turn takes from a socket.
const TURN_DATAGRAMS: usize = 64;

/// What the heart of one peer knows, as of its last beat; times of CLOCK_BOOTTIME.
#[derive(Debug, Default)]
pub struct Vitals {
    serve_until_ns: AtomicU64,
    promised_until_ns: AtomicU64,
    last_heard_ns: AtomicU64,
}

impl Vitals {
    /// Until when this node may serve what it mirrors with the peer; 0: no heartbeat of this session was answered yet.
    #[must_use]
    pub fn serve_until_ns(&self) -> u64 {
        self.serve_until_ns.load(Ordering::Acquire)
    }

    /// Until when this node has promised not to go on alone.
    #[must_use]
    pub fn promised_until_ns(&self) -> u64 {
        self.promised_until_ns.load(Ordering::Acquire)
    }

    /// When the peer was last heard in this session; 0: not yet.
    #[must_use]
    pub fn last_heard_ns(&self) -> u64 {
        self.last_heard_ns.load(Ordering::Acquire)
    }

    fn publish(&self, heart: &Heart) {
        self.promised_until_ns
            .store(heart.promised_until_ns(), Ordering::Release);
        self.serve_until_ns
            .store(heart.serve_until_ns(), Ordering::Release);
        self.last_heard_ns
            .store(heart.last_heard_ns().unwrap_or(0), Ordering::Release);
    }
}

/// One way to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// This node's address on it.
    pub own: IpAddr,
    /// Where the peer receives its heartbeats on it.
    pub to: SocketAddr,
}

struct Beating {
    heart: Heart,
    routes: Vec<Route>,
    vitals: Arc<Vitals>,
}

/// By the peers' places.
type Hearts = BTreeMap<usize, Beating>;

/// The socket of one of this node's addresses.
struct Bound {
    own: IpAddr,
    socket: UdpSocket,
}

impl Bound {
    /// The socket of the node's mirror address, which must be there.
    fn present(address: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            own: address.ip(),
            socket,
        })
    }

    /// The socket of a further address, which may come later: its card may be missing still.
    fn expected(address: SocketAddr) -> io::Result<Self> {
        let fd = absent(address, SocketType::DGRAM)?;
        Ok(Self {
            own: address.ip(),
            socket: fd.into(),
        })
    }

    fn send(&self, beat: &[u8], to: SocketAddr) {
        // A datagram that cannot be sent is a lost one.
        let _ = self.socket.send_to(beat, to);
    }
}

struct Shared {
    sockets: Vec<Bound>,
    hearts: Mutex<Hearts>,
    turned_ns: Arc<AtomicU64>,
    stop: AtomicBool,
}

impl Shared {
    fn bind(addresses: &[SocketAddr], turned_ns: Arc<AtomicU64>) -> io::Result<Self> {
        let (first, further) = addresses.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let main = Bound::present(*first)?;
        let port = main.socket.local_addr()?.port();
        let mut sockets = vec![main];
        for address in further {
            let mut address = *address;
            address.set_port(port);
            sockets.push(Bound::expected(address)?);
        }
        Ok(Self {
            sockets,
            hearts: Mutex::default(),
            turned_ns,
            stop: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Hearts> {
        self.hearts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut watched: Vec<_> = (self.sockets.iter())
            .map(|bound| PollFd::new(&bound.socket, PollFlags::IN))
            .collect();
        let mut wait_ns = WAIT_MIN_NS;
        while !self.stop.load(Ordering::Acquire) {
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: i64::try_from(wait_ns).unwrap_or(0),
            };
            // Each socket is looked at whatever it says: a signal may have cut it short.
            let _ = poll(&mut watched, Some(&timeout));
            for bound in &self.sockets {
                self.hear(bound);
            }
            wait_ns = self.beat();
        }
    }

    fn is_stuck(&self, now_ns: u64) -> bool {
        now_ns.saturating_sub(self.turned_ns.load(Ordering::Acquire)) > WATCHDOG_NS
    }

    /// Take a turn's share of what a socket received.
    fn hear(&self, bound: &Bound) {
        let mut datagram = [0; 64];
        for _ in 0..TURN_DATAGRAMS {
            let Ok((len_bytes, from)) = bound.socket.recv_from(&mut datagram) else {
                return;
            };
            // Now, when it is there: a promise that counted from before its ask would be too short.
            let now_ns = boottime_ns();
            if !self.is_stuck(now_ns) {
                self.answer(bound, &datagram[..len_bytes], from.ip(), now_ns);
            }
        }
    }

    fn answer(&self, bound: &Bound, datagram: &[u8], from: IpAddr, now_ns: u64) {
        let mut hearts = self.lock();
        let found = hearts.values_mut().find_map(|beating| {
            let route = (beating.routes.iter())
                .find(|route| route.own == bound.own && route.to.ip() == from)?;
            Some((route.to, beating))
        });
        if let Some((to, beating)) = found {
            let answer = beating.heart.receive(datagram, now_ns);
            beating.vitals.publish(&beating.heart);
            if let Some(answer) = answer {
                bound.send(&answer, to);
            }
        }
    }

    /// Ask where it is time to; how long to wait for the next turn.
    fn beat(&self) -> u64 {
        let now_ns = boottime_ns();
        if self.is_stuck(now_ns) {
            return LOOK_NS;
        }
        let mut next_ns = now_ns + LOOK_NS;
        for beating in self.lock().values_mut() {
            if let Some(ask) = beating.heart.tick(now_ns) {
                for route in &beating.routes {
                    self.ask(route, &ask);
                }
            }
            next_ns = next_ns.min(beating.heart.next_tick_ns());
        }
        next_ns.saturating_sub(now_ns).clamp(WAIT_MIN_NS, LOOK_NS)
    }

    fn ask(&self, route: &Route, ask: &[u8]) {
        if let Some(bound) = self.sockets.iter().find(|bound| bound.own == route.own) {
            bound.send(ask, route.to);
        }
    }
}

/// The hearts of one node; dropping it stops the thread.
pub struct Heartbeats {
    shared: Arc<Shared>,
    interval_ns: u64,
    lease_ns: u64,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeats {
    /// Bind a datagram socket for each of this node's addresses and start the thread. The first is its mirror address; the
    /// further ones, whose port is that of the first, need not be there yet. `turned_ns`: when the engine's loop last turned.
    ///
    /// # Errors
    /// The first address is not ours, or one is in use.
    pub fn start(
        addresses: &[SocketAddr],
        interval_ns: u64,
        lease_ns: u64,
        turned_ns: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::bind(addresses, turned_ns)?);
        let run = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("twindisk-heart".to_owned())
            .spawn(move || {
                let _guard = AbortOnPanic;
                run.run();
            })?;
        Ok(Self {
            shared,
            interval_ns,
            lease_ns,
            thread: Some(thread),
        })
    }

    /// Begin to beat for the new session of the peer at a place (instead of an old one), with its key; `dialer`: this node
    /// dialed it. The first route is the main path.
    pub fn begin(
        &self,
        place: usize,
        routes: Vec<Route>,
        key: [u8; 32],
        dialer: bool,
        vitals: &Arc<Vitals>,
    ) {
        let mut hearts = self.shared.lock();
        let promised_ns = vitals.promised_until_ns();
        let heart = Heart::new(key, dialer, self.interval_ns, self.lease_ns, promised_ns);
        vitals.publish(&heart);
        let vitals = Arc::clone(vitals);
        let beating = Beating {
            heart,
            routes,
            vitals,
        };
        hearts.insert(place, beating);
    }

    /// Stop beating for a peer whose link is gone. Its promise stays in its vitals.
    pub fn end(&self, place: usize) {
        self.shared.lock().remove(&place);
    }
}

impl Drop for Heartbeats {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing left to do.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
