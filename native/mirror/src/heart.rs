//! Heartbeats and leases between two nodes (docs/protocols/mirror.md, heartbeats).
//!
//! Rules:
//! 1. A node that answers a heartbeat promises not to go on alone (unless the peer is known to be dead) until `lease`
//!    has passed since the answer: [`Heart::promised_until_ns`].
//! 2. The answer names that `lease` and lets the sender serve until so long after it *sent* the heartbeat, which was
//!    earlier: [`Heart::serve_until_ns`]. So the sender has stopped before the other may go on, whatever the network did.
//!    Where the nodes are set to different leases, the shorter one counts.
//! 3. Clocks need not agree, only run at nearly the same speed: the promise is lengthened by 1/16.
//!
//! 4. Both nodes tag with the same key, so a heartbeat says which of them it is by: the dialer's asks and answers are of other
//!    kinds than the listener's. A node that gets its own back (reflected, or because an address that is to be the
//!    peer's is its own) ignores them; else it would hear its peer in them and give itself a lease.
//!
//! Heartbeats carry the session key's tag (HMAC-SHA256, 16 bytes) so that nobody else can prolong a lease.

use hmac::{Hmac, Mac};
use sha2::Sha256;

const MAGIC: [u8; 4] = *b"TDH1";
/// Bytes of a heartbeat datagram.
pub const BEAT_BYTES: usize = 4 + 1 + 8 + 8 + 16;
const TAG_AT: usize = BEAT_BYTES - 16;

/// What one of the two sides says.
#[derive(Debug, Clone, Copy)]
struct Kinds {
    ask: u8,
    answer: u8,
}

const DIALER: Kinds = Kinds { ask: 1, answer: 4 };
const LISTENER: Kinds = Kinds { ask: 3, answer: 2 };

/// The heartbeat machine for one peer.
#[derive(Debug)]
pub struct Heart {
    key: [u8; 32],
    own: Kinds,
    peer: Kinds,
    interval_ns: u64,
    lease_ns: u64,
    next_ns: u64,
    last_heard_ns: Option<u64>,
    /// When the newest of the peer's asks was sent, by its clock.
    asked_ns: Option<u64>,
    /// When the ask was sent that the newest answer is for.
    answered_ns: Option<u64>,
    serve_until_ns: u64,
    promised_until_ns: u64,
}

impl Heart {
    /// A heart for a link session with the given key (see [`crate::handshake`]), which this node dialed, or not. The promise
    /// of an earlier session must be carried over: `promised_until_ns`.
    #[must_use]
    pub fn new(
        key: [u8; 32],
        dialer: bool,
        interval_ns: u64,
        lease_ns: u64,
        promised_until_ns: u64,
    ) -> Self {
        let (own, peer) = if dialer {
            (DIALER, LISTENER)
        } else {
            (LISTENER, DIALER)
        };
        Self {
            key,
            own,
            peer,
            interval_ns,
            lease_ns,
            next_ns: 0,
            last_heard_ns: None,
            asked_ns: None,
            answered_ns: None,
            serve_until_ns: 0,
            promised_until_ns,
        }
    }

    /// A heartbeat to be sent, when it is time for one.
    pub fn tick(&mut self, now_ns: u64) -> Option<[u8; BEAT_BYTES]> {
        if now_ns < self.next_ns {
            return None;
        }
        self.next_ns = now_ns + self.interval_ns;
        Some(self.beat(self.own.ask, now_ns, self.lease_ns))
    }

    /// How long a promise lasts, for leases of `lease_ns`.
    #[must_use]
    pub fn promise_ns(lease_ns: u64) -> u64 {
        lease_ns + lease_ns / 16
    }

    /// When [`tick`](Self::tick) wants to be called next.
    #[must_use]
    pub fn next_tick_ns(&self) -> u64 {
        self.next_ns
    }

