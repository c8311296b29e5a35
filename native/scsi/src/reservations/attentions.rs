//! Who has to be told of a change (SPC-4 §5.13.5 to §5.13.11): each node tells its own initiators.
//!
//! A node that was absent sees what several changes have come to, of which only the latest is known. Then the worst is taken for
//! what a nexus lost: it was preempted, and its commands are to end.

use super::nexus::Nexus;
use super::table::{Cause, Table};
use crate::unit_attention::Attention;

/// The unit attentions that follow from `after` having taken the place of `before`; `absent`: there may have been others in between.
pub(crate) fn attentions(before: &Table, after: &Table, absent: bool) -> Vec<(Nexus, Attention)> {
    let is_maker = |nexus: &Nexus| after.by.as_ref() == Some(nexus);
    let changed_kind = match (&before.reservation, &after.reservation) {
        (Some(old), Some(new)) => old.kind != new.kind,
        _ => false,
    };
    let may_be_released = |nexus: &Nexus| {
        let changed = before.reservation.is_some() && before.reservation != after.reservation;
        absent && changed && !after.is_holder(nexus)
    };
    let mut found = Vec::new();
    for registration in &before.registrations {
        let nexus = &registration.nexus;
        if is_maker(nexus) || before == after {
            continue;
        }
        let stays = after.key_of(nexus).is_some();
        let attention = match after.cause {
            Cause::Cleared => Attention::ReservationsPreempted,
            Cause::Preempted | Cause::PreemptedAndAborted if !stays => {
                Attention::RegistrationsPreempted
            }
            Cause::Preempted | Cause::PreemptedAndAborted if changed_kind => {
                Attention::ReservationsReleased
            }
            Cause::Released if stays => Attention::ReservationsReleased,
            _ if absent && !stays => Attention::RegistrationsPreempted,
            _ if may_be_released(nexus) => Attention::ReservationsReleased,
            _ => continue,
        };
        found.push((nexus.clone(), attention));
    }
    found
}

/// The nexuses whose commands end because of a PREEMPT AND ABORT (§5.13.11.2.6), or of one that there may have been.
pub(crate) fn aborted<'a>(before: &'a Table, after: &Table, absent: bool) -> Vec<&'a Nexus> {
    let is_known = after.cause == Cause::PreemptedAndAborted;
    let ends = |nexus: &Nexus| {
        let may_be = absent && after.by.as_ref() != Some(nexus);
        after.key_of(nexus).is_none() && (is_known || may_be)
    };
    let registered = before.registrations.iter().map(|one| &one.nexus);
    registered.filter(|nexus| ends(nexus)).collect()
}
