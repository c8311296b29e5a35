//! Collects the data of one write command (RFC 7143 §4.2.5.1, §11.7, §11.8). Knows nothing of sequence windows or PDUs to be sent.
//!
//! Invariants: data come strictly in order (DataPDUInOrder and DataSequenceInOrder are always Yes), so the pieces are
//! the first `received` bytes; `received <= requested <= expected`; the bursts cover exactly `received..requested`.

use std::collections::VecDeque;

use bytes::Bytes;

use super::sense::Sense;
use crate::event::TaskAttribute;
use crate::pdu::{Header, RESERVED_TAG};

/// Besides a fixed number, a command may come in one piece per this many bytes; shorter ones on average are refused,
/// because each piece costs memory of its own.
const PIECE_BYTES: u32 = 512;
const FREE_PIECES: usize = 16;

/// A command whose turn has not come or whose data are not complete.
#[derive(Debug)]
pub(super) struct Collecting {
    pub(super) cdb: [u8; 16],
    pub(super) attribute: TaskAttribute,
    /// All commands before it were acted on.
    pub(super) in_turn: bool,
    /// A task management request is to end it: it is not reported any more, and its data are dropped.
    pub(super) stopped: bool,
    /// What to answer instead of reporting it, as soon as its turn has come.
    pub(super) fault: Option<Failure>,
    pub(super) pieces: Vec<Bytes>,
    expected: u32,
    received: u32,
    requested: u32,
    /// Unsolicited data are still to come; DataSN of the next.
    unsolicited: Option<u32>,
    /// How many bytes may come unsolicited.
    first_burst: u32,
    bursts: VecDeque<Burst>,
    next_r2t_sn: u32,
}

/// Why a command is answered instead of being reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// CHECK CONDITION with this sense.
    Sense(Sense),
    /// There is no room for its data ([`super::room`]).
    NoRoom,
}

/// Data that were asked for by one R2T.
#[derive(Debug)]
struct Burst {
    ttt: u32,
    end: u32,
    next_data_sn: u32,
}

/// The next R2T to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) r2t_sn: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

/// What is wrong with a Data-Out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DataFault {
    /// Nobody asked for it by that tag: refuse the PDU, keep the command.
    UnknownTag,
    /// The command fails with this sense.
    Failed(Sense),
}

impl Collecting {
    /// Begin a command; `unsolicited`: data follow without R2T, up to `first_burst` bytes with the immediate ones.
    pub(super) fn new(
        cdb: [u8; 16],
        attribute: TaskAttribute,
        expected: u32,
        unsolicited: bool,
        first_burst: u32,
    ) -> Self {
        Self {
            cdb,
            attribute,
            in_turn: false,
            stopped: false,
            fault: None,
            pieces: Vec::new(),
            expected,
            received: 0,
            requested: 0,
            unsolicited: unsolicited.then_some(0),
            first_burst,
            bursts: VecDeque::new(),
            next_r2t_sn: 0,
        }
    }

    /// All data are there.
    pub(super) fn is_complete(&self) -> bool {
        self.received == self.expected
    }

    /// Data that R2Ts asked for and that have not come, in bytes.
    pub(super) fn awaited_bytes(&self) -> u32 {
        self.requested - self.received
    }

    /// More data are to come that nobody asked for.
    pub(super) fn awaits_unsolicited(&self) -> bool {
        self.unsolicited.is_some() && self.fault.is_none()
    }

    /// There is no room for its data: drop what came, and take no more.
    pub(super) fn give_up(&mut self) {
        self.pieces = Vec::new();
        self.fault.get_or_insert(Failure::NoRoom);
    }

    /// Data that no R2T asked for yet, in bytes.
    pub(super) fn unrequested(&self) -> u32 {
        self.expected - self.requested
    }

    /// Take the immediate data.
    pub(super) fn take_immediate(&mut self, data: Bytes) -> Result<(), Sense> {
        let len = self.unsolicited_len(&data)?;
        self.push(data, len)?;
        self.requested = self.received;
        self.end_unsolicited_if_complete();
        Ok(())
    }

