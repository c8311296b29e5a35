//! Task management (RFC 7143 §11.5, §11.6).
//!
//! Rules:
//! 1. Commands that still collect data, and parked ones, collect no more once the request is acted on. If the caller takes the request
//!    before commands whose events wait, those that it concerns are reported no more.
//! 2. They and the commands that were reported end when the caller answers the request with Complete; until then the answers of the
//!    latter still go out. With any other answer, the former end with TASK ABORTED.
//! 3. A command that is to be aborted but has not come uses up its number: it is ignored when it comes.

use super::task::{State, Task};
use super::{Parked, Session};
use crate::command_window::Turn;
use crate::event::{Event, ScsiResponse, TaskFunction, TaskManagementResponse, TaskTag};
use crate::outbox::Outbox;
use crate::pdu::{Header, task_management_response};

const ABORT_TASK: u8 = 1;
const ABORT_TASK_SET: u8 = 2;
const CLEAR_TASK_SET: u8 = 4;
const LOGICAL_UNIT_RESET: u8 = 5;
const TARGET_WARM_RESET: u8 = 6;
const TARGET_COLD_RESET: u8 = 7;
const TASK_REASSIGN: u8 = 8;

/// Status of a command that another nexus ended (SAM-5 §5.3.1).
const TASK_ABORTED: u8 = 0x40;

impl Session {
    /// Act on a Task Management Function Request whose turn it is.
    pub(super) fn handle_task_management(&mut self, header: &Header, outbox: &mut Outbox) {
        let function = match header.flags() & 0x7f {
            ABORT_TASK => self.find_aborted(header, outbox),
            ABORT_TASK_SET => Ok(TaskFunction::AbortTaskSet),
            CLEAR_TASK_SET => Ok(TaskFunction::ClearTaskSet),
            LOGICAL_UNIT_RESET => Ok(TaskFunction::LunReset),
            TARGET_WARM_RESET => Ok(TaskFunction::TargetWarmReset),
            TARGET_COLD_RESET => Ok(TaskFunction::TargetColdReset),
            TASK_REASSIGN => Err(TaskManagementResponse::NoReassignment),
            _ => Err(TaskManagementResponse::NotSupported),
        };
        if !header.immediate() {
            self.window.advance(function.is_ok());
        }
        match function {
            Ok(function) => self.open_task_management(header, function, outbox),
            Err(answer) => {
                let pdu = task_management_response(header.itt(), answer as u8);
                outbox.send_bare(pdu, self.sequence());
            }
        }
    }

    /// Find the task of an ABORT TASK; Err: the answer, because the caller need not be asked.
    fn find_aborted(
        &mut self,
        header: &Header,
        outbox: &mut Outbox,
    ) -> Result<TaskFunction, TaskManagementResponse> {
        let referenced = header.ttt();
        let found = self
            .tasks
            .by_itt(referenced)
            .filter(|task| task.lun == header.lun());
        match found.map(|task| (task.tag, &task.state)) {
            Some((tag, State::Running)) => Ok(TaskFunction::AbortTask { referenced: tag }),
            Some((tag, State::Stopped | State::Collecting(_))) => {
                self.drop_task(tag, outbox);
                Err(TaskManagementResponse::Complete)
            }
            Some((_, State::Management(_))) => Err(TaskManagementResponse::NoSuchTask),
            None => Err(self.fill_gap(header)),
        }
    }

    /// The task to be aborted is unknown: if it has not come yet, see to it that it never takes effect.
    fn fill_gap(&mut self, header: &Header) -> TaskManagementResponse {
        let exp_cmd_sn = self.window.exp_cmd_sn();
        let distance = |cmd_sn: u32| cmd_sn.wrapping_sub(exp_cmd_sn);
        let missing = header.ref_cmd_sn();
        if distance(missing) >= distance(header.cmd_sn()) || self.tasks.contains(header.ttt()) {
            return TaskManagementResponse::NoSuchTask;
        }
        match self.window.turn(missing) {
            Turn::Never => return TaskManagementResponse::NoSuchTask,
            Turn::Now => self.window.advance(false),
            Turn::Later => self.window.park(missing, Parked::Gap),
        }
        TaskManagementResponse::Complete
    }

