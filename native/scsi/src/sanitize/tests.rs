//! SANITIZE as an initiator sees it, and its section.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::unit_state::{STATE_MAX_BYTES, Section};
use crate::{
    AccessState, BlockSize, Identity, InitiatorPort, LogicalUnit, NexusId, Response, StateChange,
    Status, Step, UnitFunction, Upkeep,
};

const A: NexusId = NexusId(1);
const OVERWRITE: u8 = 0x01;
const BLOCK_ERASE: u8 = 0x02;
const EXIT: u8 = 0x1f;
const IMMED: u8 = 0x80;
const AUSE: u8 = 0x20;
const SIZE_BYTES: u64 = 1 << 20;

fn unit() -> LogicalUnit {
    let identity = Identity {
        serial: [0x6e; 16],
        revision: *b"0001",
    };
    let state = AccessState::Optimized;
    let mut unit = LogicalUnit::new(identity, SIZE_BYTES, BlockSize::B512, 1, state).unwrap();
    unit.open_nexus(A);
    unit.execute(A, &[0; 16], 0, &[]);
    unit
}

fn cdb(flags: u8, length: u16) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[..2].copy_from_slice(&[0x48, flags]);
    cdb[7..9].copy_from_slice(&length.to_be_bytes());
    cdb
}

fn list(first: u8, length: u16, pattern: &[u8]) -> Vec<u8> {
    let [high, low] = length.to_be_bytes();
    [&[first, 0, high, low], pattern].concat()
}

/// Key, ASC and ASCQ, or nothing when there is no sense data.
fn sense(response: &Response) -> Option<(u8, u8, u8)> {
    let sense = response.sense.as_ref()?;
    Some((sense.key as u8, sense.asc, sense.ascq))
}

/// Carry a command out to its end; what it changes comes into force.
fn run(unit: &mut LogicalUnit, cdb: &[u8; 16], data_out: &[u8]) -> Response {
    let data_out = [Bytes::copy_from_slice(data_out)];
    let mut step = unit.execute(A, cdb, 0, &data_out);
    if step == Step::Settle {
        step = unit.execute_settled(A, cdb, 0, &data_out);
    }
    match step {
        Step::Done(response) => response,
        Step::Copy(_) | Step::Offload(_) => panic!("a copy"),
        Step::Io(_) => Response::good(),
        Step::Settle => panic!("settled already"),
        Step::Turn => match unit.change_state(A, cdb, &data_out) {
            StateChange::None(response) => response,
            StateChange::To { bytes, .. } => {
                unit.set_state(&bytes);
                Response::good()
            }
        },
    }
}

/// The step of an operation comes into force.
fn take(unit: &mut LogicalUnit, step: SanitizeStep) {
    let bytes = unit.after_sanitize_step(step).expect("an operation runs");
    unit.set_state(&bytes);
}

const IN_PROGRESS: Option<(u8, u8, u8)> = Some((0x02, 0x04, 0x1b));
const FAILED: Option<(u8, u8, u8)> = Some((0x03, 0x31, 0x03));
const CDB_FIELD: Option<(u8, u8, u8)> = Some((0x05, 0x24, 0x00));
const PARAMETER: Option<(u8, u8, u8)> = Some((0x05, 0x26, 0x00));

