//! One connection of one initiator: bytes in, commands to the logical unit, answers out.
//!
//! Rules:
//!
//! * A pass reads a bounded number of bytes from one connection, so that none starves the others.
//! * While its initiator has used up its share ([`crate::share`]) a connection is read only as far as that lets end what has begun, if
//!   nothing of it is open, or a little further; and of what was received only that begins which takes no more memory. If nothing is
//!   left that could give memory back, one command begins all the same, or is refused. So other sessions of the same initiator cannot
//!   keep one from its first commands.
//! * A connection at its login is always read: what all of them can hold is bounded by their number.
//! * A task management request does not wait behind commands that wait for memory.
//! * What concerns other connections (reinstatement, resets) is given back to the engine as a [`Pump`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use twindisk_iscsi::{
    Challenge, Connection, Event, Finish, Line, PortalConfig, RefusedLogin, Room, ScsiCommand,
    ScsiResponse, SessionRequest, TaskFunction, TaskTag,
};
use twindisk_mirror::HostOp;
use twindisk_scsi::{IoRequest, NexusId, Step, is_within_bounds};

use crate::core::Core;
use crate::plan::{Plan, plan};
use crate::request::{Request, Work, scsi_response};
use crate::share::Share;
use crate::socket::{Outbox, Read, Socket};
use crate::transfer::HELD_BYTES;
use crate::vdisk::Targets;

/// Bytes that one connection may bring in during one pass: few enough to be in the processor's cache when they are written.
const PASS_BYTES: usize = 256 << 10;
/// What a command in flight takes beside its data, in bytes.
const COMMAND_BYTES: usize = 512;

/// Ticks that a connection gets to take the last answer.
pub const CLOSING_TICKS: u32 = 20;

/// Who is logged in.
#[derive(Debug, Clone)]
pub struct Login {
    /// The initiator's iSCSI name.
    pub initiator: String,
    /// The CHAP user that it proved to be; None: nothing was asked.
    pub user: Option<String>,
    /// The initiator's part of the session id.
    pub isid: [u8; 6],
    /// The VDisk's place; None in a discovery session.
    pub vdisk: Option<usize>,
    /// The target's part of the session id.
    pub tsih: u16,
}

/// What the engine has to do for a connection after a pump.
#[derive(Debug)]
pub enum Pump {
    /// Nothing; wait for the next event.
    Idle,
    /// There is more to read in the next pass.
    More,
    /// Decide about a login, then pump again.
    Login(SessionRequest),
    /// Carry out a task management request, then pump again.
    Tasks {
        /// The request.
        task: TaskTag,
        /// What to do.
        function: TaskFunction,
        /// The LUN field.
        lun: u64,
    },
    /// Report a login that was refused, then pump again.
    Refused(RefusedLogin),
    /// Write what waits, then close.
    Close,
}

/// One connection of an initiator.
pub struct Session {
    /// The socket.
    pub socket: Socket,
    /// The protocol.
    pub connection: Connection,
    /// Where the initiator connects from.
    pub address: SocketAddr,
    /// The nexus; new for each connection.
    pub nexus: NexusId,
    /// None before login.
    pub login: Option<Login>,
    /// The memory that it holds, and that its initiator's other sessions do.
    pub share: Share,
    /// Its commands in flight.
    commands: usize,
    /// What they take beside their data-out, in bytes.
    commands_bytes: usize,
    /// What the protocol was told last.
    room: Room,
    /// The protocol took no more input, because too much waits to be sent.
    stopped: bool,
    /// To be closed once everything is written, or [`CLOSING_TICKS`] have passed.
    pub closing: bool,
    /// Ticks since then.
    pub closing_ticks: u32,
}

impl Session {
    /// A connection that was just accepted at `now_ns`.
    ///
    /// # Errors
    /// The stream is closed already.
    pub fn new(
        stream: TcpStream,
        address: SocketAddr,
        nexus: NexusId,
        config: Arc<PortalConfig>,
        challenge: Challenge,
        share: Share,
        now_ns: u64,
    ) -> io::Result<Self> {
        let socket = Socket::new(stream)?;
        let connection = Connection::new(config, challenge, now_ns);
        Ok(Self {
            socket,
            connection,
            address,
            nexus,
            login: None,
            share,
            commands: 0,
            commands_bytes: 0,
            room: Room::Free,
            stopped: false,
            closing: false,
            closing_ticks: 0,
        })
    }

    /// Whether there is anything to be done for it now, beside writing.
    #[must_use]
    pub fn may_go_on(&mut self) -> bool {
        if self.closing {
            return false;
        }
        let room = self.look_for_room();
        let begins = self.connection.peek_event().is_some_and(takes_memory);
        (begins && self.verdict(room) != Verdict::Wait)
            || (room < self.room && self.connection.waits_for_room())
            || (self.stopped && self.connection.wants_input())
            || (self.socket.is_readable() && self.may_read(room))
    }

