//! One TCP connection of one initiator: login, then full feature phase.
//!
//! Rules:
//! 1. The phases are Login, then FullFeature, then Over; there is no way back.
//! 2. Input is consumed only while it may be acted on: not while the caller's word on a login is awaited, not when
//!    more than [`TRANSMIT_HIGH_WATER_BYTES`] wait to be sent, not when over.
//! 3. Digests begin with the first PDU after the login's last answer, in both directions.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::chap::Challenge;
use crate::config::PortalConfig;
use crate::directory::Directory;
use crate::error::ProtocolError;
use crate::event::{Event, Finish, LoginRefusal, ScsiResponse, TaskManagementResponse, TaskTag};
use crate::keepalive::{Due, Keepalive, Line};
use crate::login::{LOGIN_SEGMENT_BYTES, Login, LoginStep, status};
use crate::outbox::{Outbox, Window};
use crate::pdu::{FrameRules, Outgoing, Pdu, bytes_wanted, opcode, take_pdu};
use crate::session::{Outcome, Room, Session};
use crate::transmit::TransmitQueue;

/// While more than this waits to be sent, nothing more is acted on: an initiator that does not read gets no work done.
pub const TRANSMIT_HIGH_WATER_BYTES: usize = 8 << 20;

/// The target's end of one TCP connection; see the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Connection {
    config: Arc<PortalConfig>,
    phase: Phase,
    outbox: Outbox,
    keepalive: Keepalive,
    /// Bytes of the input that were there before and could not be consumed.
    left_bytes: usize,
}

#[derive(Debug)]
enum Phase {
    Login(Box<Login>),
    FullFeature(Box<Session>),
    Over,
}

impl Connection {
    /// Begin a connection that was just accepted at `now_ns` (any monotonic clock; the same for [`Self::tick`]). The
    /// `challenge` is this connection's alone.
    #[must_use]
    pub fn new(config: Arc<PortalConfig>, challenge: Challenge, now_ns: u64) -> Self {
        Self {
            config,
            phase: Phase::Login(Box::new(Login::new(challenge))),
            outbox: Outbox::default(),
            keepalive: Keepalive::new(now_ns),
            left_bytes: 0,
        }
    }

    /// Consume all whole PDUs of `input` and leave the rest in it.
    ///
    /// Data segments stay slices of `input`'s buffer. Take all events after each call. While [`Self::wants_input`] is
    /// false nothing is consumed; call again when it has become true, even if no byte was added.
    ///
    /// # Errors
    /// The connection has to be closed at once; what waits in [`Self::transmit`] may be written first.
    pub fn receive(
        &mut self,
        input: &mut BytesMut,
        directory: &dyn Directory,
    ) -> Result<(), ProtocolError> {
        if input.len() > self.left_bytes {
            self.keepalive.hear();
        }
        let consumed = self.consume(input, directory);
        self.left_bytes = input.len();
        consumed
    }

