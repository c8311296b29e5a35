//! What stands before every frame: its number, and how far the sender has received (docs/formats/mirror-frame.md).

use bytes::{Buf, BytesMut};

use crate::payload::crc32c_of;

/// Bytes of a preamble.
pub const PREAMBLE_BYTES: usize = 24;
const MAGIC: [u8; 4] = *b"TDN1";
const CHECKSUM_AT: usize = PREAMBLE_BYTES - 4;

/// What was received is no preamble; the connection must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("damaged preamble of a frame")]
pub struct Damaged;

/// What stands before a frame, or alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// The number of the frame that follows, from 1 on in a session; 0: none follows.
    pub number: u64,
    /// All frames up to this number have arrived at the sender of this one.
    pub acknowledged: u64,
}

impl Preamble {
    /// Its bytes.
    #[must_use]
    pub fn encode(self) -> [u8; PREAMBLE_BYTES] {
        let mut bytes = [0; PREAMBLE_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..CHECKSUM_AT].copy_from_slice(&self.acknowledged.to_le_bytes());
        let checksum = crc32c_of(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Take a preamble from what was received; `None`: more bytes are needed.
    ///
    /// # Errors
    /// [`Damaged`]; nothing of the connection can be trusted after it.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, Damaged> {
        let Some(bytes) = input.first_chunk::<PREAMBLE_BYTES>() else {
            return Ok(None);
        };
        let checksum = u32::from_le_bytes(word(bytes, CHECKSUM_AT));
        if bytes[..4] != MAGIC || crc32c_of(&bytes[..CHECKSUM_AT]) != checksum {
            return Err(Damaged);
        }
        let preamble = Self {
            number: u64::from_le_bytes(word(bytes, 4)),
            acknowledged: u64::from_le_bytes(word(bytes, 12)),
        };
        input.advance(PREAMBLE_BYTES);
        Ok(Some(preamble))
    }
}

fn word<const N: usize>(bytes: &[u8; PREAMBLE_BYTES], at: usize) -> [u8; N] {
    let mut word = [0; N];
    word.copy_from_slice(&bytes[at..at + N]);
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: Preamble = Preamble {
        number: 7,
        acknowledged: u64::MAX,
    };

    #[test]
    fn what_is_encoded_is_decoded_once_it_is_whole() {
        let mut input = BytesMut::new();
        for byte in SOME.encode() {
            assert_eq!(Preamble::decode(&mut input), Ok(None));
            input.extend_from_slice(&[byte]);
        }
        input.extend_from_slice(b"frame");
        assert_eq!(Preamble::decode(&mut input), Ok(Some(SOME)));
        assert_eq!(&input[..], b"frame");
    }

    #[test]
    fn every_bit_that_is_changed_is_noticed() {
        for bit in 0..PREAMBLE_BYTES * 8 {
            let mut bytes = SOME.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                Preamble::decode(&mut BytesMut::from(&bytes[..])),
                Err(Damaged)
            );
        }
    }
}