    fn may_read(&mut self, room: Room) -> bool {
        let lets = match room {
            Room::Free => true,
            Room::Short => self.is_idle() || self.share.may_run_ahead(),
            Room::Spent => false,
        };
        !self.closing
            && self.connection.wants_input()
            && (lets || self.login.is_none() || self.connection.awaits_data())
    }

    /// Whether nothing of it is open.
    fn is_idle(&mut self) -> bool {
        self.commands == 0 && self.connection.is_idle()
    }

    /// What becomes of a command that takes memory.
    fn verdict(&mut self, room: Room) -> Verdict {
        match room {
            Room::Free => Verdict::Begin,
            // Their end gives memory back.
            _ if self.commands > 0 || !self.is_flushed() => Verdict::Wait,
            Room::Short => Verdict::Begin,
            Room::Spent => Verdict::Refuse,
        }
    }

    /// How much room there is. Only if there seems to be little it is counted anew what is in use.
    fn look_for_room(&mut self) -> Room {
        let room = self.share.room();
        if room == Room::Free {
            return room;
        }
        self.socket.sweep();
        self.count_memory();
        self.share.room()
    }

    /// Tell the share what this connection holds.
    pub fn count_memory(&mut self) {
        let awaited_bytes = usize::try_from(self.connection.awaited_bytes()).unwrap_or(usize::MAX);
        let to_send_bytes = self.connection.transmit().len_bytes();
        let received_bytes = self.socket.held_bytes();
        self.share
            .set(received_bytes + awaited_bytes + self.commands_bytes + to_send_bytes);
    }

    /// A command, or a request to reset, is in flight from now on and takes `bytes` beside its data-out.
    pub fn begin_command(&mut self, bytes: usize) {
        self.commands += 1;
        self.hold_more(bytes);
    }

    /// A command in flight takes so many bytes more.
    pub fn hold_more(&mut self, bytes: usize) {
        self.commands_bytes += bytes;
        self.share.set(self.share.own_bytes() + bytes);
    }

    /// What was begun with `bytes`, and more that it took later, has ended.
    pub fn end_command(&mut self, bytes: usize) {
        self.commands -= 1;
        self.commands_bytes -= bytes;
    }

    /// Read and act until there is nothing more, the pass's share is used up, or the engine has to act. `endpoint` is this
    /// connection's place.
    pub fn pump(&mut self, endpoint: usize, core: &mut Core) -> Pump {
        let pump = self.read_and_act(endpoint, core);
        self.count_memory();
        pump
    }

    fn read_and_act(&mut self, endpoint: usize, core: &mut Core) -> Pump {
        let mut budget = PASS_BYTES;
        loop {
            if let Some(pump) = self.act(endpoint, core) {
                return pump;
            }
            if !self.socket.is_readable() || !self.may_read(self.room) {
                return Pump::Idle;
            }
            if budget == 0 {
                return Pump::More;
            }
            let wanted = self.connection.bytes_wanted(&self.socket.input);
            match self.socket.read(wanted) {
                Ok(Read::Data(got)) => budget = budget.saturating_sub(got),
                Ok(Read::Empty) => return Pump::Idle,
                Ok(Read::Closed) | Err(_) => return Pump::Close,
            }
        }
    }

    /// Consume what was received; `Some`: the engine has to act.
    fn act(&mut self, endpoint: usize, core: &mut Core) -> Option<Pump> {
        let targets = Targets {
            vdisks: &core.vdisks,
            discovery: &core.discovery,
        };
        self.count_memory();
        self.room = self.look_for_room();
        self.connection.set_room(self.room);
        let received = self.connection.receive(&mut self.socket.input, &targets);
        self.stopped = !self.connection.wants_input();
        while let Some(event) = self.next_event() {
            match event {
                Event::Command(command) => self.command(endpoint, command, core),
                Event::SessionRequested(request) => return Some(Pump::Login(request)),
                Event::TaskManagement {
                    task,
                    function,
                    lun,
                } => {
                    return Some(Pump::Tasks {
                        task,
                        function,
                        lun,
                    });
                }
                Event::Finished(Finish::LoginRefused(refused)) => {
                    self.closing = true;
                    return Some(Pump::Refused(refused));
                }
                Event::Finished(Finish::LoggedOut) => return Some(Pump::Close),
            }
        }
        received.is_err().then_some(Pump::Close)
    }

    /// The next event that may be acted on. Commands that there is no room for are refused on the way.
    fn next_event(&mut self) -> Option<Event> {
        while self.connection.peek_event().is_some_and(takes_memory) {
            let room = self.look_for_room();
            match self.verdict(room) {
                Verdict::Begin => break,
                Verdict::Wait => return self.connection.next_task_management(),
                Verdict::Refuse => {
                    if let Some(Event::Command(command)) = self.connection.next_event() {
                        self.connection.refuse_for_room(command.task);
                    }
                }
            }
        }
        self.connection.next_event()
    }

