//! Unit attentions, access states, LUNs without a logical unit and REQUEST SENSE.

use super::*;
use crate::{InForce, PeerGroup, SizeTooSmall, UnitFunction};

const TEST_UNIT_READY: &[u8] = &[0x00];
const REQUEST_SENSE: &[u8] = &[0x03, 0, 0, 0, 0xff, 0];
const INQUIRY: &[u8] = &[0x12, 0, 0, 0, 36, 0];
const REPORT_LUNS: &[u8] = &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
const REPORT_GROUPS: &[u8] = &[0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0];

fn fresh() -> LogicalUnit {
    let identity = Identity {
        serial: SERIAL,
        revision: *b"0001",
    };
    LogicalUnit::new(
        identity,
        1 << 30,
        BlockSize::B512,
        1,
        AccessState::Optimized,
    )
    .unwrap()
}

fn as_nexus(unit: &mut LogicalUnit, nexus: u64, cdb: &[u8]) -> Step {
    let mut whole = [0; 16];
    whole[..cdb.len()].copy_from_slice(cdb);
    unit.execute(NexusId(nexus), &whole, 0, &[])
}

#[test]
fn a_new_nexus_hears_of_power_on_once() {
    let mut unit = fresh();
    unit.open_nexus(NEXUS);
    assert_eq!(data(run(&mut unit, INQUIRY)).len(), 36);
    assert_eq!(data(run(&mut unit, REPORT_LUNS)).len(), 16);
    assert_eq!(
        sense(run(&mut unit, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])),
        (0x06, 0x29, 0x00)
    );
    assert_eq!(response(run(&mut unit, TEST_UNIT_READY)), Response::good());
    assert_eq!(
        sense(as_nexus(&mut unit, 7, TEST_UNIT_READY)),
        (0x06, 0x29, 0x00)
    );
    assert_eq!(
        response(as_nexus(&mut unit, 7, TEST_UNIT_READY)),
        Response::good()
    );
    unit.close_nexus(NEXUS);
    assert_eq!(sense(run(&mut unit, &[0xff])), (0x06, 0x29, 0x00));
    assert_eq!(sense(run(&mut unit, &[0xff])), INVALID_OPCODE);
}

#[test]
fn request_sense_takes_the_unit_attention_as_data() {
    let mut unit = fresh();
    let sensed = data(run(&mut unit, REQUEST_SENSE));
    assert_eq!(
        (sensed.len(), sensed[0], sensed[2], sensed[12], sensed[13]),
        (18, 0x70, 0x06, 0x29, 0x00)
    );
    assert_eq!(response(run(&mut unit, TEST_UNIT_READY)), Response::good());
    assert_eq!(
        data(run(&mut unit, &[0x03, 1, 0, 0, 0xff, 0])),
        [0x72, 0, 0, 0, 0, 0, 0, 0]
    );
    assert_eq!(
        data(run(&mut unit, &[0x03, 0, 0, 0, 4, 0])),
        [0x70, 0, 0, 0]
    );
}

#[test]
fn a_grown_disk_is_told_to_every_nexus_once() {
    let mut unit = unit();
    unit.open_nexus(NexusId(2));
    unit.set_size_bytes((BLOCKS + 1) * 512).unwrap();
    unit.set_size_bytes((BLOCKS + 1) * 512 + 100).unwrap();
    assert_eq!(sense(run(&mut unit, TEST_UNIT_READY)), (0x06, 0x2a, 0x09));
    assert_eq!(response(run(&mut unit, TEST_UNIT_READY)), Response::good());
    assert_eq!(
        sense(as_nexus(&mut unit, 2, TEST_UNIT_READY)),
        (0x06, 0x29, 0x00)
    );
    assert_eq!(
        sense(as_nexus(&mut unit, 2, TEST_UNIT_READY)),
        (0x06, 0x2a, 0x09)
    );
    assert_eq!(
        response(as_nexus(&mut unit, 2, TEST_UNIT_READY)),
        Response::good()
    );
}

#[test]
fn a_size_without_a_block_is_refused() {
    let mut unit = unit();
    assert_eq!(
        unit.set_size_bytes(511),
        Err(SizeTooSmall {
            size_bytes: 511,
            block_bytes: 512
        })
    );
    assert_eq!(unit.blocks(), BLOCKS);
    let identity = unit.identity().clone();
    assert!(LogicalUnit::new(identity, 0, BlockSize::B512, 1, AccessState::Optimized).is_err());
}

