//! Persistent reservations as two initiators see them, with their sessions on one logical unit.

mod absence;
mod room;

use bytes::Bytes;
use proptest::prelude::*;

use super::conflicts::{Class, class};
use super::*;
use crate::command_table::COMMANDS;
use crate::unit_state::Section;
use crate::{
    AccessState, BlockSize, Identity, InForce, NexusId, PeerGroup, Response, StateChange,
    StateError, Status, UnitState,
};

const A: NexusId = NexusId(1);
const B: NexusId = NexusId(2);
const C: NexusId = NexusId(3);
/// Asks, and never registers.
const OBSERVER: NexusId = NexusId(4);
const REGISTER: u8 = 0;
const RESERVE: u8 = 1;
const RELEASE: u8 = 2;
const CLEAR: u8 = 3;
const PREEMPT: u8 = 4;
const ABORT: u8 = 5;
const IGNORE: u8 = 6;

struct Unit(LogicalUnit);

fn port(number: u8) -> InitiatorPort {
    InitiatorPort::new("iqn.2024-01.test:i", [0, 0, 0, 0, 0, number]).unwrap()
}

impl Unit {
    /// A unit of a pair with three sessions, past their first unit attentions.
    fn new() -> Self {
        let identity = Identity {
            serial: [0x6e; 16],
            revision: *b"0001",
        };
        let state = AccessState::Optimized;
        let mut unit = LogicalUnit::new(identity, 1 << 20, BlockSize::B512, 1, state).unwrap();
        let group_tag = 2;
        unit.set_access(state, Some(PeerGroup { group_tag, state }));
        for (nexus, number) in [(A, 1), (B, 2), (C, 3), (OBSERVER, 4)] {
            unit.open_nexus(nexus);
            unit.name_nexus(nexus, port(number));
        }
        let mut unit = Self(unit);
        for nexus in [A, B, C, OBSERVER] {
            assert_eq!(unit.attention(nexus), Some((0x29, 0x00)));
        }
        unit
    }

    fn run(&mut self, nexus: NexusId, cdb: &[u8]) -> Response {
        let mut whole = [0; 16];
        whole[..cdb.len()].copy_from_slice(cdb);
        match self.0.execute(nexus, &whole, 0, &[]) {
            Step::Settle => match self.0.execute_settled(nexus, &whole, 0, &[]) {
                Step::Done(response) => response,
                step => panic!("{step:?}"),
            },
            Step::Done(response) => response,
            Step::Io(_) => Response::good(),
            Step::Copy(_) | Step::Offload(_) | Step::Turn => panic!("a turn or copy for {cdb:?}"),
        }
    }

    fn attention(&mut self, nexus: NexusId) -> Option<(u8, u8)> {
        let sense = self.run(nexus, &[0]).sense?;
        assert_eq!(sense.key as u8, 6);
        Some((sense.asc, sense.ascq))
    }

    /// PERSISTENT RESERVE OUT with a parameter list of any kind.
    fn out_with(&mut self, nexus: NexusId, action: u8, kind: u8, list: &[u8]) -> Response {
        let length = (list.len() as u32).to_be_bytes();
        let mut cdb = [0; 16];
        cdb[..3].copy_from_slice(&[0x5f, action, kind]);
        cdb[5..9].copy_from_slice(&length);
        let data = [Bytes::copy_from_slice(list)];
        match self.0.execute(nexus, &cdb, 0, &data) {
            Step::Turn => {}
            Step::Done(response) => return response,
            step => panic!("{step:?}"),
        }
        match self.0.change_state(nexus, &cdb, &data) {
            StateChange::None(response) => response,
            StateChange::To {
                bytes,
                drain,
                flush,
            } => {
                assert!(!flush);
                assert_eq!(drain, action == ABORT);
                self.0.set_state(&bytes);
                Response::good()
            }
        }
    }

    fn out(&mut self, nexus: NexusId, action: u8, kind: u8, key: u64, action_key: u64) -> u8 {
        let mut list = [0; 24];
        list[..8].copy_from_slice(&key.to_be_bytes());
        list[8..16].copy_from_slice(&action_key.to_be_bytes());
        self.out_with(nexus, action, kind, &list).status as u8
    }

