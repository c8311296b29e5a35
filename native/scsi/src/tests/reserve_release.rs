//! RESERVE and RELEASE through both nodes of a pair, with two sessions on each.

use super::*;
use crate::{InForce, InitiatorPort, PeerGroup, UnitFunction, Upkeep};

const CONFLICT: u8 = Status::ReservationConflict as u8;
const RESERVE: &[u8] = &[0x16];
const RELEASE: &[u8] = &[0x17];
const READ: &[u8] = &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const REGISTER: [u8; 10] = [0x5f, 0, 0, 0, 0, 0, 0, 0, 24, 0];
/// Sessions 1 and 2 lead to the first node, 3 and 4 to the second.
const SESSIONS: [u64; 4] = [1, 2, 3, 4];

/// A session's.
type Command<'a> = (u64, &'a [u8]);

struct Pair([LogicalUnit; 2]);

fn node_of(session: u64) -> usize {
    usize::from(session > 2)
}

fn port(session: u64) -> InitiatorPort {
    InitiatorPort::new("iqn.2024-01.test:i", [0, 0, 0, 0, 0, session as u8]).unwrap()
}

impl Pair {
    fn new() -> Self {
        let mut pair = Self([unit(), unit()]);
        for (tag, unit) in [1, 2].into_iter().zip(&mut pair.0) {
            unit.close_nexus(NEXUS);
            unit.set_group_tag(tag);
            let (group_tag, state) = (3 - tag, AccessState::Optimized);
            unit.set_access(state, Some(PeerGroup { group_tag, state }));
            unit.set_with_peer(true);
        }
        for session in SESSIONS {
            pair.log_in(session);
        }
        pair
    }

    fn log_in(&mut self, session: u64) {
        let unit = &mut self.0[node_of(session)];
        unit.open_nexus(NexusId(session));
        unit.name_nexus(NexusId(session), port(session));
        assert_eq!(self.attention(session), Some((0x06, 0x29, 0x00)));
    }

    /// Run a command; the bytes of the state that it comes to are in force on these nodes.
    fn run_on(&mut self, nodes: &[usize], session: u64, cdb: &[u8]) -> u8 {
        let (node, nexus) = (node_of(session), NexusId(session));
        let mut whole = [0; 16];
        whole[..cdb.len()].copy_from_slice(cdb);
        let list = [Bytes::from(vec![1; 24])];
        let unit = &mut self.0[node];
        let mut step = unit.execute(nexus, &whole, 0, &list);
        if step == Step::Settle {
            step = unit.execute_settled(nexus, &whole, 0, &list);
        }
        let response = match step {
            Step::Done(response) => response,
            Step::Turn => match unit.change_state(nexus, &whole, &list) {
                StateChange::None(response) => response,
                StateChange::To { bytes, .. } => {
                    nodes
                        .iter()
                        .for_each(|&node| drop(self.0[node].set_state(&bytes)));
                    Response::good()
                }
            },
            _ => Response::good(),
        };
        response.status as u8
    }

    fn run(&mut self, session: u64, cdb: &[u8]) -> u8 {
        self.run_on(&[0, 1], session, cdb)
    }

    fn attention(&mut self, session: u64) -> Option<(u8, u8, u8)> {
        let step = self.0[node_of(session)].execute(NexusId(session), &[0; 16], 0, &[]);
        match step {
            Step::Done(ref response) if response.sense.is_some() => Some(sense(step)),
            _ => None,
        }
    }

    /// Who may read.
    fn readers(&mut self) -> Vec<u64> {
        let may = |session: &u64| self.run(*session, READ) == 0;
        SESSIONS.into_iter().filter(may).collect()
    }

    /// The change that a node makes because a session is gone, in force on these nodes.
    fn release_lost(&mut self, nodes: &[usize], by: usize) -> bool {
        let Some(holder) = self.0[by].lost_reservation() else {
            return false;
        };
        let change = self.0[by].keep_up(Upkeep::ReleaseLost(holder));
        let StateChange::To { bytes, drain, .. } = change else {
            panic!("{change:?}");
        };
        assert!(drain);
        for &node in nodes {
            assert_eq!(self.0[node].set_state(&bytes), InForce::default());
        }
        true
    }
}