#[test]
fn a_cdb_that_asks_for_what_is_not_there_is_refused() {
    let mut unit = unit();
    // CRYPTOGRAPHIC ERASE and unknown service actions, ZNR, a parameter list where there is none.
    let mut wrong = vec![(cdb(0x03, 0), 0), (cdb(0x04, 0), 0), (cdb(0, 0), 0)];
    wrong.extend([(cdb(0x40 | BLOCK_ERASE, 0), 0)]);
    wrong.extend([(cdb(BLOCK_ERASE, 8), 8), (cdb(EXIT, 8), 8)]);
    for byte in 2..7 {
        let mut reserved = cdb(BLOCK_ERASE, 0);
        reserved[byte] = 1;
        wrong.push((reserved, 0));
    }
    // The list of an overwrite is from 5 bytes to 4 and a block long.
    wrong.extend([0, 1, 4, 517, 4100].map(|length| (cdb(OVERWRITE, length), length)));
    for (cdb, length) in wrong {
        let answer = run(&mut unit, &cdb, &vec![1; length.into()]);
        assert_eq!(sense(&answer), CDB_FIELD, "{cdb:x?}");
        assert!(unit.sanitizing().is_none());
    }
    let short = run(&mut unit, &cdb(OVERWRITE, 8), &list(1, 4, &[1]));
    assert_eq!(sense(&short), Some((0x05, 0x0e, 0x03)));
}

#[test]
fn an_overwrite_needs_a_count_and_a_pattern_that_is_there() {
    let mut unit = unit();
    for list in [
        list(0, 4, &[1; 4]),
        list(0x21, 4, &[1; 4]),
        list(0x41, 4, &[1; 4]),
        list(1, 0, &[1; 4]),
        list(1, 5, &[1; 4]),
        list(1, 516, &[1; 512]),
    ] {
        let answer = run(&mut unit, &cdb(OVERWRITE, list.len() as u16), &list);
        assert_eq!(sense(&answer), PARAMETER, "{:x?}", &list[..4]);
        assert!(unit.sanitizing().is_none());
    }
    // More of a list than the pattern takes is ignored.
    let list = list(0x83, 2, &[0xa5, 0x00, 9, 9]);
    let answer = run(&mut unit, &cdb(OVERWRITE, 8), &list);
    assert_eq!(answer.status, Status::Good);
    let method = Method::Overwrite {
        pattern: vec![0xa5, 0],
        invert: true,
        count: 3,
    };
    assert_eq!(unit.sanitizing().unwrap().method, method);
}

#[test]
fn the_last_pass_writes_the_pattern_and_the_one_before_its_inversion() {
    for (count, first) in [(1, 0x0f), (2, 0xf0), (3, 0x0f), (31, 0x0f), (30, 0xf0)] {
        let operation = |invert| {
            let pattern = vec![0x0f];
            let method = Method::Overwrite {
                pattern,
                invert,
                count,
            };
            Operation::new(method, false)
        };
        let byte = |invert, pass| operation(invert).block_of(pass, 512).unwrap()[511];
        assert_eq!((byte(true, 0), byte(true, count - 1)), (first, 0x0f));
        assert!((0..count).all(|pass| byte(false, pass) == 0x0f));
        assert!((1..count).all(|pass| byte(true, pass) == !byte(true, pass - 1)));
    }
    let method = Method::Overwrite {
        pattern: vec![1, 2, 3],
        invert: false,
        count: 1,
    };
    let odd = Operation::new(method, false);
    let block = odd.block_of(0, 512).unwrap();
    assert_eq!(
        (block.len(), &block[..4], block[511]),
        (512, &[1, 2, 3, 1][..], 2)
    );
}

#[test]
fn while_it_runs_only_what_the_standard_names_is_carried_out() {
    let mut unit = unit();
    assert_eq!(
        run(&mut unit, &cdb(IMMED | BLOCK_ERASE, 0), &[]).status,
        Status::Good
    );
    for command in crate::command_table::COMMANDS {
        let mut cdb = [0; 16];
        cdb[0] = command.opcode;
        cdb[1] = command.service_action.unwrap_or(0);
        cdb[9] = 16;
        let answer = run(&mut unit, &cdb, &[]);
        if matches!(command.opcode, 0x03 | 0x12 | 0xa0) {
            assert_eq!(answer.status, Status::Good, "{:x}", command.opcode);
        } else {
            assert_eq!(sense(&answer), IN_PROGRESS, "{:x}", command.opcode);
        }
    }
    // Not before it is known that the other node has not ended it.
    assert_eq!(unit.execute(A, &[0; 16], 0, &[]), Step::Settle);
}

