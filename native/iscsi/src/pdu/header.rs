//! The basic header segment of a received PDU (RFC 7143 §11.2.1) and its fields by name.

use super::HEADER_BYTES;

/// The tag value that means 'no tag' (RFC 7143 §11.2.1.8).
pub(crate) const RESERVED_TAG: u32 = 0xffff_ffff;

/// Operation codes (RFC 7143 §11.2.1.2).
pub(crate) mod opcode {
    pub(crate) const NOP_OUT: u8 = 0x00;
    pub(crate) const SCSI_COMMAND: u8 = 0x01;
    pub(crate) const TASK_MANAGEMENT: u8 = 0x02;
    pub(crate) const LOGIN: u8 = 0x03;
    pub(crate) const TEXT: u8 = 0x04;
    pub(crate) const DATA_OUT: u8 = 0x05;
    pub(crate) const LOGOUT: u8 = 0x06;
    pub(crate) const SNACK: u8 = 0x10;
    pub(crate) const NOP_IN: u8 = 0x20;
    pub(crate) const SCSI_RESPONSE: u8 = 0x21;
    pub(crate) const TASK_MANAGEMENT_RESPONSE: u8 = 0x22;
    pub(crate) const LOGIN_RESPONSE: u8 = 0x23;
    pub(crate) const TEXT_RESPONSE: u8 = 0x24;
    pub(crate) const DATA_IN: u8 = 0x25;
    pub(crate) const LOGOUT_RESPONSE: u8 = 0x26;
    pub(crate) const R2T: u8 = 0x31;
    pub(crate) const ASYNC_MESSAGE: u8 = 0x32;
    pub(crate) const REJECT: u8 = 0x3f;
}

/// The first 48 bytes of a received PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header(pub(crate) [u8; HEADER_BYTES]);

impl Header {
    /// The operation code without the immediate bit.
    pub(crate) fn opcode(&self) -> u8 {
        self.0[0] & 0x3f
    }

    /// The I bit: to be acted on at once, outside CmdSN order.
    pub(crate) fn immediate(&self) -> bool {
        self.0[0] & 0x40 != 0
    }

    /// Byte 1: flags whose meaning depends on the opcode.
    pub(crate) fn flags(&self) -> u8 {
        self.0[1]
    }

    /// The F bit (T of a Login Request).
    pub(crate) fn is_final(&self) -> bool {
        self.0[1] & 0x80 != 0
    }

    /// The C bit of Login and Text Requests.
    pub(crate) fn continues(&self) -> bool {
        self.0[1] & 0x40 != 0
    }

    /// Bytes of additional header segments (TotalAHSLength counts words of 4).
    pub(crate) fn additional_bytes(&self) -> usize {
        usize::from(self.0[4]) * 4
    }

    /// DataSegmentLength in bytes, without padding.
    pub(crate) fn data_len(&self) -> u32 {
        self.u32_at(4) & 0x00ff_ffff
    }

    /// The LUN field as a big-endian number.
    pub(crate) fn lun(&self) -> u64 {
        u64::from(self.u32_at(8)) << 32 | u64::from(self.u32_at(12))
    }

    /// Initiator Task Tag.
    pub(crate) fn itt(&self) -> u32 {
        self.u32_at(16)
    }

    /// Target Transfer Tag (NOP-Out, Text, Data-Out); Referenced Task Tag of a task management request.
    pub(crate) fn ttt(&self) -> u32 {
        self.u32_at(20)
    }

    /// Expected Data Transfer Length of a SCSI Command, in bytes.
    pub(crate) fn expected_len(&self) -> u32 {
        self.u32_at(20)
    }

    /// The connection's id in Login and Logout Requests.
    pub(crate) fn cid(&self) -> u16 {
        u16::from_be_bytes([self.0[20], self.0[21]])
    }

    /// CmdSN.
    pub(crate) fn cmd_sn(&self) -> u32 {
        self.u32_at(24)
    }

    /// RefCmdSN of a task management request.
    pub(crate) fn ref_cmd_sn(&self) -> u32 {
        self.u32_at(32)
    }

    /// DataSN of a Data-Out.
    pub(crate) fn data_sn(&self) -> u32 {
        self.u32_at(36)
    }

    /// Buffer Offset of a Data-Out, in bytes.
    pub(crate) fn buffer_offset(&self) -> u32 {
        self.u32_at(40)
    }

    /// The CDB of a SCSI Command.
    pub(crate) fn cdb(&self) -> [u8; 16] {
        let mut cdb = [0; 16];
        cdb.copy_from_slice(&self.0[32..]);
        cdb
    }

    /// The initiator's part of the session id in a Login Request.
    pub(crate) fn isid(&self) -> [u8; 6] {
        let mut isid = [0; 6];
        isid.copy_from_slice(&self.0[8..14]);
        isid
    }

    /// The target's part of the session id in a Login Request.
    pub(crate) fn tsih(&self) -> u16 {
        u16::from_be_bytes([self.0[14], self.0[15]])
    }

    fn u32_at(&self, at: usize) -> u32 {
        u32::from_be_bytes([self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]])
    }
}
