//! Sense data (SPC-4 §4.5): what went wrong, as a value; bytes are made at the edge.
//!
//! Rules
//! 1. A [`Sense`] is complete: key, additional code and, where the standard asks for one, a pointer to the field at fault.
//! 2. Status replies carry the format that D_SENSE in the control mode page tells, REQUEST SENSE the one that it asks for.

/// Sense keys in use (SPC-4 table 46).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SenseKey {
    /// Nothing to report.
    NoSense = 0x0,
    /// The logical unit cannot be reached in its present state.
    NotReady = 0x2,
    /// The medium failed; used for reads and writes that the disk of a pool could not do.
    MediumError = 0x3,
    /// Something other than the medium failed.
    HardwareError = 0x4,
    /// The command is at fault.
    IllegalRequest = 0x5,
    /// Something happened that the initiator must hear of before it goes on.
    UnitAttention = 0x6,
    /// The medium must not be altered.
    DataProtect = 0x7,
    /// A copy was given up.
    CopyAborted = 0xa,
    /// The command was given up.
    AbortedCommand = 0xb,
    /// The data are other than the command expected.
    Miscompare = 0xe,
}

/// Where the field at fault begins (SPC-4 §4.5.2.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldPointer {
    /// True: the field is in the CDB. False: it is in the parameter list.
    pub in_cdb: bool,
    /// Byte offset of the field.
    pub byte: u16,
    /// Most significant bit of the field, or `None` when the whole byte is meant.
    pub bit: Option<u8>,
}

/// One report of sense data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sense {
    /// What kind of condition.
    pub key: SenseKey,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
    /// The field at fault, for an illegal request.
    pub field: Option<FieldPointer>,
    /// INFORMATION: for a miscompare the offset, in bytes of data-out, of the first byte that differs.
    pub information: Option<u32>,
    /// PROGRESS INDICATION: 65,536ths that are done of what keeps the unit from being ready.
    pub progress: Option<u16>,
}

/// Bytes of fixed format sense data.
pub const FIXED_LEN: usize = 18;

impl Sense {
    /// NO ADDITIONAL SENSE INFORMATION.
    pub const NONE: Self = Self::new(SenseKey::NoSense, 0x00, 0x00);
    /// LOGICAL UNIT NOT ACCESSIBLE, ASYMMETRIC ACCESS STATE TRANSITION.
    pub const TRANSITIONING: Self = Self::new(SenseKey::NotReady, 0x04, 0x0a);
    /// LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN STANDBY STATE.
    pub const STANDBY: Self = Self::new(SenseKey::NotReady, 0x04, 0x0b);
    /// LOGICAL UNIT NOT ACCESSIBLE, TARGET PORT IN UNAVAILABLE STATE.
    pub const UNAVAILABLE: Self = Self::new(SenseKey::NotReady, 0x04, 0x0c);
    /// UNRECOVERED READ ERROR.
    pub const READ_ERROR: Self = Self::new(SenseKey::MediumError, 0x11, 0x00);
    /// WRITE ERROR.
    pub const WRITE_ERROR: Self = Self::new(SenseKey::MediumError, 0x0c, 0x00);
    /// INTERNAL TARGET FAILURE.
    pub const INTERNAL_FAILURE: Self = Self::new(SenseKey::HardwareError, 0x44, 0x00);
    /// INTERNAL TARGET FAILURE, where a command was carried out or not and must not be repeated blindly. Initiators hand this
    /// error up: Linux's `scsi_check_sense` takes a hardware error for one of the target's (no retry of its own, and multipath does
    /// not try another path), while an aborted command is sent again by itself; ESXi takes 44/00 for no loss of a path or device.
    pub const OUTCOME_UNKNOWN: Self = Self::INTERNAL_FAILURE;
    /// SPACE ALLOCATION FAILED WRITE PROTECT (SBC-3 §4.7.3.6): the pool has no room for a thin VDisk's write.
    pub const SPACE_EXHAUSTED: Self = Self::new(SenseKey::HardwareError, 0x27, 0x07);
    /// WRITE PROTECTED.
    pub const WRITE_PROTECTED: Self = Self::new(SenseKey::DataProtect, 0x27, 0x00);
    /// LOGICAL UNIT COMMUNICATION FAILURE, as an aborted command: the initiator may try again.
    pub const RETRY: Self = Self::new(SenseKey::AbortedCommand, 0x08, 0x00);
    /// INVALID COMMAND OPERATION CODE; the pointer is at byte 0 of the CDB.
    pub const INVALID_OPCODE: Self = Self::illegal_at(0x20, 0x00, true, 0, None);
    /// LOGICAL UNIT NOT SUPPORTED.
    pub const LUN_NOT_SUPPORTED: Self = Self::new(SenseKey::IllegalRequest, 0x25, 0x00);
    /// LOGICAL BLOCK ADDRESS OUT OF RANGE.
    pub const LBA_OUT_OF_RANGE: Self = Self::new(SenseKey::IllegalRequest, 0x21, 0x00);
    /// PARAMETER LIST LENGTH ERROR.
    pub const PARAMETER_LIST_LENGTH: Self = Self::new(SenseKey::IllegalRequest, 0x1a, 0x00);
    /// INVALID FIELD IN COMMAND INFORMATION UNIT: the initiator sent less data than its CDB asks for.
    pub const DATA_OUT_TOO_SHORT: Self = Self::new(SenseKey::IllegalRequest, 0x0e, 0x03);
    /// INVALID RELEASE OF PERSISTENT RESERVATION.
    pub const INVALID_RELEASE: Self = Self::new(SenseKey::IllegalRequest, 0x26, 0x04);
    /// INSUFFICIENT REGISTRATION RESOURCES.
    pub const REGISTRATION_RESOURCES: Self = Self::new(SenseKey::IllegalRequest, 0x55, 0x04);

