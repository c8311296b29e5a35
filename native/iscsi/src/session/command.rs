//! SCSI commands from their arrival to their answer (RFC 7143 §11.3).
//!
//! Rules:
//! 1. A command is reported once, when its turn has come and all its write data are there.
//! 2. R2Ts are sent only for commands whose turn has come and that have their part of the data-out budget.
//! 3. A command that the transport itself fails is answered with sense in its turn and never reported.

use bytes::Bytes;

use super::Session;
use super::data_in::send_answer;
use super::data_out::{Collecting, DataFault, Failure};
use super::room::Room;
use super::sense::{CHECK_CONDITION, Sense};
use super::task::{State, Task};
use crate::event::{Event, ScsiCommand, ScsiResponse, TaskAttribute, TaskTag};
use crate::outbox::{Outbox, RejectReason};
use crate::parameters::Key;
use crate::pdu::{Header, Pdu, r2t};

const READ: u8 = 0x40;
const WRITE: u8 = 0x20;
const ATTRIBUTE: u8 = 0x07;

impl Session {
    /// Why a SCSI Command PDU is malformed; None if it is not.
    pub(super) fn command_refusal(&self, header: &Header) -> Option<RejectReason> {
        let write = header.flags() & WRITE != 0;
        if !header.is_final() && !write {
            return Some(RejectReason::InvalidField);
        }
        if header.data_len() > 0 && !write {
            return Some(RejectReason::InvalidField);
        }
        if !header.is_final() && self.parameters.is_on(Key::InitialR2T) {
            return Some(RejectReason::Protocol);
        }
        (attribute(header).is_none()).then_some(RejectReason::InvalidField)
    }

    /// Act on a SCSI Command whose turn it is.
    pub(super) fn handle_command(&mut self, pdu: Pdu, outbox: &mut Outbox) {
        self.advance_if_ordered(&pdu, true);
        let tag = self.open_command(pdu, true, outbox);
        self.go_on(tag, outbox);
    }

    /// Put a command into the task table. One that is complete and in its turn is reported at once.
    pub(super) fn open_command(&mut self, pdu: Pdu, in_turn: bool, outbox: &mut Outbox) -> TaskTag {
        let header = &pdu.header;
        let (read, write) = (header.flags() & READ != 0, header.flags() & WRITE != 0);
        let expected_len = header.expected_len();
        let to_collect = if write { expected_len } else { 0 };
        let mut collecting = Collecting::new(
            header.cdb(),
            attribute(header).unwrap_or(TaskAttribute::Simple),
            to_collect,
            !header.is_final(),
            self.parameters.first_burst(),
        );
        collecting.in_turn = in_turn;
        collecting.fault = self
            .take_first_data(&mut collecting, read && write, to_collect, pdu.data)
            .err()
            .map(Failure::Sense);
        if self.room == Room::Spent && to_collect > 0 && !(in_turn && collecting.is_complete()) {
            collecting.give_up();
        }
        let tag = self.tasks.new_tag(header.itt());
        let mut task = Task {
            tag,
            lun: header.lun(),
            holds_window: !header.immediate(),
            expected_len,
            read,
            write,
            data_pdus: 0,
            reserved_bytes: 0,
            state: State::Running,
        };
        if in_turn && collecting.fault.is_none() && collecting.is_complete() {
            outbox.events.push_back(command_event(&task, collecting));
        } else {
            task.state = State::Collecting(Box::new(collecting));
        }
        self.tasks.insert(task);
        tag
    }

    fn take_first_data(
        &self,
        collecting: &mut Collecting,
        bidirectional: bool,
        to_collect: u32,
        data: Bytes,
    ) -> Result<(), Sense> {
        if bidirectional || to_collect > self.config.max_command_data_bytes {
            return Err(Sense::INVALID_FIELD);
        }
        if data.is_empty() {
            return Ok(());
        }
        if !self.parameters.is_on(Key::ImmediateData) {
            return Err(Sense::UNEXPECTED_DATA);
        }
        collecting.take_immediate(data)
    }

    /// The turn of an open command has come.
    pub(super) fn begin_command(&mut self, tag: TaskTag, outbox: &mut Outbox) {
        if let Some(collecting) = self.collecting(tag) {
            collecting.in_turn = true;
            self.go_on(tag, outbox);
        }
    }

