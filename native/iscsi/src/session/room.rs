//! What a session does when its caller has little or no room for what it brings ([`Room`]).
//!
//! Rules:
//! 1. Data that were asked for are always taken: there was room for them when they were.
//! 2. While room is short no more is asked for, but for one command, so that those that wait for each other get on.
//! 3. While there is none, a write that is not complete is given up: its data are dropped at once, and it is answered TASK SET
//!    FULL (BUSY if it is the session's only one, SAM-5 §5.3.1) in its turn. The initiator sends it again.

use super::Session;
use super::task::{State, Task};
use crate::event::{ScsiResponse, TaskTag};
use crate::outbox::Outbox;

const BUSY: u8 = 0x08;
const TASK_SET_FULL: u8 = 0x28;

/// How much room the caller has for what a connection brings and asks for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// Enough for all that was agreed on.
    #[default]
    Free,
    /// For what has begun: the initiator is slowed down.
    Short,
    /// For nothing: what would have to be kept is refused, to be sent again.
    Spent,
}

impl Session {
    /// Learn how much room there is.
    pub(crate) fn set_room(&mut self, room: Room, outbox: &mut Outbox) {
        let before = std::mem::replace(&mut self.room, room);
        match room {
            _ if room == before => {}
            Room::Free => self.serve_waiting(outbox),
            Room::Short => {}
            Room::Spent => {
                while let Some(tag) = self.waiting.pop_front() {
                    self.refuse_for_room(tag, outbox);
                }
            }
        }
    }

    /// How many bytes of the budget for data that R2Ts ask for may be given out now.
    pub(super) fn data_out_budget_bytes(&self) -> u64 {
        match self.room {
            Room::Free => self.config.data_out_budget_bytes,
            // One command gets what it needs all the same (Tasks::reserve).
            Room::Short | Room::Spent => 0,
        }
    }

    /// Give up a write that is not complete.
    pub(super) fn refuse_for_room(&mut self, tag: TaskTag, outbox: &mut Outbox) {
        if let Some(collecting) = self.collecting(tag) {
            collecting.give_up();
            self.go_on(tag, outbox);
        }
    }

    /// The answer to a command that there is no room for.
    pub(crate) fn no_room_response(&self) -> ScsiResponse {
        let alone = self.tasks.len() <= 1;
        ScsiResponse {
            status: if alone { BUSY } else { TASK_SET_FULL },
            ..ScsiResponse::default()
        }
    }

    /// Bytes that were asked for by R2Ts and have not come.
    pub(crate) fn awaited_bytes(&self) -> u64 {
        self.awaited_bytes
    }

    /// Whether any request is open.
    pub(crate) fn has_tasks(&self) -> bool {
        self.tasks.len() > 0
    }

    /// Whether commands wait to be asked for their data.
    pub(crate) fn waits_for_room(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether something that was begun needs more to be received before it can end.
    pub(crate) fn awaits_data(&self) -> bool {
        let unsolicited = |task: &Task| matches!(&task.state, State::Collecting(collecting) if collecting.awaits_unsolicited());
        self.awaited_bytes > 0 || self.window.has_parked() || self.tasks.any(unsolicited)
    }
}
