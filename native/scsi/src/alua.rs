//! Asymmetric logical unit access (SPC-4 §5.15): the states of both nodes' target port groups and what they still answer.
//!
//! Rules
//! 1. Each node is one target port group with one port; group tag and relative port number are equal.
//! 2. A state that does not serve refuses with NOT READY, never with a medium error, so that multipath takes the other path.
//! 3. Active/non-optimized serves everything that active/optimized does: it only asks initiators to prefer the other path.

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::Sense;

/// State of a target port group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessState {
    /// Active/optimized: everything is served.
    Optimized,
    /// Active/non-optimized: everything is served, and the other path is to be preferred.
    NonOptimized,
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
    /// True when everything is served.
    #[must_use]
    pub fn is_active(self) -> bool {
        self.sense().is_none()
    }

    /// Sense data of a command that the state refuses; `None` when the state serves.
    #[must_use]
    pub fn sense(self) -> Option<Sense> {
        match self {
            Self::Optimized | Self::NonOptimized => None,
            Self::Transitioning => Some(Sense::TRANSITIONING),
            Self::Standby => Some(Sense::STANDBY),
            Self::Unavailable => Some(Sense::UNAVAILABLE),
        }
    }
}

impl AccessState {
    /// ASYMMETRIC ACCESS STATE (SPC-4 table 261).
    fn code(self) -> u8 {
        match self {
            Self::Optimized => 0x0,
            Self::NonOptimized => 0x1,
            Self::Transitioning => 0xf,
            Self::Standby => 0x2,
            Self::Unavailable => 0x3,
        }
    }
}

/// T_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP: the states that [`AccessState`] has.
const SUPPORTED_STATES: u8 = 0x80 | 0x08 | 0x04 | 0x02 | 0x01;
/// STATUS CODE: altered by implicit asymmetrical logical unit access behavior.
const ALTERED_IMPLICITLY: u8 = 0x02;

/// REPORT TARGET PORT GROUPS (SPC-4 §6.36): this node's group, and the peer's as far as it is known.
pub(crate) fn report_target_port_groups(
    unit: &LogicalUnit,
    request: &Request<'_>,
) -> Result<Step, Sense> {
    const EXTENDED: u8 = 0b001;
    let own = PeerGroup {
        group_tag: unit.group_tag(),
        state: unit.access_state(),
    };
    let format = request.byte(1) >> 5;
    let mut list = match format {
        0 => Vec::new(),
        EXTENDED => vec![EXTENDED << 4, 0, 0, 0], // no IMPLICIT TRANSITION TIME
        _ => return Err(Sense::invalid_cdb_field(1, Some(7))),
    };
    for group in [Some(own), unit.peer_group()].into_iter().flatten() {
        let [high, low] = group.group_tag.to_be_bytes();
        list.extend_from_slice(&[
            group.state.code(),
            SUPPORTED_STATES,
            high,
            low,
            0,
            ALTERED_IMPLICITLY,
            0,
            1,
        ]);
        list.extend_from_slice(&[0, 0, high, low]);
    }
    let data = [(list.len() as u32).to_be_bytes().as_slice(), &list].concat();
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(6, 4),
    )))
}
