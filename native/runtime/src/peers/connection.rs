//! One TCP connection of a link with a peer: connecting, proving the secret, then numbered frames.
//!
//! Rules:
//!
//! * The side that dials connects, from its own address of the path; the other side knows the dialer by the mirror address that it proves.
//! * A connection that is made waits for the word whether it opens a link or joins the one that stands ([`Connection::begin`]).
//! * A connection that does not finish its handshake in time, or breaks a rule, is closed without a word. A dialer of another version is told
//!   this node's, so that operators learn of it at both ends.
//! * A pass reads a bounded number of bytes; nothing more is read while too much waits to be sent, as long as any of it is sent: two sides
//!   that both have too much would wait for each other for ever.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, bind, connect, socket_with};
use twindisk_mirror::bundle::{Frame, PREAMBLE_BYTES, Preamble, Progress};
use twindisk_mirror::frame::{self, HEADER_BYTES};
use twindisk_mirror::handshake::{
    Handshake, HandshakeError, Nonce, Session, SessionId, parting_word,
};
use twindisk_mirror::message::Message;

use crate::portal::family_of;
use crate::quality::Quality;
use crate::socket::{ChunkQueue, Outbox, Read, Socket};

/// A connection that is not open after this time is closed, in nanoseconds.
pub const OPEN_NS: u64 = 3_000_000_000;
/// The same from the hello on: there is time for another one to open the link before the listener has closed that.
const HELLO_NS: u64 = OPEN_NS / 2;
/// Bytes that one connection may bring in during one pass: few enough to be in the processor's cache when they are written.
const PASS_BYTES: usize = 512 << 10;
/// Bytes to be sent above which a connection is not read.
const HELD_MAX_BYTES: usize = 64 << 20;

enum Stage {
    /// TCP connects.
    Connecting,
    /// It is connected, and waits for [`Connection::begin`].
    Made,
    Handshake(Handshake),
    Open,
}

/// Why a connection has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// It broke or was closed by the peer.
    Reset,
    /// The peer broke the protocol, or does not know the secret.
    Protocol,
    /// The peer, if it is one, speaks this version of the protocol, which is not this node's.
    Version(u8),
}

/// What a connection brought.
#[derive(Debug)]
pub enum Arrived {
    /// The handshake is done.
    Session(Session),
    /// A preamble, and the message of the frame behind it with the frame's length in bytes.
    Frame(Preamble, Option<(Message, usize)>),
}

/// Which way a connection takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The peer's place.
    pub peer: usize,
    /// Which of the peer's paths.
    pub path: usize,
}

/// One connection.
pub struct Connection {
    /// The socket.
    pub socket: Socket,
    /// What waits to be sent.
    pub outbox: ChunkQueue,
    /// For an accepted connection known only after the handshake.
    pub way: Option<Way>,
    /// When it was made, or began to be.
    pub begun_ns: u64,
    /// When it is closed if it is not open yet.
    pub deadline_ns: u64,
    quality: Quality,
    /// TCP waits for an answer to what it has sent since then.
    waits_since_ns: Option<u64>,
    /// Bytes that had been sent at the last tick.
    sent_bytes: u64,
    /// Nothing of too much that waits was sent for a tick.
    is_stuck: bool,
    /// Something arrived since [`Connection::take_heard`].
    was_heard: bool,
    /// The preamble whose frame is not whole yet.
    preamble: Option<Preamble>,
    stage: Stage,
}

impl Connection {
    fn new(stream: TcpStream, way: Option<Way>, stage: Stage, now_ns: u64) -> io::Result<Self> {
        Ok(Self {
            socket: Socket::new(stream)?,
            outbox: ChunkQueue::default(),
            way,
            begun_ns: now_ns,
            deadline_ns: now_ns + OPEN_NS,
            quality: Quality::default(),
            waits_since_ns: None,
            sent_bytes: 0,
            is_stuck: false,
            was_heard: false,
            preamble: None,
            stage,
        })
    }

