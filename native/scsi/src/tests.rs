//! Behaviour of the logical unit as an initiator sees it, by command family.

mod commands;
mod fuzz;
mod modes;
mod native_4k;
mod pages;
mod reserve_release;
mod state;
mod verify;

use bytes::Bytes;

use crate::{
    AccessState, BlockSize, Compare, Identity, IoRequest, LogicalUnit, NexusId, Response, Sense,
    StateChange, Status, Step,
};

pub(crate) const NEXUS: NexusId = NexusId(1);
pub(crate) const SERIAL: [u8; 16] = [
    0x6e, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0, 1, 2, 3, 4, 5, 0xff,
];
const BLOCKS: u64 = 1 << 21;

/// A unit of 1 GiB and a bit, its nexus past the first unit attention.
pub(crate) fn unit() -> LogicalUnit {
    sized(BLOCKS * 512 + 511)
}

/// The same in blocks of 4,096 bytes.
pub(crate) fn coarse_unit() -> LogicalUnit {
    blocked(BLOCKS * 512, BlockSize::B4096)
}

fn sized(size_bytes: u64) -> LogicalUnit {
    blocked(size_bytes, BlockSize::B512)
}

fn blocked(size_bytes: u64, block: BlockSize) -> LogicalUnit {
    let identity = Identity {
        serial: SERIAL,
        revision: *b"0001",
    };
    let mut unit =
        LogicalUnit::new(identity, size_bytes, block, 2, AccessState::Optimized).unwrap();
    unit.open_nexus(NEXUS);
    assert_eq!(sense(run(&mut unit, &[0x00])), (0x06, 0x29, 0x00));
    unit
}

pub(crate) fn run_with(unit: &mut LogicalUnit, cdb: &[u8], data_out: &[u8]) -> Step {
    let mut whole = [0; 16];
    whole[..cdb.len()].copy_from_slice(cdb);
    let middle = data_out.len() / 2;
    let parts = [
        Bytes::copy_from_slice(&data_out[..middle]),
        Bytes::copy_from_slice(&data_out[middle..]),
    ];
    match unit.execute(NEXUS, &whole, 0, &parts) {
        Step::Settle => unit.execute_settled(NEXUS, &whole, 0, &parts),
        step => step,
    }
}

pub(crate) fn run(unit: &mut LogicalUnit, cdb: &[u8]) -> Step {
    run_with(unit, cdb, &[])
}

fn response(step: Step) -> Response {
    match step {
        Step::Done(response) => response,
        step => panic!("wants {step:?}"),
    }
}

fn io(step: Step) -> IoRequest {
    match step {
        Step::Io(request) => request,
        step => panic!("ended with {step:?}"),
    }
}

/// Key, ASC and ASCQ of a CHECK CONDITION.
pub(crate) fn sense(step: Step) -> (u8, u8, u8) {
    let response = response(step);
    assert_eq!(response.status, Status::CheckCondition);
    let Sense { key, asc, ascq, .. } = response
        .sense
        .expect("CHECK CONDITION comes with sense data");
    (key as u8, asc, ascq)
}

/// The state that a change comes to.
fn state_after(change: StateChange) -> Vec<u8> {
    match change {
        StateChange::To { bytes, .. } => bytes,
        change => panic!("{change:?}"),
    }
}

/// Data-in of a GOOD.
pub(crate) fn data(step: Step) -> Vec<u8> {
    let response = response(step);
    assert_eq!((response.status, response.sense), (Status::Good, None));
    response.data.concat()
}

const INVALID_OPCODE: (u8, u8, u8) = (0x05, 0x20, 0x00);
pub(crate) const INVALID_CDB_FIELD: (u8, u8, u8) = (0x05, 0x24, 0x00);
pub(crate) const INVALID_PARAMETER: (u8, u8, u8) = (0x05, 0x26, 0x00);
const LBA_OUT_OF_RANGE: (u8, u8, u8) = (0x05, 0x21, 0x00);
