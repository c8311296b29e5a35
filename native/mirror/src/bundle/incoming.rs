//! Frames that arrive over several connections, put in order.

use std::collections::BTreeMap;

/// Bytes of frames that may wait for earlier ones: twice what a sender has under way, and a longest frame.
const EARLY_MAX_BYTES: usize = 2 * super::WINDOW_BYTES + crate::frame::PAYLOAD_MAX_BYTES;

/// More arrived out of order than a peer that keeps the rules has under way; the link must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much arrived out of order")]
pub struct TooEarly;

/// Puts frames in order.
#[derive(Debug)]
pub struct Incoming<T> {
    /// All up to this number were handed on.
    handed_on: u64,
    /// What arrived before one of its predecessors, with its length in bytes.
    early: BTreeMap<u64, (T, usize)>,
    early_bytes: usize,
}

impl<T> Default for Incoming<T> {
    fn default() -> Self {
        Self {
            handed_on: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
        }
    }
}

impl<T> Incoming<T> {
    /// A frame arrived; `in_order` gets it and those that waited for it. One that has come before is dropped.
    ///
    /// # Errors
    /// [`TooEarly`].
    pub fn receive(
        &mut self,
        number: u64,
        frame: T,
        len_bytes: usize,
        in_order: &mut Vec<T>,
    ) -> Result<(), TooEarly> {
        if number <= self.handed_on || self.early.contains_key(&number) {
            return Ok(());
        }
        if number != self.handed_on + 1 {
            self.early_bytes += len_bytes;
            self.early.insert(number, (frame, len_bytes));
            return if self.early_bytes > EARLY_MAX_BYTES {
                Err(TooEarly)
            } else {
                Ok(())
            };
        }
        self.handed_on = number;
        in_order.push(frame);
        while let Some((frame, len_bytes)) = self.early.remove(&(self.handed_on + 1)) {
            self.handed_on += 1;
            self.early_bytes -= len_bytes;
            in_order.push(frame);
        }
        Ok(())
    }

    /// All frames up to this number have arrived.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.handed_on
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_come_out_in_order_and_once(
            order in Just((1_u64..40).chain(1..40).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let (mut incoming, mut out) = (Incoming::default(), Vec::new());
            for number in order {
                incoming.receive(number, number, 100, &mut out).expect("little");
                prop_assert_eq!(incoming.acknowledged(), out.len() as u64);
            }
            prop_assert_eq!(out, (1..40).collect::<Vec<_>>());
            prop_assert_eq!((incoming.early_bytes, incoming.early.len()), (0, 0));
        }
    }

    #[test]
    fn a_peer_cannot_have_more_kept_than_it_may_send() {
        let (mut incoming, mut out) = (Incoming::default(), Vec::new());
        let part = EARLY_MAX_BYTES / 4;
        for number in 2..6 {
            assert_eq!(incoming.receive(number, (), part, &mut out), Ok(()));
        }
        assert_eq!(incoming.receive(6, (), part, &mut out), Err(TooEarly));
        assert!(out.is_empty());
    }
}