#[test]
fn it_keeps_all_others_out_on_both_nodes_until_it_is_released() {
    for holder in SESSIONS {
        let mut pair = Pair::new();
        for reserve in [RESERVE, &[0x56]] {
            assert_eq!(pair.run(holder, reserve), 0);
            assert_eq!(pair.readers(), [holder]);
        }
        for other in SESSIONS.into_iter().filter(|other| *other != holder) {
            assert_eq!(pair.run(other, RESERVE), CONFLICT);
            assert_eq!(pair.run(other, RELEASE), 0);
        }
        assert_eq!(pair.readers(), [holder]);
        assert_eq!(pair.run(holder, &[0x57]), 0);
        assert_eq!(pair.readers(), SESSIONS);
        assert_eq!(pair.run(holder, RELEASE), 0);
    }
}

#[test]
fn others_may_only_ask_what_the_disk_is() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    let open: [&[u8]; 10] = [
        &[0x03, 0, 0, 0, 18, 0],
        &[0x12, 0, 0, 0, 36, 0],
        &[0x1b, 0, 0, 0, 1, 0],
        &[0x1e],
        &[0x25],
        &[0x4d, 0, 0x40, 0, 0, 0, 0, 0, 8, 0],
        &[0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32],
        &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16],
        &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 32],
        &[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 0, 32],
    ];
    let closed: [&[u8]; 11] = [
        &[0x00],
        READ,
        &[0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x15],
        &[0x1a, 0, 0x3f, 0, 255, 0],
        &[0x1b],
        &[0x35],
        &[0x37],
        &[0x9e, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32],
        &[0x5e, 0, 0, 0, 0, 0, 0, 0, 255, 0],
        &REGISTER,
    ];
    for other in [2, 3, 4] {
        for cdb in open {
            assert_eq!(pair.run(other, cdb), 0, "{cdb:x?}");
        }
        for cdb in closed {
            assert_eq!(pair.run(other, cdb), CONFLICT, "{cdb:x?}");
        }
    }
}

#[test]
fn it_and_persistent_reservations_exclude_each_other() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    for session in SESSIONS {
        assert_eq!(pair.run(session, &REGISTER), CONFLICT);
        assert_eq!(
            pair.run(session, &[0x5e, 2, 0, 0, 0, 0, 0, 0, 8, 0]),
            CONFLICT
        );
    }
    assert_eq!(pair.run(1, RELEASE), 0);
    let mut ignore = REGISTER;
    ignore[1] = 6;
    assert_eq!(pair.run(3, &ignore), 0);
    for session in SESSIONS {
        assert_eq!(pair.run(session, RESERVE), CONFLICT);
        assert_eq!(pair.run(session, RELEASE), CONFLICT);
    }
    // One that was reserved meanwhile, in another turn, is found when it is the turn of the registration.
    let mut pair = Pair::new();
    let mut whole = [0; 16];
    whole[..10].copy_from_slice(&ignore);
    let list = [Bytes::from(vec![1; 24])];
    assert_eq!(pair.0[1].execute(NexusId(3), &whole, 0, &list), Step::Turn);
    assert_eq!(pair.run(1, RESERVE), 0);
    let late = pair.0[1].change_state(NexusId(3), &whole, &list);
    assert_eq!(late, StateChange::None(Response::reservation_conflict()));
}

#[test]
fn third_parties_and_extents_are_refused() {
    let mut pair = Pair::new();
    for (opcode, flag) in [(0x16, 0x10), (0x16, 1), (0x17, 1), (0x56, 0x10), (0x57, 2)] {
        assert_eq!(pair.run(1, &[opcode, flag]), Status::CheckCondition as u8);
    }
    assert_eq!(pair.readers(), SESSIONS);
}

#[test]
fn it_ends_with_its_session() {
    for holder in SESSIONS {
        let mut pair = Pair::new();
        let (own, other) = (node_of(holder), 1 - node_of(holder));
        assert_eq!(pair.run(holder, RESERVE), 0);
        assert!(!pair.release_lost(&[0, 1], own) && !pair.release_lost(&[0, 1], other));
        pair.0[own].close_nexus(NexusId(holder));
        assert!(
            !pair.release_lost(&[0, 1], other),
            "the other node cannot know"
        );
        assert!(pair.release_lost(&[0, 1], own));
        assert!(!pair.release_lost(&[0, 1], own), "once");
        pair.log_in(holder);
        assert_eq!(pair.readers(), SESSIONS);
    }
}

