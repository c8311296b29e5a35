//! A command as it came: its CDB, its data-out, and how fields are read from them.

use bytes::Bytes;

use crate::logical_unit::NexusId;
use crate::sense::Sense;

/// A command on its way through the device server.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    /// The CDB, filled up with zeros.
    pub(crate) cdb: &'a [u8; 16],
    /// All of the data-out.
    pub(crate) data_out: &'a [Bytes],
    /// Who sent it.
    pub(crate) nexus: NexusId,
    /// For REQUEST SENSE: what it reports.
    pub(crate) pending: Sense,
}

impl<'a> Request<'a> {
    /// A command that is only looked at: of no nexus.
    pub(crate) fn parsed(cdb: &'a [u8; 16], data_out: &'a [Bytes]) -> Self {
        Self {
            cdb,
            data_out,
            nexus: NexusId(0),
            pending: Sense::NONE,
        }
    }

    /// Byte of the CDB.
    pub(crate) fn byte(&self, offset: usize) -> u8 {
        self.cdb[offset]
    }

    /// True when a bit of the CDB is set; bit 0 is the least significant.
    pub(crate) fn bit(&self, offset: usize, bit: u8) -> bool {
        self.cdb[offset] >> bit & 1 == 1
    }

    /// Big-endian number in `length` bytes of the CDB from `offset`; at most 8 bytes.
    pub(crate) fn number(&self, offset: usize, length: usize) -> u64 {
        self.cdb[offset..offset + length]
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Bytes of data-out that came.
    pub(crate) fn data_out_bytes(&self) -> u64 {
        self.data_out.iter().map(|part| part.len() as u64).sum()
    }

    /// The first `length` bytes of data-out in one piece.
    ///
    /// # Errors
    /// [`Sense::DATA_OUT_TOO_SHORT`] when fewer came.
    pub(crate) fn parameters(&self, length: usize) -> Result<Vec<u8>, Sense> {
        let mut parameters = Vec::with_capacity(length);
        for part in self.data_out {
            let take = part.len().min(length - parameters.len());
            parameters.extend_from_slice(&part[..take]);
        }
        if parameters.len() == length {
            Ok(parameters)
        } else {
            Err(Sense::DATA_OUT_TOO_SHORT)
        }
    }
}
