//! A nonblocking TCP stream with its input buffer.
//!
//! Rules:
//!
//! * Readiness is edge-triggered: `readable` stays set until the kernel says there is nothing more, however many passes
//!   that takes, so a socket may be left unread (fairness, backpressure) and taken up again without an event.
//! * Input lies in blocks whose parts are handed on without copying. A block that is used up is kept in sight until the last part of
//!   it is gone, so that the memory that is held can be told at every moment.
//! * Output waits in an [`Outbox`] during a pass and leaves in as few `writev` calls as possible when the pass ends.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mio::net::TcpStream;
use rustix::io::Errno;
use rustix::ioctl::{Getter, ioctl};
use rustix::net::RecvFlags;
use twindisk_iscsi::TransmitQueue;

/// The room asked for when the input buffer is used up, in bytes.
const READ_ROOM_BYTES: usize = 128 << 10;
/// The same for a connection that brings much: what is left of a PDU at the end of a buffer has to be copied into the next.
const READ_ROOM_MAX_BYTES: usize = 1 << 20;
/// A read is tried with at least this much room, in bytes.
const READ_ROOM_MIN_BYTES: usize = 64 << 10;
/// Most chunks in one `writev`.
const WRITE_CHUNKS: usize = 128;
/// `SIOCOUTQ` (tcp(7)): how many bytes were sent or wait to be and are not acknowledged.
const UNACKNOWLEDGED: rustix::ioctl::Opcode = 0x5411;

/// Bytes that wait to be written, in order.
pub trait Outbox {
    /// Fill `slices` with the first chunks; how many were filled.
    fn io_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize;
    /// Forget the first `sent_bytes` bytes, which were written.
    fn advance(&mut self, sent_bytes: usize);
    /// How many bytes wait.
    fn len_bytes(&self) -> usize;
}

impl Outbox for TransmitQueue {
    fn io_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        self.io_slices(slices)
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.advance(sent_bytes);
    }

    fn len_bytes(&self) -> usize {
        self.len_bytes()
    }
}

/// A plain outbox of chunks.
#[derive(Debug, Default)]
pub struct ChunkQueue {
    chunks: VecDeque<Bytes>,
    len_bytes: usize,
    sent_bytes: u64,
}

impl ChunkQueue {
    /// Append one chunk.
    pub fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.len_bytes += chunk.len();
            self.chunks.push_back(chunk);
        }
    }

    /// Bytes that have been sent so far.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.sent_bytes
    }
}

impl Outbox for ChunkQueue {
    fn io_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
        }
        slices.len().min(self.chunks.len())
    }

    fn advance(&mut self, sent_bytes: usize) {
        self.len_bytes -= sent_bytes;
        self.sent_bytes += sent_bytes as u64;
        let mut left = sent_bytes;
        while let Some(chunk) = self.chunks.front_mut() {
            if left < chunk.len() {
                chunk.advance(left);
                return;
            }
            left -= chunk.len();
            self.chunks.pop_front();
        }
    }

    fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

/// What one read found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// This many bytes were added to the input.
    Data(usize),
    /// Nothing for now.
    Empty,
    /// The other side has closed its direction.
    Closed,
}

/// Blocks of input that are used up, but parts of which may be in use.
#[derive(Debug, Default)]
pub struct Blocks {
    /// A part of each, and its size in bytes.
    blocks: Vec<(Bytes, usize)>,
    held_bytes: usize,
}

impl Blocks {
    fn push(&mut self, block: BytesMut, block_bytes: usize) {
        let part = block.freeze();
        // Nobody is ever the only user of nothing: a block of no bytes would stay for good.
        if block_bytes > 0 && !part.is_unique() {
            self.held_bytes += block_bytes;
            self.blocks.push((part, block_bytes));
        }
    }

    /// Let go of those that nobody else uses.
    pub fn sweep(&mut self) {
        let Self { blocks, held_bytes } = self;
        blocks.retain(|(part, block_bytes)| {
            let used = !part.is_unique();
            if !used {
                *held_bytes -= block_bytes;
            }
            used
        });
    }

    /// Their memory.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct Socket {
    /// The stream; registered with the engine's poll by its owner.
    pub stream: TcpStream,
    /// Bytes received and not yet consumed by the protocol.
    pub input: BytesMut,
    /// The size of the block that `input` lies in.
    block_bytes: usize,
    used_up: Blocks,
    /// Something was read since [`Socket::rest`] was called.
    active: bool,
    readable: bool,
    read_closed: bool,
    writable: bool,
    /// The last read brought much.
    busy: bool,
}

