//! The heartbeat thread: UDP datagrams on the mirror address, apart from the engine's loop.
//!
//! Rules:
//!
//! * A busy loop or a slow disk does not silence the heart; a loop that has not turned for [`WATCHDOG_NS`] does, so
//!   that an engine that is stuck loses its peer and its lease.
//! * What the hearts know is published through atomics; the loop reads them without waiting.
//! * A peer's promise outlives its link: a new session's heart starts with the promise of the one before.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use twindisk_mirror::heart::Heart;

use crate::abort::AbortOnPanic;
use crate::clock::boottime_ns;

/// The heart stops when the engine's loop has not turned for this long, in nanoseconds.
pub const WATCHDOG_NS: u64 = 10_000_000_000;
/// The thread looks for new hearts and for its end at least this often.
const LOOK_NS: u64 = 50_000_000;

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

struct Beating {
    heart: Heart,
    to: SocketAddr,
    vitals: Arc<Vitals>,
}

type Hearts = HashMap<IpAddr, Beating>;

struct Shared {
    socket: UdpSocket,
    hearts: Mutex<Hearts>,
    turned_ns: Arc<AtomicU64>,
    stop: AtomicBool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Hearts> {
        self.hearts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        let mut datagram = [0; 64];
        while !self.stop.load(Ordering::Acquire) {
            let received = self.socket.recv_from(&mut datagram);
            let now_ns = boottime_ns();
            if now_ns.saturating_sub(self.turned_ns.load(Ordering::Acquire)) > WATCHDOG_NS {
                continue;
            }
            if let Ok((len_bytes, from)) = received {
                self.answer(&datagram[..len_bytes], from, now_ns);
            }
            let next_ns = self.beat(now_ns);
            let wait_ns = next_ns.saturating_sub(now_ns).clamp(1_000_000, LOOK_NS);
            // Fails only for a zero time; the old time-out stays then.
            let _ = self
                .socket
                .set_read_timeout(Some(Duration::from_nanos(wait_ns)));
        }
    }

    fn answer(&self, datagram: &[u8], from: SocketAddr, now_ns: u64) {
        if let Some(beating) = self.lock().get_mut(&from.ip()) {
            let answer = beating.heart.receive(datagram, now_ns);
            beating.vitals.publish(&beating.heart);
            if let Some(answer) = answer {
                // A datagram that cannot be sent is a lost one.
                let _ = self.socket.send_to(&answer, beating.to);
            }
        }
    }

    fn beat(&self, now_ns: u64) -> u64 {
        let mut next_ns = now_ns + LOOK_NS;
        for beating in self.lock().values_mut() {
            if let Some(ask) = beating.heart.tick(now_ns) {
                // A datagram that cannot be sent is a lost one.
                let _ = self.socket.send_to(&ask, beating.to);
            }
            next_ns = next_ns.min(beating.heart.next_tick_ns());
        }
        next_ns
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
    /// Bind the datagram socket and start the thread. `turned_ns`: when the engine's loop last turned.
    ///
    /// # Errors
    /// The address is not ours or in use.
    pub fn start(
        address: SocketAddr,
        interval_ns: u64,
        lease_ns: u64,
        turned_ns: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(Duration::from_nanos(LOOK_NS)))?;
        let shared = Arc::new(Shared {
            socket,
            hearts: Mutex::default(),
            turned_ns,
            stop: AtomicBool::new(false),
        });
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

    /// Begin to beat for a peer's new session (in place of an old one), with its key; `dialer`: this node dialed it.
    pub fn begin(&self, peer: SocketAddr, key: [u8; 32], dialer: bool, vitals: &Arc<Vitals>) {
        let mut hearts = self.shared.lock();
        let promised_ns = vitals.promised_until_ns();
        let heart = Heart::new(key, dialer, self.interval_ns, self.lease_ns, promised_ns);
        vitals.publish(&heart);
        hearts.insert(
            peer.ip(),
            Beating {
                heart,
                to: peer,
                vitals: Arc::clone(vitals),
            },
        );
    }

    /// Stop beating for a peer whose link is gone. Its promise stays in its vitals.
    pub fn end(&self, peer: IpAddr) {
        self.shared.lock().remove(&peer);
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
mod tests {
    use super::*;

    fn start(address: &str, turned_ns: u64) -> (Heartbeats, SocketAddr) {
        let (address, turned) = (
            SocketAddr::new(address.parse().unwrap(), 0),
            turned_ns.into(),
        );
        let hearts =
            Heartbeats::start(address, 5_000_000, 2_000_000_000, Arc::new(turned)).unwrap();
        let bound = hearts.shared.socket.local_addr().unwrap();
        (hearts, bound)
    }

    /// Two nodes whose first one beats for the second and is answered; the other's vitals live with it.
    fn pair(test: u8, turned_ns: u64) -> ([Heartbeats; 2], SocketAddr, Arc<Vitals>) {
        let (here, own) = start(&format!("127.0.{test}.1"), turned_ns);
        let (there, to) = start(&format!("127.0.{test}.2"), boottime_ns());
        let vitals = Arc::default();
        here.begin(to, [7; 32], true, &vitals);
        there.begin(own, [7; 32], false, &Arc::default());
        ([here, there], to, vitals)
    }

    fn wait_for(what: impl Fn() -> bool) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(5));
            what()
        })
    }

    #[test]
    fn a_peer_that_answers_gives_a_lease() {
        let (_hearts, _, vitals) = pair(2, boottime_ns());
        assert!(wait_for(|| vitals.serve_until_ns() > boottime_ns()));
        assert!(wait_for(|| vitals.promised_until_ns() > boottime_ns()));
        assert!(vitals.last_heard_ns() > 0);
    }

    #[test]
    fn a_node_that_hears_itself_has_no_lease() {
        let (hearts, own) = start("127.0.3.1", boottime_ns());
        let vitals = Arc::default();
        hearts.begin(own, [7; 32], true, &vitals);
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(vitals.last_heard_ns(), 0);
        assert_eq!(
            (vitals.serve_until_ns(), vitals.promised_until_ns()),
            (0, 0)
        );
    }

    #[test]
    fn a_loop_that_is_stuck_silences_the_heart() {
        let (_hearts, _, vitals) = pair(4, boottime_ns().saturating_sub(2 * WATCHDOG_NS));
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(vitals.serve_until_ns(), 0);
    }

    #[test]
    fn a_new_session_keeps_the_promise_and_loses_the_lease() {
        let ([hearts, _there], to, vitals) = pair(5, boottime_ns());
        assert!(wait_for(
            || vitals.serve_until_ns() > 0 && vitals.promised_until_ns() > 0
        ));
        hearts.end(to.ip());
        let promised_ns = vitals.promised_until_ns();
        hearts.begin("127.0.0.1:1".parse().unwrap(), [8; 32], true, &vitals);
        assert!(vitals.promised_until_ns() >= promised_ns);
        assert_eq!(vitals.serve_until_ns(), 0);
    }
}
