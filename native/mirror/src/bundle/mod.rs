//! One link of several connections: frames are numbered, leave over the connection that will have them there first, and come out in order.
//!
//! Rules:
//!
//! * To the mirror core a link is one ordered stream, whatever the connections do. Nothing of what the core promises rests on more, and nothing
//!   on which connection a frame took.
//! * A frame is kept until it is acknowledged, if the link may ever have more than one connection; at most [`WINDOW_BYTES`] of them are under way, and
//!   the others wait.
//! * When a connection ends, or does not get on ([`Bundle::tick`]), what it has not brought there goes over the others once more. The
//!   receiver drops what it has already. A connection that did not get on gets no frames until all that it was given has left it.
//! * The link ends with its last connection, and when a frame that was not kept may be lost.
//! * A connection that is silent too long is ended while another one is heard: of the peer's death heartbeats decide.

mod incoming;
mod preamble;
mod sent;
#[cfg(test)]
mod tests;

pub use incoming::TooEarly;
pub use preamble::{Damaged, PREAMBLE_BYTES, Preamble};

use incoming::Incoming;
use sent::Sent;

use crate::frame::HEADER_BYTES;
use crate::message::Message;
use crate::payload::Payload;

/// Most bytes of frames that are kept under way.
pub const WINDOW_BYTES: usize = 64 << 20;
/// A connection of which nothing is confirmed for so long, and for two round trips besides, is stuck, in nanoseconds.
const STUCK_NS: u64 = 100_000_000;
/// A frame that all others wait for goes over another connection as well after this time, if that one is quicker.
const LATE_NS: u64 = 250_000_000;
/// Most bytes that go over another connection at one tick because they are late.
const LATE_MAX_BYTES: usize = 8 << 20;
/// So many bytes that arrived are acknowledged at once rather than at the next tick.
const ACKNOWLEDGE_BYTES: usize = 4 << 20;

/// The caller's name for a connection.
pub type ConnectionId = usize;

/// An encoded frame.
pub type Frame = ([u8; HEADER_BYTES], Payload);

/// How a connection is getting on, as its socket tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes given to it that the other side's kernel has not confirmed.
    pub load_bytes: u64,
    /// Bytes that it has confirmed since the connection was made.
    pub confirmed_bytes: u64,
    /// How long a confirmation takes where nothing waits, in nanoseconds.
    pub round_trip_ns: u64,
    /// In how many nanoseconds a frame that is given to it now is expected at the other side.
    pub arrival_ns: u64,
}

impl Progress {
    /// Of a connection that is no more.
    pub const GONE: Self = Self {
        load_bytes: 0,
        confirmed_bytes: 0,
        round_trip_ns: 0,
        arrival_ns: u64::MAX,
    };
}

/// The connections' sockets.
pub trait Wires {
    /// How a connection is getting on; asked only where there are several.
    fn progress(&mut self, id: ConnectionId) -> Progress;
    /// Give a connection something to send. How many bytes it has been given so far, as [`Progress::confirmed_bytes`] counts them.
    fn send(&mut self, over: ConnectionId, preamble: Preamble, frame: Option<Frame>) -> u64;
}

/// A frame that was not kept may be lost, or no connection is left: the link has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link has ended")]
pub struct Ended;

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    /// It did not get on: it gets no frames until so many bytes are confirmed, all that it had been given then.
    slow_until_bytes: Option<u64>,
    confirmed_bytes: u64,
    /// When `confirmed_bytes` last grew, or there was nothing to send.
    moved_ns: u64,
    heard_ns: u64,
    said_ns: u64,
    /// The highest number of the frames that it was given.
    given: u64,
}

/// The connections of one link's session.
#[derive(Debug)]
pub struct Bundle {
    connections: Vec<Connection>,
    sent: Sent,
    incoming: Incoming<Message>,
    /// Up to which number the peer was told that all has arrived.
    told: u64,
    /// Bytes that arrived since.
    untold_bytes: usize,
    /// Has, had or may have more than one connection.
    is_multiple: bool,
    interval_ns: u64,
    silence_ns: u64,
}

impl Bundle {
    /// A link without a connection. `is_multiple`: several are expected. Every `interval_ns` something is said over each connection of
    /// several; one on which nothing was heard for `silence_ns` is ended.
    #[must_use]
    pub fn new(is_multiple: bool, interval_ns: u64, silence_ns: u64) -> Self {
        Self {
            connections: Vec::new(),
            sent: Sent::default(),
            incoming: Incoming::default(),
            told: 0,
            untold_bytes: 0,
            is_multiple,
            interval_ns,
            silence_ns,
        }
    }