    fn report(&mut self, action: u8) -> Vec<u8> {
        let response = self.run(OBSERVER, &[0x5e, action, 0, 0, 0, 0, 0, 0xff, 0xff, 0]);
        assert_eq!(response.status, Status::Good);
        response.data.concat()
    }

    fn keys(&mut self) -> Vec<u64> {
        let data = self.report(0);
        let number = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        assert_eq!(number(&data[4..8]) as usize, data.len() - 8);
        data[8..].chunks(8).map(number).collect()
    }

    /// Type and key of the reservation.
    fn held(&mut self) -> Option<(u8, u64)> {
        let data = self.report(1);
        let key = data.get(8..16)?;
        Some((data[21], u64::from_be_bytes(key.try_into().unwrap())))
    }

    /// A registers 1, B registers 2, A reserves.
    fn reserved(kind: u8) -> Self {
        let mut unit = Self::new();
        assert_eq!(unit.out(A, REGISTER, 0, 0, 1), 0);
        assert_eq!(unit.out(B, REGISTER, 0, 0, 2), 0);
        assert_eq!(unit.out(A, RESERVE, kind, 1, 0), 0);
        unit
    }
}

const GOOD: u8 = 0;
const CHECK: u8 = 2;
const CONFLICT: u8 = 0x18;

#[test]
fn register_does_what_the_tables_of_spc_say() {
    // Registered before with (0: not), action, key, action key -> status, key afterwards.
    let cases = [
        (0, REGISTER, 0, 0, GOOD, 0),
        (0, REGISTER, 0, 5, GOOD, 5),
        (0, REGISTER, 9, 5, CONFLICT, 0),
        (0, REGISTER, 9, 0, CONFLICT, 0),
        (0, IGNORE, 0, 0, GOOD, 0),
        (0, IGNORE, 9, 5, GOOD, 5),
        (7, REGISTER, 7, 5, GOOD, 5),
        (7, REGISTER, 7, 0, GOOD, 0),
        (7, REGISTER, 0, 5, CONFLICT, 7),
        (7, REGISTER, 6, 0, CONFLICT, 7),
        (7, IGNORE, 6, 5, GOOD, 5),
        (7, IGNORE, 6, 0, GOOD, 0),
    ];
    for (before, action, key, action_key, status, after) in cases {
        let mut unit = Unit::new();
        if before != 0 {
            assert_eq!(unit.out(A, IGNORE, 0, 0, before), GOOD);
        }
        let case = (before, action, key, action_key);
        assert_eq!(unit.out(A, action, 0, key, action_key), status, "{case:?}");
        let expected: Vec<u64> = (after != 0).then_some(after).into_iter().collect();
        assert_eq!(unit.keys(), expected, "{case:?}");
    }
}

