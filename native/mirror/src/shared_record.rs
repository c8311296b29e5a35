//! The shared record of a VDisk: a few bytes that both copies hold besides the data (docs/formats/shared-record.md).
//!
//! The mirror does not look into the bytes; SCSI keeps the state of the logical unit there. Each change has a tag that its maker chose
//! at random, and the record remembers the latest tags: so a change that was interrupted can tell whether it was made.

use bytes::{Buf, Bytes};

/// Most bytes that a record may hold.
pub const RECORD_MAX_BYTES: usize = 64 << 10;
/// Tags that a record remembers.
pub const TAGS_MAX: usize = 8;

/// One version of the record. Invariant: at most [`TAGS_MAX`] tags and [`RECORD_MAX_BYTES`] bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedRecord {
    version: u64,
    tags: Vec<u64>,
    bytes: Bytes,
}

impl SharedRecord {
    /// Counts the changes; 0: there was none yet.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What is recorded; empty at first.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The tag of the latest change.
    #[must_use]
    pub fn latest(&self) -> Option<u64> {
        self.tags.last().copied()
    }

    /// True when the change with this tag is among the latest.
    #[must_use]
    pub fn has(&self, tag: u64) -> bool {
        self.tags.contains(&tag)
    }

    /// The record after a change; `bytes` that are too long are refused with `None`.
    #[must_use]
    pub fn changed(&self, tag: u64, bytes: Bytes) -> Option<Self> {
        if bytes.len() > RECORD_MAX_BYTES {
            return None;
        }
        let forgotten = (self.tags.len() + 1).saturating_sub(TAGS_MAX);
        let mut tags = self.tags[forgotten..].to_vec();
        tags.push(tag);
        Some(Self {
            version: self.version.saturating_add(1),
            tags,
            bytes,
        })
    }

    /// As it is stored and sent: version, number of tags, tags, bytes; little endian.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + 8 * self.tags.len() + self.bytes.len());
        out.extend(self.version.to_le_bytes());
        out.extend((self.tags.len() as u64).to_le_bytes());
        out.extend(self.tags.iter().flat_map(|tag| tag.to_le_bytes()));
        out.extend_from_slice(&self.bytes);
        out
    }

    /// The inverse of [`Self::encode`]; `None`: no record looks so.
    #[must_use]
    pub fn decode(mut input: Bytes) -> Option<Self> {
        if input.len() < 16 {
            return None;
        }
        let version = input.get_u64_le();
        let count = usize::try_from(input.get_u64_le()).ok()?;
        if count > TAGS_MAX || input.len() < 8 * count {
            return None;
        }
        let tags = (0..count).map(|_| input.get_u64_le()).collect();
        (input.len() <= RECORD_MAX_BYTES).then_some(Self {
            version,
            tags,
            bytes: input,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_its_bytes_and_remembers_its_latest_changes() {
        let mut record = SharedRecord::default();
        for tag in 0..20 {
            record = record
                .changed(tag, Bytes::copy_from_slice(&tag.to_le_bytes()))
                .expect("eight bytes have room");
            assert_eq!(
                SharedRecord::decode(record.encode().into()),
                Some(record.clone())
            );
        }
        assert_eq!(record.version(), 20);
        let known: Vec<_> = (0..20).filter(|tag| record.has(*tag)).collect();
        assert_eq!(known, (12..20).collect::<Vec<_>>());
        assert_eq!(record.latest(), Some(19));
    }

    #[test]
    fn bytes_that_no_record_has_are_refused() {
        let record = SharedRecord::default()
            .changed(7, Bytes::from_static(b"x"))
            .expect("one byte has room");
        let encoded = record.encode();
        for cut in 0..24 {
            assert_eq!(SharedRecord::decode(encoded[..cut].to_vec().into()), None);
        }
        let mut many = encoded;
        many[8] = TAGS_MAX as u8 + 1;
        many.resize(200, 0);
        assert_eq!(SharedRecord::decode(many.into()), None);
        let long = Bytes::from(vec![0; RECORD_MAX_BYTES + 1]);
        assert_eq!(record.changed(8, long), None);
    }
}
