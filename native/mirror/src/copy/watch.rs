//! Watches that both nodes keep (see [`crate::watches`]).
//!
//! ```text
//! host ── watch ──► Master: lock, set ── Watch ──► Slave: set
//! host ◄── done, unlock ──────────────── Watched ──┘
//!
//! host ── watch ──► Slave ── Watch ──────────────► Master: lock, set
//! host ◄── done ── set ◄──────────────── Watched ──┘
//!                   └─────── Unlock ─────────────► unlock
//! ```
//! Rules
//! 1. The Master's lock, shared with reads, lasts while both nodes set the watch: no change of the ranges is under way at either of them
//!    then. So both mean the same moment, and from then on either may be asked, and answers from its own disk's changes alone: a read
//!    waits for the changes that overlap it.
//! 2. A watch that was interrupted is set anew, from then on; nobody has heard of it.
//! 3. A copy drops all of its watches when it becomes the target of a resync: what it held is not what counts. A chunk that a target
//!    takes breaks the watches that it touches like any other change.

use super::task::{Task, TaskKind};
use super::{Copy, Mode};
use crate::ids::HostId;
use crate::message::Body;
use crate::ops::HostResult;
use crate::watches::{Watch, WatchState};

impl Copy {
    /// How a watch stands at this node.
    #[must_use]
    pub fn watch(&self, id: u64, now_ns: u64) -> WatchState<'_> {
        self.watches.get(id, now_ns)
    }

    /// A watch is used at this node.
    pub fn watch_used(&mut self, id: u64, now_ns: u64) {
        self.watches.used(id, now_ns);
    }

    /// End a watch, on both nodes if the peer can be told.
    pub fn unwatch(&mut self, id: u64) {
        self.watches.drop(id);
        if matches!(self.mode, Mode::Mirroring(_)) {
            self.say(0, Body::Unwatch { id });
        }
    }

    pub(super) fn start_watch(&mut self, host: HostId, watch: Watch) {
        let (offset, len_bytes) = watch.span();
        let asks = matches!(self.mode, Mode::Mirroring(_)) && !self.is_master();
        let ask = asks.then(|| Body::Watch(Box::new(watch.clone())));
        let watch = Box::new(watch);
        let id = self.add_task(offset, len_bytes, TaskKind::HostWatch { host, watch });
        match ask {
            Some(ask) => self.say(id, ask),
            None => self.lock(id, false),
        }
    }

    /// The peer's host watches ranges.
    pub(super) fn watch_for_peer(&mut self, peer_id: u64, watch: Box<Watch>) {
        if !self.is_master() {
            self.watches.set(*watch, self.around.now_ns);
            self.say(peer_id, Body::Watched);
        } else if self.draining.is_none() || self.record_busy() {
            let (offset, len_bytes) = watch.span();
            let id = self.add_task(offset, len_bytes, TaskKind::PeerWatch { peer_id, watch });
            self.peer_tasks.insert(peer_id, id);
            self.lock(id, false);
        }
    }

    /// No change of the ranges is under way.
    pub(super) fn watch_granted(&mut self, id: u64) {
        let now_ns = self.around.now_ns;
        match self.tasks.get(&id).map(|task| &task.kind) {
            Some(TaskKind::HostWatch { host, watch }) => {
                let (host, watch) = (*host, watch.clone());
                self.watches.set((*watch).clone(), now_ns);
                if matches!(self.mode, Mode::Mirroring(_)) {
                    self.say(id, Body::Watch(watch));
                } else {
                    self.finish(id);
                    self.complete(host, HostResult::Done);
                }
            }
            Some(TaskKind::PeerWatch { peer_id, watch }) => {
                let (peer_id, watch) = (*peer_id, watch.clone());
                self.watches.set(*watch, now_ns);
                self.say(peer_id, Body::Watched);
            }
            _ => {}
        }
    }

    /// The peer has the watch too.
    pub(super) fn watched_by_peer(&mut self, id: u64) {
        let Some(Task {
            kind: TaskKind::HostWatch { host, watch },
            ..
        }) = self.tasks.get(&id)
        else {
            return;
        };
        let (host, watch) = (*host, watch.clone());
        if !self.is_master() {
            self.watches.set(*watch, self.around.now_ns);
            self.say(id, Body::Unlock);
        }
        self.finish(id);
        self.complete(host, HostResult::Done);
    }
}
