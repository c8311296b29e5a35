//! A VDisk of 4,096-byte blocks: the same limits in bytes, one logical block in a physical one.

use super::*;
use crate::SizeTooSmall;

const BLOCK: usize = 4096;

/// A unit of 1 GiB and a bit.
fn native() -> LogicalUnit {
    blocked((1 << 30) + 4095, BlockSize::B4096)
}

fn cdb_16(opcode: u8, flags: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[..2].copy_from_slice(&[opcode, flags]);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

#[test]
fn capacity_and_descriptors_tell_the_block_length() {
    let mut unit = native();
    let ten = data(run(&mut unit, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    assert_eq!(ten, [0, 3, 0xff, 0xff, 0, 0, 0x10, 0]);
    let mut cdb = cdb_16(0x9e, 0x10, 0, 32);
    let sixteen = data(run(&mut unit, &cdb));
    assert_eq!(sixteen[..12], [0, 0, 0, 0, 0, 3, 0xff, 0xff, 0, 0, 0x10, 0]);
    assert_eq!(sixteen[13], 0, "one logical block is one physical block");
    let short = data(run(&mut unit, &[0x1a, 0, 0x08, 0, 0xff, 0]));
    assert_eq!(short[4..12], [0, 4, 0, 0, 0, 0, 0x10, 0]);
    cdb = [0; 16];
    cdb[..9].copy_from_slice(&[0x5a, 0x10, 0x08, 0, 0, 0, 0, 0, 0xff]);
    let long = data(run(&mut unit, &cdb));
    assert_eq!(
        long[8..24],
        [0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0]
    );
}

#[test]
fn the_limits_are_the_same_bytes_in_fewer_blocks() {
    let mut unit = native();
    let page = data(run(&mut unit, &[0x12, 1, 0xb0, 0, 0xff, 0]));
    let word = |at: usize| u32::from_be_bytes(page[at..at + 4].try_into().unwrap());
    assert_eq!(page[5], 16);
    assert_eq!(page[6..8], [0, 1]);
    assert_eq!(
        [word(8), word(12), word(20), word(24)],
        [2048, 256, 65536, 256]
    );
    assert_eq!(
        [word(28), word(32), word(36), word(40)],
        [1, 1 << 31, 0, 4096]
    );
    assert_eq!([word(44), word(48), word(52)], [256, 1, 1]);
    for (cdb, most) in [(0x88, 2048), (0x8f, 2048)] {
        io(run(&mut unit, &cdb_16(cdb, 0, 0, most)));
        assert_eq!(
            sense(run(&mut unit, &cdb_16(cdb, 0, 0, most + 1))),
            INVALID_CDB_FIELD
        );
    }
    let block = [7; BLOCK];
    io(run_with(&mut unit, &cdb_16(0x93, 0, 0, 4096), &block));
    assert_eq!(
        sense(run_with(&mut unit, &cdb_16(0x93, 0, 0, 4097), &block)),
        INVALID_CDB_FIELD
    );
    assert_eq!(
        sense(run(&mut unit, &cdb_16(0x88, 0, 1 << 18, 1))),
        LBA_OUT_OF_RANGE
    );
}

#[test]
fn ranges_are_counted_in_blocks_of_4096_bytes() {
    let mut unit = native();
    let read = IoRequest::Read {
        offset_bytes: 3 * 4096,
        len_bytes: 2 * 4096,
        fua: false,
    };
    assert_eq!(io(run(&mut unit, &cdb_16(0x88, 0, 3, 2))), read);
    let six = io(run(&mut unit, &[0x08, 0, 0, 3, 0, 0]));
    assert!(matches!(six, IoRequest::Read { len_bytes, .. } if len_bytes == 256 * 4096));
    let some = io(run_with(&mut unit, &cdb_16(0x8a, 0, 1, 2), &[1; BLOCK]));
    let write = IoRequest::Write {
        offset_bytes: 4096,
        len_bytes: 4096,
        asked_bytes: 8192,
        fua: false,
    };
    assert_eq!(some, write, "a whole block came");
    let part = run_with(&mut unit, &cdb_16(0x8a, 0, 1, 2), &[1; BLOCK + 512]);
    assert_eq!(sense(part), (0x05, 0x0e, 0x03));
    let unmapped = io(run_with(
        &mut unit,
        &[0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
        &[
            0, 22, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 0,
        ],
    ));
    assert_eq!(unmapped, IoRequest::Unmap(vec![(5 * 4096, 2 * 4096)]));
    let IoRequest::LbaStatus(asked) = io(run(&mut unit, &cdb_16(0x9e, 0x12, 2, 255))) else {
        panic!("GET LBA STATUS asks for the allocation");
    };
    assert_eq!(asked.offset_bytes, 8192);
    let told = asked.response(&[(4 * 4096, 512)]).data.concat();
    assert_eq!(
        told[8..24],
        [0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 1, 0, 0, 0]
    );
    assert_eq!(
        told[24..40],
        [0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0]
    );
}

#[test]
fn data_out_of_one_block_is_4096_bytes() {
    let mut unit = native();
    let same = cdb_16(0x93, 0, 1, 2);
    assert_eq!(
        sense(run_with(&mut unit, &same, &[7; 512])),
        (0x05, 0x0e, 0x03)
    );
    let fill = IoRequest::WriteSame {
        offset_bytes: 4096,
        len_bytes: 8192,
        zeros: false,
    };
    assert_eq!(io(run_with(&mut unit, &same, &[7; BLOCK])), fill);
    let compared = run_with(&mut unit, &cdb_16(0x8f, 0x06, 1, 2), &[7; BLOCK]);
    let verify = IoRequest::Verify {
        offset_bytes: 4096,
        len_bytes: 8192,
        compare: Some(Compare::Block { len_bytes: 4096 }),
    };
    assert_eq!(io(compared), verify);
    let mut swap = cdb_16(0x89, 0, 1, 0);
    swap[13] = 1;
    assert_eq!(
        sense(run_with(&mut unit, &swap, &[0; 1024])),
        INVALID_CDB_FIELD
    );
    io(run_with(&mut unit, &swap, &[0; 2 * BLOCK]));
    swap[13] = 17;
    let long = run_with(&mut unit, &swap, &vec![0; 34 * BLOCK]);
    assert_eq!(sense(long), INVALID_CDB_FIELD);
    let mut atomic = [0; 16];
    atomic[0] = 0x9c;
    atomic[9] = 3;
    atomic[13] = 1;
    io(run_with(&mut unit, &atomic, &[0; BLOCK]));
}

#[test]
fn a_block_has_to_fit() {
    let identity = native().identity().clone();
    let made = LogicalUnit::new(identity, 4095, BlockSize::B4096, 1, AccessState::Optimized);
    let refused = SizeTooSmall {
        size_bytes: 4095,
        block_bytes: 4096,
    };
    assert_eq!(made.map(|unit| unit.blocks()), Err(refused));
    assert_eq!(
        [512, 4096, 0, 520, 8192].map(|bytes| BlockSize::of(bytes).map(BlockSize::bytes)),
        [Some(512), Some(4096), None, None, None]
    );
}
