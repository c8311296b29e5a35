//! The Challenge Handshake Authentication Protocol as iSCSI uses it (RFC 1994, RFC 7143 §12.1.3): what is computed and how it
//! is written. The exchange itself is in [`crate::authentication`].

use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;
use sha2::digest::Digest;
use sha3::Sha3_256;

use crate::admission::Secret;

/// How many random bytes a [`Challenge`] is made of.
pub const CHALLENGE_RANDOM_BYTES: usize = 33;
/// The longest challenge or response that is taken, in bytes (RFC 7143 §12.1.3).
pub(crate) const BINARY_MAX_BYTES: usize = 1024;

/// Hash functions by their numbers in `CHAP_A` (RFC 7143 §12.1.3 and IANA's PPP Authentication Algorithms).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md5,
    Sha1,
    Sha256,
    Sha3_256,
}

impl Algorithm {
    /// By strength, the best first: the first that the initiator knows too is used.
    const ORDER: [Self; 4] = [Self::Sha3_256, Self::Sha256, Self::Sha1, Self::Md5];

    /// Choose from an initiator's list.
    pub(crate) fn choose(offered: &str) -> Option<Self> {
        Self::ORDER
            .into_iter()
            .find(|own| offered.split(',').any(|one| one == own.number()))
    }

    /// The number as it is written.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Md5 => "5",
            Self::Sha1 => "6",
            Self::Sha256 => "7",
            Self::Sha3_256 => "8",
        }
    }

    /// The answer to a challenge: the hash of the identifier, the secret and the challenge (RFC 1994 §4.1).
    pub(crate) fn respond(self, id: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => hash::<Md5>(id, secret, challenge),
            Self::Sha1 => hash::<Sha1>(id, secret, challenge),
            Self::Sha256 => hash::<Sha256>(id, secret, challenge),
            Self::Sha3_256 => hash::<Sha3_256>(id, secret, challenge),
        }
    }
}

fn hash<D: Digest>(id: u8, secret: &[u8], challenge: &[u8]) -> Vec<u8> {
    D::new()
        .chain_update([id])
        .chain_update(secret)
        .chain_update(challenge)
        .finalize()
        .to_vec()
}

/// This side's challenge: one for each connection, from a random source that nobody can foresee.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    pub(crate) id: u8,
    pub(crate) bytes: [u8; CHALLENGE_RANDOM_BYTES - 1],
}

impl Challenge {
    /// Make a challenge of random bytes.
    #[must_use]
    pub fn new(random: [u8; CHALLENGE_RANDOM_BYTES]) -> Self {
        let [id, bytes @ ..] = random;
        Self { id, bytes }
    }
}

/// A secret's bytes; those of nobody for an unknown user, so that its answer takes as long to compute as a known one's.
pub(crate) fn secret_bytes(secret: Option<&Secret>) -> &[u8] {
    secret.map_or(b"nobody knows it", Secret::bytes)
}

/// Write a binary value: `0x` and hexadecimal digits (RFC 7143 §6.1).
pub(crate) fn encode(bytes: &[u8]) -> String {
    use std::fmt::Write;

    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Read a binary value of 1 to 1024 bytes: `0x` and hexadecimal digits, or `0b` and base64 (RFC 7143 §6.1).
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let (prefix, digits) = text.split_at_checked(2)?;
    let bytes = match prefix {
        "0x" | "0X" => decode_hexadecimal(digits.as_bytes())?,
        "0b" | "0B" => decode_base64(digits.as_bytes())?,
        _ => return None,
    };
    (1..=BINARY_MAX_BYTES)
        .contains(&bytes.len())
        .then_some(bytes)
}

fn decode_hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| char::from(digit).to_digit(16);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(value(*high)? << 4 | value(*low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(byte).collect()
}

fn decode_base64(digits: &[u8]) -> Option<Vec<u8>> {
    let padding = digits
        .iter()
        .rev()
        .take_while(|sign| **sign == b'=')
        .count();
    if digits.len() % 4 != 0 || padding > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3);
    let (mut held, mut bits) = (0_u32, 0);
    for digit in &digits[..digits.len() - padding] {
        held = held << 6 | base64_value(*digit)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

fn base64_value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Computed by another implementation (Python's hashlib) over id 0x2a, "secret of twelve", challenge 00..0f.
    const VECTORS: [(Algorithm, &str); 4] = [
        (Algorithm::Md5, "0x769a9a1c9e5d8a1a12a283a65c2a5990"),
        (
            Algorithm::Sha1,
            "0xe4a9c8df66da6c6629e5a7e89f4ced78b6d66d72",
        ),
        (
            Algorithm::Sha256,
            "0x0199cb65e83c1096acea614d9b5aa88f0b7dd88133e2c94070f4bd73f0862a9a",
        ),
        (
            Algorithm::Sha3_256,
            "0x99859547933bbb47092867686fbaa5a9b9e1c2ab81b37d6ba8a5e535a6f96dae",
        ),
    ];

    #[test]
    fn responses_are_those_of_another_implementation() {
        let challenge: Vec<u8> = (0..16).collect();
        for (algorithm, expected) in VECTORS {
            let response = algorithm.respond(0x2a, b"secret of twelve", &challenge);
            assert_eq!(encode(&response), expected, "{algorithm:?}");
        }
    }

    #[test]
    fn the_strongest_common_algorithm_is_chosen_whatever_the_initiators_order() {
        for (offered, chosen) in [
            ("5", Some(Algorithm::Md5)),
            ("5,6", Some(Algorithm::Sha1)),
            ("5,7,6", Some(Algorithm::Sha256)),
            ("7,6,5,8", Some(Algorithm::Sha3_256)),
            ("9,5", Some(Algorithm::Md5)),
            ("9", None),
            ("", None),
            ("55", None),
        ] {
            assert_eq!(Algorithm::choose(offered), chosen, "{offered}");
        }
    }

    #[test]
    fn binary_values_are_hexadecimal_or_base64() {
        assert_eq!(decode("0x00fFa1"), Some(vec![0, 0xff, 0xa1]));
        assert_eq!(decode("0bAP+h"), Some(vec![0, 0xff, 0xa1]));
        assert_eq!(decode("0bAP8="), Some(vec![0, 0xff]));
        assert_eq!(decode("0BAA=="), Some(vec![0]));
        assert_eq!(encode(&[0, 0xff, 0xa1]), "0x00ffa1");
        let long = "0x".to_owned() + &"00".repeat(BINARY_MAX_BYTES + 1);
        for wrong in [
            "",
            "0",
            "0x",
            "0b",
            "00",
            "0x0",
            "0x0g",
            "0bA===",
            "0bAAA",
            "0b====",
            "0bAP_h",
            "\u{e9}x00",
            &long,
        ] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
