//! What a node tells that was absent while reservations changed.

use super::*;

/// Who, action, type, key, action key.
type Change = (NexusId, u8, u8, u64, u64);
/// An additional sense code and its qualifier.
type Told = Option<(u8, u8)>;

/// What is told at a node that was absent while another one made these changes: the attentions of A and B, whose commands end.
fn caught_up(kind: u8, changes: &[Change]) -> (Told, Told, Vec<NexusId>) {
    let (mut absent, mut other) = (Unit::reserved(kind), Unit::reserved(kind));
    for &(nexus, action, kind, key, action_key) in changes {
        let status = other.out(nexus, action, kind, key, action_key);
        assert_eq!(status, GOOD, "{changes:?}");
    }
    let in_force = absent.0.catch_up(&other.0.state.encode());
    assert!(in_force.absent);
    (absent.attention(A), absent.attention(B), in_force.aborted)
}

#[test]
fn who_was_preempted_while_its_node_was_absent_hears_of_it_whatever_followed() {
    let preempted = Some((0x2a, 0x05));
    for action in [PREEMPT, ABORT] {
        let preempt = (B, action, 5, 2, 1);
        for followed in [
            vec![],
            vec![(B, RELEASE, 5, 2, 0)],
            vec![(B, RELEASE, 5, 2, 0), (B, RESERVE, 1, 2, 0)],
            vec![(C, REGISTER, 0, 0, 3)],
            vec![(B, REGISTER, 0, 2, 0)],
        ] {
            let changes: Vec<_> = [preempt].into_iter().chain(followed).collect();
            let told = caught_up(5, &changes);
            assert_eq!(told, (preempted, None, vec![A]), "{changes:?}");
        }
    }
    // Cleared at last: that is told of all that there was.
    let (a, b, aborted) = caught_up(5, &[(B, PREEMPT, 5, 2, 1), (B, CLEAR, 0, 2, 0)]);
    assert_eq!((a, b, aborted), (Some((0x2a, 0x03)), None, vec![A]));
}

#[test]
fn who_lost_nothing_while_its_node_was_absent_hears_of_nothing_but_a_reservation_that_changed() {
    assert_eq!(caught_up(5, &[]), (None, None, vec![]));
    let registered = [(C, REGISTER, 0, 0, 3)];
    assert_eq!(caught_up(5, &registered), (None, None, vec![]));
    let moved = [
        (A, RELEASE, 5, 1, 0),
        (C, REGISTER, 0, 0, 3),
        (C, RESERVE, 5, 3, 0),
    ];
    let released = Some((0x2a, 0x04));
    assert_eq!(caught_up(5, &moved), (released, released, vec![]));
}
