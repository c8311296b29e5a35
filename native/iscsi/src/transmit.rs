//! The queue of bytes to be sent: chunks that are written with one `writev` and then advanced.
//!
//! Invariant: chunks are never empty, and `len_bytes` is the sum of their lengths. Headers and short payloads are
//! written into one reused buffer and become one chunk up to the next long payload, which is a chunk of its own and
//! never copied.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Payloads up to this length are copied behind their header: cheaper than a chunk of their own.
const COPIED_PAYLOAD_BYTES: usize = 256;
/// The header buffer grows by this much when it is used up.
const HEADER_BLOCK_BYTES: usize = 8 << 10;

/// Bytes to be sent, in order.
#[derive(Debug, Default)]
pub struct TransmitQueue {
    chunks: VecDeque<Bytes>,
    headers: BytesMut,
    len_bytes: usize,
}

impl TransmitQueue {
    /// How many bytes wait.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len_bytes == 0
    }

    /// Fill `slices` with the first chunks and return how many were filled.
    pub fn io_slices<'a>(&'a mut self, slices: &mut [IoSlice<'a>]) -> usize {
        self.seal_headers();
        let count = slices.len().min(self.chunks.len());
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
        }
        count
    }

    /// Forget the first `sent_bytes` bytes, which were sent.
    ///
    /// # Panics
    /// If more was sent than waited.
    pub fn advance(&mut self, mut sent_bytes: usize) {
        assert!(sent_bytes <= self.len_bytes, "sent more than was queued");
        self.seal_headers();
        self.len_bytes -= sent_bytes;
        while sent_bytes > 0 {
            let first = self
                .chunks
                .front_mut()
                .expect("len_bytes is the sum of the chunks");
            if first.len() > sent_bytes {
                first.advance(sent_bytes);
                return;
            }
            sent_bytes -= first.len();
            self.chunks.pop_front();
        }
    }

    /// Take the first chunk.
    pub fn pop(&mut self) -> Option<Bytes> {
        self.seal_headers();
        let chunk = self.chunks.pop_front()?;
        self.len_bytes -= chunk.len();
        Some(chunk)
    }

    /// Append bytes by copying them.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.headers.capacity() - self.headers.len() < bytes.len() {
            self.headers.reserve(HEADER_BLOCK_BYTES.max(bytes.len()));
        }
        self.headers.extend_from_slice(bytes);
        self.len_bytes += bytes.len();
    }

    /// Append a payload without copying it, unless it is short.
    pub(crate) fn put_payload(&mut self, payload: Bytes) {
        if payload.len() <= COPIED_PAYLOAD_BYTES {
            self.put(&payload);
            return;
        }
        self.seal_headers();
        self.len_bytes += payload.len();
        self.chunks.push_back(payload);
    }

    fn seal_headers(&mut self) {
        if !self.headers.is_empty() {
            self.chunks.push_back(self.headers.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> TransmitQueue {
        let mut queue = TransmitQueue::default();
        queue.put(b"header");
        queue.put_payload(Bytes::from_static(b"short"));
        queue.put_payload(Bytes::from(vec![7; 1000]));
        queue.put(b"next");
        queue
    }

    #[test]
    fn short_payloads_join_their_header_and_long_ones_stay_apart() {
        let mut queue = queue();
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(queue.io_slices(&mut slices), 3);
        let lens: Vec<usize> = slices.iter().map(|slice| slice.len()).collect();
        assert_eq!(lens[..4], [11, 1000, 4, 0]);
    }

    #[test]
    fn advancing_by_any_steps_loses_nothing() {
        let whole: Vec<u8> = std::iter::from_fn({
            let mut queue = queue();
            move || queue.pop()
        })
        .flatten()
        .collect();
        for step in [1, 2, 11, 12, 500, 1015] {
            let mut queue = queue();
            let mut sent = Vec::new();
            while !queue.is_empty() {
                let mut slices = [IoSlice::new(&[])];
                queue.io_slices(&mut slices);
                let count = step.min(slices[0].len());
                sent.extend_from_slice(&slices[0][..count]);
                queue.advance(count);
            }
            assert_eq!(sent, whole);
        }
    }
}
