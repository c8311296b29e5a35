//! Whatever comes in: no panic, and I/O only inside the disk and the limits.

use proptest::prelude::*;

use super::*;
use crate::command_table::COMMANDS;
use crate::{CopyList, Offload, is_within_bounds};

/// CDBs: any bytes, or a known command with small or large numbers in its fields.
fn cdb() -> impl Strategy<Value = [u8; 16]> {
    let known = (0..COMMANDS.len(), any::<[u8; 16]>(), any::<[bool; 16]>()).prop_map(
        |(index, bytes, zero)| {
            let command = &COMMANDS[index];
            let mut cdb = [0; 16];
            for (offset, usage) in command
                .usage
                .iter()
                .enumerate()
                .filter(|(offset, _)| !zero[*offset])
            {
                cdb[offset] = bytes[offset] & usage;
            }
            cdb[0] = command.opcode;
            if let Some(action) = command.service_action {
                cdb[1] = action;
            }
            cdb[command.usage.len() - 1] = 0;
            cdb
        },
    );
    prop_oneof![1 => any::<[u8; 16]>(), 4 => known]
}

fn inside(size_bytes: u64, offset: u64, length: u64) -> bool {
    length > 0
        && offset
            .checked_add(length)
            .is_some_and(|end| end <= size_bytes)
}

/// Whatever the list names.
fn check_copy(unit: &LogicalUnit, list: &CopyList) {
    let found: Vec<_> = list
        .designators()
        .map(|_| Some(unit.copy_target()))
        .collect();
    for range in list.ranges(&found).unwrap_or_default() {
        let inside = |offset| {
            inside(
                unit.blocks() * unit.block().bytes(),
                offset,
                range.len_bytes,
            )
        };
        assert!(inside(range.source_offset) && inside(range.target_offset));
        assert!(range.source < found.len() && range.target < found.len());
    }
}

/// Whatever is made a token of or written to, and whatever a token stands for.
fn check_offload(unit: &LogicalUnit, offload: &Offload) {
    let size_bytes = unit.blocks() * unit.block().bytes();
    match offload {
        Offload::Populate(asked) => {
            for &(offset, len_bytes) in &asked.ranges {
                assert!(inside(size_bytes, offset, len_bytes));
            }
        }
        Offload::Write(write) => {
            let moves = write.moves(&[(7, 1000), (0, 1), (9999, 1 << 20)]);
            for range in moves.unwrap_or_default().into_iter().chain(write.zeros()) {
                assert!(inside(size_bytes, range.target, range.len_bytes));
            }
        }
    }
}

/// POPULATE TOKEN, or WRITE USING TOKEN with zeros, whose lengths are true, with ranges near the disk's size.
fn token_command() -> impl Strategy<Value = ([u8; 16], Vec<u8>)> {
    let ranges = proptest::collection::vec((0..BLOCKS + 9, 0..9000_u32), 0..70);
    (any::<bool>(), 0..30_u64, ranges).prop_map(|(writes, offset, ranges)| {
        let mut list = vec![0; if writes { 536 } else { 16 }];
        if writes {
            list[8..16].copy_from_slice(&offset.to_be_bytes());
            list[16..24].copy_from_slice(&[0xff, 0xff, 0, 1, 0, 0, 0x01, 0xf8]);
        }
        let begin = list.len();
        list[begin - 2..].copy_from_slice(&(16 * ranges.len() as u16).to_be_bytes());
        for (lba, blocks) in ranges {
            list.extend([&lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0; 4]].concat());
        }
        let length = list.len() as u16;
        list[..2].copy_from_slice(&(length - 2).to_be_bytes());
        let mut cdb = [0; 16];
        cdb[0] = 0x83;
        cdb[1] = if writes { 0x11 } else { 0x10 };
        cdb[12..14].copy_from_slice(&length.to_be_bytes());
        (cdb, list)
    })
}

/// An UNMAP CDB and a parameter list whose lengths are true, with ranges near the disk's size.
fn unmap_command() -> impl Strategy<Value = ([u8; 16], Vec<u8>)> {
    proptest::collection::vec((0..BLOCKS + 9, 0..9000_u32), 0..40).prop_map(|ranges| {
        let length = 16 * ranges.len() as u16;
        let mut list = [
            (length + 6).to_be_bytes(),
            length.to_be_bytes(),
            [0; 2],
            [0; 2],
        ]
        .concat();
        for (lba, blocks) in ranges {
            list.extend_from_slice(
                &[lba.to_be_bytes().as_slice(), &blocks.to_be_bytes(), &[0; 4]].concat(),
            );
        }
        let mut cdb = [0; 16];
        cdb[0] = 0x42;
        cdb[7..9].copy_from_slice(&(length + 8).to_be_bytes());
        (cdb, list)
    })
}

fn command() -> impl Strategy<Value = ([u8; 16], Vec<u8>)> {
    let any_data = (cdb(), proptest::collection::vec(any::<u8>(), 0..2000));
    let zeros = (cdb(), (0..200_000_usize).prop_map(|length| vec![0; length]));
    prop_oneof![any_data, zeros, unmap_command(), token_command()]
}

proptest! {
    #[test]
    fn any_command_is_answered_or_asks_for_io_inside_the_disk(
        commands in proptest::collection::vec(command(), 1..8),
        size_bytes in prop_oneof![512..5000_u64, Just(BLOCKS * 512 + 1), any::<u64>().prop_map(|size| size.max(512))],
        state in prop_oneof![
            5 => Just(AccessState::Optimized),
            2 => Just(AccessState::NonOptimized),
            1 => Just(AccessState::Transitioning),
            1 => Just(AccessState::Standby),
            1 => Just(AccessState::Unavailable),
        ],
        lun in prop_oneof![9 => Just(0), 1 => any::<u64>()],
    ) {
        let mut unit = sized(size_bytes);
        unit.set_access(state, None);
        for (cdb, sent) in commands {
            let data_out = [Bytes::from(sent.clone())];
            let mut step = unit.execute(NEXUS, &cdb, lun, &data_out);
            if step == Step::Settle {
                step = unit.execute_settled(NEXUS, &cdb, lun, &data_out);
            }
            match step {
                Step::Io(request) => {
                    prop_assert!(state.is_active());
                    let size_bytes = unit.blocks() * 512;
                    let within = is_within_bounds(&request, size_bytes, BlockSize::B512, sent.len());
                    prop_assert!(within, "{request:?}");
                }
                Step::Copy(list) => check_copy(&unit, &list),
                Step::Offload(offload) => check_offload(&unit, &offload),
                Step::Turn => drop(unit.change_state(NEXUS, &cdb, &data_out)),
                Step::Settle => prop_assert!(false, "settled already"),
                Step::Done(response) => {
                    prop_assert_eq!(response.sense.is_some(), response.status == Status::CheckCondition);
                    prop_assert!(response.data.is_empty() || response.status == Status::Good);
                }
            }
        }
    }
}
