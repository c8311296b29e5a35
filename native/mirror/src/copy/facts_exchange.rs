//! What the copies tell each other while they do not mirror, and what is reported of it.
//!
//! Facts are told once they are durable, in the modes in which an attach could begin, and anew whenever they change, or the peer has
//! another copy meanwhile.

use super::attach::Early;
use super::{Copy, Mode, Surroundings};
use crate::dirty_bitmap::DirtyBitmap;
use crate::facts::Role;
use crate::ids::PeerId;
use crate::message::Body;
use crate::ops::NotReady;
use crate::report::{FactsPair, Report, ToldFacts};

impl Copy {
    /// The VDisk got a peer, or lost it: hold the I/O of a copy that serves until told anew, and forget what was known of
    /// another peer.
    pub fn set_peer(&mut self, peer: Option<PeerId>, around: Surroundings) {
        self.around = around;
        self.forget_peer_words();
        if self.readiness().is_none() {
            self.abandon();
            self.enter(Mode::Held);
        } else {
            self.stop_serving(NotReady::Transitioning);
        }
        self.peer = peer;
        let inconsistent = self.facts.inconsistent;
        self.facts.settle(self.facts.current);
        self.facts.inconsistent = inconsistent;
        self.unbroken = false;
        self.facts.role = Role::Master;
        self.dirty = DirtyBitmap::default();
        self.active.clear();
        self.facts_changed();
        self.persisting.want_bitmap_reset();
        self.pump();
    }

    /// Tell the peer our facts when it should know them and does not; report both sides' when both are known.
    pub(super) fn tell_facts(&mut self) {
        let tellable = matches!(self.mode, Mode::Closed(_) | Mode::Held | Mode::Alone);
        if !tellable
            || !self.around.link
            || self.gone
            || self.unflushed
            || self.draining.is_some()
            || !self.facts_durable()
        {
            return;
        }
        if self.told_seq == Some(self.facts_seq) {
            return;
        }
        self.told_seq = Some(self.facts_seq);
        let local = self.told();
        self.send(0, 0, Body::Facts(Box::new(local)));
        self.report_facts();
    }

    fn report_facts(&mut self) {
        let tellable = matches!(self.mode, Mode::Closed(_) | Mode::Held | Mode::Alone);
        if tellable
            && self.told_seq == Some(self.facts_seq)
            && let Some(remote) = self.remote.clone()
            && self.reported != Some((self.facts_seq, remote.seq))
        {
            self.reported = Some((self.facts_seq, remote.seq));
            let local = self.told();
            self.report(Report::PeerFacts(Box::new(FactsPair { local, remote })));
        }
    }

    /// The facts as the peer is told them.
    #[must_use]
    pub fn told(&self) -> ToldFacts {
        ToldFacts {
            facts: self.facts.clone(),
            seq: self.facts_seq,
            active: self.active.len() as u64,
            dirty: self.dirty.count(),
            size_bytes: self.size_bytes,
            unbroken: self.unbroken,
        }
    }

    pub(super) fn forget_peer_words(&mut self) {
        self.told_seq = None;
        self.remote = None;
        self.reported = None;
        self.early = Early::default();
    }

    /// The peer told its facts.
    pub(super) fn facts_told(&mut self, remote: ToldFacts) {
        self.early = Early::default();
        let anew = |known: &ToldFacts| *known != remote && remote.seq <= known.seq;
        if self.remote.as_ref().is_none_or(anew) {
            // The peer may not have been listening when we told ours: its copy was opened since, if its numbers begin anew.
            self.told_seq = None;
            self.reported = None;
        }
        let outdated = self
            .attach_plan()
            .is_some_and(|(plan, _)| plan.remote_seq != remote.seq);
        self.remote = Some(remote);
        if outdated {
            self.give_attach_up();
        }
        if matches!(self.mode, Mode::Mirroring(_)) {
            self.peer_lost();
        } else {
            self.report_facts();
        }
    }
}
