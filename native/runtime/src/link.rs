//! The data link with one peer: connecting, proving the secret, then frames.
//!
//! Rules:
//!
//! * The side with `dial` connects, from its own mirror address; the other side knows the dialer by the address it proves.
//! * A connection that does not finish its handshake in time, or breaks a rule, is closed without a word. A dialer of another version is told
//!   this node's, so that operators learn of it at both ends.
//! * A pass reads a bounded number of bytes; nothing more is read while too much waits to be sent, as long as any of it is sent: two sides
//!   that both have too much would wait for each other for ever.

use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use twindisk_mirror::frame;
use twindisk_mirror::handshake::{Handshake, HandshakeError, Nonce, Session, parting_word};
use twindisk_mirror::message::Message;

use crate::socket::{ChunkQueue, Outbox, Read, Socket};

/// A link that is not open after this time is closed, in nanoseconds.
pub const OPEN_NS: u64 = 3_000_000_000;
/// Bytes that one link may bring in during one pass: few enough to be in the processor's cache when they are written.
const PASS_BYTES: usize = 512 << 10;
/// Bytes to be sent above which a link is not read.
const HELD_MAX_BYTES: usize = 64 << 20;

enum Stage {
    Connecting(Handshake, Vec<u8>),
    Handshake(Handshake),
    Open,
}

/// Why a link has to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The connection broke or was closed by the peer.
    Reset,
    /// The peer broke the protocol, or does not know the secret.
    Protocol,
    /// The peer, if it is one, speaks this version of the protocol, which is not this node's.
    Version(u8),
}

/// What a link brought.
#[derive(Debug)]
pub enum Arrived {
    /// The handshake is done.
    Session(Session),
    /// A message.
    Message(Message),
}

/// One data link.
pub struct Link {
    /// The socket.
    pub socket: Socket,
    /// What waits to be sent.
    pub outbox: ChunkQueue,
    /// The peer's place; for an accepted link known only after the handshake.
    pub peer: Option<usize>,
    /// When it is closed if it is not open yet.
    pub deadline_ns: u64,
    /// Bytes of the messages that were queued so far.
    pub queued_bytes: u64,
    /// Bytes that had been sent at the last tick.
    sent_bytes: u64,
    /// Nothing of too much that waits was sent for a tick.
    is_stuck: bool,
    stage: Stage,
}