    /// Act on a Data-Out PDU. Data for a command that has ended are dropped: they were under way.
    pub(super) fn handle_data_out(&mut self, pdu: Pdu, outbox: &mut Outbox) {
        let Pdu {
            header,
            data,
            data_intact,
        } = pdu;
        let Some(tag) = self.tasks.by_itt(header.itt()).map(|task| task.tag) else {
            return;
        };
        let Some(collecting) = self.collecting(tag) else {
            return;
        };
        if collecting.stopped || collecting.fault.is_some() {
            return;
        }
        if !data_intact {
            collecting.fault = Some(Failure::Sense(Sense::DATA_DIGEST));
            outbox.reject(&header, RejectReason::DataDigest, self.sequence());
        } else {
            let awaited_bytes = collecting.awaited_bytes();
            match collecting.take(&header, data) {
                Ok(()) => {
                    let came_bytes = awaited_bytes - collecting.awaited_bytes();
                    let keeps_unasked = collecting.awaits_unsolicited();
                    self.awaited_bytes -= u64::from(came_bytes);
                    if keeps_unasked && self.room == Room::Spent {
                        return self.refuse_for_room(tag, outbox);
                    }
                }
                Err(DataFault::Failed(sense)) => collecting.fault = Some(Failure::Sense(sense)),
                Err(DataFault::UnknownTag) => {
                    outbox.reject(&header, RejectReason::InvalidField, self.sequence());
                    return;
                }
            }
        }
        self.go_on(tag, outbox);
    }

    /// Report, fail or ask for data, whatever is due for a command in its turn.
    pub(super) fn go_on(&mut self, tag: TaskTag, outbox: &mut Outbox) {
        let ready = |collecting: &&mut Collecting| collecting.in_turn && !collecting.stopped;
        let Some(collecting) = self.collecting(tag).filter(ready) else {
            return;
        };
        if let Some(failure) = collecting.fault {
            let response = match failure {
                Failure::Sense(sense) => ScsiResponse {
                    status: CHECK_CONDITION,
                    sense: sense.bytes(),
                    ..Default::default()
                },
                Failure::NoRoom => self.no_room_response(),
            };
            self.finish(tag, &response, outbox);
        } else if collecting.is_complete() {
            self.report(tag, outbox);
        } else {
            self.request_data(tag, outbox);
        }
    }

    fn report(&mut self, tag: TaskTag, outbox: &mut Outbox) {
        let Some(task) = self.tasks.get(tag) else {
            return;
        };
        if let State::Collecting(collecting) = std::mem::replace(&mut task.state, State::Running) {
            outbox.events.push_back(command_event(task, *collecting));
        }
    }

    /// Send the R2Ts that may be sent for a command, or let it wait for its part of the budget.
    fn request_data(&mut self, tag: TaskTag, outbox: &mut Outbox) {
        let max_outstanding = self.parameters.get(Key::MaxOutstandingR2T);
        let max_burst = self.parameters.get(Key::MaxBurstLength);
        let budget_bytes = self.data_out_budget_bytes();
        let Some(task) = self.tasks.get(tag) else {
            return;
        };
        let State::Collecting(collecting) = &task.state else {
            return;
        };
        let unrequested = collecting.unrequested();
        if task.reserved_bytes == 0 && unrequested > 0 {
            let first = self.waiting.front().is_none_or(|front| *front == tag);
            let granted = first
                && self.room != Room::Spent
                && self.tasks.reserve(tag, unrequested, budget_bytes);
            if !granted && self.room == Room::Spent {
                return self.refuse_for_room(tag, outbox);
            }
            if !granted {
                if !self.waiting.contains(&tag) {
                    self.waiting.push_back(tag);
                }
                return;
            }
        }
        loop {
            let ttt = self.next_ttt;
            let sequence = self.sequence();
            let Some(task) = self.tasks.get(tag) else {
                return;
            };
            let State::Collecting(collecting) = &mut task.state else {
                return;
            };
            let Some(request) = collecting.next_request(ttt, max_outstanding, max_burst) else {
                return;
            };
            task.data_pdus += 1;
            self.awaited_bytes += u64::from(request.length);
            let pdu = r2t(
                tag.itt,
                task.lun,
                ttt,
                request.r2t_sn,
                request.offset,
                request.length,
            );
            outbox.send_bare(pdu, sequence);
            self.new_ttt();
        }
    }