    /// A connection has joined.
    pub fn join(&mut self, id: ConnectionId, now_ns: u64) {
        self.connections.push(Connection {
            id,
            slow_until_bytes: None,
            confirmed_bytes: 0,
            moved_ns: now_ns,
            heard_ns: now_ns,
            said_ns: now_ns,
            given: 0,
        });
        self.is_multiple |= self.connections.len() > 1;
        if self.connections.len() == 2 {
            // Over a single connection nothing had to be said.
            self.connections[0].heard_ns = now_ns;
        }
    }

    /// A connection has ended; what it may not have brought there goes over the others.
    ///
    /// # Errors
    /// [`Ended`].
    pub fn leave(
        &mut self,
        id: ConnectionId,
        wires: &mut impl Wires,
        now_ns: u64,
    ) -> Result<(), Ended> {
        self.connections.retain(|connection| connection.id != id);
        if self.connections.is_empty() || self.sent.has_unkept_over(id) {
            return Err(Ended);
        }
        self.send_again(&self.sent.over(id, usize::MAX), None, wires, now_ns);
        Ok(())
    }

    /// Its connections.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> + '_ {
        self.connections.iter().map(|connection| connection.id)
    }

    fn connection_mut(&mut self, id: ConnectionId) -> Option<&mut Connection> {
        self.connections.iter_mut().find(|one| one.id == id)
    }

    /// Send a frame, now or when there is room for it.
    pub fn send(&mut self, frame: Frame, wires: &mut impl Wires, now_ns: u64) {
        if self.sent.has_room() {
            self.send_now(frame, wires, now_ns);
        } else {
            self.sent.wait(frame);
        }
    }

    fn send_now(&mut self, frame: Frame, wires: &mut impl Wires, now_ns: u64) {
        if let Some(over) = self.quickest(None, wires) {
            let number = self.sent.push(&frame, over, now_ns, self.is_multiple);
            self.emit(over, number, Some(frame), wires, now_ns);
        }
    }

    /// The connection over which a frame is expected to arrive first; of equals the one that was not used for longest. Slow ones only if all are.
    fn quickest(
        &self,
        except: Option<ConnectionId>,
        wires: &mut impl Wires,
    ) -> Option<ConnectionId> {
        if let ([only], None) = (self.connections.as_slice(), except) {
            return Some(only.id);
        }
        self.connections
            .iter()
            .filter(|connection| Some(connection.id) != except)
            .min_by_key(|connection| {
                let arrival_ns = wires.progress(connection.id).arrival_ns;
                (
                    connection.slow_until_bytes.is_some(),
                    arrival_ns,
                    connection.given,
                )
            })
            .map(|connection| connection.id)
    }

    fn emit(
        &mut self,
        over: ConnectionId,
        number: u64,
        frame: Option<Frame>,
        wires: &mut impl Wires,
        now_ns: u64,
    ) {
        self.told = self.incoming.acknowledged();
        self.untold_bytes = 0;
        if let Some(connection) = self.connection_mut(over) {
            connection.said_ns = now_ns;
            connection.given = connection.given.max(number);
        }
        let preamble = Preamble {
            number,
            acknowledged: self.told,
        };
        let is_frame = frame.is_some();
        let until_bytes = wires.send(over, preamble, frame);
        if is_frame && self.connections.len() > 1 {
            self.sent.ends_at(number, until_bytes);
        }
    }

    /// Send frames that were sent before over other connections.
    fn send_again(
        &mut self,
        numbers: &[u64],
        except: Option<ConnectionId>,
        wires: &mut impl Wires,
        now_ns: u64,
    ) {
        for &number in numbers {
            if let Some(over) = self.quickest(except, wires)
                && let Some(frame) = self.sent.again(number, over, now_ns)
            {
                self.emit(over, number, Some(frame), wires, now_ns);
            }
        }
    }

    /// Bytes arrived over a connection.
    pub fn heard(&mut self, id: ConnectionId, now_ns: u64) {
        if let Some(connection) = self.connection_mut(id) {
            connection.heard_ns = now_ns;
        }
    }

    /// A preamble arrived, with its frame and the frame's length in bytes; `in_order` gets the messages whose turn it is.
    ///
    /// # Errors
    /// [`TooEarly`]: the peer breaks the protocol.
    pub fn receive(
        &mut self,
        preamble: Preamble,
        frame: Option<(Message, usize)>,
        wires: &mut impl Wires,
        now_ns: u64,
        in_order: &mut Vec<Message>,
    ) -> Result<(), TooEarly> {
        self.sent.acknowledge(preamble.acknowledged);
        while self.sent.has_room()
            && let Some(frame) = self.sent.next_waiting()
        {
            self.send_now(frame, wires, now_ns);
        }
        if let Some((message, len_bytes)) = frame {
            self.untold_bytes += len_bytes;
            self.incoming
                .receive(preamble.number, message, len_bytes, in_order)?;
        }
        if self.is_multiple
            && self.untold_bytes >= ACKNOWLEDGE_BYTES
            && let Some(over) = self.quickest(None, wires)
        {
            self.emit(over, 0, None, wires, now_ns);
        }
        Ok(())
    }

    /// Time passed; to be called every 50 ms or so. A connection that is to be ended because it was silent, by [`Bundle::leave`].
    pub fn tick(&mut self, wires: &mut impl Wires, now_ns: u64) -> Option<ConnectionId> {
        if self.connections.len() > 1 {
            self.watch(wires, now_ns);
            self.hurry(wires, now_ns);
        }
        for at in 0..self.connections.len() {
            let connection = &self.connections[at];
            let is_due = self.is_multiple && now_ns >= connection.said_ns + self.interval_ns;
            if is_due {
                self.emit(connection.id, 0, None, wires, now_ns);
            }
        }
        if self.incoming.acknowledged() > self.told
            && let Some(over) = self.quickest(None, wires)
        {
            self.emit(over, 0, None, wires, now_ns);
        }
        // If all were silent, this side was not listening, or the peer does not live: for heartbeats to say.
        let for_ns = |one: &Connection| now_ns.saturating_sub(one.heard_ns);
        let silent = self.connections.iter().max_by_key(|one| for_ns(one))?;
        let is_one_heard = (self.connections.iter()).any(|one| for_ns(one) < self.silence_ns / 2);
        (for_ns(silent) > self.silence_ns && is_one_heard).then_some(silent.id)
    }

    /// See which connections get on.
    fn watch(&mut self, wires: &mut impl Wires, now_ns: u64) {
        for connection in &mut self.connections {
            let progress = wires.progress(connection.id);
            if progress.load_bytes == 0 || progress.confirmed_bytes != connection.confirmed_bytes {
                connection.confirmed_bytes = progress.confirmed_bytes;
                connection.moved_ns = now_ns;
            }
            connection.slow_until_bytes = connection
                .slow_until_bytes
                .filter(|&bytes| progress.confirmed_bytes < bytes);
        }
    }

    /// Where the frame that all others wait for does not get on, send it over another connection.
    fn hurry(&mut self, wires: &mut impl Wires, now_ns: u64) {
        let Some((over, sent_ns)) = self.sent.first() else {
            return;
        };
        let Some(other) = self.quickest(Some(over), wires) else {
            return;
        };
        let age_ns = now_ns.saturating_sub(sent_ns);
        let is_late = age_ns >= LATE_NS && wires.progress(other).arrival_ns < age_ns / 4;
        let mut ways = self.connections.iter();
        let is_other_slow = ways.any(|one| one.id == other && one.slow_until_bytes.is_some());
        let progress = wires.progress(over);
        if self.sent.first_is_among(progress.confirmed_bytes) {
            // The peer's machine has it: what is missing is its acknowledgement, and if the connection ends it is sent again.
            return;
        }
        let stuck_ns = STUCK_NS + 2 * progress.round_trip_ns;
        let Some(connection) = self.connection_mut(over) else {
            return;
        };
        let still_ns = now_ns.saturating_sub(connection.moved_ns);
        let is_stuck = age_ns >= stuck_ns && still_ns >= stuck_ns;
        if is_other_slow || !(is_stuck || is_late) {
            return;
        }
        connection.slow_until_bytes = Some(progress.confirmed_bytes + progress.load_bytes);
        let limit_bytes = if is_stuck { usize::MAX } else { LATE_MAX_BYTES };
        let numbers = self.sent.over(over, limit_bytes);
        self.send_again(&numbers, Some(over), wires, now_ns);
    }
}
