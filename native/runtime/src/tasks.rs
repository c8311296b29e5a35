//! Task management: what one I_T nexus asks about commands in flight (SAM-5 §7).
//!
//! Rules:
//!
//! * A command that has begun is never torn out of the mirror core, where the peer may be at work on it: a request waits until it has
//!   ended. One that has not begun is taken back. So nothing that a request concerns takes effect after its answer.
//! * What concerns one nexus is done here: all its commands are on this node. What concerns all is done in a turn, on both
//!   nodes ([`crate::resets`]).
//! * No request waits for ever: after [`LIMIT_NS`] it is answered as rejected, and what it took back ends with TASK ABORTED.

use twindisk_iscsi::{ScsiResponse, TaskFunction, TaskManagementResponse, TaskTag};
use twindisk_mirror::HostId;
use twindisk_scsi::{NexusId, Response, Status, UnitFunction};

use crate::engine::Engine;
use crate::request::Work;

/// Longest that a request waits; initiators that repeat or give up do so after 15 s (ABORT TASK of Linux) or 30 s.
pub(crate) const LIMIT_NS: u64 = 20_000_000_000;

/// A task management request that waits for commands of its own nexus to end.
#[derive(Debug)]
pub(crate) struct Waiter {
    endpoint: usize,
    pub(crate) nexus: NexusId,
    task: TaskTag,
    left: Vec<HostId>,
    /// Commands that were taken back.
    withdrawn: Vec<TaskTag>,
    until_ns: u64,
}

impl Engine {
    /// Begin a request that came over the connection at `place`.
    pub(crate) fn manage_tasks(
        &mut self,
        place: usize,
        task: TaskTag,
        function: TaskFunction,
        lun: u64,
    ) {
        let Some(session) = self.session_mut(place) else {
            return;
        };
        let nexus = session.nexus;
        let Some(vdisk) = session.login.as_ref().and_then(|login| login.vdisk) else {
            return session
                .connection
                .respond_task_management(task, TaskManagementResponse::Rejected);
        };
        let is_target_reset = matches!(
            function,
            TaskFunction::TargetWarmReset | TaskFunction::TargetColdReset
        );
        if lun != 0 && !is_target_reset {
            return session
                .connection
                .respond_task_management(task, TaskManagementResponse::NoSuchLun);
        }
        match function {
            TaskFunction::AbortTask { referenced } => {
                self.abort_own(place, nexus, task, |of| of == referenced);
            }
            TaskFunction::AbortTaskSet => self.abort_own(place, nexus, task, |_| true),
            TaskFunction::ClearTaskSet => {
                self.begin_reset(place, vdisk, task, UnitFunction::ClearTaskSet);
            }
            TaskFunction::LunReset | TaskFunction::TargetWarmReset => {
                self.begin_reset(place, vdisk, task, UnitFunction::Reset);
            }
            TaskFunction::TargetColdReset => {
                self.begin_reset(place, vdisk, task, UnitFunction::ColdReset);
            }
        }
    }

    /// End commands of one nexus.
    fn abort_own(
        &mut self,
        endpoint: usize,
        nexus: NexusId,
        task: TaskTag,
        wanted: impl Fn(TaskTag) -> bool,
    ) {
        let mut left = self.core.requests.ids(|request| {
            let is_command = !request.background && !matches!(request.work, Work::Reset(_));
            is_command && request.nexus == nexus && wanted(request.task)
        });
        let mut withdrawn = Vec::new();
        left.retain(|&id| match self.withdraw(id) {
            Some(command) => {
                withdrawn.push(command);
                false
            }
            None => true,
        });
        self.stop_copies(&left, &Response::task_aborted());
        self.waiters.push(Waiter {
            endpoint,
            nexus,
            task,
            left,
            withdrawn,
            until_ns: self.core.now_ns + LIMIT_NS,
        });
        self.finish_waiters();
    }

    /// Take a command back that has not begun, or that only waits for the end of a sanitize operation, unanswered; `None`: it has
    /// begun.
    pub(crate) fn withdraw(&mut self, id: HostId) -> Option<TaskTag> {
        let request = self.core.requests.get_mut(id)?;
        if matches!(request.work, Work::Copy(_)) {
            // It is stopped after its piece, so that its status stays known.
            return None;
        }
        let waits_for_sanitize = request.work == Work::Sanitize;
        let serial = self.core.vdisks.get(request.vdisk)?.serial;
        if !waits_for_sanitize && !self.core.node.can_withdraw(serial, id) {
            return None;
        }
        self.core.node.cancel(serial, id, self.core.now_ns);
        self.forget(id)
    }

    /// End a command that the mirror core knows no more, unanswered.
    pub(crate) fn forget(&mut self, id: HostId) -> Option<TaskTag> {
        let request = self.core.requests.remove(id)?;
        self.copy_is_over(&request, &Response::task_aborted());
        if let Some(session) = self.session_of(request.endpoint, request.nexus) {
            session.end_command(request.held_bytes);
        }
        self.ended(id);
        Some(request.task)
    }

    /// A command has ended.
    pub(crate) fn waiters_see(&mut self, ended: HostId) {
        for waiter in &mut self.waiters {
            waiter.left.retain(|id| *id != ended);
        }
        self.finish_waiters();
    }

    fn finish_waiters(&mut self) {
        let done = |waiter: &Waiter| waiter.left.is_empty();
        while let Some(index) = self.waiters.iter().position(done) {
            let waiter = self.waiters.remove(index);
            self.answer_tasks(waiter.endpoint, waiter.nexus, waiter.task, true, &[]);
        }
    }

    /// Answer a task management request. If it is not done, commands that it had taken back are still to be answered.
    pub(crate) fn answer_tasks(
        &mut self,
        endpoint: usize,
        nexus: NexusId,
        task: TaskTag,
        done: bool,
        withdrawn: &[TaskTag],
    ) {
        let Some(session) = self.session_of(endpoint, nexus) else {
            return;
        };
        let response = if done {
            TaskManagementResponse::Complete
        } else {
            for command in withdrawn {
                let status = Status::TaskAborted as u8;
                let aborted = ScsiResponse {
                    status,
                    ..ScsiResponse::default()
                };
                session.connection.respond(*command, aborted);
            }
            TaskManagementResponse::Rejected
        };
        session.connection.respond_task_management(task, response);
        self.mark_dirty(endpoint);
    }

    /// Give up requests that have waited too long.
    pub(crate) fn tick_tasks(&mut self) {
        let now_ns = self.core.now_ns;
        let late = |waiter: &Waiter| waiter.until_ns <= now_ns;
        while let Some(index) = self.waiters.iter().position(late) {
            let waiter = self.waiters.remove(index);
            let (task, withdrawn) = (waiter.task, waiter.withdrawn);
            self.answer_tasks(waiter.endpoint, waiter.nexus, task, false, &withdrawn);
        }
        let late = self
            .core
            .requests
            .ids(|request| matches!(&request.work, Work::Reset(reset) if reset.until_ns <= now_ns));
        for id in late {
            self.give_up_reset(id);
        }
    }
}
