//! The PDUs that a target sends: one function per format, which fills in everything but DataSegmentLength (set when
//! it is sent) and the sequence numbers StatSN, ExpCmdSN and MaxCmdSN (bytes 24 to 35, set by the session).

use super::HEADER_BYTES;
use super::header::{Header, RESERVED_TAG, opcode};

const FINAL: u8 = 0x80;
const CONTINUE: u8 = 0x40;
const OVERFLOW: u8 = 0x04;
const UNDERFLOW: u8 = 0x02;
const STATUS: u8 = 0x01;

/// What stands in the StatSN field (RFC 7143 §4.2.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatSn {
    /// The PDU carries status: the number is used up.
    Advance,
    /// The next number, not used up.
    Peek,
    /// Reserved.
    Absent,
}

/// A header under construction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) bytes: [u8; HEADER_BYTES],
    pub(crate) stat_sn: StatSn,
}

impl Outgoing {
    fn new(opcode: u8, flags: u8, itt: u32, stat_sn: StatSn) -> Self {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = opcode;
        bytes[1] = flags;
        let mut outgoing = Self { bytes, stat_sn };
        outgoing.put_u32(16, itt);
        outgoing
    }

    fn put_u32(&mut self, at: usize, value: u32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    fn put_u16(&mut self, at: usize, value: u16) {
        self.bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }

    fn put_lun(&mut self, lun: u64) {
        self.bytes[8..16].copy_from_slice(&lun.to_be_bytes());
    }

    /// Set StatSN (as far as the PDU has one), ExpCmdSN and MaxCmdSN.
    pub(crate) fn put_sequence(&mut self, stat_sn: u32, exp_cmd_sn: u32, max_cmd_sn: u32) {
        if self.stat_sn != StatSn::Absent {
            self.put_u32(24, stat_sn);
        }
        self.put_u32(28, exp_cmd_sn);
        self.put_u32(32, max_cmd_sn);
    }

    /// Set DataSegmentLength; TotalAHSLength is 0.
    pub(crate) fn put_data_len(&mut self, data_len: usize) {
        debug_assert!(data_len < 1 << 24, "segments are split to the peer's limit");
        self.put_u32(4, u32::try_from(data_len).unwrap_or(0));
    }
}

/// How a command ended and what was not moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScsiStatus {
    /// SCSI status byte.
    pub(crate) status: u8,
    /// What the command would move, less what was expected, in bytes: positive is overflow, negative underflow.
    pub(crate) residual: i64,
}

impl ScsiStatus {
    fn flags(self) -> u8 {
        match self.residual {
            0 => 0,
            1.. => OVERFLOW,
            _ => UNDERFLOW,
        }
    }

    fn residual_count(self) -> u32 {
        u32::try_from(self.residual.unsigned_abs()).unwrap_or(u32::MAX)
    }
}

/// SCSI Response (RFC 7143 §11.4); `exp_data_sn` counts the Data-In and R2T PDUs that were sent for the command.
pub(crate) fn scsi_response(itt: u32, status: ScsiStatus, exp_data_sn: u32) -> Outgoing {
    let mut pdu = Outgoing::new(
        opcode::SCSI_RESPONSE,
        FINAL | status.flags(),
        itt,
        StatSn::Advance,
    );
    pdu.bytes[3] = status.status;
    pdu.put_u32(36, exp_data_sn);
    pdu.put_u32(44, status.residual_count());
    pdu
}

/// The varying fields of a SCSI Data-In.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataIn {
    pub(crate) itt: u32,
    pub(crate) data_sn: u32,
    pub(crate) offset: u32,
    /// Ends a burst.
    pub(crate) is_final: bool,
    /// Carries the command's status too.
    pub(crate) status: Option<ScsiStatus>,
}

/// SCSI Data-In (RFC 7143 §11.7).
pub(crate) fn data_in(fields: DataIn) -> Outgoing {
    let mut flags = if fields.is_final { FINAL } else { 0 };
    let mut stat_sn = StatSn::Absent;
    if let Some(status) = fields.status {
        flags |= STATUS | status.flags();
        stat_sn = StatSn::Advance;
    }
    let mut pdu = Outgoing::new(opcode::DATA_IN, flags, fields.itt, stat_sn);
    if let Some(status) = fields.status {
        pdu.bytes[3] = status.status;
        pdu.put_u32(44, status.residual_count());
    }
    pdu.put_u32(20, RESERVED_TAG);
    pdu.put_u32(36, fields.data_sn);
    pdu.put_u32(40, fields.offset);
    pdu
}

/// Ready To Transfer (RFC 7143 §11.8).
pub(crate) fn r2t(itt: u32, lun: u64, ttt: u32, r2t_sn: u32, offset: u32, length: u32) -> Outgoing {
    let mut pdu = Outgoing::new(opcode::R2T, FINAL, itt, StatSn::Peek);
    pdu.put_lun(lun);
    pdu.put_u32(20, ttt);
    pdu.put_u32(36, r2t_sn);
    pdu.put_u32(40, offset);
    pdu.put_u32(44, length);
    pdu
}

/// Task Management Function Response (RFC 7143 §11.6).
pub(crate) fn task_management_response(itt: u32, response: u8) -> Outgoing {
    let mut pdu = Outgoing::new(
        opcode::TASK_MANAGEMENT_RESPONSE,
        FINAL,
        itt,
        StatSn::Advance,
    );
    pdu.bytes[2] = response;
    pdu
}

/// NOP-In (RFC 7143 §11.19): an answer (`ttt` reserved) or a question (`itt` reserved).
pub(crate) fn nop_in(itt: u32, ttt: u32) -> Outgoing {
    let stat_sn = if itt == RESERVED_TAG {
        StatSn::Peek
    } else {
        StatSn::Advance
    };
    let mut pdu = Outgoing::new(opcode::NOP_IN, FINAL, itt, stat_sn);
    pdu.put_u32(20, ttt);
    pdu
}

