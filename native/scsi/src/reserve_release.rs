//! RESERVE and RELEASE (6, 10) of SPC-2 (§5.5, §7.24 to §7.27): the whole logical unit for one I_T nexus, the same through either node.
//!
//! Rules
//! 1. A reservation belongs to a session: it ends with RELEASE, a reset of the logical unit, the end of the session, or the loss of the
//!    node that the session leads to. The number of the session, which no other one of either node ever has, names it for good.
//! 2. It is in force while its session stands. The node that the session leads to knows that; for the other node it stands as long as both
//!    serve together. Once it does not, whoever serves releases it for good, so that it cannot come back into force.
//! 3. It keeps everybody else from everything but a few commands that tell what the disk is. Persistent reservations and this kind
//!    exclude each other (SPC-2 §5.5.1; there is no compatible reservation handling: CRH = 0).

use crate::cdb::Request;
use crate::logical_unit::{LogicalUnit, NexusId};
use crate::opcodes::{PERSISTENT_RESERVE_IN, PERSISTENT_RESERVE_OUT, RESERVE};
use crate::reservations::Refusal;
use crate::response::Step;
use crate::sense::Sense;
use crate::unit_state::Section;

const PERSISTENT_RESERVE: [u8; 2] = [PERSISTENT_RESERVE_IN, PERSISTENT_RESERVE_OUT];

/// Whose session reserved the logical unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Relative target port identifier of the node that the session leads to.
    pub(crate) target: u16,
    /// The session; not 0.
    pub(crate) session: NexusId,
}

/// The reservation as both nodes keep it (docs/formats/unit-state.md).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UnitReservation {
    pub(crate) holder: Option<Holder>,
    /// Who lost it last without having asked for that or having been reset; its node tells it when it serves again.
    pub(crate) lost_by: Option<Holder>,
}

impl UnitReservation {
    /// After it was taken from its holder, whose node or session was lost.
    pub(crate) fn taken(self) -> Self {
        Self {
            holder: None,
            lost_by: self.holder.or(self.lost_by),
        }
    }

    /// Held by somebody else, or by nobody. Whoever gets it has heard that it had lost it before.
    pub(crate) fn held_by(self, holder: Option<Holder>) -> Self {
        let lost_by = self.lost_by.filter(|lost_by| Some(*lost_by) != holder);
        Self { holder, lost_by }
    }
}

impl Section for UnitReservation {
    const TAG: [u8; 4] = *b"RSRV";
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        [self.holder, self.lost_by]
            .into_iter()
            .flat_map(|holder| {
                let (target, session) = holder.map_or((0, 0), |it| (it.target, it.session.0));
                [target.to_le_bytes().as_slice(), &session.to_le_bytes()].concat()
            })
            .collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (holder, lost_by) = bytes.split_first_chunk::<10>()?;
        let lost_by: &[u8; 10] = lost_by.try_into().ok()?;
        Some(Self {
            holder: decode_holder(holder)?,
            lost_by: decode_holder(lost_by)?,
        })
    }
}

/// `None`: no holder looks so.
fn decode_holder(bytes: &[u8; 10]) -> Option<Option<Holder>> {
    let (target, session) = bytes.split_first_chunk::<2>()?;
    let target = u16::from_le_bytes(*target);
    let session = u64::from_le_bytes(session.try_into().ok()?);
    match (target, session) {
        (0, 0) => Some(None),
        (0, _) | (_, 0) => None,
        _ => Some(Some(Holder {
            target,
            session: NexusId(session),
        })),
    }
}

/// RESERVE and RELEASE: all of it is looked at when it has its turn.
///
/// # Errors
/// INVALID FIELD IN CDB: there are neither third party reservations nor extents.
pub(crate) fn reserve_release(_unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    for bit in [4, 1, 0] {
        if request.bit(1, bit) {
            return Err(Sense::invalid_cdb_field(1, Some(bit)));
        }
    }
    Ok(Step::Turn)
}

