//! CDBs with parameter lists: an answer that is well formed, or I/O inside the disk.

use bytes::Bytes;
use twindisk_scsi::{
    AccessState, BlockSize, CopyList, CopyName, Identity, InitiatorPort, LogicalUnit, NexusId,
    Offload, Response, SanitizeStep, StateChange, Status, Step, UnitState, is_within_bounds,
};

use crate::input::Input;

const SIZE_BYTES: u64 = 2 << 20;
const STATES: [AccessState; 5] = [
    AccessState::Optimized,
    AccessState::NonOptimized,
    AccessState::Transitioning,
    AccessState::Standby,
    AccessState::Unavailable,
];

const STEPS: [SanitizeStep; 2] = [SanitizeStep::Ended, SanitizeStep::Failed];

/// Run an input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let identity = Identity {
        serial: [0x6e; 16],
        revision: *b"0001",
    };
    // The last byte, so that no other byte of an input means something else than before.
    let block = match data.last() {
        Some(byte) if byte & 1 == 1 => BlockSize::B4096,
        _ => BlockSize::B512,
    };
    let mut unit = LogicalUnit::new(identity, SIZE_BYTES, block, 1, AccessState::Optimized)
        .expect("the size is larger than a block");
    let nexuses = [NexusId(1), NexusId(2)];
    for nexus in nexuses {
        unit.open_nexus(nexus);
        let port = InitiatorPort::new("iqn.2024-01.invalid:i", [0, 0, 0, 0, 0, nexus.0 as u8]);
        unit.name_nexus(nexus, port.expect("the name is an iSCSI name"));
    }
    for _ in 0..16 {
        if input.is_empty() {
            break;
        }
        let control = input.byte();
        if control & 0xe0 == 0xe0 {
            unit.set_access(STATES[usize::from(control & 7) % 5], None);
        }
        // An operation that runs would bar everything that follows.
        if control & 0x10 != 0
            && let Some(bytes) = unit.after_sanitize_step(STEPS[usize::from(control & 1)])
        {
            unit.set_state(&bytes);
        }
        let nexus = nexuses[usize::from(control & 1)];
        let lun = if control & 6 == 6 { 1 << 48 } else { 0 };
        let cdb: [u8; 16] = input.array();
        let mut list = input.piece(2048).to_vec();
        if control & 8 != 0 {
            list.resize(list.len().next_multiple_of(block.bytes() as usize), 0);
        }
        let middle = list.len() / 2;
        let whole = Bytes::from(list);
        let pieces = [whole.slice(..middle), whole.slice(middle..)];
        let mut step = unit.execute(nexus, &cdb, lun, &pieces);
        if step == Step::Settle {
            step = unit.execute_settled(nexus, &cdb, lun, &pieces);
        }
        match step {
            Step::Settle => panic!("settled already"),
            Step::Turn => {
                if let StateChange::To { bytes, .. } = unit.change_state(nexus, &cdb, &pieces) {
                    assert!(UnitState::decode(&bytes).is_ok());
                    unit.set_state(&bytes);
                }
            }
            Step::Copy(list) => check_copy(&unit, &list),
            Step::Offload(offload) => check_offload(&mut unit, nexus, &offload),
            Step::Io(request) => assert!(
                is_within_bounds(&request, SIZE_BYTES, block, whole.len()),
                "{request:?}"
            ),
            Step::Done(response) => {
                assert_eq!(
                    response.sense.is_some(),
                    response.status == Status::CheckCondition
                );
                assert!(response.data.is_empty() || response.status == Status::Good);
            }
        }
    }
}

/// Whatever the list names, it copies inside the disk.
fn check_copy(unit: &LogicalUnit, list: &CopyList) {
    let named = list.designators().map(|_| Some(unit.copy_target()));
    let found: Vec<_> = named.collect();
    for range in list.ranges(&found).unwrap_or_default() {
        let end = range.source_offset.max(range.target_offset) + range.len_bytes;
        assert!(range.len_bytes > 0 && end <= SIZE_BYTES);
    }
}

/// A token is made, or what one may stand for is written, inside the disk; how it went is told then.
fn check_offload(unit: &mut LogicalUnit, nexus: NexusId, offload: &Offload) {
    let inside = |offset: u64, len_bytes: u64| len_bytes > 0 && offset + len_bytes <= SIZE_BYTES;
    let name = match offload {
        Offload::Populate(asked) => {
            unit.populate_began(nexus, asked);
            assert!((asked.ranges.iter()).all(|&(offset, len_bytes)| inside(offset, len_bytes)));
            let bytes = asked.ranges.iter().map(|(_, len_bytes)| len_bytes).sum();
            let token = unit.token(1, &[0x1f; 400], bytes);
            unit.token_made(nexus, asked.identifier, token, bytes);
            CopyName::Long(asked.identifier)
        }
        Offload::Write(write) => {
            let moves = write.moves(&[(512, 1024), (0, 1), (1 << 20, 8192)]);
            for range in moves.unwrap_or_default().into_iter().chain(write.zeros()) {
                assert!(inside(range.target, range.len_bytes));
            }
            unit.token_write_began(nexus, write, write.asked_bytes() & 512 != 0);
            CopyName::Long(write.identifier)
        }
    };
    // Some of them run on.
    if matches!(name, CopyName::Long(number) if number & 1 == 0) {
        unit.copy_ended(nexus, name, &Response::good());
    }
}
