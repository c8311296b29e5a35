//! Full feature phase: acts on the PDUs of a logged-in connection.
//!
//! Rules:
//! 1. Requests that are not immediate are acted on in CmdSN order; Data-Out belongs to no order but its command's.
//! 2. A rejected request has not used up its CmdSN (RFC 7143 §11.17.1).
//! 3. A discovery session takes Text, NOP-Out and Logout only.
//! 4. After a logout nothing is acted on any more.

mod command;
mod data_in;
mod data_out;
mod room;
mod sense;
mod task;
mod task_management;
mod text_exchange;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::command_window::{CommandWindow, Turn};
use crate::config::PortalConfig;
use crate::directory::Directory;
use crate::event::{Event, Finish, SessionKind, TaskTag};
use crate::login::Identity;
use crate::outbox::{Outbox, RejectReason, Window};
use crate::parameters::{Key, Parameters};
use crate::pdu::{
    FrameRules, Pdu, RESERVED_TAG, drop_notice, logout_request, logout_response, nop_in, opcode,
};

pub use room::Room;
use task::Tasks;
use text_exchange::TextExchange;

/// Immediate requests may be open beyond the window up to this number.
const IMMEDIATE_ROOM: usize = 32;

const LOGOUT_SESSION: u8 = 0;
const LOGOUT_CONNECTION: u8 = 1;
const LOGOUT_RECOVERY: u8 = 2;

/// What is kept of a request that came before its turn.
#[derive(Debug)]
enum Parked {
    /// A command; it is in the task table, unless it was aborted meanwhile.
    Command(TaskTag),
    /// Another request.
    Request(Box<Pdu>),
    /// A request that was aborted before it came (RFC 7143 §11.5.1).
    Gap,
}

/// What one PDU did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The session goes on.
    GoesOn,
    /// The initiator has logged out.
    LoggedOut,
}

/// A session in full feature phase.
#[derive(Debug)]
pub(crate) struct Session {
    config: Arc<PortalConfig>,
    identity: Identity,
    cid: u16,
    parameters: Parameters,
    window: CommandWindow<Parked>,
    tasks: Tasks,
    /// Commands that wait for a part of the data-out budget, oldest first.
    waiting: VecDeque<TaskTag>,
    room: Room,
    /// Bytes that R2Ts asked for and that have not come: what the tasks' data lack up to their last R2T.
    awaited_bytes: u64,
    text: Option<TextExchange>,
    next_ttt: u32,
}

impl Session {
    pub(crate) fn new(
        config: Arc<PortalConfig>,
        identity: Identity,
        cid: u16,
        cmd_sn: u32,
        parameters: Parameters,
    ) -> Self {
        let window = CommandWindow::new(cmd_sn, config.window_size());
        Self {
            config,
            identity,
            cid,
            parameters,
            window,
            tasks: Tasks::default(),
            waiting: VecDeque::new(),
            room: Room::default(),
            awaited_bytes: 0,
            text: None,
            next_ttt: 0,
        }
    }

    /// Whether the initiator agreed to header and data digests.
    pub(crate) fn digests(&self) -> (bool, bool) {
        (
            self.parameters.is_on(Key::HeaderDigest),
            self.parameters.is_on(Key::DataDigest),
        )
    }

    pub(crate) fn frame_rules(&self) -> FrameRules {
        let (header_digest, data_digest) = self.digests();
        FrameRules {
            header_digest,
            data_digest,
            max_segment: self.config.segment_limit(),
        }
    }

