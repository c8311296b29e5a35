//! Master: changes that this copy has made and the Slave has no space for.
//!
//! Of several changes that need the last space, the two copies may have taken different ones. Where the Master took one that the Slave did not,
//! the Slave has given the space to one that the Master is about to undo. Rules:
//! 1. While the Slave lacks space no other change begins, and those under way end, which gives the Slave what their undoing frees.
//! 2. Then the Slave tries all again that it had no space for. This goes on as long as it had space for one of them at least.
//! 3. Then it holds all that the Master holds, or has less space than the Master, and has to give up.

use super::Copy;
use super::task::TaskKind;
use crate::message::Body;

/// What the Slave has no space for.
#[derive(Debug, Default)]
pub struct Lacking {
    /// Tasks that wait until the Slave tries them again.
    waiting: Vec<u64>,
    /// How many of them it tried last.
    tried: Option<usize>,
}

impl Lacking {
    /// The Slave has no space for a task's change.
    pub(super) fn add(&mut self, id: u64) {
        if !self.waiting.contains(&id) {
            self.waiting.push(id);
        }
    }

    /// True while the Slave lacks space: no other change is to begin.
    pub(super) fn is_any(&self) -> bool {
        self.tried.is_some() || !self.waiting.is_empty()
    }
}

impl Copy {
    /// Master: the Slave has no space for a change of its own that was granted.
    pub(super) fn peer_is_short(&mut self, peer_id: u64) {
        if let Some(&id) = self.peer_tasks.get(&peer_id)
            && let Some(TaskKind::PeerRequest { granted: true, .. }) =
                self.tasks.get(&id).map(|task| &task.kind)
        {
            self.lacking.add(id);
        }
    }

    /// Once nothing else is under way, have the Slave try again; true when something moved.
    pub(super) fn step_lacking(&mut self) -> bool {
        if !self.lacking.is_any() || self.others_under_way() {
            return false;
        }
        let waiting = std::mem::take(&mut self.lacking.waiting);
        let tried = self.lacking.tried.replace(waiting.len());
        if waiting.is_empty() {
            self.lacking.tried = None;
            self.retry_room();
        } else if tried == Some(waiting.len()) {
            // Until it is lost as the Slave, the changes are under way.
            self.say(0, Body::GiveUp);
        } else {
            for id in waiting {
                self.try_again(id);
            }
        }
        true
    }

    /// True while a change other than those that wait here has begun and has not ended.
    fn others_under_way(&self) -> bool {
        self.tasks.iter().any(|(id, task)| {
            task.kind.is_change()
                && self.locks.holds(*id)
                && !self.waiting_room.contains(id)
                && !self.lacking.waiting.contains(id)
        })
    }

    fn try_again(&mut self, id: u64) {
        match self.tasks.get(&id).map(|task| &task.kind) {
            Some(TaskKind::HostChange { change, .. } | TaskKind::Repair { change, .. }) => {
                let change = change.clone();
                self.say(id, Body::Apply(change));
            }
            Some(&TaskKind::PeerRequest { peer_id, .. }) => self.say(peer_id, Body::Granted),
            Some(&TaskKind::Undo { asker }) => self.undo(id, asker),
            _ => {}
        }
    }
}
