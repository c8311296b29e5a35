//! ROD tokens (SPC-5 §5.17.6): 512 bytes that stand for what ranges of a logical unit held at one moment.
//!
//! Rules
//! 1. A token is made of what the nodes keep of it and of nothing else, so that it is compared with one that is made anew, all of it
//!    and in a time that does not tell how much of it was right.
//! 2. Who has a token may read what it stands for; [`TOKEN_KEY_BYTES`] of it are random.

use bytes::Bytes;

use super::IDENTIFICATION;
use super::list::number;
use crate::logical_unit::LogicalUnit;

/// Bytes of a token.
pub const TOKEN_BYTES: usize = 512;
/// Random bytes of a token: all of its EXTENDED ROD TOKEN DATA.
pub const TOKEN_KEY_BYTES: usize = TOKEN_BYTES - KEY_AT;

/// ROD types (SPC-5 §5.17.6.2).
pub(crate) const CHANGE_VULNERABLE: u32 = 0x0080_0001;
/// Any kind of point in time copy; becomes [`CHANGE_VULNERABLE`].
pub(crate) const ANY_POINT_IN_TIME: u32 = 0x0080_ffff;
/// The block device zero ROD token (SBC-4 §4.28.4).
pub(crate) const ZEROS: u32 = 0xffff_0001;

/// ROD TOKEN LENGTH: bytes that follow the field.
const LENGTH: u16 = (TOKEN_BYTES - 8) as u16;
const IDENTIFIER_AT: usize = 8;
const CREATOR_AT: usize = 16;
const REPRESENTED_AT: usize = 48;
const BLOCK_AT: usize = 96;
const DEVICE_AT: usize = 128;
const KEY_AT: usize = DEVICE_AT + DEVICE_BYTES;
/// A designation descriptor with an NAA identifier.
const DEVICE_BYTES: usize = 4 + NAA_BYTES;
const NAA_BYTES: usize = 16;
const BINARY: u8 = 0x01;
const NAA: u8 = 0x03;
/// ASSOCIATION: the SCSI target device.
const OF_DEVICE: u8 = 0x20;

/// What a token says of itself, not believed yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is the token of zeros.
    Zeros,
    /// It was made by the logical unit with this serial, and is named so there.
    Made { serial: [u8; 16], id: u64 },
    /// Its length is another one than all tokens have.
    BadLength,
    /// It is of a kind that is not made here.
    Unknown,
}

impl Claim {
    pub(crate) fn of(token: &[u8; TOKEN_BYTES]) -> Self {
        let kind = number(token, 0, 4) as u32;
        if number(token, 6, 2) != u64::from(LENGTH) {
            return Self::BadLength;
        }
        match kind {
            ZEROS => Self::Zeros,
            CHANGE_VULNERABLE => {
                let mut serial = [0; NAA_BYTES];
                serial.copy_from_slice(&token[CREATOR_AT + 8..][..NAA_BYTES]);
                let id = number(token, IDENTIFIER_AT, 8);
                Self::Made { serial, id }
            }
            _ => Self::Unknown,
        }
    }
}

impl LogicalUnit {
    /// The token with this name and key for so many bytes of this unit.
    #[must_use]
    pub fn token(&self, id: u64, key: &[u8], represented_bytes: u64) -> Bytes {
        let mut token = [0; TOKEN_BYTES];
        let mut put = |at: usize, bytes: &[u8]| token[at..at + bytes.len()].copy_from_slice(bytes);
        let serial = &self.identity().serial;
        let block_bytes = self.block().bytes();
        put(0, &CHANGE_VULNERABLE.to_be_bytes());
        put(6, &LENGTH.to_be_bytes());
        put(IDENTIFIER_AT, &id.to_be_bytes());
        put(
            CREATOR_AT,
            &[IDENTIFICATION, 0, 0, 0, BINARY, NAA, 0, NAA_BYTES as u8],
        );
        put(CREATOR_AT + 8, serial);
        put(CREATOR_AT + 28, &(block_bytes as u32).to_be_bytes());
        put(REPRESENTED_AT + 8, &represented_bytes.to_be_bytes());
        put(BLOCK_AT, &(block_bytes as u32).to_be_bytes());
        put(BLOCK_AT + 5, &[self.block().physical_exponent()]);
        put(DEVICE_AT, &[BINARY, OF_DEVICE | NAA, 0, NAA_BYTES as u8]);
        put(DEVICE_AT + 4, serial);
        put(KEY_AT, &key[..key.len().min(TOKEN_KEY_BYTES)]);
        Bytes::copy_from_slice(&token)
    }
}

/// True when two tokens are the same. Takes as long whatever they differ in.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differs = |sum: u8, (left, right): (&u8, &u8)| std::hint::black_box(sum | (left ^ right));
    one.len() == other.len() && one.iter().zip(other).fold(0, differs) == 0
}

const _: () = assert!(TOKEN_KEY_BYTES >= 32, "SPC-5 §5.17.6.5.1: 256 random bits");
