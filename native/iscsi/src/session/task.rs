//! The open requests of a session.
//!
//! Invariants: an Initiator Task Tag names at most one open task; `buffered_bytes` is the sum of what the tasks have
//! reserved of the data-out budget.

use std::collections::HashMap;

use super::data_out::Collecting;
use crate::event::{TaskFunction, TaskTag};

/// One open command or task management request.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) tag: TaskTag,
    pub(super) lun: u64,
    /// It takes a place in the command window until it is answered.
    pub(super) holds_window: bool,
    pub(super) expected_len: u32,
    pub(super) read: bool,
    pub(super) write: bool,
    /// R2T and Data-In PDUs sent.
    pub(super) data_pdus: u32,
    /// Bytes of the data-out budget that it has been given.
    pub(super) reserved_bytes: u32,
    pub(super) state: State,
}

impl Task {
    /// True for a command that a task management request is to end and that was not reported.
    pub(super) fn is_stopped(&self) -> bool {
        match &self.state {
            State::Collecting(collecting) => collecting.stopped,
            State::Stopped => true,
            State::Running | State::Management(_) => false,
        }
    }
}

/// How far a task is.
#[derive(Debug)]
pub(super) enum State {
    /// A command that waits for its turn or for its data.
    Collecting(Box<Collecting>),
    /// A command that was reported.
    Running,
    /// A command that is not reported any more: a task management request is to end it.
    Stopped,
    /// A task management request that was reported.
    Management(TaskFunction),
}

/// All open requests by Initiator Task Tag.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    open: HashMap<u32, Task>,
    next_serial: u64,
    reserved_bytes: u64,
}

impl Tasks {
    /// A tag for a new request.
    pub(super) fn new_tag(&mut self, itt: u32) -> TaskTag {
        self.next_serial += 1;
        TaskTag {
            itt,
            serial: self.next_serial,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn any(&self, wanted: impl Fn(&Task) -> bool) -> bool {
        self.open.values().any(wanted)
    }

    pub(super) fn contains(&self, itt: u32) -> bool {
        self.open.contains_key(&itt)
    }

    pub(super) fn insert(&mut self, task: Task) {
        let earlier = self.open.insert(task.tag.itt, task);
        debug_assert!(earlier.is_none(), "a tag in use is refused before");
    }

    pub(super) fn by_itt(&mut self, itt: u32) -> Option<&mut Task> {
        self.open.get_mut(&itt)
    }

    /// The task with exactly this tag; None if it has ended, even if its Initiator Task Tag is in use again.
    pub(super) fn get(&mut self, tag: TaskTag) -> Option<&mut Task> {
        self.open.get_mut(&tag.itt).filter(|task| task.tag == tag)
    }

    pub(super) fn remove(&mut self, tag: TaskTag) -> Option<Task> {
        self.get(tag)?;
        let task = self.open.remove(&tag.itt)?;
        self.reserved_bytes -= u64::from(task.reserved_bytes);
        Some(task)
    }

    /// Give a task that has nothing yet `bytes` of the budget, unless that would exceed it. A task is never refused
    /// when no other has any.
    pub(super) fn reserve(&mut self, tag: TaskTag, bytes: u32, budget_bytes: u64) -> bool {
        let after = self.reserved_bytes + u64::from(bytes);
        if self.reserved_bytes > 0 && after > budget_bytes {
            return false;
        }
        let Some(task) = self.get(tag) else {
            return false;
        };
        debug_assert_eq!(task.reserved_bytes, 0, "the budget is asked for once");
        task.reserved_bytes = bytes;
        self.reserved_bytes = after;
        true
    }

    /// The tags of all tasks that `choose` picks, oldest first.
    pub(super) fn select(&self, choose: impl Fn(&Task) -> bool) -> Vec<TaskTag> {
        let mut tags: Vec<TaskTag> = self
            .open
            .values()
            .filter(|task| choose(task))
            .map(|task| task.tag)
            .collect();
        tags.sort_unstable_by_key(|tag| tag.serial);
        tags
    }
}