#[test]
fn each_type_forbids_what_the_tables_of_spc_and_sbc_say() {
    let commands: [(&[u8], bool, bool); 9] = [
        (&[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0], true, false),
        (&[0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, true),
        (&[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0], true, true),
        (&[0x1a, 0, 0x3f, 0, 255, 0], true, false),
        (&[0x00, 0, 0, 0, 0, 0], false, false),
        (&[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], false, false),
        (&[0x12, 0, 0, 0, 255, 0], false, false),
        (&[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0], false, false),
        (&[0xa3, 0x0c, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0], true, false),
    ];
    for kind in Kind::ALL {
        for (cdb, of_exclusive, of_write_exclusive) in commands {
            let forbidden = if kind.forbids_reads() {
                of_exclusive
            } else {
                of_write_exclusive
            };
            let mut unit = Unit::reserved(kind as u8);
            let status = |conflict| if conflict { CONFLICT } else { GOOD };
            let case = format!("{kind:?} {cdb:x?}");
            assert_eq!(unit.run(A, cdb).status as u8, GOOD, "holder, {case}");
            let others = forbidden && !kind.admits_registrants();
            assert_eq!(
                unit.run(B, cdb).status as u8,
                status(others),
                "registered, {case}"
            );
            assert_eq!(
                unit.run(C, cdb).status as u8,
                status(forbidden),
                "stranger, {case}"
            );
        }
    }
}

#[test]
fn reserve_and_release_are_for_registered_nexuses_and_right_types() {
    for kind in Kind::ALL {
        let (kind, is_all) = (kind as u8, kind.is_all());
        let mut unit = Unit::reserved(kind);
        let other = if kind == 1 { 3 } else { 1 };
        assert_eq!(unit.held(), Some((kind, if is_all { 0 } else { 1 })));
        assert_eq!(unit.out(A, RESERVE, kind, 1, 0), GOOD);
        assert_eq!(unit.out(A, RESERVE, other, 1, 0), CONFLICT);
        assert_eq!(unit.out(A, RESERVE, kind, 9, 0), CONFLICT);
        assert_eq!(
            unit.out(B, RESERVE, kind, 2, 0),
            if is_all { GOOD } else { CONFLICT }
        );
        assert_eq!(unit.out(C, RESERVE, kind, 0, 0), CONFLICT);
        assert_eq!(unit.out(C, RELEASE, kind, 0, 0), CONFLICT);
        assert_eq!(unit.out(A, RELEASE, other, 1, 0), CHECK);
        assert_eq!(unit.out(A, RELEASE, kind | 0x10, 1, 0), CHECK);
        if !is_all {
            assert_eq!(unit.out(B, RELEASE, kind, 2, 0), GOOD);
            assert!(unit.held().is_some());
        }
        assert_eq!(unit.attention(B), None);
        assert_eq!(unit.out(A, RELEASE, kind, 1, 0), GOOD);
        assert_eq!(unit.held(), None);
        let told = (kind >= 5).then_some((0x2a, 0x04));
        assert_eq!(
            (unit.attention(A), unit.attention(B), unit.attention(C)),
            (None, told, None)
        );
        assert_eq!(unit.keys(), [1, 2]);
    }
    let mut unit = Unit::reserved(1);
    assert_eq!(unit.out(A, RELEASE, 1, 1, 0), GOOD);
    for bad in [0, 2, 4, 9, 15, 0x11] {
        assert_eq!(unit.out(A, RESERVE, bad, 1, 0), CHECK, "type {bad:#x}");
    }
}

#[test]
fn who_unregisters_takes_the_reservation_along() {
    for kind in Kind::ALL {
        let mut unit = Unit::reserved(kind as u8);
        assert_eq!(unit.out(A, REGISTER, 0, 1, 0), GOOD);
        let stays = kind.is_all();
        assert_eq!(unit.held().is_some(), stays, "{kind:?}");
        let told = (kind.admits_registrants() && !stays).then_some((0x2a, 0x04));
        assert_eq!(unit.attention(B), told, "{kind:?}");
        assert_eq!(unit.out(B, REGISTER, 0, 2, 0), GOOD);
        assert_eq!(unit.held(), None);
    }
}

#[test]
fn clear_removes_everything_and_tells_the_others() {
    let mut unit = Unit::reserved(5);
    assert_eq!(unit.out(B, CLEAR, 0, 9, 0), CONFLICT);
    assert_eq!(unit.out(C, CLEAR, 0, 0, 0), CONFLICT);
    assert_eq!(unit.out(B, CLEAR, 0, 2, 0), GOOD);
    assert_eq!((unit.keys(), unit.held()), (vec![], None));
    assert_eq!(
        (unit.attention(A), unit.attention(B)),
        (Some((0x2a, 0x03)), None)
    );
}

#[test]
fn preempt_takes_over_or_removes() {
    for action in [PREEMPT, ABORT] {
        for kind in [1, 3, 5, 6] {
            let mut unit = Unit::reserved(kind);
            assert_eq!(unit.out(C, REGISTER, 0, 0, 3), GOOD);
            assert_eq!(unit.out(B, action, 3, 2, 1), GOOD);
            assert_eq!((unit.keys(), unit.held()), (vec![2, 3], Some((3, 2))));
            assert_eq!(unit.attention(A), Some((0x2a, 0x05)));
            assert_eq!(unit.attention(B), None);
            let told = (kind != 3).then_some((0x2a, 0x04));
            assert_eq!(unit.attention(C), told, "from type {kind}");
        }
        let mut unit = Unit::reserved(1);
        assert_eq!(unit.out(C, REGISTER, 0, 0, 3), GOOD);
        assert_eq!(unit.out(A, action, 1, 1, 3), GOOD);
        assert_eq!((unit.keys(), unit.held()), (vec![1, 2], Some((1, 1))));
        assert_eq!(unit.attention(C), Some((0x2a, 0x05)));
        assert_eq!(unit.out(A, action, 1, 1, 77), CONFLICT);
        assert_eq!(unit.out(A, action, 1, 1, 0), CHECK);
        assert_eq!(unit.out(A, action, 1, 9, 2), CONFLICT);
    }
    let mut unit = Unit::reserved(8);
    assert_eq!(unit.out(B, PREEMPT, 7, 2, 0), GOOD);
    assert_eq!((unit.keys(), unit.held()), (vec![2], Some((7, 0))));
    assert_eq!(unit.attention(A), Some((0x2a, 0x05)));
}

#[test]
fn a_registration_may_cover_all_ports_and_other_initiators() {
    let mut unit = Unit::new();
    let other = port(9).transport_id();
    let mut list = vec![0; 28];
    list[15] = 7;
    list[20] = 8 | 4 | 1;
    list[27] = other.len() as u8;
    list.extend(&other);
    assert_eq!(unit.out_with(A, REGISTER, 0, &list).status, Status::Good);
    assert_eq!(unit.keys(), [7, 7, 7, 7]);
    let status = unit.report(3);
    let targets: Vec<_> = status[8..]
        .chunks(24 + other.len())
        .map(|one| one[19])
        .collect();
    assert_eq!(targets, [1, 2, 1, 2]);
    assert!(status.ends_with(&other));
    assert_eq!(unit.report(2), [0, 8, 0x0d, 0x81, 0xea, 0x01, 0, 0]);
    list[7] = 7;
    assert_eq!(
        unit.out_with(A, REGISTER, 0, &list).status,
        Status::CheckCondition
    );
    list[20] = 4;
    assert_eq!(
        unit.out_with(A, REGISTER, 0, &list[..24]).status,
        Status::Good
    );
    list[20] = 8;
    assert_eq!(
        unit.out_with(A, RESERVE, 1, &list).status,
        Status::CheckCondition
    );
}

#[test]
fn a_reservation_moves_to_another_nexus() {
    let move_list = |key: u8, to: u8, unregister: bool, target: u8| {
        let id = port(to).transport_id();
        let mut list = vec![0; 24];
        (list[7], list[15], list[17], list[19]) = (key, 5, u8::from(unregister) << 1, target);
        list[23] = id.len() as u8;
        list.extend(id);
        list
    };
    for unregister in [false, true] {
        let mut unit = Unit::reserved(3);
        let mut go = |nexus, list: &[u8]| unit.out_with(nexus, 7, 0, list).status as u8;
        assert_eq!(go(B, &move_list(2, 3, unregister, 1)), CONFLICT);
        assert_eq!(go(A, &move_list(9, 3, unregister, 1)), CONFLICT);
        assert_eq!(go(A, &move_list(1, 1, unregister, 1)), CHECK);
        assert_eq!(go(A, &move_list(1, 3, unregister, 3)), CHECK);
        assert_eq!(go(A, &move_list(1, 3, unregister, 1)[..24]), CHECK);
        assert_eq!(go(A, &move_list(1, 3, unregister, 1)), GOOD);
        assert_eq!(unit.held(), Some((3, 5)));
        let expected: &[u64] = if unregister { &[2, 5] } else { &[1, 2, 5] };
        assert_eq!(unit.keys(), expected);
        assert_eq!(unit.run(A, &[0x08, 0, 0, 0, 1, 0]).status as u8, CONFLICT);
        assert_eq!(unit.run(C, &[0x08, 0, 0, 0, 1, 0]).status as u8, GOOD);
    }
    let mut unit = Unit::reserved(7);
    let list = move_list(1, 3, false, 2);
    assert_eq!(unit.out_with(A, 7, 0, &list).status as u8, CONFLICT);
    assert_eq!(unit.out(A, RELEASE, 7, 1, 0), GOOD);
    assert_eq!(unit.out_with(A, 7, 0, &list).status as u8, CHECK);
}

#[test]
fn the_generation_counts_what_spc_counts() {
    let mut unit = Unit::reserved(1);
    let generation = |unit: &mut Unit| unit.report(0)[3];
    assert_eq!(generation(&mut unit), 2);
    assert_eq!(unit.out(A, RELEASE, 1, 1, 0), GOOD);
    assert_eq!(unit.out(A, RESERVE, 9, 1, 0), CHECK);
    assert_eq!(unit.out(C, CLEAR, 0, 0, 0), CONFLICT);
    assert_eq!(generation(&mut unit), 2);
    assert_eq!(unit.out(A, PREEMPT, 1, 1, 2), GOOD);
    assert_eq!(unit.out(A, CLEAR, 0, 1, 0), GOOD);
    assert_eq!(generation(&mut unit), 4);
}

#[test]
fn every_command_has_a_class() {
    for command in COMMANDS {
        let mut cdb = [0; 16];
        cdb[0] = command.opcode;
        cdb[1] = command.service_action.unwrap_or(0);
        assert!(
            class(&cdb).is_some(),
            "{:#04x} {:#04x}: see SPC-4 table 65, SBC-3 table 13",
            cdb[0],
            cdb[1]
        );
    }
    assert_eq!(class(&[0x2a; 16]), Some(Class::Writes));
}

proptest! {
    #[test]
    fn any_commands_leave_a_sound_table_that_reads_back(
        commands in prop::collection::vec((0..3_u64, 0..8_u8, 0..9_u8, 0..4_u64, 0..4_u64, 0..16_u8), 1..60)
    ) {
        let mut unit = Unit::new();
        for (nexus, action, kind, key, action_key, flags) in commands {
            let mut list = [0; 24];
            list[7] = key as u8;
            list[15] = action_key as u8;
            list[20] = flags;
            let nexus = NexusId(nexus + 1);
            unit.out_with(nexus, action, kind, &list);
            let table = &unit.0.state.reservations;
            prop_assert!(table.is_sound());
            prop_assert_eq!(&UnitState::decode(&unit.0.state.encode()).unwrap(), &unit.0.state);
            let held = table.reservation.is_some();
            prop_assert!(!held || !table.registrations.is_empty());
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_state_and_never_panic(bytes in prop::collection::vec(any::<u8>(), 1..300)) {
        prop_assert_eq!(UnitState::decode(&bytes), Err(StateError));
        let _ = Table::decode(&bytes);
    }

    #[test]
    fn arbitrary_parameter_lists_never_panic(
        action in 0..9_u8, kind in any::<u8>(), list in prop::collection::vec(any::<u8>(), 0..120), flags in 0..16_u8
    ) {
        let mut unit = Unit::reserved(1);
        let mut list = list;
        if let Some(byte) = list.get_mut(20) {
            *byte = flags;
        }
        unit.out_with(A, action, kind, &list);
        prop_assert!(unit.0.state.reservations.is_sound());
    }
}

#[test]
fn a_damaged_state_is_noticed() {
    let bytes = Unit::reserved(5).0.state.encode();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(UnitState::decode(&damaged), Err(StateError), "bit {bit}");
    }
}

#[test]
fn what_cannot_be_read_forbids_all_that_a_reservation_could() {
    let mut unit = Unit::reserved(1);
    let bytes = unit.0.state.encode();
    assert_eq!(unit.0.set_state(b"from the future"), InForce::default());
    for nexus in [A, B, C] {
        assert_eq!(
            unit.run(nexus, &[0x08, 0, 0, 0, 1, 0]).status as u8,
            CONFLICT
        );
        assert_eq!(unit.run(nexus, &[0x12, 0, 0, 0, 36, 0]).status as u8, GOOD);
    }
    assert_eq!(unit.out(A, CLEAR, 0, 1, 0), CHECK);
    assert_eq!(
        unit.run(A, &[0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0]).status as u8,
        CHECK
    );
    unit.0.set_state(&bytes);
    assert_eq!(unit.run(A, &[0x08, 0, 0, 0, 1, 0]).status as u8, GOOD);
}
