//! What sessions that were closed have left in memory: data of writes that disks or the peer are still at work on.
//!
//! Rule: it counts for its initiator until it is gone, so that nobody gets another share by coming in anew.

use crate::engine::Engine;
use crate::session::Session;
use crate::share::Share;
use crate::socket::Blocks;

/// What one closed session has left.
#[derive(Debug)]
pub(crate) struct Remains {
    initiator: String,
    share: Share,
    blocks: Blocks,
}

impl Engine {
    /// Keep count of what a session leaves that is being closed.
    pub(crate) fn keep_remains(&mut self, session: &mut Session) {
        let Some(login) = &session.login else {
            return;
        };
        let mut blocks = session.socket.take_blocks();
        blocks.sweep();
        if blocks.held_bytes() > 0 {
            let mut share = Share::beside(&session.share);
            session.share.set(0);
            share.set(blocks.held_bytes());
            self.remains.push(Remains {
                initiator: login.initiator.clone(),
                share,
                blocks,
            });
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
        self.remains.retain_mut(|left| {
            left.blocks.sweep();
            left.share.set(left.blocks.held_bytes());
            left.blocks.held_bytes() > 0
        });
    }
}