#[test]
fn request_sense_tells_the_progress() {
    let mut unit = unit();
    let mut request = [0; 16];
    request[0] = 0x03;
    request[4] = 252;
    run(&mut unit, &cdb(OVERWRITE, 5), &list(2, 1, &[7]));
    for (pass, done_bytes, expected) in [
        (0, 0, 0_u16),
        (0, SIZE_BYTES / 4, 0x2000),
        (1, 0, 0x8000),
        (1, SIZE_BYTES, 0xffff),
    ] {
        take(&mut unit, SanitizeStep::Reached { pass, done_bytes });
        let percent = ((u32::from(expected) * 100) >> 16) as u8;
        assert_eq!(unit.sanitize_stands(), Some(("running", percent)));
        let data = run(&mut unit, &request, &[]).data.concat();
        assert_eq!((data[2], data[12], data[13]), (0x02, 0x04, 0x1b));
        assert_eq!(data[15], 0x80, "SKSV");
        assert_eq!(u16::from_be_bytes([data[16], data[17]]), expected);
    }
    request[1] = 1;
    let data = run(&mut unit, &request, &[]).data.concat();
    assert_eq!(data[..4], [0x72, 0x02, 0x04, 0x1b]);
    assert_eq!(data[8..16], [0x02, 0x06, 0, 0, 0x80, 0xff, 0xff, 0]);
    take(&mut unit, SanitizeStep::Ended);
    request[1] = 0;
    let data = run(&mut unit, &request, &[]).data.concat();
    assert_eq!((data[2], data[12], data[15]), (0, 0, 0));
}

#[test]
fn the_command_is_answered_by_how_its_operation_ended() {
    let mut unit = unit();
    let plain = cdb(BLOCK_ERASE, 0);
    run(&mut unit, &plain, &[]);
    assert_eq!(unit.sanitize_answer(&plain), None);
    let immediate = unit.sanitize_answer(&cdb(IMMED | BLOCK_ERASE, 0));
    assert_eq!(immediate, Some(Response::good()));
    take(&mut unit, SanitizeStep::Failed);
    let failed = unit.sanitize_answer(&plain).unwrap();
    assert_eq!(sense(&failed), FAILED);
    run(&mut unit, &plain, &[]);
    take(&mut unit, SanitizeStep::Ended);
    assert_eq!(unit.sanitize_answer(&plain), Some(Response::good()));
    assert_eq!(unit.after_sanitize_step(SanitizeStep::Ended), None);
}

#[test]
fn a_failure_bars_the_data_until_it_is_made_good_or_left() {
    let read = {
        let mut cdb = [0; 16];
        cdb[0] = 0x08;
        cdb
    };
    // (AUSE of the one that failed, what comes next, how it is answered, whether the failure is over)
    for (ause, next, expected, over) in [
        (AUSE, cdb(EXIT, 0), None, true),
        (0, cdb(EXIT, 0), CDB_FIELD, false),
        (0, cdb(AUSE | BLOCK_ERASE, 0), CDB_FIELD, false),
        (0, cdb(BLOCK_ERASE, 0), None, true),
        (AUSE, cdb(AUSE | BLOCK_ERASE, 0), None, true),
        (AUSE, cdb(BLOCK_ERASE, 0), None, true),
    ] {
        let mut unit = unit();
        run(&mut unit, &cdb(ause | BLOCK_ERASE, 0), &[]);
        take(&mut unit, SanitizeStep::Failed);
        assert_eq!(sense(&run(&mut unit, &read, &[])), FAILED);
        let mut request = [0; 16];
        request[0] = 0x03;
        request[4] = 252;
        let data = run(&mut unit, &request, &[]).data.concat();
        assert_eq!((data[2], data[12], data[13]), (0x03, 0x31, 0x03));
        assert_eq!(sense(&run(&mut unit, &next, &[])), expected);
        if unit.sanitizing().is_some() {
            take(&mut unit, SanitizeStep::Ended);
        }
        let after = run(&mut unit, &read, &[]);
        assert_eq!(sense(&after), if over { None } else { FAILED });
    }
    assert_eq!(run(&mut unit(), &cdb(EXIT, 0), &[]).status, Status::Good);
}

