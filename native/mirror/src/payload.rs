//! Bytes of one read or write, in the pieces in which they came.

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

/// An ordered list of byte pieces; cloning copies no data.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload(Vec<Bytes>);

impl Payload {
    /// A payload of several pieces; empty pieces are dropped.
    #[must_use]
    pub fn from_pieces(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        Self(pieces)
    }

    /// The pieces in order, none empty.
    #[must_use]
    pub fn pieces(&self) -> &[Bytes] {
        &self.0
    }

    /// The pieces, given away.
    #[must_use]
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.0
    }

    /// Length in bytes.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.0.iter().map(|piece| piece.len() as u64).sum()
    }

    /// True when all bytes are zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        let zero = |part: &[u8]| part.iter().fold(0, |all, byte| all | byte) == 0;
        self.0.iter().all(|piece| piece.chunks(512).all(zero))
    }

    /// CRC32C over all pieces.
    #[must_use]
    pub fn crc32c(&self) -> u32 {
        match self.0.as_slice() {
            [] => 0,
            [one] => crc32c_of(one),
            many => {
                let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
                for piece in many {
                    digest.update(piece);
                }
                low_half(digest.finalize())
            }
        }
    }

    /// BLAKE3 over all pieces, 32 bytes.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        for piece in &self.0 {
            hasher.update(piece);
        }
        *hasher.finalize().as_bytes()
    }

    /// All bytes as one piece; copies only when there are several.
    #[must_use]
    pub fn to_contiguous(&self) -> Bytes {
        match self.0.as_slice() {
            [] => Bytes::new(),
            [one] => one.clone(),
            many => many.concat().into(),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(piece: Bytes) -> Self {
        Self::from_pieces(vec![piece])
    }
}

/// CRC32C of one piece.
#[must_use]
pub fn crc32c_of(piece: &[u8]) -> u32 {
    low_half(crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, piece))
}

fn low_half(crc: u64) -> u32 {
    u32::try_from(crc).expect("a 32-bit CRC has 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_are_told_from_the_last_byte_that_is_none() {
        let mut bytes = vec![0; 1500];
        assert!(Payload::from(Bytes::from(bytes.clone())).is_zero());
        assert!(Payload::default().is_zero());
        bytes[1499] = 1;
        assert!(!Payload::from(Bytes::from(bytes)).is_zero());
    }

    #[test]
    fn the_checksum_is_crc32c_however_the_bytes_are_cut() {
        assert_eq!(crc32c_of(b"123456789"), 0xe306_9283);
        let cut = Payload::from_pieces(vec![
            Bytes::from_static(b"1234"),
            Bytes::from_static(b"56789"),
        ]);
        assert_eq!(cut.crc32c(), 0xe306_9283);
        assert_eq!(Payload::default().crc32c(), 0);
    }
}