#[test]
fn one_that_comes_into_force_after_its_session_has_ended_is_released() {
    let mut pair = Pair::new();
    let mut whole = [0; 16];
    whole[0] = RESERVE[0];
    let change = pair.0[0].change_state(NexusId(1), &whole, &[]);
    pair.0[0].close_nexus(NexusId(1));
    let StateChange::To { bytes, .. } = change else {
        panic!("{change:?}");
    };
    pair.0
        .iter_mut()
        .for_each(|unit| drop(unit.set_state(&bytes)));
    assert_eq!(pair.run(3, READ), CONFLICT);
    assert!(pair.release_lost(&[0, 1], 0));
    assert_eq!(pair.run(3, READ), 0);
}

#[test]
fn whoever_serves_without_the_holders_node_releases_it_and_the_holder_hears_of_that() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    assert_eq!(pair.run(3, READ), CONFLICT);
    // The first node is away; its sessions stand.
    pair.0[1].set_with_peer(false);
    assert_eq!(pair.run_on(&[1], 3, READ), 0);
    assert_eq!(
        pair.run_on(&[1], 4, RESERVE),
        0,
        "before it is released for good"
    );
    assert_eq!(pair.run_on(&[1], 4, RELEASE), 0);
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    pair.0[1].set_with_peer(false);
    assert!(pair.release_lost(&[1], 1));
    let bytes = pair.0[1].state.encode();
    pair.0[1].set_with_peer(true);
    pair.0[0].set_state(&bytes);
    assert_eq!(pair.attention(1), Some((0x06, 0x29, 0x07)));
    assert_eq!((pair.attention(1), pair.attention(2)), (None, None));
    assert_eq!(pair.readers(), SESSIONS);
}

#[test]
fn a_holder_hears_that_it_lost_it_while_its_node_was_absent_whoever_had_it_since() {
    // What happens at the other node; whether the holder's reservation is released for good before.
    let cases: [(bool, &[Command]); 4] = [
        (true, &[]),
        (true, &[(4, RESERVE)]),
        (false, &[(4, RESERVE)]),
        (false, &[(4, RESERVE), (4, RELEASE)]),
    ];
    for (released, commands) in cases {
        let mut pair = Pair::new();
        assert_eq!(pair.run(1, RESERVE), 0);
        pair.0[1].set_with_peer(false);
        assert!(!released || pair.release_lost(&[1], 1));
        for &(session, cdb) in commands {
            assert_eq!(pair.run_on(&[1], session, cdb), 0);
        }
        let bytes = pair.0[1].state.encode();
        pair.0[1].set_with_peer(true);
        let in_force = pair.0[0].catch_up(&bytes);
        assert_eq!(in_force.aborted, [NexusId(1)]);
        assert_eq!(pair.attention(1), Some((0x06, 0x29, 0x07)));
        assert_eq!(pair.attention(1), None);
    }
    // Two have lost it since: the one that lost it last is not the one that is here.
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    pair.0[1].set_with_peer(false);
    assert!(pair.release_lost(&[1], 1));
    assert_eq!(pair.run_on(&[1], 3, RESERVE), 0);
    pair.0[1].close_nexus(NexusId(3));
    assert!(pair.release_lost(&[1], 1));
    let bytes = pair.0[1].state.encode();
    assert_eq!(pair.0[0].catch_up(&bytes).aborted, [NexusId(1)]);
    assert_eq!(pair.attention(1), Some((0x06, 0x29, 0x07)));
}

#[test]
fn who_gives_it_back_hears_of_no_loss_also_if_it_had_lost_it_before() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    pair.0[1].set_with_peer(false);
    assert!(pair.release_lost(&[1], 1));
    pair.0[1].set_with_peer(true);
    let bytes = pair.0[1].state.encode();
    pair.0[0].catch_up(&bytes);
    assert_eq!(pair.attention(1), Some((0x06, 0x29, 0x07)));
    assert_eq!(pair.run(1, RESERVE), 0);
    assert_eq!(pair.run(1, RELEASE), 0);
    assert_eq!(pair.attention(1), None);
    // And hears of it again if it loses it again.
    assert_eq!(pair.run(1, RESERVE), 0);
    pair.0[1].set_with_peer(false);
    assert!(pair.release_lost(&[1], 1));
    let bytes = pair.0[1].state.encode();
    pair.0[0].catch_up(&bytes);
    assert_eq!(pair.attention(1), Some((0x06, 0x29, 0x07)));
}

#[test]
fn it_stands_while_the_holders_node_serves_alone_and_when_the_other_is_back() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    pair.0[0].set_with_peer(false);
    assert!(!pair.release_lost(&[0], 0));
    assert_eq!(pair.run_on(&[0], 2, READ), CONFLICT);
    pair.0[0].set_with_peer(true);
    assert_eq!(pair.readers(), [1]);
}

