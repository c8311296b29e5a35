//! MODE SELECT and what follows from it, with two sessions of one node.

use super::*;
use crate::{InForce, UnitFunction, Upkeep};

const OTHER: NexusId = NexusId(2);
const GOOD: (u8, u8, u8) = (0, 0, 0);
const WRITE_PROTECTED: (u8, u8, u8) = (0x07, 0x27, 0x00);
const LENGTH_ERROR: (u8, u8, u8) = (0x05, 0x1a, 0x00);
const MODES_CHANGED: (u8, u8, u8) = (0x06, 0x2a, 0x01);
const WRITE: [u8; 10] = [0x2a, 0, 0, 0, 0, 0, 0, 0, 1, 0];
const CONTROL: [u8; 12] = [0x0a, 0x0a, 0x02, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 0];
const PROTECTING: [u8; 12] = [0x0a, 0x0a, 0x02, 0x10, 0x08, 0x40, 0, 0, 0, 0, 0, 0];
const WRITING_THROUGH: [u8; 20] = [
    0x08, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// A unit with two sessions, past their first unit attentions.
fn two() -> LogicalUnit {
    let mut unit = unit();
    unit.open_nexus(OTHER);
    assert_eq!(attention(&mut unit), Some((0x06, 0x29, 0x00)));
    unit
}

/// What the other session has not heard yet.
fn attention(unit: &mut LogicalUnit) -> Option<(u8, u8, u8)> {
    let step = unit.execute(OTHER, &[0; 16], 0, &[]);
    response(step.clone()).sense.map(|_| sense(step))
}

/// A MODE SELECT in its turn, put in force.
fn turn(unit: &mut LogicalUnit, cdb: &[u8], list: &[u8]) -> StateChange {
    let mut whole = [0; 16];
    whole[..cdb.len()].copy_from_slice(cdb);
    let data = [Bytes::copy_from_slice(list)];
    assert_eq!(unit.execute(NEXUS, &whole, 0, &data), Step::Turn);
    unit.change_state(NEXUS, &whole, &data)
}

fn outcome(unit: &mut LogicalUnit, change: StateChange) -> (u8, u8, u8) {
    match change {
        StateChange::To { bytes, .. } => {
            unit.set_state(&bytes);
            GOOD
        }
        StateChange::None(response) if response.status == Status::Good => GOOD,
        StateChange::None(response) => sense(Step::Done(response)),
    }
}

fn select_6(unit: &mut LogicalUnit, flags: u8, list: &[u8]) -> (u8, u8, u8) {
    let change = turn(unit, &[0x15, flags, 0, 0, list.len() as u8, 0], list);
    outcome(unit, change)
}

fn select_10(unit: &mut LogicalUnit, flags: u8, list: &[u8]) -> (u8, u8, u8) {
    let cdb = [0x55, flags, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
    let change = turn(unit, &cdb, list);
    outcome(unit, change)
}

fn with_header(page: &[u8]) -> Vec<u8> {
    [&[0; 4], page].concat()
}

/// A page as MODE SENSE (6) tells it; `control`: 0 current, 1 changeable, 2 default, 3 saved.
fn page(unit: &mut LogicalUnit, control: u8, code: u8) -> Vec<u8> {
    let told = data(run(unit, &[0x1a, 0x08, control << 6 | code, 0, 0xff, 0]));
    told[4..].to_vec()
}

/// The field that sense data points at.
fn field(change: StateChange) -> (bool, u16, Option<u8>) {
    let StateChange::None(response) = change else {
        panic!("{change:?}");
    };
    let field = response.sense.and_then(|sense| sense.field).unwrap();
    (field.in_cdb, field.byte, field.bit)
}

#[test]
fn what_can_be_changed_is_told_and_nothing_else_can() {
    let mut unit = unit();
    assert_eq!(
        page(&mut unit, 1, 0x3f),
        [
            [0x01, 0x0a].as_slice(),
            &[0; 10],
            &[0x88, 0x12, 0x04],
            &[0; 17],
            &[0x8a, 0x0a, 0x04, 0, 0x08],
            &[0; 7],
            &[0x9c, 0x0a, 0x18, 0x0f],
            &[0; 8],
        ]
        .concat()
    );
    for code in [0x01, 0x08, 0x0a, 0x1c] {
        let mask = page(&mut unit, 1, code);
        for bit in 16..8 * mask.len() {
            let (at, bit) = (bit / 8, (bit % 8) as u8);
            let mut wanted = page(&mut unit, 0, code);
            wanted[at] ^= 1 << bit;
            let change = turn(
                &mut unit,
                &[0x15, 0x10, 0, 0, 4 + mask.len() as u8, 0],
                &with_header(&wanted),
            );
            if mask[at] & 1 << bit == 0 {
                assert_eq!(field(change), (false, 4 + at as u16, Some(bit)));
            } else if code != 0x1c || at != 3 {
                assert!(matches!(change, StateChange::To { .. }));
            }
        }
    }
}

#[test]
fn current_values_change_and_saved_ones_only_when_asked() {
    let mut unit = unit();
    for (flags, saved) in [(0x10, 0x02), (0x11, 0x06)] {
        let list = with_header(&[0x0a, 0x0a, 0x06, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 0]);
        assert_eq!(select_6(&mut unit, flags, &list), GOOD);
        assert_eq!(page(&mut unit, 0, 0x0a)[2], 0x06);
        assert_eq!(page(&mut unit, 2, 0x0a)[2], 0x02);
        assert_eq!(page(&mut unit, 3, 0x0a)[2], saved);
        assert!(unit.descriptor_sense());
    }
}

#[test]
fn saving_without_a_list_saves_what_is_current() {
    let mut unit = unit();
    assert_eq!(
        select_6(&mut unit, 0x10, &with_header(&WRITING_THROUGH)),
        GOOD
    );
    assert_eq!(page(&mut unit, 3, 0x08)[2], 0x04);
    assert_eq!(select_10(&mut unit, 0x01, &[]), GOOD);
    assert_eq!(page(&mut unit, 3, 0x08)[2], 0);
}

#[test]
fn what_mode_sense_tells_can_be_sent_back() {
    let mut unit = unit();
    for flags in [0x00, 0x10] {
        let mut long = data(run(&mut unit, &[0x5a, flags, 0x3f, 0, 0, 0, 0, 0, 0xff, 0]));
        long[..2].fill(0);
        assert_eq!(select_10(&mut unit, 0x11, &long), GOOD);
    }
    let mut short = data(run(&mut unit, &[0x1a, 0, 0x3f, 0, 0xff, 0]));
    short[0] = 0;
    assert_eq!(select_6(&mut unit, 0x11, &short), GOOD);
}

#[test]
fn lists_that_are_cut_short_are_refused() {
    let mut unit = unit();
    let list = with_header(&PROTECTING);
    for length in 1..list.len() {
        let outcome = select_6(&mut unit, 0x10, &list[..length]);
        let whole = length == 4;
        assert_eq!(outcome, if whole { GOOD } else { LENGTH_ERROR }, "{length}");
    }
    assert_eq!(
        select_10(&mut unit, 0x10, &[0, 0, 0, 0, 0, 0, 0, 8, 0]),
        LENGTH_ERROR
    );
    let change = turn(&mut unit, &[0x15, 0x10, 0, 0, 16, 0], &list[..15]);
    assert_eq!(outcome(&mut unit, change), (0x05, 0x0e, 0x03));
    assert_eq!(page(&mut unit, 0, 0x0a)[4], 0);
}

#[test]
fn a_list_is_taken_in_whole_or_not_at_all() {
    let mut unit = unit();
    let wrong: [&[u8]; 6] = [
        // Unknown page, subpage, page length
        &[0x02, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x4a, 0x01, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x0a, 0x0b, 0x02, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        // TST, MRIE that is obsolete, MRIE that is reserved
        &[0x0a, 0x0a, 0x22, 0x10, 0, 0x40, 0, 0, 0, 0, 0, 0],
        &[0x1c, 0x0a, 0x08, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x1c, 0x0a, 0x08, 7, 0, 0, 0, 0, 0, 0, 0, 0],
    ];
    let places = [
        (16, Some(5)),
        (16, Some(6)),
        (17, None),
        (18, Some(5)),
        (19, Some(3)),
        (19, Some(3)),
    ];
    for (page, (byte, bit)) in wrong.into_iter().zip(places) {
        let list = [with_header(&PROTECTING), page.to_vec()].concat();
        let change = turn(&mut unit, &[0x15, 0x11, 0, 0, list.len() as u8, 0], &list);
        assert_eq!(field(change.clone()), (false, byte, bit));
        assert_eq!(outcome(&mut unit, change), INVALID_PARAMETER);
    }
    assert_eq!(page(&mut unit, 0, 0x0a)[4], 0);
}

#[test]
fn the_disk_keeps_its_size_and_its_blocks() {
    let mut unit = unit();
    let short = |blocks: u32, block: u32| {
        let number = [0, 0, 0, 8].to_vec();
        [
            number,
            blocks.to_be_bytes().into(),
            block.to_be_bytes().into(),
        ]
        .concat()
    };
    for blocks in [0, BLOCKS as u32, u32::MAX] {
        assert_eq!(select_6(&mut unit, 0x10, &short(blocks, 512)), GOOD);
    }
    for (blocks, block, at) in [(1, 512, 4), (0, 4096, 9), (0, 0, 9)] {
        let list = short(blocks, block);
        let change = turn(&mut unit, &[0x15, 0x10, 0, 0, 12, 0], &list);
        assert_eq!(field(change), (false, at, None));
    }
    let long = |blocks: u64, block: u32| {
        let head = [0, 0, 0, 0, 1, 0, 0, 16].to_vec();
        let block = block.to_be_bytes().to_vec();
        [head, blocks.to_be_bytes().into(), vec![0; 4], block].concat()
    };
    for blocks in [0, BLOCKS, u64::MAX] {
        assert_eq!(select_10(&mut unit, 0x10, &long(blocks, 512)), GOOD);
    }
    for (blocks, block, at) in [(BLOCKS - 1, 512, 8), (0, 4096, 20)] {
        let change = turn(
            &mut unit,
            &[0x55, 0x10, 0, 0, 0, 0, 0, 0, 24, 0],
            &long(blocks, block),
        );
        assert_eq!(field(change), (false, at, None));
    }
    for (list, at) in [([0, 1, 0, 0], 1), ([0, 0, 0, 16], 3)] {
        let list = [list.as_slice(), &[0; 16]].concat();
        let change = turn(&mut unit, &[0x15, 0x10, 0, 0, 20, 0], &list);
        assert_eq!(field(change), (false, at, None));
    }
}

#[test]
fn pages_need_page_format_and_nothing_reverts_to_defaults() {
    let mut unit = unit();
    let list = with_header(&PROTECTING);
    let change = turn(&mut unit, &[0x15, 0x00, 0, 0, 16, 0], &list);
    assert_eq!(field(change), (true, 1, Some(4)));
    let change = turn(&mut unit, &[0x15, 0x12, 0, 0, 16, 0], &list);
    assert_eq!(field(change), (true, 1, Some(1)));
    assert_eq!(select_6(&mut unit, 0, &[0; 4]), GOOD);
}

#[test]
fn other_sessions_hear_of_changed_values_once() {
    let mut unit = two();
    for list in [with_header(&PROTECTING), with_header(&CONTROL)] {
        assert_eq!(select_6(&mut unit, 0x10, &list), GOOD);
        assert_eq!(attention(&mut unit), Some(MODES_CHANGED));
        assert_eq!(attention(&mut unit), None);
        assert_eq!(response(run(&mut unit, &[0])).status, Status::Good);
    }
    // Neither the same values again nor saving them changes what is current.
    assert_eq!(select_6(&mut unit, 0x10, &with_header(&CONTROL)), GOOD);
    assert_eq!(select_6(&mut unit, 0x11, &with_header(&CONTROL)), GOOD);
    assert_eq!(attention(&mut unit), None);
}

#[test]
fn a_node_that_missed_changes_tells_all_its_sessions() {
    let mut away = two();
    let mut unit = two();
    for list in [with_header(&PROTECTING), with_header(&CONTROL)] {
        assert_eq!(select_6(&mut unit, 0x10, &list), GOOD);
    }
    away.set_state(&unit.state.encode());
    assert_eq!(attention(&mut away), Some(MODES_CHANGED));
    assert_eq!(sense(run(&mut away, &[0])), MODES_CHANGED);
}

#[test]
fn a_protected_medium_is_not_altered() {
    let mut unit = unit();
    let before = response(run(&mut unit, &[0x1a, 0x08, 0x3f, 0, 4, 0]));
    assert_eq!(before.data.concat()[2], 0x10);
    let change = turn(
        &mut unit,
        &[0x15, 0x10, 0, 0, 16, 0],
        &with_header(&PROTECTING),
    );
    let StateChange::To {
        bytes,
        drain,
        flush,
    } = change
    else {
        panic!("{change:?}");
    };
    assert!(drain && flush);
    let in_force = unit.set_state(&bytes);
    let expected = InForce {
        protects: true,
        ..InForce::default()
    };
    assert_eq!(in_force, expected);
    for (head, at) in [
        ([0x1a, 0x08, 0x3f, 0, 4, 0].as_slice(), 2),
        (&[0x5a, 0x08, 0x3f, 0, 0, 0, 0, 0, 8, 0], 3),
    ] {
        assert_eq!(data(run(&mut unit, head))[at], 0x90);
    }
    let block = [0; 512];
    let mut unmap = [0; 24];
    unmap[..8].copy_from_slice(&[0, 22, 0, 16, 0, 0, 0, 0]);
    unmap[19] = 1;
    let altering: [(&[u8], &[u8]); 8] = [
        (&WRITE, &block),
        (&[0x0a, 0, 0, 0, 1, 0], &block),
        (&[0x2e, 0, 0, 0, 0, 0, 0, 0, 1, 0], &block),
        (&[0x41, 0, 0, 0, 0, 0, 0, 0, 1, 0], &block),
        (&[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0], &unmap),
        (
            &[0x89, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
            &[0; 1024],
        ),
        (&[0x8b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0], &block),
        (
            &[0x9c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0],
            &[0; 4096],
        ),
    ];
    for (cdb, list) in altering {
        assert_eq!(
            sense(run_with(&mut unit, cdb, list)),
            WRITE_PROTECTED,
            "{cdb:x?}"
        );
    }
}

#[test]
fn what_is_refused_on_a_protected_medium_is_so_once_that_is_known() {
    let mut unit = unit();
    let mut whole = [0; 16];
    whole[..10].copy_from_slice(&WRITE);
    assert_eq!(unit.refusal(NEXUS, &whole), None);
    assert_eq!(select_6(&mut unit, 0x10, &with_header(&PROTECTING)), GOOD);
    let block = [0; 512];
    assert_eq!(
        unit.execute(NEXUS, &whole, 0, &[Bytes::from_static(&[0; 512])]),
        Step::Settle
    );
    let refused = unit.refusal(NEXUS, &whole).unwrap();
    assert_eq!(sense(Step::Done(refused)), WRITE_PROTECTED);
    // Its data are not looked at.
    assert_eq!(
        sense(run(&mut unit, &[0x41, 0x08, 0, 0, 0, 0, 0, 0, 1, 0])),
        WRITE_PROTECTED
    );
    assert_eq!(
        sense(run_with(&mut unit, &WRITE, &[0; 100])),
        WRITE_PROTECTED
    );
    // What would fail otherwise fails as it did; what has nothing to alter, reads and flushes go on.
    assert_eq!(
        sense(run_with(
            &mut unit,
            &[0x2a, 0, 0xff, 0, 0, 0, 0, 0, 1, 0],
            &block
        )),
        LBA_OUT_OF_RANGE
    );
    assert_eq!(
        response(run(&mut unit, &[0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0])).status,
        Status::Good
    );
    io(run(&mut unit, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]));
    assert_eq!(
        io(run(&mut unit, &[0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        IoRequest::Flush
    );
    assert_eq!(select_6(&mut unit, 0x10, &with_header(&CONTROL)), GOOD);
    io(run_with(&mut unit, &WRITE, &block));
}

#[test]
fn without_write_cache_what_was_written_is_made_durable_first() {
    let mut unit = unit();
    assert!(!unit.writes_through());
    let list = with_header(&WRITING_THROUGH);
    let change = turn(&mut unit, &[0x15, 0x10, 0, 0, 24, 0], &list);
    let StateChange::To {
        bytes,
        drain,
        flush,
    } = change
    else {
        panic!("{change:?}");
    };
    assert!(!drain && flush);
    assert!(unit.set_state(&bytes).writes_through);
    assert!(unit.writes_through());
    // To use the cache again makes nothing durable.
    let mut cached = WRITING_THROUGH;
    cached[2] = 0x04;
    let change = turn(&mut unit, &[0x15, 0x10, 0, 0, 24, 0], &with_header(&cached));
    assert!(matches!(
        change,
        StateChange::To {
            drain: false,
            flush: false,
            ..
        }
    ));
}

#[test]
fn a_reset_makes_saved_values_current_and_clearing_the_task_set_does_not() {
    let mut unit = unit();
    let through = with_header(&WRITING_THROUGH);
    assert_eq!(select_6(&mut unit, 0x11, &through), GOOD);
    assert_eq!(select_6(&mut unit, 0x10, &with_header(&PROTECTING)), GOOD);
    for (function, value) in [
        (UnitFunction::ClearTaskSet, 0x08),
        (UnitFunction::Reset, 0),
        (UnitFunction::ColdReset, 0),
    ] {
        let state = state_after(unit.manage_tasks(function));
        unit.set_state(&state);
        unit.attentions.open(NEXUS);
        let _ = run(&mut unit, &[0]);
        assert_eq!(page(&mut unit, 0, 0x0a)[4], value, "{function:?}");
        assert_eq!(page(&mut unit, 0, 0x08)[2], 0);
    }
}

/// True for a change that is answered once what was written before is durable.
fn flushes(change: &StateChange) -> bool {
    matches!(change, StateChange::To { flush: true, .. })
}

#[test]
fn whatever_turns_the_write_cache_off_or_finds_it_so_has_everything_durable() {
    let mut unit = unit();
    let mut caching = WRITING_THROUGH;
    caching[2] = 0x04;
    for _ in ["once", "again, before the first one's flush has ended"] {
        let change = turn(
            &mut unit,
            &[0x15, 0x11, 0, 0, 24, 0],
            &with_header(&WRITING_THROUGH),
        );
        assert!(flushes(&change));
        outcome(&mut unit, change);
    }
    assert_eq!(select_6(&mut unit, 0x10, &with_header(&caching)), GOOD);
    assert!(!unit.writes_through());
    assert!(flushes(&unit.keep_up(Upkeep::PowerOn)));
    assert!(!flushes(&unit.manage_tasks(UnitFunction::ClearTaskSet)));
    for function in [
        UnitFunction::Reset,
        UnitFunction::ColdReset,
        UnitFunction::Reset,
    ] {
        let change = unit.manage_tasks(function);
        assert!(flushes(&change), "{function:?}");
        unit.set_state(&state_after(change));
        assert!(unit.writes_through());
    }
}

#[test]
fn protection_that_is_asked_for_again_waits_for_the_same() {
    let mut unit = unit();
    for _ in ["once", "again"] {
        let change = turn(
            &mut unit,
            &[0x15, 0x10, 0, 0, 16, 0],
            &with_header(&PROTECTING),
        );
        let StateChange::To { drain, flush, .. } = &change else {
            panic!("{change:?}");
        };
        assert!(drain & flush);
        outcome(&mut unit, change);
    }
}