    /// Answer a command that was reported.
    pub(crate) fn respond(&mut self, tag: TaskTag, response: &ScsiResponse, outbox: &mut Outbox) {
        if self
            .tasks
            .get(tag)
            .is_some_and(|task| matches!(task.state, State::Running))
        {
            self.finish(tag, response, outbox);
        }
    }

    pub(super) fn finish(&mut self, tag: TaskTag, response: &ScsiResponse, outbox: &mut Outbox) {
        if let Some(task) = self.close_task(tag) {
            send_answer(&task, response, &self.parameters, self.sequence(), outbox);
            self.wake_waiting(&task, outbox);
        }
    }

    /// Have a command collect no more data: a task management request is to end it.
    pub(super) fn stop_collecting(&mut self, tag: TaskTag, outbox: &mut Outbox) {
        let Some(collecting) = self.collecting(tag) else {
            return;
        };
        collecting.stopped = true;
        collecting.pieces.clear();
        let waited = self.waiting.front() == Some(&tag);
        self.waiting.retain(|waiting| *waiting != tag);
        if waited {
            self.serve_waiting(outbox);
        }
    }

    /// End a task unanswered.
    pub(super) fn drop_task(&mut self, tag: TaskTag, outbox: &mut Outbox) {
        if let Some(task) = self.close_task(tag) {
            if matches!(task.state, State::Running) {
                outbox.forget(tag);
            }
            self.wake_waiting(&task, outbox);
        }
    }

    /// Take a task out of the table and, if it held one, free its place in the window.
    pub(super) fn close_task(&mut self, tag: TaskTag) -> Option<Task> {
        let task = self.tasks.remove(tag)?;
        let numbered = match &task.state {
            State::Collecting(collecting) => collecting.in_turn,
            State::Running | State::Stopped | State::Management(_) => true,
        };
        if let State::Collecting(collecting) = &task.state {
            self.awaited_bytes -= u64::from(collecting.awaited_bytes());
        }
        if task.holds_window && numbered {
            self.window.close();
        }
        Some(task)
    }

    /// Let waiting commands have what an ended one held of the budget.
    fn wake_waiting(&mut self, ended: &Task, outbox: &mut Outbox) {
        if ended.reserved_bytes > 0 || self.waiting.front() == Some(&ended.tag) {
            self.serve_waiting(outbox);
        }
    }

    /// Ask for the data of commands that wait for it, oldest first, as far as the budget goes.
    pub(super) fn serve_waiting(&mut self, outbox: &mut Outbox) {
        while let Some(tag) = self.waiting.front().copied() {
            if self.collecting(tag).is_some() {
                self.request_data(tag, outbox);
                if self
                    .tasks
                    .get(tag)
                    .is_some_and(|task| task.reserved_bytes == 0)
                {
                    return;
                }
            }
            self.waiting.pop_front();
        }
    }

    pub(super) fn collecting(&mut self, tag: TaskTag) -> Option<&mut Collecting> {
        match &mut self.tasks.get(tag)?.state {
            State::Collecting(collecting) => Some(collecting),
            State::Running | State::Stopped | State::Management(_) => None,
        }
    }
}

fn command_event(task: &Task, collecting: Collecting) -> Event {
    Event::Command(ScsiCommand {
        task: task.tag,
        lun: task.lun,
        cdb: collecting.cdb,
        data_out: collecting.pieces,
        expected_len: task.expected_len,
        read: task.read,
        write: task.write,
        attribute: collecting.attribute,
    })
}

fn attribute(header: &Header) -> Option<TaskAttribute> {
    Some(match header.flags() & ATTRIBUTE {
        0 => TaskAttribute::Untagged,
        1 => TaskAttribute::Simple,
        2 => TaskAttribute::Ordered,
        3 => TaskAttribute::HeadOfQueue,
        4 => TaskAttribute::Aca,
        _ => return None,
    })
}
