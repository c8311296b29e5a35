//! What sessions that were closed have left in memory: data of writes that disks or the peer are still at work on, and copies whose
//! piece is under way.
//!
//! Rule: it counts for its initiator until it is gone, so that nobody gets another share by coming in anew.

use twindisk_mirror::HostId;

use crate::engine::Engine;
use crate::session::Session;
use crate::share::Share;
use crate::socket::Blocks;
use crate::transfer::HELD_BYTES;

/// What one closed session has left.
#[derive(Debug)]
pub(crate) struct Remains {
    initiator: String,
    share: Share,
    blocks: Blocks,
    copies: Vec<HostId>,
}

impl Remains {
    fn count(&mut self) -> usize {
        let held_bytes = self.blocks.held_bytes() + self.copies.len() * HELD_BYTES;
        self.share.set(held_bytes);
        held_bytes
    }
}

impl Engine {
    /// Keep count of what a session leaves that is being closed.
    pub(crate) fn keep_remains(&mut self, session: &mut Session) {
        let Some(login) = &session.login else {
            return;
        };
        let mut blocks = session.socket.take_blocks();
        blocks.sweep();
        let own = (self.core.requests).ids(|request| request.nexus == session.nexus);
        let copies = own.into_iter().filter(|id| self.copy_is_at_work(*id));
        let mut left = Remains {
            initiator: login.initiator.clone(),
            share: Share::beside(&session.share),
            blocks,
            copies: copies.collect(),
        };
        session.share.set(0);
        if left.count() > 0 {
            self.remains.push(left);
        }
    }

    /// An initiator's share that outlived its session.
    pub(crate) fn remaining_share(&self, initiator: &str) -> Option<&Share> {
        let of_initiator = |left: &&Remains| left.initiator.eq_ignore_ascii_case(initiator);
        self.remains
            .iter()
            .find(of_initiator)
            .map(|left| &left.share)
    }

    pub(crate) fn tick_remains(&mut self) {
        let requests = &self.core.requests;
        self.remains.retain_mut(|left| {
            left.blocks.sweep();
            left.copies.retain(|id| requests.get(*id).is_some());
            left.count() > 0
        });
    }
}