    /// Begin to connect to a peer, from one of this node's addresses.
    ///
    /// # Errors
    /// The address cannot be reached.
    pub fn dial(own: IpAddr, to: SocketAddr, way: Way, now_ns: u64) -> io::Result<Self> {
        let fd = socket_with(
            family_of(to),
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        bind(&fd, &SocketAddr::new(own, 0))?;
        match connect(&fd, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from_std(fd.into());
        Self::new(stream, Some(way), Stage::Connecting, now_ns)
    }

    /// Take a connection that a peer made.
    ///
    /// # Errors
    /// The stream is closed already.
    pub fn accepted(stream: TcpStream, secret: &[u8], now_ns: u64) -> io::Result<Self> {
        let stage = Stage::Handshake(Handshake::listen(secret, nonce()?));
        Self::new(stream, None, stage, now_ns)
    }

    /// Whether the handshake is done.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Whether it is connected and waits for [`Connection::begin`].
    #[must_use]
    pub fn is_made(&self) -> bool {
        matches!(self.stage, Stage::Made)
    }

    /// Whether it is shaking hands.
    #[must_use]
    pub fn is_beginning(&self) -> bool {
        matches!(self.stage, Stage::Handshake(_))
    }

    /// Open a link with a connection that was dialed and is made, or join the one that stands. `name`: this node's mirror address.
    ///
    /// # Errors
    /// The operating system gives no random bytes.
    pub fn begin(
        &mut self,
        secret: &[u8],
        name: IpAddr,
        join: Option<SessionId>,
        now_ns: u64,
    ) -> io::Result<()> {
        let (handshake, hello) = Handshake::dial(secret, nonce()?, &name.to_string(), join);
        self.outbox.push(hello.into());
        self.stage = Stage::Handshake(handshake);
        self.deadline_ns = now_ns + HELLO_NS;
        Ok(())
    }

    /// Read until there is nothing more or the pass's share is used up; true: there is more for the next pass.
    ///
    /// # Errors
    /// The connection has to be closed; what arrived before stands.
    pub fn pump(&mut self, arrived: &mut Vec<Arrived>) -> Result<bool, Broken> {
        if !self.connected()? {
            return Ok(false);
        }
        let mut budget = PASS_BYTES;
        loop {
            self.consume(arrived)?;
            if !self.socket.is_readable() || self.is_held() {
                return Ok(false);
            }
            if budget == 0 {
                return Ok(true);
            }
            match self.socket.read(1) {
                Ok(Read::Data(got)) => {
                    self.was_heard |= got > 0;
                    budget = budget.saturating_sub(got);
                }
                Ok(Read::Empty) => return Ok(false),
                Ok(Read::Closed) | Err(_) => return Err(Broken::Reset),
            }
        }
    }

    /// Whether it is not read because too much waits to be sent.
    fn is_held(&self) -> bool {
        self.outbox.len_bytes() > HELD_MAX_BYTES && !self.is_stuck
    }

    /// Whether a pump would read.
    #[must_use]
    pub fn is_to_be_read(&self) -> bool {
        let is_begun = !matches!(self.stage, Stage::Connecting | Stage::Made);
        is_begun && self.socket.is_readable() && !self.is_held()
    }

    /// Whether anything has arrived since this was asked last; of one that is not read nobody can say it was silent.
    pub fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.was_heard) || self.is_held()
    }

    /// Time passed. True: it is to be read although much waits, for nothing of that was sent.
    pub fn tick(&mut self) -> bool {
        let sent_bytes = self.outbox.sent_bytes();
        self.is_stuck = self.outbox.len_bytes() > HELD_MAX_BYTES && sent_bytes == self.sent_bytes;
        self.sent_bytes = sent_bytes;
        self.is_stuck
    }

    /// Learn anew how good the way is; [`Connection::progress`] counts with it.
    pub fn measure(&mut self, now_ns: u64) {
        self.quality = Quality::of(&self.socket.stream).unwrap_or(self.quality);
        self.waits_since_ns = self.quality.waits_since_ns(self.waits_since_ns, now_ns);
    }

    /// Since when TCP has had no answer to what it has sent, as of the latest [`Connection::measure`]; None: it waits for none.
    #[must_use]
    pub fn waits_since_ns(&self) -> Option<u64> {
        self.waits_since_ns
    }