    fn consume(
        &mut self,
        input: &mut BytesMut,
        directory: &dyn Directory,
    ) -> Result<(), ProtocolError> {
        while self.wants_input() {
            let taken = take_pdu(input, self.frame_rules());
            let step = match taken {
                Ok(Some(pdu)) => self.handle(pdu, directory),
                Ok(None) => return Ok(()),
                Err(error) => Err(error),
            };
            if let Err(error) = step {
                self.phase = Phase::Over;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Whether [`Self::receive`] consumes anything now. False while the answer to [`Event::SessionRequested`] is
    /// awaited, while more than [`TRANSMIT_HIGH_WATER_BYTES`] wait to be sent, and when the connection is over.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        let open = match &self.phase {
            Phase::Login(login) => !login.is_complete(),
            Phase::FullFeature(_) => true,
            Phase::Over => false,
        };
        open && self.outbox.transmit.len_bytes() <= TRANSMIT_HIGH_WATER_BYTES
    }

    /// How many bytes are missing in `input` until [`Self::receive`] can get further (at least 1): a hint for how much
    /// room to reserve.
    #[must_use]
    pub fn bytes_wanted(&self, input: &BytesMut) -> usize {
        bytes_wanted(input, self.frame_rules())
    }

    /// The event that comes next. Events may be left for a while: those of commands that are ended meanwhile vanish, and the
    /// command window bounds their number.
    #[must_use]
    pub fn peek_event(&self) -> Option<&Event> {
        self.outbox.events.front()
    }

    /// The oldest task management request that waits to be taken, ahead of the commands before it. Those of them that it concerns are
    /// not reported any more: they end with it.
    pub fn next_task_management(&mut self) -> Option<Event> {
        let request = self.outbox.next_task_management()?;
        if let Phase::FullFeature(session) = &mut self.phase {
            session.overtake(&request, &mut self.outbox);
        }
        Some(request)
    }

    /// Whether nothing is open or waits, for the caller or for the initiator.
    #[must_use]
    pub fn is_idle(&mut self) -> bool {
        let open = matches!(&self.phase, Phase::FullFeature(session) if session.has_tasks());
        !open && self.outbox.events.is_empty() && self.outbox.transmit.len_bytes() == 0
    }

    /// Say how much room there is for what the connection brings and asks for; [`Room::Free`] to begin with.
    pub fn set_room(&mut self, room: Room) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.set_room(room, &mut self.outbox);
        }
    }

    /// Bytes that the initiator was asked for and that have not come.
    #[must_use]
    pub fn awaited_bytes(&self) -> u64 {
        match &self.phase {
            Phase::FullFeature(session) => session.awaited_bytes(),
            Phase::Login(_) | Phase::Over => 0,
        }
    }

    /// Whether something that was begun needs more input before it can end: a connection that awaits data has to be read however
    /// little room there is.
    #[must_use]
    pub fn awaits_data(&self) -> bool {
        match &self.phase {
            Phase::FullFeature(session) => session.awaits_data(),
            Phase::Login(_) | Phase::Over => false,
        }
    }

    /// Whether writes wait for [`Room::Free`] before they are asked for their data.
    #[must_use]
    pub fn waits_for_room(&self) -> bool {
        matches!(&self.phase, Phase::FullFeature(session) if session.waits_for_room())
    }

    /// Answer a command that there is no room for: the initiator is to send it again.
    pub fn refuse_for_room(&mut self, task: TaskTag) {
        if let Phase::FullFeature(session) = &mut self.phase {
            let response = session.no_room_response();
            session.respond(task, &response, &mut self.outbox);
        }
    }

    /// The next event, oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        self.outbox.events.pop_front()
    }

    /// Let the requested session begin under a TSIH that is not 0. Ignored when no login awaits an answer.
    pub fn accept_login(&mut self, tsih: u16) {
        let Some(login) = self.take_complete_login() else {
            return;
        };
        let cmd_sn = login.cmd_sn();
        let (answer, text, identity, cid, parameters) = login.accept(tsih);
        let Some(identity) = identity else {
            return;
        };
        self.send_login_answer(answer, text, cmd_sn);
        let session = Session::new(Arc::clone(&self.config), identity, cid, cmd_sn, parameters);
        (self.outbox.header_digest, self.outbox.data_digest) = session.digests();
        self.phase = Phase::FullFeature(Box::new(session));
    }

    /// Refuse the requested session; [`Event::Finished`] follows. Ignored when no login awaits an answer.
    pub fn reject_login(&mut self, refusal: LoginRefusal) {
        if let Some(login) = self.take_complete_login() {
            self.refuse_login(&login, refusal.status(), Bytes::new());
        }
    }

    /// Answer a command. Ignored when the task was aborted meanwhile.
    pub fn respond(&mut self, task: TaskTag, response: ScsiResponse) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.respond(task, &response, &mut self.outbox);
        }
    }

    /// Answer a task management request. With [`TaskManagementResponse::Complete`] the tasks that it names end
    /// unanswered; else those of them that were not reported end with TASK ABORTED.
    pub fn respond_task_management(&mut self, task: TaskTag, response: TaskManagementResponse) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.respond_task_management(task, response, &mut self.outbox);
        }
    }

    /// End the commands that the caller has not got, because data are still to come or their events were not taken: another I_T nexus
    /// reset or cleared them. They are answered TASK ABORTED.
    pub fn abort_unreported(&mut self) {
        if let Phase::FullFeature(session) = &mut self.phase {
            session.abort_unreported(&mut self.outbox);
        }
    }

    /// Ask the initiator by an Asynchronous Message to log out within `seconds` (RFC 7143 §11.9.1, event 1).
    pub fn request_logout(&mut self, seconds: u16) {
        if let Phase::FullFeature(session) = &self.phase {
            session.request_logout(seconds, &mut self.outbox);
        }
    }

    /// Tell the initiator that its session is about to be dropped and that it may come back after `wait_seconds` (RFC 7143
    /// §11.9.1, event 3). The connection is over: write out what [`Self::transmit`] holds as far as that goes, and close it.
    pub fn announce_drop(&mut self, wait_seconds: u16) {
        if let Phase::FullFeature(session) = &self.phase {
            session.announce_drop(wait_seconds, &mut self.outbox);
        }
        self.phase = Phase::Over;
    }

    /// Whether the initiator was asked for a sign of life and has not given one: then [`Self::tick`] looks at what is undelivered.
    #[must_use]
    pub fn awaits_sign_of_life(&self) -> bool {
        self.keepalive.is_asking()
    }

    /// Let time pass: watches over the login's time and the initiator's silence, on the `line` that the caller sees. Call it at least
    /// once a second.
    ///
    /// # Errors
    /// The connection has to be closed: the login took too long or a NOP-In was not answered.
    pub fn tick(&mut self, now_ns: u64, line: Line) -> Result<(), ProtocolError> {
        let logged_in = match self.phase {
            Phase::Login(_) => false,
            Phase::FullFeature(_) => true,
            Phase::Over => return Ok(()),
        };
        let due = self.keepalive.tick(now_ns, logged_in, line, &self.config);
        match (due, &mut self.phase) {
            (Ok(Due::Ping), Phase::FullFeature(session)) => session.ping(&mut self.outbox),
            (Ok(_), _) => {}
            (Err(error), _) => {
                self.phase = Phase::Over;
                return Err(error);
            }
        }
        Ok(())
    }

    /// What waits to be sent.
    pub fn transmit(&mut self) -> &mut TransmitQueue {
        &mut self.outbox.transmit
    }

    fn frame_rules(&self) -> FrameRules {
        match &self.phase {
            Phase::FullFeature(session) => session.frame_rules(),
            Phase::Login(_) | Phase::Over => FrameRules {
                header_digest: false,
                data_digest: false,
                max_segment: LOGIN_SEGMENT_BYTES,
            },
        }
    }

    fn handle(&mut self, pdu: Pdu, directory: &dyn Directory) -> Result<(), ProtocolError> {
        match &mut self.phase {
            Phase::Login(_) => self.handle_login(&pdu, directory),
            Phase::FullFeature(session) => {
                if session.handle(pdu, directory, &mut self.outbox) == Outcome::LoggedOut {
                    self.phase = Phase::Over;
                }
                Ok(())
            }
            Phase::Over => Err(ProtocolError::Finished),
        }
    }

    fn handle_login(&mut self, pdu: &Pdu, directory: &dyn Directory) -> Result<(), ProtocolError> {
        let Phase::Login(login) = &mut self.phase else {
            return Ok(());
        };
        let opcode = pdu.header.opcode();
        let step = match opcode {
            opcode::LOGIN => login.step(pdu, directory, &self.config),
            _ if login.has_begun() => LoginStep::Refuse(status::INVALID_DURING_LOGIN),
            _ => return Err(ProtocolError::NotLogin { opcode }),
        };
        match step {
            LoginStep::Answer(answer, text) => {
                let cmd_sn = login.cmd_sn();
                self.send_login_answer(answer, text, cmd_sn);
            }
            LoginStep::Complete(request) => {
                self.outbox
                    .events
                    .push_back(Event::SessionRequested(request));
            }
            LoginStep::Refuse(status) => self.end_login(status, Bytes::new()),
            LoginStep::Redirect(status, text) => self.end_login(status, text),
        }
        Ok(())
    }

    fn end_login(&mut self, status: u16, text: Bytes) {
        if let Phase::Login(login) = std::mem::replace(&mut self.phase, Phase::Over) {
            self.refuse_login(&login, status, text);
        }
    }

    /// Take the login out if it awaits the caller's word; the phase is Over then.
    fn take_complete_login(&mut self) -> Option<Login> {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Login(login) if login.is_complete() => Some(*login),
            other => {
                self.phase = other;
                None
            }
        }
    }

    fn refuse_login(&mut self, login: &Login, status: u16, text: Bytes) {
        self.send_login_answer(login.refusal(status), text, login.cmd_sn());
        self.outbox
            .events
            .push_back(Event::Finished(Finish::LoginRefused(login.refused(status))));
    }

    fn send_login_answer(&mut self, answer: Outgoing, text: Bytes, cmd_sn: u32) {
        let max_cmd_sn = cmd_sn
            .wrapping_add(self.config.window_size())
            .wrapping_sub(1);
        let window = Window {
            exp_cmd_sn: cmd_sn,
            max_cmd_sn,
        };
        self.outbox.send(answer, window, std::iter::once(text));
    }
}
