//! How much memory the commands of one initiator hold, over all its sessions on this node.
//!
//! Rules: all sessions of an initiator have one share; while it is used up none of them is read, so that the others' commands go on;
//! what a session holds is given back when it closes, whatever becomes of its commands.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that the commands of one initiator may hold before none of its connections is read any more.
pub const SHARE_MAX_BYTES: usize = 128 << 20;

/// What one session holds of its initiator's share.
#[derive(Debug, Default)]
pub struct Share {
    own_bytes: usize,
    all_bytes: Arc<AtomicUsize>,
}

impl Share {
    /// A share in common with another session's.
    #[must_use]
    pub fn beside(other: &Self) -> Self {
        Self {
            own_bytes: 0,
            all_bytes: Arc::clone(&other.all_bytes),
        }
    }

    /// A command of this session holds so much.
    pub fn hold(&mut self, bytes: usize) {
        self.own_bytes += bytes;
        self.all_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It does no longer.
    pub fn release(&mut self, bytes: usize) {
        self.own_bytes -= bytes;
        self.all_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What this session holds.
    #[must_use]
    pub fn own_bytes(&self) -> usize {
        self.own_bytes
    }

    /// Whether the initiator may hold more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.all_bytes.load(Ordering::Relaxed) < SHARE_MAX_BYTES
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all_bytes.fetch_sub(self.own_bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_one_initiator_share_and_a_closed_one_gives_back() {
        let mut first = Share::default();
        let mut second = Share::beside(&first);
        let mut stranger = Share::default();
        first.hold(SHARE_MAX_BYTES - 1);
        assert!(second.has_room());
        second.hold(1);
        assert!(!first.has_room() && !second.has_room() && stranger.has_room());
        stranger.hold(SHARE_MAX_BYTES);
        assert!(!stranger.has_room());
        first.release(1);
        assert!(second.has_room());
        second.hold(1);
        drop(first);
        assert!(second.has_room());
        assert_eq!(second.own_bytes(), 2);
    }
}
