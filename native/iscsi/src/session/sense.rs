//! Sense data for what the transport itself finds wrong (RFC 7143 §11.4.7.2), in fixed format (SPC-4 §4.5.3).

use bytes::Bytes;

/// SCSI status CHECK CONDITION.
pub(super) const CHECK_CONDITION: u8 = 0x02;

const ILLEGAL_REQUEST: u8 = 0x05;
const ABORTED_COMMAND: u8 = 0x0b;

/// Sense key, additional sense code and its qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sense(u8, u8, u8);

impl Sense {
    /// Unsolicited data that were not agreed on, or more than FirstBurstLength.
    pub(super) const UNEXPECTED_DATA: Self = Self(ABORTED_COMMAND, 0x0c, 0x0c);
    /// More or less data than asked for, or not in order.
    pub(super) const WRONG_AMOUNT: Self = Self(ABORTED_COMMAND, 0x0c, 0x0d);
    /// Data with a wrong digest.
    pub(super) const DATA_DIGEST: Self = Self(ABORTED_COMMAND, 0x47, 0x05);
    /// A bidirectional command, or one with more data than is taken.
    pub(super) const INVALID_FIELD: Self = Self(ILLEGAL_REQUEST, 0x24, 0x00);

    /// The sense data.
    pub(super) fn bytes(self) -> Bytes {
        let Self(key, code, qualifier) = self;
        Bytes::copy_from_slice(&[
            0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier, 0, 0, 0, 0,
        ])
    }
}