    /// SANITIZE COMMAND FAILED.
    pub const SANITIZE_FAILED: Self = Self::new(SenseKey::MediumError, 0x31, 0x03);
    /// SPACE ALLOCATION FAILED WRITE PROTECT.
    pub const NO_SPACE: Self = Self::new(SenseKey::DataProtect, 0x27, 0x07);
    /// INSUFFICIENT RESOURCES.
    pub const NO_RESOURCES: Self = Self::new(SenseKey::IllegalRequest, 0x55, 0x03);

    /// Make sense data without a field pointer.
    #[must_use]
    pub const fn new(key: SenseKey, asc: u8, ascq: u8) -> Self {
        Self {
            key,
            asc,
            ascq,
            field: None,
            information: None,
            progress: None,
        }
    }

    /// MISCOMPARE DURING VERIFY OPERATION, with the offset of the first byte that differs.
    #[must_use]
    pub const fn miscompare(offset_bytes: u32) -> Self {
        Self {
            information: Some(offset_bytes),
            ..Self::new(SenseKey::Miscompare, 0x1d, 0x00)
        }
    }

    /// LOGICAL UNIT NOT READY, SANITIZE IN PROGRESS.
    #[must_use]
    pub const fn sanitizing(progress: u16) -> Self {
        Self {
            progress: Some(progress),
            ..Self::new(SenseKey::NotReady, 0x04, 0x1b)
        }
    }

    const fn illegal_at(asc: u8, ascq: u8, in_cdb: bool, byte: u16, bit: Option<u8>) -> Self {
        Self {
            key: SenseKey::IllegalRequest,
            asc,
            ascq,
            field: Some(FieldPointer { in_cdb, byte, bit }),
            information: None,
            progress: None,
        }
    }

    /// INVALID FIELD IN CDB, pointing at the field that begins in `byte` (and `bit`, counted from the least significant).
    #[must_use]
    pub const fn invalid_cdb_field(byte: u16, bit: Option<u8>) -> Self {
        Self::illegal_at(0x24, 0x00, true, byte, bit)
    }

    /// INVALID FIELD IN PARAMETER LIST, pointing at `byte` of the data-out buffer.
    #[must_use]
    pub const fn invalid_parameter(byte: u16) -> Self {
        Self::illegal_at(0x26, 0x00, false, byte, None)
    }

    /// INVALID FIELD IN PARAMETER LIST, pointing at the field of the data-out buffer that begins in `byte` with `bit`.
    #[must_use]
    pub const fn invalid_parameter_bit(byte: u16, bit: u8) -> Self {
        Self::illegal_at(0x26, 0x00, false, byte, Some(bit))
    }

    /// The sense key specific field, with SKSV (SPC-4 §4.5.2.4).
    fn specific_bytes(&self) -> Option<[u8; 3]> {
        if let Some(progress) = self.progress {
            let [high, low] = progress.to_be_bytes();
            return Some([0x80, high, low]);
        }
        self.field.map(|field| {
            let bit = field.bit.map_or(0, |bit| 0x08 | (bit & 0x07));
            let [high, low] = field.byte.to_be_bytes();
            [0x80 | if field.in_cdb { 0x40 } else { 0 } | bit, high, low]
        })
    }

    /// Fixed format, current error, response code 70h (SPC-4 §4.5.3).
    #[must_use]
    pub fn to_fixed(&self) -> [u8; FIXED_LEN] {
        let mut bytes = [0; FIXED_LEN];
        bytes[0] = 0x70;
        bytes[2] = self.key as u8;
        if let Some(information) = self.information {
            bytes[0] |= 0x80; // VALID
            bytes[3..7].copy_from_slice(&information.to_be_bytes());
        }
        bytes[7] = (FIXED_LEN - 8) as u8;
        bytes[12] = self.asc;
        bytes[13] = self.ascq;
        if let Some(field) = self.specific_bytes() {
            bytes[15..18].copy_from_slice(&field);
        }
        bytes
    }

    /// Descriptor format, current error, response code 72h (SPC-4 §4.5.2).
    #[must_use]
    pub fn to_descriptor(&self) -> Vec<u8> {
        let mut bytes = vec![0x72, self.key as u8, self.asc, self.ascq, 0, 0, 0, 0];
        if let Some(information) = self.information {
            bytes[7] += 12;
            bytes.extend_from_slice(&[0x00, 0x0a, 0x80, 0, 0, 0, 0, 0]);
            bytes.extend_from_slice(&information.to_be_bytes());
        }
        if let Some(field) = self.specific_bytes() {
            bytes[7] += 8;
            bytes.extend_from_slice(&[0x02, 0x06, 0, 0, field[0], field[1], field[2], 0]);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_format_holds_key_code_and_field_pointer() {
        let bytes = Sense::invalid_cdb_field(1, Some(7)).to_fixed();
        assert_eq!(
            (bytes[0], bytes[2], bytes[7], bytes[12], bytes[13]),
            (0x70, 0x05, 10, 0x24, 0x00)
        );
        assert_eq!(bytes[15..18], [0xcf, 0x00, 0x01]);
    }

    #[test]
    fn descriptor_format_holds_a_sense_key_specific_descriptor() {
        let bytes = Sense::invalid_parameter(0x0102).to_descriptor();
        assert_eq!(
            bytes,
            [
                0x72, 0x05, 0x26, 0, 0, 0, 0, 8, 0x02, 0x06, 0, 0, 0x80, 0x01, 0x02, 0
            ]
        );
        assert_eq!(
            Sense::STANDBY.to_descriptor(),
            [0x72, 0x02, 0x04, 0x0b, 0, 0, 0, 0]
        );
    }
}