/// Text Response (RFC 7143 §11.11).
pub(crate) fn text_response(itt: u32, ttt: u32, is_final: bool, continues: bool) -> Outgoing {
    let flags = if is_final { FINAL } else { 0 } | if continues { CONTINUE } else { 0 };
    let mut pdu = Outgoing::new(opcode::TEXT_RESPONSE, flags, itt, StatSn::Advance);
    pdu.put_u32(20, ttt);
    pdu
}

/// Logout Response (RFC 7143 §11.15); times in seconds.
pub(crate) fn logout_response(
    itt: u32,
    response: u8,
    time_to_wait: u16,
    time_to_retain: u16,
) -> Outgoing {
    let mut pdu = Outgoing::new(opcode::LOGOUT_RESPONSE, FINAL, itt, StatSn::Advance);
    pdu.bytes[2] = response;
    pdu.put_u16(40, time_to_wait);
    pdu.put_u16(42, time_to_retain);
    pdu
}

/// Asynchronous Message, event 1: the target asks for a logout within `seconds` (RFC 7143 §11.9).
pub(crate) fn logout_request(seconds: u16) -> Outgoing {
    let mut pdu = Outgoing::new(opcode::ASYNC_MESSAGE, FINAL, RESERVED_TAG, StatSn::Advance);
    pdu.bytes[36] = 1;
    pdu.put_u16(42, seconds);
    pdu
}

/// Asynchronous Message, event 3: the target is about to drop all connections of the session; the initiator is to wait
/// `wait_seconds` before it comes back, and nothing is kept for it (RFC 7143 §11.9).
pub(crate) fn drop_notice(wait_seconds: u16) -> Outgoing {
    let mut pdu = Outgoing::new(opcode::ASYNC_MESSAGE, FINAL, RESERVED_TAG, StatSn::Advance);
    pdu.bytes[36] = 3;
    pdu.put_u16(40, wait_seconds);
    pdu
}

/// Reject (RFC 7143 §11.17); its data is the rejected header.
pub(crate) fn reject(reason: u8) -> Outgoing {
    let mut pdu = Outgoing::new(opcode::REJECT, FINAL, RESERVED_TAG, StatSn::Advance);
    pdu.bytes[2] = reason;
    pdu
}

/// The varying fields of a Login Response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoginAnswer {
    /// T and NSG: the stage that begins now, if one does.
    pub(crate) transit_to: Option<u8>,
    /// CSG.
    pub(crate) stage: u8,
    pub(crate) tsih: u16,
    /// Class in the high byte, detail in the low one.
    pub(crate) status: u16,
}

/// Login Response (RFC 7143 §11.13) to the request with the header `request`. Version 0 is the only one.
pub(crate) fn login_response(request: &Header, answer: LoginAnswer) -> Outgoing {
    let transit = answer.transit_to.map_or(0, |next| FINAL | next);
    let flags = transit | answer.stage << 2;
    let mut pdu = Outgoing::new(
        opcode::LOGIN_RESPONSE,
        flags,
        request.itt(),
        StatSn::Advance,
    );
    pdu.bytes[8..14].copy_from_slice(&request.isid());
    pdu.put_u16(14, answer.tsih);
    pdu.put_u16(36, answer.status);
    pdu
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scsi_response_has_status_and_underflow_where_the_standard_says() {
        let mut pdu = scsi_response(
            0x0102_0304,
            ScsiStatus {
                status: 2,
                residual: -512,
            },
            3,
        );
        pdu.put_sequence(10, 20, 30);
        pdu.put_data_len(20);
        let mut expected = [0; HEADER_BYTES];
        expected[..8].copy_from_slice(&[0x21, 0x82, 0, 2, 0, 0, 0, 20]);
        expected[16..20].copy_from_slice(&[1, 2, 3, 4]);
        expected[27] = 10;
        expected[31] = 20;
        expected[35] = 30;
        expected[39] = 3;
        expected[44..].copy_from_slice(&[0, 0, 2, 0]);
        assert_eq!(pdu.bytes, expected);
    }

    #[test]
    fn data_in_without_status_has_no_stat_sn() {
        let mut pdu = data_in(DataIn {
            itt: 1,
            data_sn: 2,
            offset: 0x2000,
            is_final: false,
            status: None,
        });
        pdu.put_sequence(10, 20, 30);
        assert_eq!(pdu.bytes[..4], [0x25, 0, 0, 0]);
        assert_eq!(pdu.bytes[20..28], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!(pdu.bytes[36..44], [0, 0, 0, 2, 0, 0, 0x20, 0]);
    }

    #[test]
    fn data_in_with_status_has_overflow_and_stat_sn() {
        let status = Some(ScsiStatus {
            status: 0,
            residual: 4,
        });
        let mut pdu = data_in(DataIn {
            itt: 1,
            data_sn: 0,
            offset: 0,
            is_final: true,
            status,
        });
        pdu.put_sequence(10, 20, 30);
        assert_eq!(pdu.bytes[1], 0x85);
        assert_eq!(pdu.bytes[24..28], [0, 0, 0, 10]);
        assert_eq!(pdu.bytes[44..], [0, 0, 0, 4]);
    }

    #[test]
    fn r2t_names_offset_and_length() {
        let pdu = r2t(7, 1 << 48, 9, 2, 65536, 4096);
        assert_eq!(pdu.bytes[..2], [0x31, 0x80]);
        assert_eq!(
            pdu.bytes[8..24],
            [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9]
        );
        assert_eq!(pdu.bytes[36..], [0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0x10, 0]);
    }
}
