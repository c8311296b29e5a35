//! Who has to be told of a change (SPC-4 §5.13.5 to §5.13.11): each node tells its own initiators.

use super::nexus::Nexus;
use super::table::{Cause, Table};
use crate::unit_attention::Attention;

/// The unit attentions that follow from `after` having taken the place of `before`.
pub(crate) fn attentions(before: &Table, after: &Table) -> Vec<(Nexus, Attention)> {
    let is_maker = |nexus: &Nexus| after.by.as_ref() == Some(nexus);
    let several = are_several(before, after);
    let changed_kind = match (&before.reservation, &after.reservation) {
        (Some(old), Some(new)) => old.kind != new.kind,
        _ => false,
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
            _ if several && !stays => Attention::RegistrationsPreempted,
            _ => continue,
        };
        found.push((nexus.clone(), attention));
    }
    found
}

/// The nexuses whose commands end because of a PREEMPT AND ABORT (§5.13.11.2.6).
pub(crate) fn aborted<'a>(before: &'a Table, after: &Table) -> Vec<&'a Nexus> {
    if after.cause != Cause::PreemptedAndAborted && !are_several(before, after) {
        return Vec::new();
    }
    let registered = before.registrations.iter().map(|one| &one.nexus);
    registered
        .filter(|nexus| after.key_of(nexus).is_none())
        .collect()
}

/// Several changes at once: this node was away. What became of a lost registration is not known; the worse is to be taken for it.
fn are_several(before: &Table, after: &Table) -> bool {
    after.generation.wrapping_sub(before.generation) > 1
}