#[test]
fn a_reset_ends_all_commands_and_every_nexus_hears_of_it_once() {
    let mut unit = unit();
    unit.open_nexus(NexusId(2));
    assert_eq!(
        sense(as_nexus(&mut unit, 2, TEST_UNIT_READY)),
        (0x06, 0x29, 0x00)
    );
    for (function, told, dropped) in [
        (UnitFunction::ClearTaskSet, false, false),
        (UnitFunction::Reset, true, false),
        (UnitFunction::ColdReset, true, true),
    ] {
        let state = state_after(unit.manage_tasks(function));
        let in_force = unit.set_state(&state);
        assert_eq!((in_force.ends_all, in_force.ends_sessions), (true, dropped));
        for nexus in [2, 1] {
            if told {
                assert_eq!(
                    sense(as_nexus(&mut unit, nexus, TEST_UNIT_READY)),
                    (0x06, 0x29, 0x03)
                );
            }
            assert_eq!(
                response(as_nexus(&mut unit, nexus, TEST_UNIT_READY)),
                Response::good()
            );
        }
        assert_eq!(unit.set_state(&state), InForce::default(), "once");
    }
}

#[test]
fn a_reset_from_before_the_vdisk_was_opened_concerns_nobody() {
    let mut unit = unit();
    let state = state_after(unit.manage_tasks(UnitFunction::Reset));
    unit.adopt_state(&state);
    assert_eq!(unit.set_state(&state), InForce::default());
    assert_eq!(response(run(&mut unit, TEST_UNIT_READY)), Response::good());
    unit.adopt_state(b"from the future");
    assert!(matches!(
        unit.manage_tasks(UnitFunction::Reset),
        StateChange::None(_)
    ));
}

#[test]
fn each_state_refuses_with_its_own_sense() {
    for (state, ascq, mode_sense) in [
        (AccessState::Transitioning, 0x0a, false),
        (AccessState::Standby, 0x0b, true),
        (AccessState::Unavailable, 0x0c, false),
    ] {
        let mut unit = unit();
        unit.set_access(state, None);
        assert_eq!(sense(run(&mut unit, TEST_UNIT_READY)), (0x06, 0x2a, 0x06));
        for cdb in [
            TEST_UNIT_READY,
            &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            &[0x2a],
            &[0x35],
            &[0x42],
            &[0x25],
            &[0x9e, 0x10],
        ] {
            assert_eq!(sense(run(&mut unit, cdb)), (0x02, 0x04, ascq));
        }
        for cdb in [INQUIRY, REPORT_LUNS, REPORT_GROUPS] {
            assert!(!data(run(&mut unit, cdb)).is_empty());
        }
        let sensed = data(run(&mut unit, REQUEST_SENSE));
        assert_eq!((sensed[2], sensed[12], sensed[13]), (0x02, 0x04, ascq));
        let mode = response(run(&mut unit, &[0x1a, 0, 0x08, 0, 0xff, 0]));
        assert_eq!(mode.status == Status::Good, mode_sense);
        let held = response(Step::Done(Response::not_serving(state)));
        assert_eq!(held.sense, response(run(&mut unit, TEST_UNIT_READY)).sense);
    }
}

#[test]
fn the_same_state_again_raises_no_unit_attention() {
    let mut unit = unit();
    unit.set_access(AccessState::Optimized, None);
    assert_eq!(response(run(&mut unit, TEST_UNIT_READY)), Response::good());
    unit.set_access(AccessState::Standby, None);
    unit.set_access(AccessState::Optimized, None);
    assert_eq!(sense(run(&mut unit, TEST_UNIT_READY)), (0x06, 0x2a, 0x06));
    assert_eq!(response(run(&mut unit, TEST_UNIT_READY)), Response::good());
}