#[test]
fn beginning_drains_and_a_reservation_made_meanwhile_forbids() {
    let mut unit = unit();
    let erase = cdb(BLOCK_ERASE, 0);
    let StateChange::To { bytes, drain, .. } = unit.change_state(A, &erase, &[]) else {
        panic!("nothing forbids it");
    };
    assert!(drain);
    unit.set_state(&bytes);
    // What had its turn before and lost it finds the operation running.
    let late = unit.change_state(A, &erase, &[]);
    assert!(matches!(&late, StateChange::None(response) if sense(response) == IN_PROGRESS));
}

#[test]
fn write_protection_and_reservations_are_looked_at_again_in_the_turn() {
    let mut unit = unit();
    let mut protect = vec![0, 0, 0, 0, 0x0a, 0x0a, 0x02, 0x10, 0x08, 0x40];
    protect.resize(16, 0);
    let mut select = [0; 16];
    (select[0], select[1], select[4]) = (0x15, 0x10, 16);
    assert_eq!(run(&mut unit, &select, &protect).status, Status::Good);
    let protected = Some((0x07, 0x27, 0x00));
    for cdb in [cdb(BLOCK_ERASE, 0), cdb(IMMED | BLOCK_ERASE, 0)] {
        assert_eq!(sense(&run(&mut unit, &cdb, &[])), protected);
        let turn = unit.change_state(A, &cdb, &[]);
        assert!(matches!(&turn, StateChange::None(response) if sense(response) == protected));
    }
    assert_eq!(run(&mut unit, &cdb(EXIT, 0), &[]).status, Status::Good);
    assert!(unit.sanitizing().is_none());
}

fn unit_4k() -> LogicalUnit {
    let (identity, state) = (unit().identity().clone(), AccessState::Optimized);
    let mut unit = LogicalUnit::new(identity, SIZE_BYTES, BlockSize::B4096, 1, state).unwrap();
    unit.open_nexus(A);
    unit.execute(A, &[0; 16], 0, &[]);
    unit
}

/// Make as many registrations as there is room for, and a reservation.
fn crowd(unit: &mut LogicalUnit) {
    for number in 0..u16::MAX {
        let nexus = match number {
            0 => A,
            _ => NexusId(1000 + u64::from(number)),
        };
        let [high, low] = number.to_be_bytes();
        // Short names take what long ones leave.
        let name = "x".repeat(if number < 250 { 223 } else { 1 });
        let port = InitiatorPort::new(&name, [0, 0, 0, 0, high, low]);
        unit.name_nexus(nexus, port.unwrap());
        let mut register = [0; 16];
        (register[0], register[8]) = (0x5f, 24);
        let mut key = [0; 24];
        key[15] = 1;
        match unit.change_state(nexus, &register, &[Bytes::copy_from_slice(&key)]) {
            StateChange::To { bytes, .. } => drop(unit.set_state(&bytes)),
            StateChange::None(_) if number < 250 => {}
            StateChange::None(_) => break,
        }
    }
    let mut reserve = [0; 16];
    (reserve[0], reserve[1], reserve[2], reserve[8]) = (0x5f, 1, 1, 24);
    let mut key = [0; 24];
    key[7] = 1;
    match unit.change_state(A, &reserve, &[Bytes::copy_from_slice(&key)]) {
        StateChange::To { bytes, .. } => drop(unit.set_state(&bytes)),
        StateChange::None(response) => panic!("{response:?}"),
    }
}

