//! Unit attentions (SAM-5 §5.14): what each I_T nexus has yet to hear.
//!
//! Rules
//! 1. Each kind is pending at most once per nexus; the one with the highest precedence is reported first, one per command.
//! 2. A nexus that nobody opened is as new as one that was just opened.

use std::collections::{BTreeMap, BTreeSet};

use crate::logical_unit::NexusId;
use crate::sense::{Sense, SenseKey};

/// What happened, highest precedence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attention {
    /// The nexus is new.
    PowerOn,
    /// LOGICAL UNIT RESET, by whatever nexus.
    Reset,
    /// The node lost its part in serving the VDisk, and with it the nexus's reservation of the logical unit.
    NexusLoss,
    /// The nexus's registration was preempted.
    RegistrationsPreempted,
    /// All registrations and the reservation were cleared.
    ReservationsPreempted,
    /// The reservation that let the nexus in was released.
    ReservationsReleased,
    /// MODE SELECT by another nexus changed mode pages.
    ModesChanged,
    /// The VDisk has another size.
    CapacityChanged,
    /// A target port group has another state.
    AccessStateChanged,
}

impl Attention {
    fn sense(self) -> Sense {
        let (asc, ascq) = match self {
            Self::PowerOn => (0x29, 0x00),
            Self::Reset => (0x29, 0x03),
            Self::NexusLoss => (0x29, 0x07),
            Self::RegistrationsPreempted => (0x2a, 0x05),
            Self::ReservationsPreempted => (0x2a, 0x03),
            Self::ReservationsReleased => (0x2a, 0x04),
            Self::ModesChanged => (0x2a, 0x01),
            Self::CapacityChanged => (0x2a, 0x09),
            Self::AccessStateChanged => (0x2a, 0x06),
        };
        Sense::new(SenseKey::UnitAttention, asc, ascq)
    }
}

/// The pending ones of every open nexus.
#[derive(Debug, Default)]
pub(crate) struct UnitAttentions(BTreeMap<NexusId, BTreeSet<Attention>>);

impl UnitAttentions {
    /// Begin with a nexus.
    pub(crate) fn open(&mut self, nexus: NexusId) {
        self.0.insert(nexus, BTreeSet::from([Attention::PowerOn]));
    }

    /// Forget a nexus.
    pub(crate) fn close(&mut self, nexus: NexusId) {
        self.0.remove(&nexus);
    }

    /// Raise one for every nexus but `but`.
    pub(crate) fn raise(&mut self, attention: Attention, but: Option<NexusId>) {
        for (_, pending) in self.0.iter_mut().filter(|(nexus, _)| Some(**nexus) != but) {
            pending.insert(attention);
        }
    }

    /// Raise one for one nexus.
    pub(crate) fn raise_for(&mut self, nexus: NexusId, attention: Attention) {
        self.see(nexus);
        self.0.entry(nexus).or_default().insert(attention);
    }

    /// See to it that a nexus is known.
    pub(crate) fn see(&mut self, nexus: NexusId) {
        if !self.0.contains_key(&nexus) {
            self.open(nexus);
        }
    }

    /// Take the next one of a nexus.
    pub(crate) fn take(&mut self, nexus: NexusId) -> Option<Sense> {
        Some(self.0.get_mut(&nexus)?.pop_first()?.sense())
    }
}