    /// Take a datagram; the answer to be sent, if it asks for one. What is not ours is ignored.
    pub fn receive(&mut self, datagram: &[u8], now_ns: u64) -> Option<[u8; BEAT_BYTES]> {
        let beat: &[u8; BEAT_BYTES] = datagram.try_into().ok()?;
        let (kind, at_ns, granted_ns) = (beat[4], u64_at(beat, 5), u64_at(beat, 13));
        if beat[..4] != MAGIC
            || (kind != self.peer.ask && kind != self.peer.answer)
            || self
                .mac(&beat[..TAG_AT])
                .verify_truncated_left(&beat[TAG_AT..])
                .is_err()
        {
            return None;
        }
        let is_ask = kind == self.peer.ask;
        let newest_ns = if is_ask {
            &mut self.asked_ns
        } else {
            &mut self.answered_ns
        };
        // One that comes again, or late, may be somebody else's: it proves no life, and nothing that was not promised before.
        let is_new = newest_ns.is_none_or(|newest_ns| at_ns > newest_ns);
        let is_newest = is_new || *newest_ns == Some(at_ns);
        if is_new {
            *newest_ns = Some(at_ns);
            self.last_heard_ns = Some(now_ns);
        }
        if is_ask {
            if is_new {
                let until_ns = now_ns + Self::promise_ns(self.lease_ns);
                self.promised_until_ns = self.promised_until_ns.max(until_ns);
            }
            // An answer grants a lease from when the peer asked, by its clock. The promise covers that of the newest one, and of older ones unless
            // that clock has been set back.
            let is_covered = is_newest || self.promised_until_ns >= now_ns + self.lease_ns;
            return is_covered.then(|| self.beat(self.own.answer, at_ns, self.lease_ns));
        }
        if at_ns <= now_ns {
            let lease_ns = self.lease_ns.min(granted_ns);
            self.serve_until_ns = self.serve_until_ns.max(at_ns.saturating_add(lease_ns));
        }
        None
    }

    /// Until when this node may serve; 0 before the first answer.
    #[must_use]
    pub fn serve_until_ns(&self) -> u64 {
        self.serve_until_ns
    }

    /// Until when this node has promised not to go on alone.
    #[must_use]
    pub fn promised_until_ns(&self) -> u64 {
        self.promised_until_ns
    }

    /// When the peer was last heard.
    #[must_use]
    pub fn last_heard_ns(&self) -> Option<u64> {
        self.last_heard_ns
    }

    fn mac(&self, words: &[u8]) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(&self.key)
            .expect("HMAC takes keys of any length");
        mac.update(words);
        mac
    }

    fn beat(&self, kind: u8, at_ns: u64, lease_ns: u64) -> [u8; BEAT_BYTES] {
        let mut beat = [0; BEAT_BYTES];
        beat[..4].copy_from_slice(&MAGIC);
        beat[4] = kind;
        beat[5..13].copy_from_slice(&at_ns.to_le_bytes());
        beat[13..TAG_AT].copy_from_slice(&lease_ns.to_le_bytes());
        let tag = self.mac(&beat[..TAG_AT]).finalize().into_bytes();
        beat[TAG_AT..].copy_from_slice(&tag[..16]);
        beat
    }
}

