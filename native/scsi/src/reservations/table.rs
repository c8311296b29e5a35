//! The registrations and the reservation of one VDisk, and their bytes (docs/formats/unit-state.md).

use super::nexus::{NEXUS_MAX_BYTES, Nexus, take};
use crate::unit_state::Section;

/// Most bytes that a table may take.
pub(crate) const TABLE_MAX_BYTES: usize = 60 << 10;
const HEADER_BYTES: usize = 12;
/// Most bytes that registrations may take: one that has no room is refused. Whatever is registered, there is room for the two nexuses
/// that any other change names, the holder and who made the change.
pub(crate) const REGISTRATIONS_MAX_BYTES: usize =
    TABLE_MAX_BYTES - HEADER_BYTES - 2 * NEXUS_MAX_BYTES;
const APTPL: u8 = 1;
const HELD: u8 = 2;
const BY: u8 = 4;

/// Type of a reservation (SPC-4 table 64).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Others may not write.
    WriteExclusive = 1,
    /// Others may neither read nor write.
    ExclusiveAccess = 3,
    /// Who is not registered may not write.
    WriteExclusiveRegistrants = 5,
    /// Who is not registered may neither read nor write.
    ExclusiveAccessRegistrants = 6,
    /// The same as 5, held by everybody who is registered.
    WriteExclusiveAll = 7,
    /// The same as 6, held by everybody who is registered.
    ExclusiveAccessAll = 8,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::WriteExclusive,
        Self::ExclusiveAccess,
        Self::WriteExclusiveRegistrants,
        Self::ExclusiveAccessRegistrants,
        Self::WriteExclusiveAll,
        Self::ExclusiveAccessAll,
    ];

    /// The type with this code.
    #[must_use]
    pub fn of(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == code)
    }

    /// Held by all who are registered.
    #[must_use]
    pub fn is_all(self) -> bool {
        matches!(self, Self::WriteExclusiveAll | Self::ExclusiveAccessAll)
    }

    /// Lets all who are registered in.
    #[must_use]
    pub fn admits_registrants(self) -> bool {
        !matches!(self, Self::WriteExclusive | Self::ExclusiveAccess)
    }

    /// Keeps others from reading too.
    #[must_use]
    pub fn forbids_reads(self) -> bool {
        matches!(
            self,
            Self::ExclusiveAccess | Self::ExclusiveAccessRegistrants | Self::ExclusiveAccessAll
        )
    }
}

/// What the latest change was, so that each node can tell its initiators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A registration or a reservation was made, or changed in a way that concerns nobody else.
    Quiet = 0,
    /// The reservation was released.
    Released = 1,
    /// Everything was cleared.
    Cleared = 2,
    /// Registrations, perhaps the reservation, were preempted.
    Preempted = 3,
    /// The same, and the commands of the preempted were to end.
    PreemptedAndAborted = 4,
}

/// A registered nexus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registration {
    pub(crate) nexus: Nexus,
    /// Not 0.
    pub(crate) key: u64,
}

/// Who holds the reservation; for the types held by all: who made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reservation {
    pub(crate) kind: Kind,
    pub(crate) holder: Nexus,
}

/// All that PERSISTENT RESERVE OUT has come to. The default is a VDisk that nobody has registered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) generation: u32,
    pub(crate) aptpl: bool,
    /// In the order of registration, each nexus once.
    pub(crate) registrations: Vec<Registration>,
    pub(crate) reservation: Option<Reservation>,
    pub(crate) cause: Cause,
    /// Who made the latest change.
    pub(crate) by: Option<Nexus>,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            generation: 0,
            aptpl: false,
            registrations: Vec::new(),
            reservation: None,
            cause: Cause::Quiet,
            by: None,
        }
    }
}

impl Table {
    /// The key that a nexus registered.
    pub(crate) fn key_of(&self, nexus: &Nexus) -> Option<u64> {
        let registered = self.registrations.iter().find(|one| one.nexus == *nexus);
        registered.map(|one| one.key)
    }

    /// What the registrations take.
    pub(crate) fn registrations_bytes(&self) -> usize {
        let bytes = |one: &Registration| size_of_val(&one.key) + one.nexus.len_bytes();
        self.registrations.iter().map(bytes).sum()
    }

    /// True when the nexus holds the reservation, alone or with others.
    pub(crate) fn is_holder(&self, nexus: &Nexus) -> bool {
        self.reservation.as_ref().is_some_and(|reservation| {
            if reservation.kind.is_all() {
                self.key_of(nexus).is_some()
            } else {
                reservation.holder == *nexus
            }
        })
    }

    /// The invariants: keys are not 0, each nexus is registered once, the holder is registered.
    pub(crate) fn is_sound(&self) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        self.registrations
            .iter()
            .all(|one| one.key != 0 && seen.insert(&one.nexus))
            && self.reservation.as_ref().is_none_or(|held| {
                held.kind.is_all() && !seen.is_empty() || seen.contains(&held.holder)
            })
    }
}

impl Section for Table {
    const TAG: [u8; 4] = *b"PRES";
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        let flags = flag(self.aptpl, APTPL)
            | flag(self.reservation.is_some(), HELD)
            | flag(self.by.is_some(), BY);
        let kind = self.reservation.as_ref().map_or(0, |held| held.kind as u8);
        let mut out = vec![flags, kind, self.cause as u8, 0];
        out.extend(self.generation.to_le_bytes());
        out.extend((self.registrations.len() as u32).to_le_bytes());
        for registration in &self.registrations {
            out.extend(registration.key.to_le_bytes());
            registration.nexus.encode(&mut out);
        }
        let holder = self.reservation.iter().map(|held| &held.holder);
        for nexus in holder.chain(&self.by) {
            nexus.encode(&mut out);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, mut rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let &[flags, kind, cause, 0, g0, g1, g2, g3, n0, n1, n2, n3] = head else {
            return None;
        };
        if flags & !(APTPL | HELD | BY) != 0 {
            return None;
        }
        let mut registrations = Vec::new();
        for _ in 0..u32::from_le_bytes([n0, n1, n2, n3]) {
            let key = u64::from_le_bytes(take(&mut rest)?);
            let nexus = Nexus::decode(&mut rest)?;
            registrations.push(Registration { nexus, key });
        }
        let reservation = if flags & HELD == 0 {
            None
        } else {
            let holder = Nexus::decode(&mut rest)?;
            let kind = Kind::of(kind)?;
            Some(Reservation { kind, holder })
        };
        let by = match flags & BY {
            0 => None,
            _ => Some(Nexus::decode(&mut rest)?),
        };
        let table = Self {
            generation: u32::from_le_bytes([g0, g1, g2, g3]),
            aptpl: flags & APTPL != 0,
            registrations,
            reservation,
            cause: cause_of(cause)?,
            by,
        };
        (rest.is_empty() && table.is_sound()).then_some(table)
    }
}

fn cause_of(code: u8) -> Option<Cause> {
    [
        Cause::Quiet,
        Cause::Released,
        Cause::Cleared,
        Cause::Preempted,
        Cause::PreemptedAndAborted,
    ]
    .into_iter()
    .find(|cause| *cause as u8 == code)
}