    fn open_task_management(
        &mut self,
        header: &Header,
        function: TaskFunction,
        outbox: &mut Outbox,
    ) {
        let lun = header.lun();
        let stopped = self.tasks.select(|task| {
            matches!(task.state, State::Collecting(_)) && covers(function, lun, task)
        });
        for tag in stopped {
            self.stop_collecting(tag, outbox);
        }
        let tag = self.tasks.new_tag(header.itt());
        self.tasks.insert(Task {
            tag,
            lun,
            holds_window: !header.immediate(),
            expected_len: 0,
            read: false,
            write: false,
            data_pdus: 0,
            reserved_bytes: 0,
            state: State::Management(function),
        });
        outbox.events.push_back(Event::TaskManagement {
            task: tag,
            function,
            lun,
        });
    }

    /// The caller takes a request before the events of commands that wait: report those no more that came before it and that it ends.
    pub(crate) fn overtake(&mut self, request: &Event, outbox: &mut Outbox) {
        let Event::TaskManagement {
            task: tag,
            function,
            lun,
        } = request
        else {
            return;
        };
        let overtaken = self.tasks.select(|task| {
            matches!(task.state, State::Running)
                && task.tag.is_before(tag)
                && covers(*function, *lun, task)
                && outbox.reports(task.tag)
        });
        for tag in overtaken {
            outbox.forget(tag);
            if let Some(task) = self.tasks.get(tag) {
                task.state = State::Stopped;
            }
        }
    }

    /// The caller answers a task management request.
    pub(crate) fn respond_task_management(
        &mut self,
        tag: TaskTag,
        response: TaskManagementResponse,
        outbox: &mut Outbox,
    ) {
        let Some(State::Management(function)) = self.tasks.get(tag).map(|task| &task.state) else {
            return;
        };
        let function = *function;
        let Some(request) = self.close_task(tag) else {
            return;
        };
        let response = self.effective(function, response);
        let complete = response == TaskManagementResponse::Complete;
        let ended = self.tasks.select(|task| {
            let earlier = task.tag.serial < tag.serial && covers(function, request.lun, task);
            earlier && (task.is_stopped() || complete && matches!(task.state, State::Running))
        });
        for tag in ended {
            if complete {
                self.drop_task(tag, outbox);
            } else {
                self.finish(tag, &task_aborted(), outbox);
            }
        }
        outbox.send_bare(
            task_management_response(tag.itt, response as u8),
            self.sequence(),
        );
    }

    /// A task that was answered since its abort was reported was not aborted, whatever the caller says.
    fn effective(
        &mut self,
        function: TaskFunction,
        response: TaskManagementResponse,
    ) -> TaskManagementResponse {
        match function {
            TaskFunction::AbortTask { referenced } if self.tasks.get(referenced).is_none() => {
                TaskManagementResponse::NoSuchTask
            }
            _ => response,
        }
    }

    /// Another I_T nexus has ended all commands: those whose turn has come and that the caller has not got, because they still collect
    /// data or wait to be taken, end with TASK ABORTED.
    pub(crate) fn abort_unreported(&mut self, outbox: &mut Outbox) {
        let ended = self.tasks.select(|task| match &task.state {
            State::Collecting(collecting) => collecting.in_turn && !collecting.stopped,
            State::Running => outbox.reports(task.tag),
            State::Stopped | State::Management(_) => false,
        });
        for tag in ended {
            outbox.forget(tag);
            self.finish(tag, &task_aborted(), outbox);
        }
    }
}

fn task_aborted() -> ScsiResponse {
    ScsiResponse {
        status: TASK_ABORTED,
        ..Default::default()
    }
}

/// Whether a function ends a command.
fn covers(function: TaskFunction, lun: u64, task: &Task) -> bool {
    match function {
        TaskFunction::AbortTask { referenced } => task.tag == referenced,
        TaskFunction::AbortTaskSet | TaskFunction::ClearTaskSet | TaskFunction::LunReset => {
            task.lun == lun
        }
        TaskFunction::TargetWarmReset | TaskFunction::TargetColdReset => true,
    }
}
