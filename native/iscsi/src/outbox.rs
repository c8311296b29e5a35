//! Sends PDUs: numbers them, adds padding and digests, and queues them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::digest::Digest;
use crate::event::{Event, TaskTag};
use crate::pdu::{Header, Outgoing, StatSn, reject};
use crate::transmit::TransmitQueue;

/// The way out of a connection, for bytes and for events.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(crate) transmit: TransmitQueue,
    pub(crate) events: VecDeque<Event>,
    /// A CRC32C goes behind each header.
    pub(crate) header_digest: bool,
    /// A CRC32C goes behind each data segment that is not empty.
    pub(crate) data_digest: bool,
    stat_sn: u32,
}

/// ExpCmdSN and MaxCmdSN as they are to be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) exp_cmd_sn: u32,
    pub(crate) max_cmd_sn: u32,
}

/// Reasons of a Reject (RFC 7143 §11.17.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum RejectReason {
    DataDigest = 0x02,
    Snack = 0x03,
    Protocol = 0x04,
    Unsupported = 0x05,
    TooManyImmediate = 0x06,
    TaskInProgress = 0x07,
    InvalidField = 0x09,
    LongOperation = 0x0a,
}

impl Outbox {
    /// Send a PDU with the data `pieces` (none: an empty segment).
    pub(crate) fn send(
        &mut self,
        mut pdu: Outgoing,
        window: Window,
        pieces: impl Iterator<Item = Bytes> + Clone,
    ) {
        let data_len: usize = pieces.clone().map(|piece| piece.len()).sum();
        pdu.put_sequence(self.stat_sn, window.exp_cmd_sn, window.max_cmd_sn);
        if pdu.stat_sn == StatSn::Advance {
            self.stat_sn = self.stat_sn.wrapping_add(1);
        }
        pdu.put_data_len(data_len);
        self.transmit.put(&pdu.bytes);
        if self.header_digest {
            self.transmit.put(&Digest::of(&pdu.bytes).wire());
        }
        if data_len > 0 {
            self.put_segment(pieces, data_len);
        }
    }

    /// Send a PDU without data.
    pub(crate) fn send_bare(&mut self, pdu: Outgoing, window: Window) {
        self.send(pdu, window, std::iter::empty());
    }

    /// Refuse a PDU; the connection goes on.
    pub(crate) fn reject(&mut self, header: &Header, reason: RejectReason, window: Window) {
        let copy = Bytes::copy_from_slice(&header.0);
        self.send(reject(reason as u8), window, std::iter::once(copy));
    }

    /// True for a command that was reported and that the caller has not taken yet.
    pub(crate) fn reports(&self, tag: TaskTag) -> bool {
        let is_it = |event: &Event| matches!(event, Event::Command(command) if command.task == tag);
        self.events.iter().any(is_it)
    }

    /// Take the oldest task management request, past all else.
    pub(crate) fn next_task_management(&mut self) -> Option<Event> {
        let is_it = |event: &Event| matches!(event, Event::TaskManagement { .. });
        let at = self.events.iter().position(is_it)?;
        self.events.remove(at)
    }

    /// A command is not to be reported any more.
    pub(crate) fn forget(&mut self, tag: TaskTag) {
        self.events
            .retain(|event| !matches!(event, Event::Command(command) if command.task == tag));
    }

    fn put_segment(&mut self, pieces: impl Iterator<Item = Bytes>, data_len: usize) {
        let padding = [0; 3];
        let padding = &padding[..data_len.next_multiple_of(4) - data_len];
        let mut digest = Digest::default();
        for piece in pieces {
            if self.data_digest {
                digest.add(&piece);
            }
            self.transmit.put_payload(piece);
        }
        self.transmit.put(padding);
        if self.data_digest {
            digest.add(padding);
            self.transmit.put(&digest.wire());
        }
    }
}
