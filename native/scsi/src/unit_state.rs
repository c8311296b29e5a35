//! What both nodes of a VDisk agree on besides the data, and its bytes (docs/formats/unit-state.md).
//!
//! Rules
//! 1. The state is made of sections; each is a type that implements [`Section`], a field of [`UnitState`], and a byte table. To
//!    add one: the field, a line in [`UnitState::encode`], an arm in [`UnitState::decode`].
//! 2. A section that is as at first is not written. So a program that does not know it can go on until it is used.
//! 3. Bytes with a section that this program does not know, or in a version that it does not know, are not read in part: what
//!    the section says could forbid what this node would serve. Whoever cannot read the state forbids everything that
//!    any section could forbid, and changes nothing, so nothing of it is lost.

use crate::mode::Modes;
use crate::reservations::Table;
use crate::reserve_release::UnitReservation;
use crate::resets::Resets;
use crate::sanitize::Sanitize;

const MAGIC: [u8; 4] = *b"TDUS";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 12;
const SECTION_HEADER_BYTES: usize = 12;
/// Most bytes that both nodes keep of a state.
pub(crate) const STATE_MAX_BYTES: usize = 64 << 10;

/// A part of the state.
pub(crate) trait Section: Default + PartialEq {
    /// Names it.
    const TAG: [u8; 4];
    /// Version of its bytes.
    const VERSION: u8;

    /// As it is kept and sent.
    fn encode(&self) -> Vec<u8>;

    /// The inverse of [`Self::encode`]; `None`: these bytes are none of its own.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

/// The state of one VDisk's logical unit that is the same on both nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnitState {
    /// Registrations and the persistent reservation.
    pub(crate) reservations: Table,
    /// Values of mode pages.
    pub(crate) modes: Modes,
    /// How the latest sanitize operation stands.
    pub(crate) sanitize: Sanitize,
    /// What task management has done.
    pub(crate) resets: Resets,
    /// The reservation of RESERVE and RELEASE.
    pub(crate) unit_reservation: UnitReservation,
}

/// Bytes that are damaged, or that a later version of the program made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the state of the logical unit cannot be read")]
pub struct StateError;

impl UnitState {
    /// As it is kept and sent.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let sections = [
            section(&self.reservations),
            section(&self.modes),
            section(&self.sanitize),
            section(&self.resets),
            section(&self.unit_reservation),
        ];
        let sections: Vec<_> = sections.into_iter().flatten().collect();
        let mut out = MAGIC.to_vec();
        out.extend([VERSION, sections.len() as u8, 0, 0]);
        out.extend([0; 4]);
        out.extend(sections.concat());
        let checksum = crc32c::crc32c(&out);
        out[8..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    /// The inverse of [`Self::encode`]; no bytes at all are the default.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (head, mut rest) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(StateError)?;
        let checksum = crc32c::crc32c(&head[..8]);
        let checksum = crc32c::crc32c_append(checksum, &[0; 4]);
        let checksum = crc32c::crc32c_append(checksum, rest);
        if head[..5] != [MAGIC.as_slice(), &[VERSION]].concat()
            || head[6..8] != [0, 0]
            || head[8..] != checksum.to_le_bytes()
        {
            return Err(StateError);
        }
        let mut state = Self::default();
        let mut seen = Vec::new();
        for _ in 0..head[5] {
            let (tag, version, content) = next_section(&mut rest)?;
            if seen.contains(&tag) {
                return Err(StateError);
            }
            seen.push(tag);
            match tag {
                Table::TAG => state.reservations = read(version, content)?,
                Modes::TAG => state.modes = read(version, content)?,
                Sanitize::TAG => state.sanitize = read(version, content)?,
                Resets::TAG => state.resets = read(version, content)?,
                UnitReservation::TAG => state.unit_reservation = read(version, content)?,
                _ => return Err(StateError),
            }
        }
        rest.is_empty().then_some(state).ok_or(StateError)
    }
}

/// A section's header and bytes; `None` when it is as at first.
fn section<S: Section>(section: &S) -> Option<Vec<u8>> {
    if *section == S::default() {
        return None;
    }
    let content = section.encode();
    let mut out = Vec::with_capacity(SECTION_HEADER_BYTES + content.len());
    out.extend(S::TAG);
    out.extend([S::VERSION, 0, 0, 0]);
    out.extend((content.len() as u32).to_le_bytes());
    out.extend(content);
    Some(out)
}

/// Tag, version and bytes of the section at the start of `rest`, which moves behind it.
fn next_section<'a>(rest: &mut &'a [u8]) -> Result<([u8; 4], u8, &'a [u8]), StateError> {
    let (head, behind) = rest
        .split_first_chunk::<SECTION_HEADER_BYTES>()
        .ok_or(StateError)?;
    let &[t0, t1, t2, t3, version, 0, 0, 0, l0, l1, l2, l3] = head else {
        return Err(StateError);
    };
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let (content, behind) = behind.split_at_checked(length).ok_or(StateError)?;
    *rest = behind;
    Ok(([t0, t1, t2, t3], version, content))
}

fn read<S: Section>(version: u8, content: &[u8]) -> Result<S, StateError> {
    if version != S::VERSION {
        return Err(StateError);
    }
    S::decode(content).ok_or(StateError)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One section with this header, in a state that is whole otherwise.
    fn state_of(sections: &[([u8; 4], u8, &[u8])]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([VERSION, sections.len() as u8, 0, 0, 0, 0, 0, 0]);
        for (tag, version, content) in sections {
            out.extend(tag);
            out.extend([*version, 0, 0, 0]);
            out.extend((content.len() as u32).to_le_bytes());
            out.extend(*content);
        }
        seal(out)
    }

    fn seal(mut out: Vec<u8>) -> Vec<u8> {
        out[8..12].fill(0);
        let checksum = crc32c::crc32c(&out);
        out[8..12].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    #[test]
    fn what_is_as_at_first_takes_no_section() {
        let state = UnitState::default();
        assert_eq!(state.encode().len(), HEADER_BYTES);
        assert_eq!(UnitState::decode(&state.encode()), Ok(state.clone()));
        assert_eq!(UnitState::decode(&[]), Ok(state));
    }

    #[test]
    fn sections_of_a_later_program_make_the_state_unreadable() {
        let table = Table::default().encode();
        let known = (Table::TAG, Table::VERSION, table.as_slice());
        assert_eq!(
            UnitState::decode(&state_of(&[known])),
            Ok(UnitState::default())
        );
        let (tag, version, content) = known;
        for sections in [
            vec![known, (*b"LATE", 1, b"".as_slice())],
            vec![(tag, version + 1, content)],
            vec![known, known],
        ] {
            assert_eq!(UnitState::decode(&state_of(&sections)), Err(StateError));
        }
    }

    #[test]
    fn lengths_and_reserved_bytes_that_are_wrong_are_refused() {
        let table = Table::default().encode();
        let good = state_of(&[(Table::TAG, Table::VERSION, &table)]);
        for at in [4, 5, 6, 7, 17, 18, 19, 20, 21, 22, 23] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(UnitState::decode(&seal(bad)), Err(StateError), "byte {at}");
        }
        let mut longer = good.clone();
        longer.push(0);
        assert_eq!(UnitState::decode(&seal(longer)), Err(StateError));
        for cut in 12..good.len() {
            let shorter = seal(good[..cut].to_vec());
            assert_eq!(UnitState::decode(&shorter), Err(StateError));
        }
    }
}
