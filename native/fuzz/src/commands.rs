//! CDBs with parameter lists: an answer that is well formed, or I/O inside the disk.

use bytes::Bytes;
use twindisk_scsi::{
    AccessState, BlockSize, CopyList, Identity, InitiatorPort, LogicalUnit, NexusId, SanitizeStep,
    StateChange, Status, Step, UnitState, is_within_bounds,
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
