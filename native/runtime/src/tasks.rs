//! Task management: what one I_T nexus asks about commands in flight (SAM-5 §7).
//!
//! Rule: a command in flight is never torn out of the mirror core, where the peer may be at work on it. A request waits
//! until every command that it concerns and that was in flight when it came has ended, and is answered then; so nothing
//! that it concerns can take effect after its answer.

use twindisk_iscsi::{TaskFunction, TaskManagementResponse, TaskTag};
use twindisk_mirror::HostId;
use twindisk_scsi::{NexusId, Response};

use crate::engine::Engine;

/// A task management request that waits for commands to end.
#[derive(Debug)]
pub(crate) struct Waiter {
    endpoint: usize,
    pub(crate) nexus: NexusId,
    task: TaskTag,
    function: TaskFunction,
    left: Vec<HostId>,
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
        let mut left = self.core.requests.ids(|request| match function {
            TaskFunction::AbortTask { referenced } => {
                request.nexus == nexus && request.task == referenced
            }
            TaskFunction::AbortTaskSet => request.nexus == nexus,
            _ => request.vdisk == vdisk,
        });
        self.stop_copies(&left, &Response::task_aborted());
        self.abort_sanitize(nexus, &mut left);
        self.waiters.push(Waiter {
            endpoint: place,
            nexus,
            task,
            function,
            left,
        });
        self.finish_waiters();
    }

    /// A command has ended.
    pub(crate) fn waiters_see(&mut self, ended: HostId) {
        for waiter in &mut self.waiters {
            waiter.left.retain(|id| *id != ended);
        }
        self.finish_waiters();
    }

    fn finish_waiters(&mut self) {
        while let Some(index) = self
            .waiters
            .iter()
            .position(|waiter| waiter.left.is_empty())
        {
            let waiter = self.waiters.remove(index);
            self.finish_tasks(&waiter);
        }
    }

    fn finish_tasks(&mut self, waiter: &Waiter) {
        let Some(session) = self
            .session_mut(waiter.endpoint)
            .filter(|session| session.nexus == waiter.nexus)
        else {
            return;
        };
        session
            .connection
            .respond_task_management(waiter.task, TaskManagementResponse::Complete);
        let Some(vdisk) = session.login.as_ref().and_then(|login| login.vdisk) else {
            return;
        };
        self.mark_dirty(waiter.endpoint);
        match waiter.function {
            TaskFunction::AbortTask { .. }
            | TaskFunction::AbortTaskSet
            | TaskFunction::ClearTaskSet => {}
            TaskFunction::LunReset | TaskFunction::TargetWarmReset => {
                self.core.vdisks[vdisk].unit.reset(waiter.nexus)
            }
            TaskFunction::TargetColdReset => {
                self.core.vdisks[vdisk].unit.reset(waiter.nexus);
                for place in self.sessions_of(vdisk) {
                    if let Some(session) = self.session_mut(place) {
                        session.closing = true;
                    }
                    self.mark_dirty(place);
                }
            }
        }
    }
}
