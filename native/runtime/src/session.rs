//! One connection of one initiator: bytes in, commands to the logical unit, answers out.
//!
//! Rules:
//!
//! * A pass reads a bounded number of bytes from one connection, so that none starves the others.
//! * Nothing more is read while the connection holds too many bytes in flight or waiting to be sent, or its initiator has used up
//!   its share ([`crate::share`]).
//! * What concerns other connections (reinstatement, resets) is given back to the engine as a [`Pump`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::net::TcpStream;
use twindisk_iscsi::{
    Challenge, Connection, Event, Finish, PortalConfig, RefusedLogin, ScsiCommand, SessionRequest,
    TaskFunction, TaskTag,
};
use twindisk_mirror::HostOp;
use twindisk_scsi::{IoRequest, NexusId, Step};

use crate::core::Core;
use crate::plan::{Plan, plan};
use crate::request::{Request, Work, scsi_response};
use crate::share::Share;
use crate::socket::{Outbox, Read, Socket};
use crate::vdisk::Targets;

/// Bytes that one connection may bring in during one pass: few enough to be in the processor's cache when they are written.
const PASS_BYTES: usize = 256 << 10;
/// Bytes in flight and to be sent above which a connection is not read.
const HELD_MAX_BYTES: usize = 32 << 20;

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
    /// Bytes held by commands in flight, here and in the initiator's other sessions.
    pub share: Share,
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
            share: Share::default(),
            closing: false,
            closing_ticks: 0,
        })
    }

    /// Whether reading may go on.
    #[must_use]
    pub fn may_read(&mut self) -> bool {
        !self.closing
            && self.share.has_room()
            && self.share.own_bytes() + self.connection.transmit().len_bytes() < HELD_MAX_BYTES
    }

    /// Read and act until there is nothing more, the pass's share is used up, or the engine has to act. `endpoint` is this
    /// connection's place.
    pub fn pump(&mut self, endpoint: usize, core: &mut Core) -> Pump {
        let mut budget = PASS_BYTES;
        loop {
            if let Some(pump) = self.act(endpoint, core) {
                return pump;
            }
            if !self.socket.is_readable() || !self.may_read() {
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
        let received = self.connection.receive(&mut self.socket.input, &targets);
        while let Some(event) = self.connection.next_event() {
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

    fn command(&mut self, endpoint: usize, command: ScsiCommand, core: &mut Core) {
        let Some(place) = self.login.as_ref().and_then(|login| login.vdisk) else {
            return;
        };
        let vdisk = &mut core.vdisks[place];
        let (cdb, data_out) = (command.cdb, command.data_out);
        let sent_bytes: usize = data_out.iter().map(bytes::Bytes::len).sum();
        let mut held_bytes = 512 + sent_bytes;
        let (plan, work) = match vdisk.unit.execute(self.nexus, &cdb, command.lun, &data_out) {
            Step::Done(response) => {
                return self
                    .connection
                    .respond(command.task, scsi_response(response, &vdisk.unit));
            }
            Step::Io(request) => {
                vdisk.counters.count(&request);
                held_bytes += io_bytes(&request);
                let mut plan = plan(request, data_out);
                if vdisk.unit.writes_through() {
                    plan.write_through();
                }
                (plan, Work::Io)
            }
            Step::Settle => (Plan::one(HostOp::Settle), Work::Settle { data_out }),
            Step::Turn => {
                let tag = core.tags.fresh();
                (
                    Plan::one(HostOp::Turn { tag }),
                    Work::Turn {
                        data_out,
                        computed: false,
                    },
                )
            }
        };
        self.share.hold(held_bytes);
        let serial = vdisk.serial;
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
        };
        let id = core.requests.insert(waiting);
        core.node.host(serial, id, plan.first, core.now_ns);
    }

    /// Write what waits.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        self.socket.flush(self.connection.transmit())
    }

    /// Whether everything is written.
    #[must_use]
    pub fn is_flushed(&mut self) -> bool {
        Outbox::len_bytes(self.connection.transmit()) == 0
    }
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
mod tests {
    use super::*;

    #[test]
    fn a_fill_counts_as_what_it_fills() {
        for zeros in [false, true] {
            let request = IoRequest::WriteSame {
                offset_bytes: 512,
                len_bytes: 16 << 20,
                zeros,
            };
            assert_eq!(io_bytes(&request), 16 << 20);
        }
    }
}
