//! Persistent reservations (SPC-4 §5.13): who may do what to the VDisk, the same through either node.
//!
//! Rules
//! 1. All of it is pure: a [`Table`] and a command come in, the next [`Table`] or a refusal goes out. Who orders the changes and
//!    keeps them is the caller's concern; the table is a section of the [state](crate::unit_state) that it hands to the logical unit
//!    of each node.
//! 2. An I_T nexus is an initiator port (iSCSI name and ISID) and a target port; the two nodes of a pair are the two target
//!    ports of one logical unit, with the relative identifiers 1 and 2.
//! 3. A registration is never 0, and a reservation is held by registered nexuses only.

mod attentions;
mod change;
mod conflicts;
mod nexus;
mod nexuses;
mod parameters;
mod register;
mod report;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use attentions::{aborted, attentions};
pub(crate) use change::{Change, Refusal};
pub(crate) use conflicts::{forbids, is_free};
pub use nexus::{InitiatorPort, Nexus};
pub(crate) use nexuses::Nexuses;
pub(crate) use report::persistent_reserve_in;
pub use table::Kind;
pub(crate) use table::Table;

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::Step;
use crate::sense::Sense;

/// PERSISTENT RESERVE OUT (SPC-4 §6.16): all of it is looked at when it has its turn.
pub(crate) fn persistent_reserve_out(
    _unit: &LogicalUnit,
    _request: &Request<'_>,
) -> Result<Step, Sense> {
    Ok(Step::Turn)
}