impl Link {
    /// Begin to connect to a peer, from this node's mirror address.
    ///
    /// # Errors
    /// The address cannot be reached.
    pub fn dial(
        own: IpAddr,
        to: SocketAddr,
        peer: usize,
        secret: &[u8],
        now_ns: u64,
    ) -> io::Result<Self> {
        let family = if to.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let fd = socket_with(
            family,
            SocketType::STREAM,
            SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
            None,
        )?;
        bind(&fd, &SocketAddr::new(own, 0))?;
        match connect(&fd, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = Socket::new(TcpStream::from_std(fd.into()))?;
        let (handshake, hello) = Handshake::dial(secret, nonce()?, &own.to_string(), None);
        let stage = Stage::Connecting(handshake, hello);
        Ok(Self {
            socket,
            outbox: ChunkQueue::default(),
            peer: Some(peer),
            deadline_ns: now_ns + OPEN_NS,
            queued_bytes: 0,
            sent_bytes: 0,
            is_stuck: false,
            stage,
        })
    }

    /// Take a connection that a peer made.
    ///
    /// # Errors
    /// The stream is closed already.
    pub fn accepted(stream: TcpStream, secret: &[u8], now_ns: u64) -> io::Result<Self> {
        let stage = Stage::Handshake(Handshake::listen(secret, nonce()?));
        let socket = Socket::new(stream)?;
        Ok(Self {
            socket,
            outbox: ChunkQueue::default(),
            peer: None,
            deadline_ns: now_ns + OPEN_NS,
            queued_bytes: 0,
            sent_bytes: 0,
            is_stuck: false,
            stage,
        })
    }

    /// Whether the handshake is done.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// Read until there is nothing more or the pass's share is used up; true: there is more for the next pass.
    ///
    /// # Errors
    /// The link has to be closed; what arrived before stands.
    pub fn pump(&mut self, arrived: &mut Vec<Arrived>) -> Result<bool, Broken> {
        if !self.connected()? {
            return Ok(false);
        }
        let mut budget = PASS_BYTES;
        loop {
            self.consume(arrived)?;
            let is_held = self.outbox.len_bytes() > HELD_MAX_BYTES && !self.is_stuck;
            if !self.socket.is_readable() || is_held {
                return Ok(false);
            }
            if budget == 0 {
                return Ok(true);
            }
            match self.socket.read(1) {
                Ok(Read::Data(got)) => budget = budget.saturating_sub(got),
                Ok(Read::Empty) => return Ok(false),
                Ok(Read::Closed) | Err(_) => return Err(Broken::Reset),
            }
        }
    }

    /// Time passed. True: it is to be read although much waits, for nothing of that was sent.
    pub fn tick(&mut self) -> bool {
        let sent_bytes = self.outbox.sent_bytes();
        self.is_stuck = self.outbox.len_bytes() > HELD_MAX_BYTES && sent_bytes == self.sent_bytes;
        self.sent_bytes = sent_bytes;
        self.is_stuck
    }

    /// Whether the connection is made; then the hello is on its way.
    fn connected(&mut self) -> Result<bool, Broken> {
        if !matches!(self.stage, Stage::Connecting(..)) {
            return Ok(true);
        }
        if !matches!(self.socket.stream.take_error(), Ok(None)) {
            return Err(Broken::Reset);
        }
        if self.socket.stream.peer_addr().is_err() {
            return Ok(false);
        }
        if let Stage::Connecting(handshake, hello) = std::mem::replace(&mut self.stage, Stage::Open)
        {
            self.outbox.push(hello.into());
            self.stage = Stage::Handshake(handshake);
        }
        Ok(true)
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
        while let Some(message) =
            frame::decode(&mut self.socket.input).map_err(|_| Broken::Protocol)?
        {
            arrived.push(Arrived::Message(message));
        }
        Ok(())
    }

    /// Tell a dialer this node's version; a listener knows it from the hello.
    fn part(&mut self) {
        if self.peer.is_none() {
            self.outbox.push(Bytes::copy_from_slice(&parting_word()));
            // Whoever does not hear it finds the connection closed.
            let _ = self.socket.flush(&mut self.outbox);
        }
    }

    /// Queue a message.
    pub fn send(&mut self, message: &Message) {
        let (header, payload) = frame::encode(message);
        self.queued_bytes += header.len() as u64 + payload.len_bytes();
        self.outbox.push(Bytes::copy_from_slice(&header));
        for piece in payload.into_pieces() {
            self.outbox.push(piece);
        }
    }

    /// Write what waits.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self) -> io::Result<()> {
        if matches!(self.stage, Stage::Connecting(..)) {
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

    fn pair(dialer_secret: &[u8], listener_secret: &[u8]) -> (Link, Link) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let dialer = Link::dial("127.0.0.7".parse().unwrap(), to, 3, dialer_secret, 0).unwrap();
        let (stream, from) = listener.accept().unwrap();
        assert_eq!(from.ip().to_string(), "127.0.0.7");
        stream.set_nonblocking(true).unwrap();
        (
            dialer,
            Link::accepted(TcpStream::from_std(stream), listener_secret, 0).unwrap(),
        )
    }

    fn turn(link: &mut Link, arrived: &mut Vec<Arrived>) -> Result<(), Broken> {
        std::thread::sleep(std::time::Duration::from_millis(1));
        // Without a poll there are no events; a fresh one is what a level would say.
        link.socket.make_ready();
        link.pump(arrived)?;
        link.flush().map_err(|_| Broken::Reset)
    }

    fn opened() -> ([Link; 2], [Vec<Arrived>; 2]) {
        let (dialer, listener) = pair(b"secret", b"secret");
        let (mut links, mut arrived) = ([dialer, listener], [Vec::new(), Vec::new()]);
        while !links.iter().all(Link::is_open) {
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
                link.send(&message(Body::ReadData(data.clone().into())));
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
        dialer.send(&message);
        while at_listener.len() < 2 {
            turn(&mut dialer, &mut at_dialer).unwrap();
            turn(&mut listener, &mut at_listener).unwrap();
        }
        assert!(
            matches!(&at_listener[0], Arrived::Session(session) if session.dialer == "127.0.0.7")
        );
        assert!(matches!(&at_listener[1], Arrived::Message(got) if *got == message));
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
