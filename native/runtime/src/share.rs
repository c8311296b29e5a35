//! How much memory is held for whom: for one session, for one initiator over all its sessions, for all together.
//!
//! Rules:
//!
//! * Everything is counted that an initiator can make this node keep: what was received, as long as a byte of it is in use; what it
//!   was asked for and has not sent; what its commands will read or fill; what waits to be sent to it.
//! * Over a limit an initiator is slowed down ([`Room::Short`]): none of its sessions is read or begins what takes more memory,
//!   unless that is how what has begun can end, or the session has nothing open. It is read a little further ([`Share::may_run_ahead`])
//!   for the sake of what takes no memory, requests to end commands above all. Only what comes nevertheless and goes beyond that is refused ([`Room::Spent`]).
//! * A quarter of the limit for all together is divided into equal parts for the initiators. Who holds less than its part goes on as
//!   if alone, whatever the others do. The others are slowed down once half of the limit is held, and refused from three quarters on,
//!   so that the parts always fit in.
//! * A share is given back when what it counts is gone, not when its session is: see [`crate::remains`].

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use twindisk_iscsi::Room;

/// What one session may hold before it is slowed down, in bytes.
pub const SESSION_BYTES: usize = 64 << 20;
/// What all sessions of one initiator may hold before they are slowed down, in bytes.
pub const INITIATOR_BYTES: usize = 128 << 20;
/// How much more they may hold before something is refused, in bytes: what an initiator may send unasked, beside one command.
pub const MARGIN_BYTES: usize = 48 << 20;
/// How much of that margin is read while an initiator is slowed down, so that a request to end commands is found behind those that wait, in
/// bytes: all that one session may send unasked (128 commands of 256 KiB). The rest is one command's (16 MiB).
const AHEAD_BYTES: usize = 32 << 20;
/// The least part of an initiator, however many there are, in bytes.
const PART_MIN_BYTES: usize = 2 << 20;

/// What all initiators of an engine hold.
#[derive(Debug)]
pub struct Account {
    limit_bytes: usize,
    held_bytes: AtomicUsize,
    initiators: AtomicUsize,
}

impl Account {
    /// An account of an engine that is to hold `limit_bytes` at most.
    #[must_use]
    pub fn new(limit_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            limit_bytes,
            held_bytes: AtomicUsize::new(0),
            initiators: AtomicUsize::new(0),
        })
    }

    /// What is held.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    /// What may be held.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Whether an initiator that holds so much may go a little beyond what slows it down.
    fn allows_ahead(&self, of_initiator_bytes: usize) -> bool {
        let quarter_bytes = self.limit_bytes / 4;
        self.held_bytes() < 2 * quarter_bytes + quarter_bytes / 2
            || self.room(of_initiator_bytes) == Room::Free
    }

    /// How much room there is for an initiator that holds so much.
    fn room(&self, of_initiator_bytes: usize) -> Room {
        let held_bytes = self.held_bytes();
        let quarter_bytes = self.limit_bytes / 4;
        let part_bytes = quarter_bytes / self.initiators.load(Ordering::Relaxed).max(1);
        if held_bytes < 2 * quarter_bytes || of_initiator_bytes < part_bytes.max(PART_MIN_BYTES) {
            Room::Free
        } else if held_bytes < 3 * quarter_bytes {
            Room::Short
        } else {
            Room::Spent
        }
    }
}

#[derive(Debug)]
struct Initiator {
    held_bytes: AtomicUsize,
    account: Arc<Account>,
}