fn u64_at(beat: &[u8; BEAT_BYTES], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&beat[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LEASE: u64 = 2_000;

    fn heart(dialer: bool) -> Heart {
        Heart::new([7; 32], dialer, 200, LEASE, 0)
    }

    fn pair() -> (Heart, Heart) {
        (heart(true), heart(false))
    }

    #[test]
    fn an_answered_heartbeat_gives_a_lease_from_its_sending() {
        for dialer in [true, false] {
            let (mut a, mut b) = (heart(dialer), heart(!dialer));
            let ask = a.tick(1_000).expect("the first is due");
            assert!(a.tick(1_199).is_none());
            let answer = b.receive(&ask, 5_000_000).expect("an answer");
            assert!(a.receive(&answer, 1_900).is_none());
            assert_eq!(a.serve_until_ns(), 1_000 + LEASE);
            assert!(b.promised_until_ns() > 5_000_000 + LEASE);
            assert_eq!(b.serve_until_ns(), 0);
        }
    }

    fn knows_nothing(heart: &Heart) -> bool {
        heart.last_heard_ns().is_none()
            && heart.promised_until_ns() == 0
            && heart.serve_until_ns() == 0
    }

    #[test]
    fn a_reflected_ask_gives_nothing() {
        for dialer in [true, false] {
            let mut a = heart(dialer);
            let ask = a.tick(1_000).expect("due");
            assert!(a.receive(&ask, 1_010).is_none());
            assert!(knows_nothing(&a));
            // Nor at a second heart of the same side, such as this node's own at another address.
            let mut same = heart(dialer);
            assert!(same.receive(&ask, 1_010).is_none());
            assert!(knows_nothing(&same));
        }
    }

    #[test]
    fn a_reflected_answer_gives_nothing() {
        for dialer in [true, false] {
            let (mut a, mut b) = (heart(dialer), heart(!dialer));
            let ask = a.tick(1_000).expect("due");
            let answer = b.receive(&ask, 1_010).expect("an answer");
            let promised_ns = b.promised_until_ns();
            assert!(b.receive(&answer, 1_900).is_none());
            assert_eq!(b.last_heard_ns(), Some(1_010));
            assert_eq!(b.promised_until_ns(), promised_ns);
            assert_eq!(b.serve_until_ns(), 0);
            let mut same = heart(!dialer);
            assert!(same.receive(&answer, 1_900).is_none());
            assert!(knows_nothing(&same));
        }
    }

    #[test]
    fn a_heartbeat_of_the_other_direction_needs_the_key() {
        for dialer in [true, false] {
            let mut a = heart(dialer);
            let ask = a.tick(1_000).expect("due");
            for kind in 0..=5 {
                let mut turned = ask;
                turned[4] = kind;
                assert!(a.receive(&turned, 1_010).is_none());
                assert!(knows_nothing(&a));
            }
        }
    }

    #[test]
    fn strangers_and_old_sessions_are_ignored() {
        let (mut a, mut b) = (heart(true), Heart::new([8; 32], false, 200, LEASE, 0));
        let ask = a.tick(0).expect("due");
        assert!(b.receive(&ask, 10).is_none());
        assert_eq!((b.last_heard_ns(), b.promised_until_ns()), (None, 0));
        assert!(a.receive(&ask[..20], 10).is_none());
    }

    #[test]
    fn a_heartbeat_that_comes_again_proves_no_life() {
        let (mut a, mut b) = pair();
        let first = a.tick(1_000).expect("due");
        let answer = b.receive(&first, 10_000).expect("an answer");
        a.receive(&answer, 1_100);
        let known = (b.last_heard_ns(), b.promised_until_ns());
        let again = b.receive(&first, 20_000);
        assert_eq!(
            again,
            Some(answer),
            "it may have come over another path first"
        );
        assert_eq!((b.last_heard_ns(), b.promised_until_ns()), known);
        a.receive(&answer, 1_900);
        assert_eq!(a.last_heard_ns(), Some(1_100));
        let second = a.tick(1_200).expect("due");
        b.receive(&second, 30_000);
        assert_eq!(b.last_heard_ns(), Some(30_000));
        b.receive(&first, 40_000);
        assert_eq!(b.last_heard_ns(), Some(30_000), "an old one that is late");
    }

    #[test]
    fn an_older_heartbeat_is_answered_as_long_as_the_promise_covers_the_lease() {
        let (mut a, mut b) = pair();
        let asks = [1_000, 1_200].map(|now_ns| a.tick(now_ns).expect("due"));
        b.receive(&asks[1], 10_000).expect("an answer");
        let spare_ns = Heart::promise_ns(LEASE) - LEASE;
        let promised_ns = b.promised_until_ns();
        assert!(b.receive(&asks[0], 10_000 + spare_ns).is_some());
        assert!(b.receive(&asks[0], 10_001 + spare_ns).is_none());
        assert_eq!(b.promised_until_ns(), promised_ns);
    }

    #[test]
    fn the_shorter_of_two_leases_counts() {
        let long = Heart::new([7; 32], true, 200, 9 * LEASE, 0);
        let (mut long, mut short) = (long, heart(false));
        let ask = long.tick(1_000).expect("due");
        let answer = short.receive(&ask, 1_010).expect("an answer");
        long.receive(&answer, 1_020);
        assert_eq!(long.serve_until_ns(), 1_000 + LEASE);
    }

    proptest! {
        #[test]
        fn the_promise_outlasts_the_lease(there in 0_u64..10_000, back in 0_u64..10_000, start in 0_u64..10_000) {
            let (mut a, mut b) = pair();
            let ask = a.tick(start).expect("due");
            let answer = b.receive(&ask, start + there).expect("an answer");
            a.receive(&answer, start + there + back);
            prop_assert!(a.serve_until_ns() < b.promised_until_ns());
        }
    }
}
