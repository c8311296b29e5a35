//! Sends the answer of a command: Data-In PDUs, then status (RFC 7143 §4.2.5.2, §11.4, §11.7).
//!
//! Rules:
//! 1. No data beyond what the initiator expects are sent; what is missing or too much is the residual.
//! 2. A segment is never longer than the initiator's MaxRecvDataSegmentLength, a burst never longer than
//!    MaxBurstLength; the last PDU of a burst has the F bit.
//! 3. Status GOOD travels in the last Data-In; any other status, or an answer without data, in a SCSI Response.

use bytes::Bytes;

use crate::event::ScsiResponse;
use crate::outbox::{Outbox, Window};
use crate::parameters::{Key, Parameters};
use crate::pdu::{DataIn, ScsiStatus, data_in, scsi_response};

use super::task::Task;

const STATUS_GOOD: u8 = 0;
const MAX_SENSE_BYTES: usize = 252;

/// Send the whole answer of a command that is no longer open.
pub(super) fn send_answer(
    task: &Task,
    response: &ScsiResponse,
    parameters: &Parameters,
    window: Window,
    outbox: &mut Outbox,
) {
    let available = response
        .data_in
        .iter()
        .map(|piece| piece.len() as u64)
        .sum::<u64>();
    let status = ScsiStatus {
        status: response.status,
        residual: residual(task, response, available),
    };
    let room = if task.read { task.expected_len } else { 0 };
    let sent_len = u32::try_from(available).unwrap_or(u32::MAX).min(room);
    let collapse = sent_len > 0 && response.status == STATUS_GOOD && response.sense.is_empty();
    let mut data_pdus = task.data_pdus;
    if sent_len > 0 {
        let last = collapse.then_some(status);
        data_pdus += send_data(
            task.tag.itt,
            &response.data_in,
            sent_len,
            last,
            parameters,
            window,
            outbox,
        );
    }
    if !collapse {
        let pdu = scsi_response(task.tag.itt, status, data_pdus);
        outbox.send(pdu, window, sense_segment(&response.sense).into_iter());
    }
}

/// What the command would move less what the initiator expects, in bytes.
fn residual(task: &Task, response: &ScsiResponse, available: u64) -> i64 {
    let expected = i64::from(task.expected_len);
    match response.transfer_len {
        Some(len) => i64::try_from(len).unwrap_or(i64::MAX) - expected,
        None if task.write => 0,
        None => i64::try_from(available).unwrap_or(i64::MAX) - expected,
    }
}

/// Send the first `total` bytes of `pieces` and return how many PDUs that took.
fn send_data(
    itt: u32,
    pieces: &[Bytes],
    total: u32,
    last_status: Option<ScsiStatus>,
    parameters: &Parameters,
    window: Window,
    outbox: &mut Outbox,
) -> u32 {
    let max_segment = parameters.get(Key::MaxRecvDataSegmentLength);
    let max_burst = parameters.get(Key::MaxBurstLength);
    let mut cursor = Cursor { pieces, skip: 0 };
    let (mut offset, mut in_burst, mut data_sn) = (0, 0, 0);
    while offset < total {
        let len = max_segment.min(max_burst - in_burst).min(total - offset);
        let is_last = offset + len == total;
        in_burst += len;
        let is_final = is_last || in_burst == max_burst;
        let status = if is_last { last_status } else { None };
        let pdu = data_in(DataIn {
            itt,
            data_sn,
            offset,
            is_final,
            status,
        });
        outbox.send(pdu, window, cursor.segment(len as usize));
        cursor.advance(len as usize);
        if is_final {
            in_burst = 0;
        }
        offset += len;
        data_sn += 1;
    }
    data_sn
}

/// A place in a list of pieces.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    pieces: &'a [Bytes],
    /// Bytes of the first piece that are done with.
    skip: usize,
}

impl<'a> Cursor<'a> {
    /// The next `len` bytes as slices, without moving on.
    fn segment(self, len: usize) -> impl Iterator<Item = Bytes> + Clone + 'a {
        let mut left = len;
        let mut skip = self.skip;
        self.pieces.iter().map_while(move |piece| {
            let from = std::mem::take(&mut skip);
            let take = left.min(piece.len() - from);
            let more = left > 0;
            left -= take;
            more.then(|| piece.slice(from..from + take))
        })
    }

    fn advance(&mut self, len: usize) {
        let mut left = self.skip + len;
        while let Some((first, rest)) = self.pieces.split_first() {
            if left < first.len() {
                break;
            }
            left -= first.len();
            self.pieces = rest;
        }
        self.skip = left;
    }
}

/// The data segment that carries sense data: its length, then the data (RFC 7143 §11.4.7).
fn sense_segment(sense: &Bytes) -> Option<Bytes> {
    let sense = &sense[..sense.len().min(MAX_SENSE_BYTES)];
    let length = u16::try_from(sense.len())
        .ok()
        .filter(|length| *length > 0)?;
    Some([&length.to_be_bytes()[..], sense].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_cuts_across_pieces() {
        let pieces = [
            Bytes::from_static(b"abc"),
            Bytes::new(),
            Bytes::from_static(b"defgh"),
        ];
        let mut cursor = Cursor {
            pieces: &pieces,
            skip: 0,
        };
        let mut seen = Vec::new();
        for len in [2, 2, 3, 1] {
            seen.push(cursor.segment(len).collect::<Vec<_>>().concat());
            cursor.advance(len);
        }
        assert_eq!(seen, [&b"ab"[..], b"cd", b"efg", b"h"]);
    }

    #[test]
    fn sense_is_prefixed_by_its_length_and_bounded() {
        assert_eq!(sense_segment(&Bytes::new()), None);
        assert_eq!(
            &sense_segment(&Bytes::from_static(&[0x70, 0])).unwrap()[..],
            [0, 2, 0x70, 0]
        );
        assert_eq!(
            sense_segment(&Bytes::from(vec![0; 300])).unwrap().len(),
            254
        );
    }
}