impl Drop for Initiator {
    fn drop(&mut self) {
        self.account.initiators.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one session holds of its initiator's part.
#[derive(Debug)]
pub struct Share {
    own_bytes: usize,
    initiator: Arc<Initiator>,
}

impl Share {
    /// The first share of an initiator.
    #[must_use]
    pub fn new(account: &Arc<Account>) -> Self {
        account.initiators.fetch_add(1, Ordering::Relaxed);
        Self {
            own_bytes: 0,
            initiator: Arc::new(Initiator {
                held_bytes: AtomicUsize::new(0),
                account: Arc::clone(account),
            }),
        }
    }

    /// An empty share of the same initiator.
    #[must_use]
    pub fn beside(other: &Self) -> Self {
        Self {
            own_bytes: 0,
            initiator: Arc::clone(&other.initiator),
        }
    }

    /// The session holds so much now.
    pub fn set(&mut self, bytes: usize) {
        let before_bytes = std::mem::replace(&mut self.own_bytes, bytes);
        if before_bytes == bytes {
            return;
        }
        for held_bytes in [
            &self.initiator.held_bytes,
            &self.initiator.account.held_bytes,
        ] {
            // Only the engine's thread writes it.
            let all_bytes = held_bytes.load(Ordering::Relaxed) - before_bytes + bytes;
            held_bytes.store(all_bytes, Ordering::Relaxed);
        }
    }

    /// What this session holds.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Whether more may be read while there is little room, though nothing that has begun needs it.
    #[must_use]
    pub fn may_run_ahead(&self) -> bool {
        let initiator_bytes = self.initiator.held_bytes.load(Ordering::Relaxed);
        self.own_bytes < SESSION_BYTES + AHEAD_BYTES
            && initiator_bytes < INITIATOR_BYTES + AHEAD_BYTES
            && self.initiator.account.allows_ahead(initiator_bytes)
    }

    /// How much room there is for more.
    #[must_use]
    pub fn room(&self) -> Room {
        let initiator_bytes = self.initiator.held_bytes.load(Ordering::Relaxed);
        room_within(self.own_bytes, SESSION_BYTES)
            .max(room_within(initiator_bytes, INITIATOR_BYTES))
            .max(self.initiator.account.room(initiator_bytes))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

fn room_within(held_bytes: usize, limit_bytes: usize) -> Room {
    if held_bytes < limit_bytes {
        Room::Free
    } else if held_bytes < limit_bytes + MARGIN_BYTES {
        Room::Short
    } else {
        Room::Spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_BYTES: usize = 1 << 30;

    #[test]
    fn sessions_of_one_initiator_share_and_a_closed_one_gives_back() {
        let account = Account::new(LIMIT_BYTES);
        let mut first = Share::new(&account);
        let mut second = Share::beside(&first);
        let mut stranger = Share::new(&account);
        first.set(SESSION_BYTES - 1);
        second.set(SESSION_BYTES - 1);
        assert_eq!([&first, &second].map(Share::room), [Room::Free; 2]);
        first.set(SESSION_BYTES);
        assert_eq!(
            [&first, &second].map(Share::room),
            [Room::Short, Room::Free]
        );
        second.set(SESSION_BYTES);
        assert_eq!(
            [&first, &second, &stranger].map(Share::room),
            [Room::Short, Room::Short, Room::Free]
        );
        first.set(SESSION_BYTES + MARGIN_BYTES);
        assert_eq!(
            [&first, &second, &stranger].map(Share::room),
            [Room::Spent, Room::Spent, Room::Free]
        );
        stranger.set(5);
        drop(first);
        assert_eq!(account.held_bytes(), SESSION_BYTES + 5);
        drop(second);
        drop(stranger);
        assert_eq!(account.held_bytes(), 0);
        assert_eq!(account.initiators.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn when_many_hold_much_each_gets_an_equal_part_and_who_holds_less_goes_on() {
        let account = Account::new(LIMIT_BYTES);
        let mut greedy: Vec<_> = (0..9).map(|_| Share::new(&account)).collect();
        let mut honest = Share::new(&account);
        for share in &mut greedy {
            share.set(SESSION_BYTES - 1);
        }
        honest.set(LIMIT_BYTES / 40 - 1);
        for share in &greedy {
            assert_eq!(share.room(), Room::Short);
        }
        assert_eq!(honest.room(), Room::Free);
        let mut more: Vec<_> = greedy.iter().map(Share::beside).collect();
        for share in &mut more {
            share.set(SESSION_BYTES - 1);
        }
        for share in greedy.iter().chain(&more) {
            assert_eq!(share.room(), Room::Spent);
        }
        honest.set(LIMIT_BYTES / 40 - 1);
        assert_eq!(honest.room(), Room::Free);
    }

    #[test]
    fn an_initiator_has_some_room_however_many_there_are() {
        let account = Account::new(LIMIT_BYTES);
        let mut shares: Vec<_> = (0..4000).map(|_| Share::new(&account)).collect();
        for share in &mut shares {
            share.set(PART_MIN_BYTES - 1);
        }
        assert!(account.held_bytes() > LIMIT_BYTES);
        assert_eq!(shares[0].room(), Room::Free);
        shares[0].set(PART_MIN_BYTES);
        assert_eq!(shares[0].room(), Room::Spent);
    }
}
