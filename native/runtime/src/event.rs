//! What the engine tells Python: a queue, and an eventfd that is readable while the queue may hold something.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};
use twindisk_mirror::report::{FactsPair, ToldFacts, Verified};
use twindisk_mirror::{Role, Sync};

/// What happened to a VDisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VdiskEvent {
    /// Both sides' facts are known.
    PeerFacts(Box<FactsPair>),
    /// The copies mirror.
    Attached {
        /// This side's role.
        role: Role,
        /// Direction of the resync.
        sync: Sync,
    },
    /// The peer's plan did not match.
    AttachRefused {
        /// Why, a short phrase.
        reason: &'static str,
    },
    /// A resync ended; this side's role.
    Resynced(Role),
    /// The peer was lost: all I/O is held.
    Held {
        /// The peer knows durably that it is behind.
        peer_outdated: bool,
    },
    /// The copy serves alone; so many held commands went on.
    Alone {
        /// Held commands that went on.
        released: usize,
    },
    /// The peer handed over.
    PeerLeft,
    /// This copy handed over.
    Left,
    /// Roles were swapped durably.
    Switching,
    /// A verification ended.
    Verified(Box<Verified>),
    /// No space is left for changes, which end so.
    NoSpace,
    /// The disk failed.
    DiskFailed {
        /// What was asked of the disk.
        operation: &'static str,
        /// The operating system's error number.
        errno: i32,
    },
    /// An initiator logged in.
    SessionOpened {
        /// Its iSCSI name.
        initiator: String,
        /// Where it connects from, `host:port`.
        address: String,
    },
    /// An initiator's session ended.
    SessionClosed {
        /// Its iSCSI name.
        initiator: String,
        /// Where it connected from, `host:port`.
        address: String,
    },
}

/// One path to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathOf {
    /// The peer's mirror address.
    pub peer: String,
    /// This node's address of the path.
    pub own: IpAddr,
    /// The peer's address of the path.
    pub theirs: IpAddr,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineEvent {
    /// The data link with a peer (its mirror address) is up, authenticated, and heartbeats flow.
    PeerUp(String),
    /// The data link with a peer is lost.
    PeerDown {
        /// The peer's mirror address.
        peer: String,
        /// `reset`, `silent`, `refused`, `protocol` or `closed`.
        reason: &'static str,
    },
    /// A peer, or whoever connects from its address, speaks another version of the mirror protocol: there will be no link. Told once
    /// for each version, until a link is up.
    PeerVersion {
        /// The peer's mirror address.
        peer: String,
        /// The version that it speaks.
        theirs: u8,
        /// The version that this node speaks.
        ours: u8,
    },
    /// A path to a peer that is up has not been usable for a while.
    PathDown(PathOf),
    /// It is usable again.
    PathUp(PathOf),
    /// An initiator was not let in. Nothing of what it said about itself is proven.
    LoginRefused {
        /// The name it gave, None: none, or none that could be one.
        initiator: Option<String>,
        /// The target it wanted; None: discovery, or as above.
        target: Option<String>,
        /// Where it connects from, `host:port`.
        address: String,
        /// The login status (class in the high byte, RFC 7143 §11.13.5).
        status: u16,
        /// Refusals since the last report that were not reported, because there were too many.
        unreported: u64,
    },
    /// Something about one VDisk, by name.
    Vdisk(String, VdiskEvent),
}

/// The queue of events.
#[derive(Debug)]
pub struct EventQueue {
    queue: Mutex<VecDeque<EngineEvent>>,
    ready: OwnedFd,
}

impl EventQueue {
    /// An empty queue.
    ///
    /// # Errors
    /// The operating system gives no eventfd.
    pub fn new() -> io::Result<Self> {
        let ready = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self {
            queue: Mutex::default(),
            ready,
        })
    }

    /// The eventfd's number; valid as long as the queue lives.
    #[must_use]
    pub fn fd(&self) -> RawFd {
        self.ready.as_raw_fd()
    }

    /// Append an event and make the eventfd readable.
    pub fn push(&self, event: EngineEvent) {
        self.lock().push_back(event);
        // Fails only when the counter is full, and then the eventfd is readable already.
        let _ = rustix::io::write(&self.ready, &1_u64.to_ne_bytes());
    }

    /// Take all events, oldest first.
    #[must_use]
    pub fn take(&self) -> Vec<EngineEvent> {
        let mut counter = [0; 8];
        // Fails only when nothing was written since the last call.
        let _ = rustix::io::read(&self.ready, &mut counter);
        self.lock().drain(..).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<EngineEvent>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A copy's facts, as told to Python.
pub type CopyFacts = ToldFacts;

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn is_readable(events: &EventQueue) -> bool {
        let mut fds = [PollFd::new(&events.ready, PollFlags::IN)];
        poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            }),
        )
        .unwrap()
            == 1
    }

    #[test]
    fn the_eventfd_is_readable_until_the_events_are_taken() {
        let events = EventQueue::new().unwrap();
        assert!(!is_readable(&events));
        events.push(EngineEvent::PeerUp("127.0.1.11".to_owned()));
        events.push(EngineEvent::Vdisk("M1".to_owned(), VdiskEvent::PeerLeft));
        assert!(is_readable(&events));
        assert_eq!(events.take().len(), 2);
        assert!(!is_readable(&events));
        assert!(events.take().is_empty());
    }
}