    fn command(&mut self, endpoint: usize, command: ScsiCommand, core: &mut Core) {
        let Some(place) = self.login.as_ref().and_then(|login| login.vdisk) else {
            return;
        };
        let vdisk = &mut core.vdisks[place];
        let (cdb, data_out) = (command.cdb, command.data_out);
        let mut held_bytes = COMMAND_BYTES;
        let mut background = false;
        let (plan, work) = match vdisk.unit.execute(self.nexus, &cdb, command.lun, &data_out) {
            Step::Done(response) => {
                return self
                    .connection
                    .respond(command.task, scsi_response(response, &vdisk.unit));
            }
            Step::Io(request) => {
                debug_assert!(is_within_bounds(
                    &request,
                    vdisk.files.size_bytes(),
                    vdisk.unit.block(),
                    data_out.iter().map(bytes::Bytes::len).sum(),
                ));
                vdisk.counters.count(&request);
                held_bytes += io_bytes(&request);
                let mut plan = plan(request, data_out);
                if vdisk.unit.writes_through() {
                    plan.write_through();
                }
                (plan, Work::Io)
            }
            step @ (Step::Copy(_) | Step::Offload(_)) => {
                held_bytes += HELD_BYTES;
                let login = self.login.as_ref().expect("it has a VDisk");
                match core.begin_third_party(place, self.nexus, login, step) {
                    Ok(begun) => {
                        background = begun.background;
                        (Plan::one(begun.first), begun.work)
                    }
                    Err(response) => {
                        let response = scsi_response(response, &core.vdisks[place].unit);
                        return self.connection.respond(command.task, response);
                    }
                }
            }
            Step::Settle => (Plan::one(HostOp::Settle), Work::Settle { data_out }),
            Step::Turn => {
                let tag = core.tags.fresh();
                (Plan::one(HostOp::Turn { tag }), Work::Turn { data_out })
            }
        };
        self.begin_command(held_bytes);
        let serial = core.vdisks[place].serial;
        let waiting = Request {
            endpoint,
            nexus: self.nexus,
            task: command.task,
            vdisk: place,
            held_bytes,
            todo: plan.todo,
            answer: plan.answer,
            cdb,
            work,
            background,
        };
        if background {
            self.connection
                .respond(command.task, ScsiResponse::default());
        }
        let id = core.requests.insert(waiting);
        core.node.host(serial, id, plan.first, core.now_ns);
    }

    /// Let time pass; false: the connection has to be closed.
    #[must_use]
    pub fn tick(&mut self, now_ns: u64) -> bool {
        let line = if self.connection.awaits_sign_of_life() {
            let waits_bytes = Outbox::len_bytes(self.connection.transmit());
            Line {
                unread: self.socket.is_readable(),
                undelivered_bytes: waits_bytes + self.socket.unacknowledged_bytes(),
            }
        } else {
            Line::default()
        };
        self.connection.tick(now_ns, line).is_ok()
    }

    /// Write what waits.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        let flushed = self.socket.flush(self.connection.transmit());
        self.count_memory();
        flushed
    }

    /// Whether everything is written.
    #[must_use]
    pub fn is_flushed(&mut self) -> bool {
        Outbox::len_bytes(self.connection.transmit()) == 0
    }
}

/// What becomes of a command that takes memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Begin,
    /// Until others have ended.
    Wait,
    Refuse,
}

/// Whether an event is a command that may take more memory than it has brought: all but plain writes, whose end gives theirs back.
fn takes_memory(event: &Event) -> bool {
    const WRITES: [u8; 4] = [0x0a, 0x2a, 0x8a, 0xaa];
    matches!(event, Event::Command(command) if !WRITES.contains(&command.cdb[0]))
}

/// Bytes that a request will hold beside its data-out: what it reads, and what it fills.
fn io_bytes(request: &IoRequest) -> usize {
    match request {
        IoRequest::Read { len_bytes, .. }
        | IoRequest::Verify { len_bytes, .. }
        | IoRequest::WriteAndVerify { len_bytes, .. } => *len_bytes as usize,
        IoRequest::CompareAndWrite { len_bytes, .. } | IoRequest::OrWrite { len_bytes, .. } => {
            *len_bytes as usize
        }
        // The page cache holds it, until the disk has it.
        IoRequest::WriteSame { len_bytes, .. } => {
            usize::try_from(*len_bytes).unwrap_or(usize::MAX >> 1)
        }
        IoRequest::Write { .. }
        | IoRequest::LbaStatus(_)
        | IoRequest::Unmap(_)
        | IoRequest::Flush => 0,
    }
}

#[cfg(test)]
mod tests;
