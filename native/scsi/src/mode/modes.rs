//! The values in force and the saved ones, as part of the state that both nodes share (docs/formats/unit-state.md).

use super::pages::{FIELD_COUNT, Values};
use crate::logical_unit::NexusId;
use crate::unit_state::Section;

/// All that MODE SELECT has come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    /// In force.
    pub(crate) current: Values,
    /// In force after a reset of the logical unit, and after both nodes were lost.
    pub(crate) saved: Values,
    /// Counts the changes of `current`.
    pub(crate) changes: u32,
    /// The session that made the latest one; 0: no initiator did.
    by: u64,
}

impl Modes {
    /// The next values; `by`: who asks.
    pub(crate) fn changed(self, current: Values, saved: Values, by: Option<NexusId>) -> Self {
        if current == self.current {
            return Self { saved, ..self };
        }
        Self {
            current,
            saved,
            changes: self.changes.wrapping_add(1),
            by: by.map_or(0, |nexus| nexus.0),
        }
    }

    /// The saved values become current (SPC-4 §5.9).
    pub(crate) fn reset(self) -> Self {
        self.changed(self.saved, self.saved, None)
    }

    /// Everybody but whom is to be told that `self` has taken the place of `before`; `None`: nobody is.
    pub(crate) fn told_but(self, before: Self) -> Option<Option<NexusId>> {
        match self.changes.wrapping_sub(before.changes) {
            0 => None,
            1 if self.by != 0 => Some(Some(NexusId(self.by))),
            _ => Some(None),
        }
    }
}

impl Section for Modes {
    const TAG: [u8; 4] = *b"MODE";
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        let mut out = self.changes.to_le_bytes().to_vec();
        out.extend(self.by.to_le_bytes());
        out.push(FIELD_COUNT as u8);
        out.extend(self.current.to_bytes());
        out.extend(self.saved.to_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (changes, rest) = bytes.split_first_chunk()?;
        let (by, rest) = rest.split_first_chunk()?;
        let (&count, rest) = rest.split_first()?;
        let (current, rest) = rest.split_first_chunk()?;
        let (saved, rest) = rest.split_first_chunk()?;
        (usize::from(count) == FIELD_COUNT && rest.is_empty()).then_some(())?;
        Some(Self {
            changes: u32::from_le_bytes(*changes),
            by: u64::from_le_bytes(*by),
            current: Values::from_bytes(*current)?,
            saved: Values::from_bytes(*saved)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protecting() -> Values {
        let mut values = Values::default();
        values
            .take(&[0x0a, 0x0a, 0x02, 0x10, 0x08, 0x40, 0, 0, 0, 0, 0, 0])
            .unwrap();
        assert!(values.write_protect());
        values
    }

    #[test]
    fn they_survive_their_bytes() {
        let modes = Modes::default().changed(protecting(), Values::default(), Some(NexusId(7)));
        let bytes = modes.encode();
        assert_eq!(
            bytes,
            [
                1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 5, 4, 0, 8, 8, 0, 4, 0, 0, 8, 0
            ]
        );
        assert_eq!(Modes::decode(&bytes), Some(modes));
    }

    #[test]
    fn bytes_that_no_pages_have_are_refused() {
        let good = Modes::default().encode();
        assert_eq!(Modes::decode(&good), Some(Modes::default()));
        for cut in 0..good.len() {
            assert_eq!(Modes::decode(&good[..cut]), None);
        }
        for (at, byte) in [(12, 4), (13, 5), (14, 1), (16, 0x88), (17, 1), (22, 7)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert_eq!(Modes::decode(&bad), None, "byte {at}");
        }
    }

    #[test]
    fn whoever_made_the_only_change_is_not_told() {
        let (maker, before) = (Some(NexusId(7)), Modes::default());
        let once = before.changed(protecting(), protecting(), maker);
        assert_eq!(once.told_but(before), Some(maker));
        let saved_only = before.changed(before.current, protecting(), maker);
        assert_eq!(saved_only.told_but(before), None);
        let twice = once.changed(Values::default(), protecting(), maker);
        assert_eq!(twice.told_but(before), Some(None));
        assert_eq!(twice.reset().told_but(twice), Some(None));
        assert_eq!(twice.reset().current, protecting());
    }
}