#[test]
fn a_node_that_starts_anew_releases_what_its_sessions_held() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    let bytes = pair.0[0].state.encode();
    let Pair([mut new, _]) = Pair::new();
    for session in [1, 2] {
        new.close_nexus(NexusId(session));
    }
    new.adopt_state(&bytes);
    pair.0[0] = new;
    assert_eq!(pair.run(3, READ), CONFLICT);
    assert!(pair.release_lost(&[0, 1], 0));
    assert_eq!(pair.run(3, READ), 0);
}

#[test]
fn what_was_reserved_anew_meanwhile_is_not_released() {
    let mut pair = Pair::new();
    assert_eq!(pair.run(1, RESERVE), 0);
    pair.0[0].close_nexus(NexusId(1));
    let lost = pair.0[0].lost_reservation().unwrap();
    assert!(pair.release_lost(&[0, 1], 0));
    assert_eq!(pair.run(3, RESERVE), 0);
    let late = pair.0[0].keep_up(Upkeep::ReleaseLost(lost));
    assert_eq!(late, StateChange::None(Response::good()));
    assert_eq!(pair.run(2, READ), CONFLICT);
}

#[test]
fn resets_release_it_and_clearing_the_task_set_does_not() {
    for (function, readers) in [
        (UnitFunction::ClearTaskSet, [1].as_slice()),
        (UnitFunction::Reset, &SESSIONS),
        (UnitFunction::ColdReset, &SESSIONS),
    ] {
        let mut pair = Pair::new();
        assert_eq!(pair.run(1, RESERVE), 0);
        let state = state_after(pair.0[1].manage_tasks(function));
        pair.0
            .iter_mut()
            .for_each(|unit| drop(unit.set_state(&state)));
        for session in SESSIONS {
            pair.attention(session);
        }
        assert_eq!(pair.readers(), readers);
    }
}

#[test]
fn power_on_makes_saved_values_current_and_every_session_hears_of_it() {
    let mut pair = Pair::new();
    assert_eq!(
        pair.0[0].keep_up(Upkeep::PowerOn),
        StateChange::None(Response::good())
    );
    let mut whole = [0; 16];
    whole[..6].copy_from_slice(&[0x15, 0x10, 0, 0, 16, 0]);
    let list = [Bytes::from_static(&[
        0, 0, 0, 0, 0x0a, 0x0a, 0x02, 0x10, 0x08, 0x40, 0, 0, 0, 0, 0, 0,
    ])];
    for expected in [true, false] {
        let change = if expected {
            pair.0[0].change_state(NexusId(1), &whole, &list)
        } else {
            pair.0[0].keep_up(Upkeep::PowerOn)
        };
        let StateChange::To { bytes, .. } = change else {
            panic!("{change:?}");
        };
        pair.0
            .iter_mut()
            .for_each(|unit| drop(unit.set_state(&bytes)));
        let told: Vec<_> = SESSIONS
            .into_iter()
            .filter_map(|it| pair.attention(it))
            .collect();
        assert_eq!(told.len(), if expected { 3 } else { 4 });
        assert!(told.iter().all(|sense| *sense == (0x06, 0x2a, 0x01)));
        whole[0] = 0x2a;
        assert_eq!(pair.0[1].refusal(NexusId(3), &whole).is_some(), expected);
    }
}

#[test]
fn a_copy_that_another_unit_was_asked_for_keeps_off_what_another_host_has_reserved() {
    let mut pair = Pair::new();
    let stranger = InitiatorPort::new("iqn.2024-01.test:j", [0; 6]).unwrap();
    let forbidden = |pair: &Pair, port: &InitiatorPort| {
        let of = |write| pair.0.each_ref().map(|unit| unit.forbids_copy(port, write));
        assert_eq!(of(false), of(true));
        of(true)
    };
    assert_eq!(forbidden(&pair, &stranger), [false, false]);
    assert_eq!(pair.run(1, RESERVE), 0);
    assert_eq!(forbidden(&pair, &stranger), [true, true]);
    assert_eq!(
        forbidden(&pair, &port(1)),
        [false, true],
        "the holder's session is known where it stands"
    );
    assert_eq!(pair.run(1, RELEASE), 0);
    assert_eq!(forbidden(&pair, &stranger), [false, false]);
}