    /// Take a Data-Out PDU.
    pub(super) fn take(&mut self, header: &Header, data: Bytes) -> Result<(), DataFault> {
        if header.ttt() == RESERVED_TAG {
            self.take_unsolicited(header, data)
                .map_err(DataFault::Failed)
        } else {
            self.take_solicited(header, data)
        }
    }

    /// The next R2T, if one may be sent; it must be sent with the tag `ttt`.
    pub(super) fn next_request(
        &mut self,
        ttt: u32,
        max_outstanding: u32,
        max_burst: u32,
    ) -> Option<Request> {
        let blocked = self.unsolicited.is_some() || self.bursts.len() >= max_outstanding as usize;
        if blocked || self.requested == self.expected {
            return None;
        }
        let length = max_burst.min(self.expected - self.requested);
        let request = Request {
            r2t_sn: self.next_r2t_sn,
            offset: self.requested,
            length,
        };
        self.next_r2t_sn = self.next_r2t_sn.wrapping_add(1);
        self.requested += length;
        self.bursts.push_back(Burst {
            ttt,
            end: self.requested,
            next_data_sn: 0,
        });
        Some(request)
    }

    fn take_unsolicited(&mut self, header: &Header, data: Bytes) -> Result<(), Sense> {
        let Some(data_sn) = self.unsolicited else {
            return Err(Sense::UNEXPECTED_DATA);
        };
        let len = self.unsolicited_len(&data)?;
        if header.data_sn() != data_sn || header.buffer_offset() != self.received {
            return Err(Sense::WRONG_AMOUNT);
        }
        self.unsolicited = if header.is_final() {
            None
        } else {
            Some(data_sn.wrapping_add(1))
        };
        self.push(data, len)?;
        self.requested = self.received;
        self.end_unsolicited_if_complete();
        Ok(())
    }

    fn take_solicited(&mut self, header: &Header, data: Bytes) -> Result<(), DataFault> {
        let received = self.received;
        let Some(burst) = self
            .bursts
            .front_mut()
            .filter(|burst| burst.ttt == header.ttt())
        else {
            return Err(DataFault::UnknownTag);
        };
        let wrong = DataFault::Failed(Sense::WRONG_AMOUNT);
        let len = u32::try_from(data.len()).map_err(|_| wrong)?;
        let in_order = header.data_sn() == burst.next_data_sn && header.buffer_offset() == received;
        // F ends the burst, and nothing else does (RFC 7143 §11.4.7.2).
        if !in_order
            || len > burst.end - received
            || header.is_final() != (len == burst.end - received)
        {
            return Err(wrong);
        }
        burst.next_data_sn = burst.next_data_sn.wrapping_add(1);
        if header.is_final() {
            self.bursts.pop_front();
        }
        self.push(data, len).map_err(DataFault::Failed)
    }

    fn unsolicited_len(&self, data: &Bytes) -> Result<u32, Sense> {
        let len = u32::try_from(data.len()).map_err(|_| Sense::WRONG_AMOUNT)?;
        if len > self.expected - self.received {
            return Err(Sense::WRONG_AMOUNT);
        }
        if len > self.first_burst - self.received.min(self.first_burst) {
            return Err(Sense::UNEXPECTED_DATA);
        }
        Ok(len)
    }

    fn end_unsolicited_if_complete(&mut self) {
        if self.is_complete() {
            self.unsolicited = None;
        }
    }