    /// Act on one PDU.
    pub(crate) fn handle(
        &mut self,
        pdu: Pdu,
        directory: &dyn Directory,
        outbox: &mut Outbox,
    ) -> Outcome {
        let header = &pdu.header;
        if header.opcode() == opcode::DATA_OUT {
            self.handle_data_out(pdu, outbox);
            return Outcome::GoesOn;
        }
        if let Some(reason) = self.refusal(&pdu) {
            outbox.reject(&pdu.header, reason, self.sequence());
            return Outcome::GoesOn;
        }
        // A NOP-Out that wants no answer has no place in the order, whatever its I bit says.
        let unordered = header.opcode() == opcode::NOP_OUT && header.itt() == RESERVED_TAG;
        let turn = if header.immediate() || unordered {
            Turn::Now
        } else {
            self.window.turn(header.cmd_sn())
        };
        match turn {
            Turn::Never => Outcome::GoesOn,
            Turn::Later => {
                self.park(pdu, outbox);
                Outcome::GoesOn
            }
            Turn::Now => match self.act(pdu, directory, outbox) {
                Outcome::GoesOn => self.act_on_parked(directory, outbox),
                Outcome::LoggedOut => Outcome::LoggedOut,
            },
        }
    }

    /// Why a request is refused whatever its turn is; None if it is not.
    fn refusal(&self, pdu: &Pdu) -> Option<RejectReason> {
        let header = &pdu.header;
        let normal = self.identity.kind == SessionKind::Normal;
        match header.opcode() {
            opcode::NOP_OUT | opcode::TEXT | opcode::LOGOUT => {}
            opcode::SCSI_COMMAND | opcode::TASK_MANAGEMENT if normal => {}
            opcode::SNACK => return Some(RejectReason::Snack),
            opcode::LOGIN => return Some(RejectReason::Protocol),
            _ => return Some(RejectReason::Unsupported),
        }
        if !pdu.data_intact {
            return Some(RejectReason::DataDigest);
        }
        // The turn is asked first: what is outside the window is ignored, not refused.
        let ignored = !header.immediate() && self.window.turn(header.cmd_sn()) == Turn::Never;
        let reason = header.flags() & 0x7f;
        if !ignored && header.opcode() == opcode::LOGOUT && reason > LOGOUT_RECOVERY {
            return Some(RejectReason::InvalidField);
        }
        if ignored
            || !matches!(
                header.opcode(),
                opcode::SCSI_COMMAND | opcode::TASK_MANAGEMENT
            )
        {
            return None;
        }
        if header.itt() == RESERVED_TAG {
            return Some(RejectReason::InvalidField);
        }
        if self.tasks.contains(header.itt()) {
            return Some(RejectReason::TaskInProgress);
        }
        let room = self.config.window_size() as usize + IMMEDIATE_ROOM;
        if header.immediate() && self.tasks.len() >= room {
            return Some(RejectReason::TooManyImmediate);
        }
        if header.opcode() == opcode::SCSI_COMMAND {
            self.command_refusal(header)
        } else {
            None
        }
    }

    /// Act on a request whose turn it is.
    fn act(&mut self, pdu: Pdu, directory: &dyn Directory, outbox: &mut Outbox) -> Outcome {
        match pdu.header.opcode() {
            opcode::SCSI_COMMAND => self.handle_command(pdu, outbox),
            opcode::TASK_MANAGEMENT => self.handle_task_management(&pdu.header, outbox),
            opcode::TEXT => match self.text_refusal(&pdu) {
                Some(reason) => {
                    self.text = None;
                    outbox.reject(&pdu.header, reason, self.sequence());
                }
                None => {
                    self.advance_if_ordered(&pdu, false);
                    self.handle_text(&pdu, directory, outbox);
                }
            },
            opcode::LOGOUT => {
                self.advance_if_ordered(&pdu, false);
                return self.handle_logout(&pdu, outbox);
            }
            _ => self.handle_nop_out(&pdu, outbox),
        }
        Outcome::GoesOn
    }

    fn park(&mut self, pdu: Pdu, outbox: &mut Outbox) {
        let cmd_sn = pdu.header.cmd_sn();
        let parked = if pdu.header.opcode() == opcode::SCSI_COMMAND {
            Parked::Command(self.open_command(pdu, false, outbox))
        } else {
            Parked::Request(Box::new(pdu))
        };
        match parked {
            Parked::Request(pdu) if self.room == Room::Spent && !pdu.data.is_empty() => {
                outbox.reject(&pdu.header, RejectReason::LongOperation, self.sequence());
            }
            parked => self.window.park(cmd_sn, parked),
        }
    }