#[test]
fn a_pattern_that_has_no_room_beside_the_reservations_is_refused() {
    let mut unit = unit_4k();
    let long = list(1, 4096, &[1; 4096]);
    let overwrite = cdb(OVERWRITE, 4100);
    let room_for =
        |unit: &LogicalUnit| match unit.change_state(A, &overwrite, &[long.clone().into()]) {
            StateChange::To { .. } => None,
            StateChange::None(response) => sense(&response),
        };
    assert_eq!(room_for(&unit), None);
    crowd(&mut unit);
    assert_eq!(room_for(&unit), Some((0x05, 0x55, 0x03)));
    let short = unit.change_state(A, &cdb(OVERWRITE, 68), &[list(1, 64, &[1; 64]).into()]);
    assert!(matches!(short, StateChange::To { .. }));
}

#[test]
fn the_largest_pattern_leaves_room_for_what_comes_while_it_is_there() {
    let long_list = |bytes: usize| list(1, bytes as u16, &vec![1; bytes]);
    let refused = |unit: &LogicalUnit, bytes: usize| {
        let cdb = cdb(OVERWRITE, 4 + bytes as u16);
        let change = unit.change_state(A, &cdb, &[long_list(bytes).into()]);
        matches!(change, StateChange::None(_))
    };
    // As large as it may get, with registrations that leave no more room than for a part of the pattern.
    let mut unit = unit_4k();
    crowd(&mut unit);
    let most = (1..=4096).rev().find(|&bytes| !refused(&unit, bytes));
    let most = most.expect("there is room for some");
    assert!(most < 4096);
    let answer = run(
        &mut unit,
        &cdb(OVERWRITE, 4 + most as u16),
        &long_list(most),
    );
    assert_eq!(answer.status, Status::Good);
    for step in [None, Some(SanitizeStep::Failed)] {
        if let Some(step) = step {
            take(&mut unit, step);
        }
        for function in [UnitFunction::ClearTaskSet, UnitFunction::ColdReset] {
            let StateChange::To { bytes, .. } = unit.manage_tasks(function) else {
                panic!("the state can be read");
            };
            assert!(bytes.len() <= STATE_MAX_BYTES, "{function:?}");
            unit.set_state(&bytes);
        }
        if let StateChange::To { bytes, .. } = unit.keep_up(Upkeep::PowerOn) {
            assert!(bytes.len() <= STATE_MAX_BYTES);
        }
    }
}

fn operations() -> impl Strategy<Value = Operation> {
    let pattern = prop::collection::vec(any::<u8>(), 1..600);
    let overwrite = (pattern, any::<bool>(), 1..=31_u8).prop_map(|(pattern, invert, count)| {
        Method::Overwrite {
            pattern,
            invert,
            count,
        }
    });
    let method = prop_oneof![Just(Method::BlockErase), overwrite];
    (method, any::<bool>(), any::<u8>(), any::<u64>()).prop_map(
        |(method, unrestricted, pass, done_bytes)| {
            let mut operation = Operation {
                method,
                unrestricted,
                pass: 0,
                done_bytes,
            };
            operation.pass = pass % operation.passes();
            operation
        },
    )
}

proptest! {
    #[test]
    fn the_section_comes_back_as_it_went(operation in operations(), failed in any::<bool>()) {
        let state = if failed { Sanitize::Failed(operation) } else { Sanitize::Running(operation) };
        let bytes = state.encode();
        prop_assert_eq!(Sanitize::decode(&bytes), Some(state));
        for cut in 1..bytes.len().min(40) {
            prop_assert_eq!(Sanitize::decode(&bytes[..cut]), None);
        }
        for at in [5, 6, 7, 18, 19] {
            let mut bad = bytes.clone();
            bad[at] = 1;
            prop_assert_eq!(Sanitize::decode(&bad), None, "byte {}", at);
        }
        for (at, value) in [(0, 0), (0, 3), (1, 0), (1, 3), (2, 4), (3, 0), (3, 32)] {
            let mut bad = bytes.clone();
            bad[at] = value;
            prop_assert_eq!(Sanitize::decode(&bad), None, "byte {}", at);
        }
    }
}