#[test]
fn a_non_optimized_path_serves_everything() {
    let mut unit = unit();
    unit.set_access(AccessState::NonOptimized, None);
    assert_eq!(sense(run(&mut unit, TEST_UNIT_READY)), (0x06, 0x2a, 0x06));
    assert_eq!(response(run(&mut unit, TEST_UNIT_READY)), Response::good());
    let read = run(&mut unit, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    assert!(matches!(read, Step::Io(IoRequest::Read { .. })), "{read:?}");
    assert!(matches!(
        run(&mut unit, &[0x35]),
        Step::Io(IoRequest::Flush)
    ));
    let sensed = data(run(&mut unit, REQUEST_SENSE));
    assert_eq!((sensed[2], sensed[12]), (0, 0));
    assert_eq!(data(run(&mut unit, REPORT_GROUPS))[4..6], [0x1, 0x8f]);
}

#[test]
fn a_switch_of_both_states_is_told_once_to_each_nexus() {
    let group = |state| {
        Some(PeerGroup {
            group_tag: 1,
            state,
        })
    };
    let mut unit = unit();
    unit.set_access(AccessState::Optimized, group(AccessState::NonOptimized));
    for nexus in [2, 3] {
        unit.open_nexus(NexusId(nexus));
        assert_eq!(
            sense(as_nexus(&mut unit, nexus, TEST_UNIT_READY)),
            (0x06, 0x29, 0x00)
        );
    }
    unit.set_access(AccessState::NonOptimized, group(AccessState::Optimized));
    for nexus in [2, 3] {
        assert_eq!(
            sense(as_nexus(&mut unit, nexus, TEST_UNIT_READY)),
            (0x06, 0x2a, 0x06)
        );
        assert_eq!(
            response(as_nexus(&mut unit, nexus, TEST_UNIT_READY)),
            Response::good()
        );
    }
}

#[test]
fn target_port_groups_of_both_nodes_are_reported() {
    let mut unit = unit();
    let own = [0x0, 0x8f, 0, 2, 0, 2, 0, 1, 0, 0, 0, 2];
    assert_eq!(
        data(run(&mut unit, REPORT_GROUPS)),
        [&[0, 0, 0, 12], own.as_slice()].concat()
    );
    let transitioning = PeerGroup {
        group_tag: 1,
        state: AccessState::Transitioning,
    };
    unit.set_access(AccessState::Optimized, Some(transitioning));
    assert_eq!(sense(run(&mut unit, REPORT_GROUPS)), (0x06, 0x2a, 0x06));
    let peer = [0xf, 0x8f, 0, 1, 0, 2, 0, 1, 0, 0, 0, 1];
    assert_eq!(
        data(run(&mut unit, REPORT_GROUPS)),
        [&[0, 0, 0, 24], own.as_slice(), &peer].concat()
    );
    let mut extended = REPORT_GROUPS.to_vec();
    extended[1] = 0x2a;
    assert_eq!(
        data(run(&mut unit, &extended))[..8],
        [0, 0, 0, 28, 0x10, 0, 0, 0]
    );
    extended[1] = 0x4a;
    assert_eq!(sense(run(&mut unit, &extended)), INVALID_CDB_FIELD);
}

#[test]
fn other_luns_have_no_logical_unit() {
    const LUN_1: u64 = 0x0001_0000_0000_0000;
    let mut unit = fresh();
    let mut at = |lun: u64, cdb: &[u8]| {
        let mut whole = [0; 16];
        whole[..cdb.len()].copy_from_slice(cdb);
        unit.execute(NEXUS, &whole, lun, &[])
    };
    for lun in [LUN_1, 1, u64::MAX, 0xc101_0000_0000_0000] {
        assert_eq!(data(at(lun, INQUIRY))[0], 0x7f);
        assert_eq!(data(at(lun, &[0x12, 1, 0, 0, 255, 0])), [0x7f, 0, 0, 1, 0]);
        assert_eq!(
            sense(at(lun, &[0x12, 1, 0x83, 0, 255, 0])),
            INVALID_CDB_FIELD
        );
        let sensed = data(at(lun, REQUEST_SENSE));
        assert_eq!((sensed[2], sensed[12]), (0x05, 0x25));
        for cdb in [
            TEST_UNIT_READY,
            REPORT_LUNS,
            &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0],
            &[0xff],
        ] {
            assert_eq!(sense(at(lun, cdb)), (0x05, 0x25, 0x00));
        }
    }
    assert_eq!(
        sense(at(0x4000_0000_0000_0000, TEST_UNIT_READY)),
        (0x06, 0x29, 0x00)
    );
}