    fn push(&mut self, data: Bytes, len: u32) -> Result<(), Sense> {
        if data.is_empty() {
            return Ok(());
        }
        if self.pieces.len() >= FREE_PIECES + (self.expected / PIECE_BYTES) as usize {
            return Err(Sense::WRONG_AMOUNT);
        }
        self.received += len;
        self.pieces.push(data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(expected: u32, unsolicited: bool) -> Collecting {
        Collecting::new([0; 16], TaskAttribute::Simple, expected, unsolicited, 1024)
    }

    fn data_out(ttt: u32, data_sn: u32, offset: u32, is_final: bool) -> Header {
        let mut bytes = [0; 48];
        bytes[0] = 0x05;
        bytes[1] = if is_final { 0x80 } else { 0 };
        bytes[20..24].copy_from_slice(&ttt.to_be_bytes());
        bytes[36..40].copy_from_slice(&data_sn.to_be_bytes());
        bytes[40..44].copy_from_slice(&offset.to_be_bytes());
        Header(bytes)
    }

    fn zeros(len: usize) -> Bytes {
        Bytes::from(vec![0; len])
    }

    #[test]
    fn immediate_then_unsolicited_then_requested_data() {
        let mut command = write(4096, true);
        command.take_immediate(zeros(512)).unwrap();
        assert_eq!(command.next_request(1, 2, 2048), None);
        command
            .take(&data_out(RESERVED_TAG, 0, 512, true), zeros(512))
            .unwrap();
        let request = Request {
            r2t_sn: 0,
            offset: 1024,
            length: 2048,
        };
        assert_eq!(command.next_request(1, 2, 2048), Some(request));
        let request = Request {
            r2t_sn: 1,
            offset: 3072,
            length: 1024,
        };
        assert_eq!(command.next_request(2, 2, 2048), Some(request));
        assert_eq!(command.next_request(3, 2, 2048), None);
        command
            .take(&data_out(1, 0, 1024, false), zeros(1024))
            .unwrap();
        command
            .take(&data_out(1, 1, 2048, true), zeros(1024))
            .unwrap();
        assert!(!command.is_complete());
        command
            .take(&data_out(2, 0, 3072, true), zeros(1024))
            .unwrap();
        assert!(command.is_complete());
        assert_eq!(command.pieces.len(), 5);
    }

    #[test]
    fn requests_are_bounded_by_what_may_be_outstanding() {
        let mut command = write(8192, false);
        assert!(command.next_request(1, 1, 2048).is_some());
        assert_eq!(command.next_request(2, 1, 2048), None);
        command.take(&data_out(1, 0, 0, true), zeros(2048)).unwrap();
        assert_eq!(command.next_request(2, 1, 2048).unwrap().offset, 2048);
    }

    #[test]
    fn data_out_of_order_or_of_the_wrong_amount_fail_the_command() {
        let wrong = Err(DataFault::Failed(Sense::WRONG_AMOUNT));
        for (header, len) in [
            (data_out(1, 1, 0, true), 2048),
            (data_out(1, 0, 512, true), 1536),
            (data_out(1, 0, 0, true), 1024),
            (data_out(1, 0, 0, false), 2048),
            (data_out(1, 0, 0, true), 2049),
        ] {
            let mut command = write(4096, false);
            command.next_request(1, 1, 2048).unwrap();
            assert_eq!(command.take(&header, zeros(len)), wrong);
        }
    }

    #[test]
    fn unasked_data_are_refused() {
        let mut command = write(4096, false);
        assert_eq!(
            command.take(&data_out(9, 0, 0, true), zeros(1)),
            Err(DataFault::UnknownTag)
        );
        let unasked = command.take(&data_out(RESERVED_TAG, 0, 0, true), zeros(1));
        assert_eq!(unasked, Err(DataFault::Failed(Sense::UNEXPECTED_DATA)));
        assert_eq!(
            write(4096, true).take_immediate(zeros(1025)),
            Err(Sense::UNEXPECTED_DATA)
        );
        assert_eq!(
            write(100, true).take_immediate(zeros(101)),
            Err(Sense::WRONG_AMOUNT)
        );
    }

    #[test]
    fn a_flood_of_tiny_pieces_is_refused() {
        let mut command = write(1024, true);
        for number in 0..18 {
            command
                .take(&data_out(RESERVED_TAG, number, number, false), zeros(1))
                .unwrap();
        }
        let flood = command.take(&data_out(RESERVED_TAG, 18, 18, false), zeros(1));
        assert_eq!(flood, Err(DataFault::Failed(Sense::WRONG_AMOUNT)));
    }
}