impl Socket {
    /// Take over a nonblocking stream; Nagle's algorithm is switched off.
    ///
    /// # Errors
    /// The stream is closed already.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            input: BytesMut::new(),
            block_bytes: 0,
            used_up: Blocks::default(),
            active: false,
            readable: true,
            read_closed: false,
            writable: true,
            busy: false,
        })
    }

    /// Note what an event said.
    pub fn note(&mut self, event: &mio::event::Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.read_closed |= event.is_read_closed();
        self.writable |= event.is_writable();
    }

    /// Try everything anew, as if an event had said so.
    pub fn make_ready(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    /// Whether a read may find something.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        self.readable
    }

    /// What the kernel has taken to be sent and the other side's has not acknowledged, in bytes.
    #[must_use]
    pub fn unacknowledged_bytes(&self) -> usize {
        // SAFETY: SIOCOUTQ on a socket writes one int.
        let asked = unsafe {
            ioctl(
                &self.stream,
                Getter::<UNACKNOWLEDGED, std::ffi::c_int>::new(),
            )
        };
        // Nothing is known of a broken connection; reading or writing it tells.
        asked.map_or(0, |bytes| usize::try_from(bytes).unwrap_or(0))
    }

    /// Read once into the input, with room for at least `wanted_bytes`.
    ///
    /// # Errors
    /// The connection broke.
    pub fn read(&mut self, wanted_bytes: usize) -> io::Result<Read> {
        let least_bytes = wanted_bytes.max(READ_ROOM_MIN_BYTES);
        if self.input.capacity() - self.input.len() < least_bytes {
            self.make_room(least_bytes);
        }
        self.active = true;
        let room = self.input.spare_capacity_mut();
        let room_bytes = room.len();
        match rustix::net::recv(
            &self.stream,
            room as &mut [MaybeUninit<u8>],
            RecvFlags::DONTWAIT,
        ) {
            Ok((_, 0)) => Ok(Read::Closed),
            Ok((_, got_bytes)) => {
                // SAFETY: recv() has just written `got_bytes` bytes at the start of the spare capacity.
                unsafe { self.input.advance_mut(got_bytes) };
                // A short read has drained the socket; only an end of stream that came with the data gives no new event.
                self.readable = got_bytes == room_bytes || self.read_closed;
                self.busy = got_bytes >= READ_ROOM_MIN_BYTES;
                Ok(Read::Data(got_bytes))
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Ok(Read::Empty)
            }
            Err(Errno::INTR) => Ok(Read::Data(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// Have room for `least_bytes` behind the input: in its block, if nobody uses that any more, else in a new one.
    fn make_room(&mut self, least_bytes: usize) {
        let room_bytes = if self.busy {
            READ_ROOM_MAX_BYTES
        } else {
            READ_ROOM_BYTES
        };
        self.used_up.sweep();
        if self.block_bytes >= room_bytes && self.input.try_reclaim(least_bytes) {
            return;
        }
        let wanted_bytes = self.input.len() + least_bytes.max(room_bytes);
        let mut fresh = BytesMut::with_capacity(wanted_bytes);
        fresh.extend_from_slice(&self.input);
        let old = std::mem::replace(&mut self.input, fresh);
        self.used_up.push(old, self.block_bytes);
        self.block_bytes = wanted_bytes;
    }

    /// Let go of what is not needed any more; to be called now and then.
    pub fn rest(&mut self) {
        self.used_up.sweep();
        if !std::mem::take(&mut self.active) && self.input.is_empty() && self.block_bytes > 0 {
            let old = std::mem::take(&mut self.input);
            self.used_up.push(old, self.block_bytes);
            self.block_bytes = 0;
        }
    }

    /// Learn which blocks are not in use any more.
    pub fn sweep(&mut self) {
        self.used_up.sweep();
    }

    /// The memory of everything that was received and is in use, whoever uses it.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.block_bytes + self.used_up.held_bytes()
    }

    /// Take out the blocks that the input lies and lay in.
    pub fn take_blocks(&mut self) -> Blocks {
        let mut blocks = std::mem::take(&mut self.used_up);
        blocks.push(std::mem::take(&mut self.input), self.block_bytes);
        self.block_bytes = 0;
        blocks
    }

    /// Write what the kernel takes of the outbox.
    ///
    /// # Errors
    /// The connection broke.
    pub fn flush(&mut self, outbox: &mut impl Outbox) -> io::Result<()> {
        while self.writable && outbox.len_bytes() > 0 {
            let mut slices = [IoSlice::new(&[]); WRITE_CHUNKS];
            let used = outbox.io_slices(&mut slices);
            match self.stream.write_vectored(&slices[..used]) {
                Ok(written_bytes) => outbox.advance(written_bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.writable = false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream as StdStream};

    use super::*;

    fn pair() -> (Socket, StdStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        (Socket::new(TcpStream::from_std(server)).unwrap(), client)
    }

    fn read_until_data(socket: &mut Socket) -> Read {
        loop {
            match socket.read(1).unwrap() {
                Read::Empty => std::thread::yield_now(),
                found => return found,
            }
        }
    }

    #[test]
    fn a_short_read_marks_the_socket_drained() {
        let (mut socket, mut client) = pair();
        client.write_all(b"abc").unwrap();
        assert_eq!(read_until_data(&mut socket), Read::Data(3));
        assert_eq!(&socket.input[..], b"abc");
        assert!(!socket.is_readable());
    }

    #[test]
    fn a_block_is_held_as_long_as_a_part_of_it_is_in_use() {
        let (mut socket, mut client) = pair();
        let mut parts = Vec::new();
        for number in 0..40 {
            client.write_all(&[number; 65536]).unwrap();
            while socket.input.len() < 65536 {
                read_until_data(&mut socket);
                socket.make_ready();
            }
            parts.push(socket.input.split_to(65536).freeze().slice(7..8));
        }
        let held_bytes = socket.held_bytes();
        assert!((40 * 65536..50 << 20).contains(&held_bytes), "{held_bytes}");
        assert!(
            parts
                .iter()
                .enumerate()
                .all(|(number, part)| part[..] == [number as u8])
        );
        parts.truncate(1);
        socket.rest();
        let held_bytes = socket.held_bytes();
        assert!(
            (65536..=2 * (READ_ROOM_MAX_BYTES + 65536)).contains(&held_bytes),
            "{held_bytes}"
        );
        let mut left = socket.take_blocks();
        assert_eq!(socket.held_bytes(), 0);
        assert!(left.held_bytes() >= 65536);
        drop(parts);
        left.sweep();
        assert_eq!(left.held_bytes(), 0);
    }

    #[test]
    fn a_connection_at_rest_holds_nothing() {
        let (mut socket, mut client) = pair();
        client.write_all(b"abc").unwrap();
        read_until_data(&mut socket);
        socket.rest();
        socket.rest();
        assert!(socket.held_bytes() > 0, "a part of a PDU is there");
        socket.input.clear();
        socket.rest();
        assert_eq!(socket.held_bytes(), 0);
        client.write_all(b"def").unwrap();
        socket.make_ready();
        read_until_data(&mut socket);
        assert_eq!(&socket.input[..], b"def");
    }

    #[test]
    fn a_connection_that_wakes_and_rests_keeps_nothing_in_sight() {
        let (mut socket, mut client) = pair();
        for _ in 0..3 {
            client.write_all(b"abc").unwrap();
            socket.make_ready();
            read_until_data(&mut socket);
            socket.input.clear();
            socket.rest();
            socket.rest();
            assert!(socket.used_up.blocks.is_empty());
        }
    }

    #[test]
    fn the_end_of_stream_is_seen() {
        let (mut socket, client) = pair();
        drop(client);
        assert_eq!(read_until_data(&mut socket), Read::Closed);
    }

    #[test]
    fn output_larger_than_the_socket_buffer_arrives_whole_and_in_order() {
        let (mut socket, mut client) = pair();
        let total = 64 << 20;
        let chunk: Bytes = (0..1 << 16)
            .map(|at: u32| (at >> 3) as u8)
            .collect::<Vec<_>>()
            .into();
        let mut outbox = ChunkQueue::default();
        for _ in 0..total / chunk.len() {
            outbox.push(chunk.clone());
        }
        let reader = std::thread::spawn(move || {
            let mut got = vec![0; total];
            client.read_exact(&mut got).unwrap();
            got
        });
        while outbox.len_bytes() > 0 {
            socket.flush(&mut outbox).unwrap();
            socket.make_ready();
        }
        let got = reader.join().unwrap();
        assert!(got.chunks(chunk.len()).all(|part| part == &chunk[..]));
    }
}