    /// How it is getting on.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let unconfirmed_bytes = self.socket.unacknowledged_bytes() as u64;
        let load_bytes = self.outbox.len_bytes() as u64 + unconfirmed_bytes;
        Progress {
            load_bytes,
            confirmed_bytes: self.outbox.sent_bytes().saturating_sub(unconfirmed_bytes),
            round_trip_ns: self.quality.round_trip_ns,
            arrival_ns: self.quality.arrival_ns(load_bytes),
        }
    }

    /// Bytes that it has been given to send, the handshake's too.
    pub fn given_bytes(&self) -> u64 {
        self.outbox.sent_bytes() + self.outbox.len_bytes() as u64
    }

    /// Whether the connection is made; one that was dialed waits for its word then.
    fn connected(&mut self) -> Result<bool, Broken> {
        match self.stage {
            Stage::Connecting => {}
            Stage::Made => return Ok(false),
            Stage::Handshake(_) | Stage::Open => return Ok(true),
        }
        if !matches!(self.socket.stream.take_error(), Ok(None)) {
            return Err(Broken::Reset);
        }
        if self.socket.stream.peer_addr().is_ok() {
            self.stage = Stage::Made;
        }
        Ok(false)
    }

    fn consume(&mut self, arrived: &mut Vec<Arrived>) -> Result<(), Broken> {
        if let Stage::Handshake(handshake) = &mut self.stage {
            let before = self.socket.input.len();
            let (answer, session) = match handshake.receive(&mut self.socket.input) {
                Ok(outcome) => outcome,
                Err(HandshakeError::Version(theirs)) => {
                    self.part();
                    return Err(Broken::Version(theirs));
                }
                Err(_) => return Err(Broken::Protocol),
            };
            self.outbox.push(answer.into());
            match session {
                Some(session) => {
                    arrived.push(Arrived::Session(session));
                    self.stage = Stage::Open;
                }
                None if self.socket.input.len() < before && !self.socket.input.is_empty() => {
                    return self.consume(arrived);
                }
                None => return Ok(()),
            }
        }
        self.consume_frames(arrived).ok_or(Broken::Protocol)
    }

    /// None: the peer broke the protocol.
    fn consume_frames(&mut self, arrived: &mut Vec<Arrived>) -> Option<()> {
        let input = &mut self.socket.input;
        loop {
            if self.preamble.is_none() {
                self.preamble = Preamble::decode(input).ok()?;
            }
            let Some(preamble) = self.preamble else {
                return Some(());
            };
            if preamble.number == 0 {
                arrived.push(Arrived::Frame(preamble, None));
            } else {
                let before = input.len();
                let Some(message) = frame::decode(input).ok()? else {
                    return Some(());
                };
                let len_bytes = PREAMBLE_BYTES + before - input.len();
                arrived.push(Arrived::Frame(preamble, Some((message, len_bytes))));
            }
            self.preamble = None;
        }
    }

    /// Tell a dialer this node's version; a listener knows it from the hello.
    fn part(&mut self) {
        if self.way.is_none() {
            self.outbox.push(Bytes::copy_from_slice(&parting_word()));
            // Whoever does not hear it finds the connection closed.
            let _ = self.socket.flush(&mut self.outbox);
        }
    }

    /// Queue a preamble and the frame behind it.
    pub fn send(&mut self, preamble: Preamble, frame: Option<Frame>) {
        let Some((header, payload)) = frame else {
            return self.outbox.push(Bytes::copy_from_slice(&preamble.encode()));
        };
        let mut head = [0; PREAMBLE_BYTES + HEADER_BYTES];
        head[..PREAMBLE_BYTES].copy_from_slice(&preamble.encode());
        head[PREAMBLE_BYTES..].copy_from_slice(&header);
        self.outbox.push(Bytes::copy_from_slice(&head));
        for piece in payload.into_pieces() {
            self.outbox.push(piece);
        }
    }

    /// Write what waits.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        if matches!(self.stage, Stage::Connecting) {
            return Ok(());
        }
        self.socket.flush(&mut self.outbox)
    }
}

fn nonce() -> io::Result<Nonce> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(nonce)
}

