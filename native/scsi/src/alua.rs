//! Asymmetric logical unit access (SPC-4 §5.15): the state of a node's target port group and what it still answers.
//!
//! Rules
//! 1. Each node is one target port group with one port; group tag and relative port number are equal.
//! 2. A state that does not serve refuses with NOT READY, never with a medium error, so that multipath takes the other path.

use crate::sense::Sense;

/// State of a target port group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessState {
    /// Active/optimized: everything is served.
    Serving,
    /// Between two states: the node is deciding.
    Transitioning,
    /// Standby: this node serves nothing now, the peer does.
    Standby,
    /// Unavailable: nothing can be served (failed disk, invalid state).
    Unavailable,
}

/// The other node's target port group, as far as this node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PeerGroup {
    /// Target port group tag, also the relative target port identifier.
    pub group_tag: u16,
    /// Its state.
    pub state: AccessState,
}

impl AccessState {
    /// Sense data of a command that the state refuses; `None` when the state serves.
    #[must_use]
    pub fn sense(self) -> Option<Sense> {
        match self {
            Self::Serving => None,
            Self::Transitioning => Some(Sense::TRANSITIONING),
            Self::Standby => Some(Sense::STANDBY),
            Self::Unavailable => Some(Sense::UNAVAILABLE),
        }
    }
}