    /// Act on the parked requests whose turn has come.
    fn act_on_parked(&mut self, directory: &dyn Directory, outbox: &mut Outbox) -> Outcome {
        while let Some(parked) = self.window.take_next() {
            match parked {
                Parked::Command(tag) => {
                    let alive = self.tasks.get(tag).is_some();
                    self.window.advance(alive);
                    if alive {
                        self.begin_command(tag, outbox);
                    }
                }
                Parked::Request(pdu) if self.refusal(&pdu).is_some() => {
                    // Its tag was taken meanwhile by an immediate request; the number is used up all the same.
                    self.window.advance(false);
                    outbox.reject(&pdu.header, RejectReason::TaskInProgress, self.sequence());
                }
                Parked::Request(pdu) => {
                    if self.act(*pdu, directory, outbox) == Outcome::LoggedOut {
                        return Outcome::LoggedOut;
                    }
                }
                Parked::Gap => self.window.advance(false),
            }
        }
        Outcome::GoesOn
    }

    /// A request that is not immediate uses up its number; `open`: it stays open until it is answered.
    fn advance_if_ordered(&mut self, pdu: &Pdu, open: bool) {
        if !pdu.header.immediate() {
            self.window.advance(open);
        }
    }

    fn handle_nop_out(&mut self, pdu: &Pdu, outbox: &mut Outbox) {
        if pdu.header.itt() == RESERVED_TAG {
            return;
        }
        self.advance_if_ordered(pdu, false);
        let limit = self.parameters.get(Key::MaxRecvDataSegmentLength) as usize;
        let echo = pdu.data.slice(..pdu.data.len().min(limit));
        let answer = nop_in(pdu.header.itt(), RESERVED_TAG);
        outbox.send(answer, self.sequence(), std::iter::once(echo));
    }

    /// Ask the initiator whether it is there.
    pub(crate) fn ping(&mut self, outbox: &mut Outbox) {
        let ttt = self.new_ttt();
        outbox.send_bare(nop_in(RESERVED_TAG, ttt), self.sequence());
    }

    /// Ask the initiator to log out.
    pub(crate) fn request_logout(&self, seconds: u16, outbox: &mut Outbox) {
        outbox.send_bare(logout_request(seconds), self.sequence());
    }

    /// Say that the connection is about to be dropped.
    pub(crate) fn announce_drop(&self, wait_seconds: u16, outbox: &mut Outbox) {
        outbox.send_bare(drop_notice(wait_seconds), self.sequence());
    }

    /// Logout (RFC 7143 §11.14): a session of one connection ends with either reason.
    fn handle_logout(&mut self, pdu: &Pdu, outbox: &mut Outbox) -> Outcome {
        let header = &pdu.header;
        let names_this = header.cid() == self.cid;
        let (response, outcome) = match header.flags() & 0x7f {
            LOGOUT_SESSION => (0, Outcome::LoggedOut),
            LOGOUT_CONNECTION if names_this => (0, Outcome::LoggedOut),
            LOGOUT_CONNECTION => (1, Outcome::GoesOn),
            // For recovery; other reasons were refused.
            _ => (2, Outcome::GoesOn),
        };
        let seconds = |key| u16::try_from(self.parameters.get(key)).unwrap_or(u16::MAX);
        let (wait, retain) = (
            seconds(Key::DefaultTime2Wait),
            seconds(Key::DefaultTime2Retain),
        );
        outbox.send_bare(
            logout_response(header.itt(), response, wait, retain),
            self.sequence(),
        );
        if outcome == Outcome::LoggedOut {
            outbox.events.push_back(Event::Finished(Finish::LoggedOut));
        }
        outcome
    }

    fn sequence(&self) -> Window {
        Window {
            exp_cmd_sn: self.window.exp_cmd_sn(),
            max_cmd_sn: self.window.max_cmd_sn(),
        }
    }

    fn new_ttt(&mut self) -> u32 {
        let ttt = self.next_ttt;
        self.next_ttt = self.next_ttt.wrapping_add(1) % RESERVED_TAG;
        ttt
    }
}
