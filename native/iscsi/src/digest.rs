//! Header and data digests: CRC32C, sent low byte first (RFC 7143 §13.1, appendix A.4 shows the order).

/// Bytes of a digest on the wire.
pub(crate) const DIGEST_BYTES: usize = 4;

/// The CRC32C of pieces that follow each other.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Digest(u32);

impl Digest {
    /// Take more bytes in.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The digest as it stands on the wire.
    pub(crate) fn wire(self) -> [u8; DIGEST_BYTES] {
        self.0.to_le_bytes()
    }

    /// The digest of one piece.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(crc32c::crc32c(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::Digest;

    /// The examples of RFC 7143 appendix A.4.
    #[test]
    fn matches_the_examples_of_the_standard() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        assert_eq!(Digest::of(&[0; 32]).wire(), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(Digest::of(&[0xff; 32]).wire(), [0x43, 0xab, 0xa8, 0x62]);
        assert_eq!(Digest::of(&ascending).wire(), [0x4e, 0x79, 0xdd, 0x46]);
        assert_eq!(Digest::of(&descending).wire(), [0x5c, 0xdb, 0x3f, 0x11]);
    }

    #[test]
    fn pieces_add_up_to_the_whole() {
        let mut digest = Digest::default();
        digest.add(&[1, 2, 3]);
        digest.add(&[]);
        digest.add(&[4, 5]);
        assert_eq!(digest.wire(), Digest::of(&[1, 2, 3, 4, 5]).wire());
    }
}