#[cfg(test)]
mod tests {
    use twindisk_mirror::Serial;
    use twindisk_mirror::message::Body;

    use super::*;

    const NEXT: Preamble = Preamble {
        number: 1,
        acknowledged: 0,
    };
    const WAY: Way = Way { peer: 3, path: 0 };

    fn pair(dialer_secret: &[u8], listener_secret: &[u8]) -> (Connection, Connection) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let own = "127.0.0.7".parse().unwrap();
        let mut dialer = Connection::dial(own, to, WAY, 0).unwrap();
        let (stream, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.7");
        stream.set_nonblocking(true).unwrap();
        while !dialer.is_made() {
            assert!(turn(&mut dialer, &mut Vec::new()).is_ok());
        }
        assert!(!dialer.is_to_be_read(), "before its word nothing comes");
        dialer
            .begin(dialer_secret, "10.0.13.150".parse().unwrap(), None, 0)
            .unwrap();
        (
            dialer,
            Connection::accepted(TcpStream::from_std(stream), listener_secret, 0).unwrap(),
        )
    }

    fn turn(link: &mut Connection, arrived: &mut Vec<Arrived>) -> Result<(), Broken> {
        std::thread::sleep(std::time::Duration::from_millis(1));
        // Without a poll there are no events; a fresh one is what a level would say.
        link.socket.make_ready();
        link.pump(arrived)?;
        link.flush().map_err(|_| Broken::Reset)
    }

    fn opened() -> ([Connection; 2], [Vec<Arrived>; 2]) {
        let (dialer, listener) = pair(b"secret", b"secret");
        let (mut links, mut arrived) = ([dialer, listener], [Vec::new(), Vec::new()]);
        while !links.iter().all(Connection::is_open) {
            for (link, arrived) in links.iter_mut().zip(&mut arrived) {
                turn(link, arrived).unwrap();
            }
        }
        (links, arrived)
    }

    fn message(body: Body) -> Message {
        Message {
            serial: Serial([0x6e; 16]),
            epoch: 1,
            id: 2,
            body,
        }
    }

    #[test]
    fn two_sides_that_both_have_too_much_to_send_do_not_wait_for_each_other() {
        let (mut links, mut arrived) = opened();
        let data = Bytes::from(vec![0x5a; 1 << 20]);
        for link in &mut links {
            for _ in 0..100 {
                let message = message(Body::ReadData(data.clone().into()));
                link.send(NEXT, Some(frame::encode(&message)));
            }
            assert!(link.outbox.len_bytes() > HELD_MAX_BYTES);
        }
        let before = arrived.each_ref().map(Vec::len);
        for _ in 0..20_000 {
            for (link, arrived) in links.iter_mut().zip(&mut arrived) {
                turn(link, arrived).unwrap();
                link.tick();
            }
            if (arrived.iter().zip(before)).all(|(arrived, before)| arrived.len() == before + 100) {
                return;
            }
        }
        panic!("both wait: {:?}", arrived.map(|arrived| arrived.len()));
    }

    #[test]
    fn two_sides_shake_hands_and_exchange_a_message() {
        let ([mut dialer, mut listener], [mut at_dialer, mut at_listener]) = opened();
        let message = message(Body::Flush);
        dialer.send(NEXT, Some(frame::encode(&message)));
        while at_listener.len() < 2 {
            turn(&mut dialer, &mut at_dialer).unwrap();
            turn(&mut listener, &mut at_listener).unwrap();
        }
        assert!(
            matches!(&at_listener[0], Arrived::Session(session) if session.dialer == "10.0.13.150")
        );
        assert!(
            matches!(&at_listener[1], Arrived::Frame(NEXT, Some((got, 88))) if *got == message)
        );
    }

    #[test]
    fn a_wrong_secret_breaks_the_link() {
        let (mut dialer, mut listener) = pair(b"secret", b"other");
        let broken = (0..1000).find_map(|_| {
            let mut arrived = Vec::new();
            turn(&mut dialer, &mut arrived)
                .err()
                .or_else(|| turn(&mut listener, &mut arrived).err())
        });
        assert_eq!(broken, Some(Broken::Protocol));
    }
}