/// True for what a reservation lets others do (SPC-2 table 10, SBC-2): tell what the disk is and how its paths are, and what conflicts or
/// not by rules of its own.
pub(crate) fn is_open_to_others(cdb: &[u8; 16]) -> bool {
    match cdb[0] {
        // REQUEST SENSE, INQUIRY, READ CAPACITY (10), LOG SENSE, REPORT LUNS; REPORT TARGET PORT GROUPS, SUPPORTED OPERATION CODES and others
        // that report; RESERVE, RELEASE
        0x03 | 0x12 | 0x25 | 0x4d | 0xa0 | 0xa3 | 0x16 | 0x17 | 0x56 | 0x57 => true,
        // READ CAPACITY (16)
        0x9e => cdb[1] & 0x1f == 0x10,
        // START STOP UNIT that only starts, PREVENT ALLOW MEDIUM REMOVAL that only allows
        0x1b => cdb[4] & 0xf1 == 0x01,
        0x1e => cdb[4] & 0x03 == 0,
        _ => false,
    }
}

impl LogicalUnit {
    /// Carry out RESERVE or RELEASE of a session in its turn; the next reservation.
    ///
    /// # Errors
    /// RESERVATION CONFLICT.
    pub(crate) fn reserve_or_release(
        &self,
        session: NexusId,
        cdb: &[u8; 16],
    ) -> Result<UnitReservation, Refusal> {
        let held = self.state.unit_reservation;
        // SPC-2 §5.5.1: while anybody is registered, both conflict, whoever sends them.
        if !self.state.reservations.registrations.is_empty() {
            return Err(Refusal::Conflict);
        }
        let target = self.group_tag();
        let own = self.reserved_by().map(|holder| holder.session == session);
        match (RESERVE.contains(&cdb[0]), own) {
            (true, Some(false)) => Err(Refusal::Conflict),
            (true, Some(true)) | (false, Some(false)) => Ok(held),
            (true, None) => Ok(held.held_by(Some(Holder { target, session }))),
            (false, Some(true) | None) => Ok(held.held_by(None)),
        }
    }

    /// True when a reservation of the logical unit forbids a command to a session.
    pub(crate) fn is_reserved_against(&self, session: NexusId, cdb: &[u8; 16]) -> bool {
        self.reserved_by().is_some_and(|holder| {
            // Persistent reservations are forbidden to the holder too (SPC-2 §5.5.1).
            PERSISTENT_RESERVE.contains(&cdb[0])
                || holder.session != session && !is_open_to_others(cdb)
        })
    }

    /// Who keeps others out.
    pub(crate) fn reserved_by(&self) -> Option<Holder> {
        let holder = self.state.unit_reservation.holder?;
        (!self.is_lost(holder)).then_some(holder)
    }

    /// True when the holder's session is known to stand no more.
    fn is_lost(&self, holder: Holder) -> bool {
        let own = holder.target == self.group_tag();
        !self.nexuses.is_open(holder.session) && (own || !self.with_peer)
    }

    /// A reservation that is to be released for good because its session is gone.
    #[must_use]
    pub fn lost_reservation(&self) -> Option<Holder> {
        let holder = self.state.unit_reservation.holder?;
        self.is_lost(holder).then_some(holder)
    }

    /// Say whether the peer serves too, before a state is put in force.
    pub fn set_with_peer(&mut self, with_peer: bool) {
        self.with_peer = with_peer;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOLDER: Holder = Holder {
        target: 2,
        session: NexusId(0x0102_0304_0506_0708),
    };

    #[test]
    fn it_survives_its_bytes() {
        let held = UnitReservation::default().held_by(Some(HOLDER));
        assert_eq!(
            held.encode(),
            [2, 0, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        for it in [held, held.taken(), held.taken().held_by(Some(HOLDER))] {
            assert_eq!(UnitReservation::decode(&it.encode()), Some(it));
        }
        let bytes = held.encode();
        for cut in 0..bytes.len() {
            assert_eq!(UnitReservation::decode(&bytes[..cut]), None);
        }
        let mut nobody = bytes;
        nobody[..2].fill(0);
        assert_eq!(UnitReservation::decode(&nobody), None);
    }

    #[test]
    fn who_lost_it_is_remembered() {
        let taken = UnitReservation::default().held_by(Some(HOLDER)).taken();
        assert_eq!((taken.holder, taken.lost_by), (None, Some(HOLDER)));
        assert_eq!(taken.taken(), taken);
    }
}
