//! Frames that were sent and are not acknowledged, and those that wait for room.

use std::collections::VecDeque;

use super::{ConnectionId, Frame, PREAMBLE_BYTES, WINDOW_BYTES};
use crate::frame::HEADER_BYTES;

#[derive(Debug)]
struct Under {
    over: ConnectionId,
    sent_ns: u64,
    /// How many bytes its connection had been given with it; None: there was no other one.
    until_bytes: Option<u64>,
    /// None: it was not kept.
    frame: Option<Frame>,
}

/// Frames under way, in the order of their numbers, and those that wait.
#[derive(Debug, Default)]
pub struct Sent {
    /// All up to this number were acknowledged; the first of `under_way` has the next one.
    acknowledged: u64,
    under_way: VecDeque<Under>,
    kept_bytes: usize,
    waiting: VecDeque<Frame>,
}

/// What a frame takes on the way, in bytes.
pub fn len_bytes((_, payload): &Frame) -> usize {
    PREAMBLE_BYTES + HEADER_BYTES + usize::try_from(payload.len_bytes()).unwrap_or(usize::MAX)
}

impl Sent {
    /// A frame leaves; its number.
    pub fn push(&mut self, frame: &Frame, over: ConnectionId, sent_ns: u64, keep: bool) -> u64 {
        if keep {
            self.kept_bytes += len_bytes(frame);
        }
        self.under_way.push_back(Under {
            over,
            sent_ns,
            until_bytes: None,
            frame: keep.then(|| frame.clone()),
        });
        self.acknowledged + self.under_way.len() as u64
    }

    /// Whether another frame may leave; frames that are not kept need no room.
    pub fn has_room(&self) -> bool {
        self.kept_bytes < WINDOW_BYTES
    }

    /// Have a frame wait for room.
    pub fn wait(&mut self, frame: Frame) {
        self.waiting.push_back(frame);
    }

    /// The next frame that waits.
    pub fn next_waiting(&mut self) -> Option<Frame> {
        self.waiting.pop_front()
    }

    /// All up to `number` have arrived. Older news, and of frames that were never sent, say nothing.
    pub fn acknowledge(&mut self, number: u64) {
        while self.acknowledged < number
            && let Some(arrived) = self.under_way.pop_front()
        {
            self.acknowledged += 1;
            self.kept_bytes -= arrived.frame.as_ref().map_or(0, len_bytes);
        }
    }

    /// The connection of the first frame under way, and when it was given to it.
    pub fn first(&self) -> Option<(ConnectionId, u64)> {
        let first = self.under_way.front()?;
        Some((first.over, first.sent_ns))
    }

    /// A frame was given to its connection, which has been given so many bytes with it.
    pub fn ends_at(&mut self, number: u64, bytes: u64) {
        if let Some(sent) = self.under(number) {
            sent.until_bytes = Some(bytes);
        }
    }

    /// Whether the first frame under way is among the first so many bytes of its connection.
    pub fn first_is_among(&self, bytes: u64) -> bool {
        let first = self.under_way.front().and_then(|sent| sent.until_bytes);
        first.is_some_and(|until_bytes| until_bytes <= bytes)
    }

    fn under(&mut self, number: u64) -> Option<&mut Under> {
        let at = number.checked_sub(self.acknowledged + 1)?;
        self.under_way.get_mut(usize::try_from(at).ok()?)
    }

    /// Whether a frame that was not kept is under way over a connection.
    pub fn has_unkept_over(&self, id: ConnectionId) -> bool {
        (self.under_way.iter()).any(|sent| sent.over == id && sent.frame.is_none())
    }

    /// The numbers of the first frames that were kept and are under way over a connection, of about `limit_bytes` together.
    pub fn over(&self, id: ConnectionId, limit_bytes: usize) -> Vec<u64> {
        let mut left_bytes = limit_bytes;
        let mut numbers = Vec::new();
        for (number, sent) in (self.acknowledged + 1..).zip(&self.under_way) {
            if sent.over == id
                && left_bytes > 0
                && let Some(frame) = &sent.frame
            {
                left_bytes = left_bytes.saturating_sub(len_bytes(frame));
                numbers.push(number);
            }
        }
        numbers
    }

    /// A frame under way is sent once more, over another connection.
    pub fn again(&mut self, number: u64, over: ConnectionId, sent_ns: u64) -> Option<Frame> {
        let sent = self.under(number)?;
        (sent.over, sent.sent_ns, sent.until_bytes) = (over, sent_ns, None);
        sent.frame.clone()
    }
}
