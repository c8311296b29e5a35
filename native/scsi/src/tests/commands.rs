//! READ, WRITE, SYNCHRONIZE CACHE, UNMAP, READ CAPACITY and what is unknown.

use super::*;
use crate::MAX_TRANSFER_BYTES;

/// CDB of a 16-byte command with an LBA and a length.
fn cdb_16(opcode: u8, flags: u8, lba: u64, blocks: u32) -> Vec<u8> {
    [
        &[opcode, flags],
        lba.to_be_bytes().as_slice(),
        &blocks.to_be_bytes(),
        &[0, 0],
    ]
    .concat()
}

fn cdb_10(opcode: u8, flags: u8, lba: u32, blocks: u16) -> Vec<u8> {
    [
        &[opcode, flags],
        lba.to_be_bytes().as_slice(),
        &[0],
        &blocks.to_be_bytes(),
        &[0],
    ]
    .concat()
}

fn cdb_12(opcode: u8, flags: u8, lba: u32, blocks: u32) -> Vec<u8> {
    [
        &[opcode, flags],
        lba.to_be_bytes().as_slice(),
        &blocks.to_be_bytes(),
        &[0, 0],
    ]
    .concat()
}

#[test]
fn every_read_asks_for_its_range() {
    let expected = |blocks: u32, fua| IoRequest::Read {
        offset_bytes: 0x01_0203 * 512,
        len_bytes: blocks * 512,
        fua,
    };
    let mut unit = unit();
    assert_eq!(
        io(run(&mut unit, &[0x08, 0xe1, 0x02, 0x03, 7, 0])),
        expected(7, false)
    );
    assert_eq!(
        io(run(&mut unit, &[0x08, 0x01, 0x02, 0x03, 0, 0])),
        expected(256, false)
    );
    assert_eq!(
        io(run(&mut unit, &cdb_10(0x28, 0x08, 0x01_0203, 7))),
        expected(7, true)
    );
    assert_eq!(
        io(run(&mut unit, &cdb_12(0xa8, 0x10, 0x01_0203, 7))),
        expected(7, false)
    );
    assert_eq!(
        io(run(&mut unit, &cdb_16(0x88, 0x18, 0x01_0203, 7))),
        expected(7, true)
    );
}

#[test]
fn every_write_asks_for_its_range() {
    let expected = |fua| IoRequest::Write {
        offset_bytes: 0x01_0203 * 512,
        len_bytes: 1024,
        asked_bytes: 1024,
        fua,
    };
    let bytes = [1; 1024];
    let mut unit = unit();
    assert_eq!(
        io(run_with(&mut unit, &[0x0a, 0x01, 0x02, 0x03, 2, 0], &bytes)),
        expected(false)
    );
    assert_eq!(
        io(run_with(
            &mut unit,
            &cdb_10(0x2a, 0x08, 0x01_0203, 2),
            &bytes
        )),
        expected(true)
    );
    assert_eq!(
        io(run_with(&mut unit, &cdb_12(0xaa, 0, 0x01_0203, 2), &bytes)),
        expected(false)
    );
    assert_eq!(
        io(run_with(
            &mut unit,
            &cdb_16(0x8a, 0x08, 0x01_0203, 2),
            &bytes
        )),
        expected(true)
    );
}

#[test]
fn a_write_takes_the_whole_blocks_that_came_and_no_more_than_its_cdb_says() {
    let mut unit = unit();
    let write = cdb_10(0x2a, 0, 0, 2);
    let part = response(run_with(&mut unit, &write, &[0; 1023]));
    assert_eq!(
        part,
        Response::check(Sense::DATA_OUT_TOO_SHORT).moving(1024)
    );
    let nothing = response(run(&mut unit, &write));
    assert_eq!(nothing, Response::good().moving(1024));
    let expected = |len_bytes| IoRequest::Write {
        offset_bytes: 0,
        len_bytes,
        asked_bytes: 1024,
        fua: false,
    };
    assert_eq!(io(run_with(&mut unit, &write, &[0; 512])), expected(512));
    assert_eq!(io(run_with(&mut unit, &write, &[0; 2000])), expected(1024));
}

#[test]
fn a_transfer_length_of_0_is_no_error() {
    let mut unit = unit();
    for cdb in [
        cdb_10(0x28, 0, 5, 0),
        cdb_10(0x2a, 0, 5, 0),
        cdb_12(0xa8, 0, 5, 0),
        cdb_16(0x8a, 0, BLOCKS, 0),
    ] {
        let answer = response(run(&mut unit, &cdb));
        assert!([None, Some(0)].contains(&answer.asked_bytes));
        assert_eq!((answer.status, answer.data_len()), (Status::Good, 0));
    }
}

#[test]
fn ranges_behind_the_end_are_refused() {
    let mut unit = unit();
    let last = BLOCKS as u32 - 1;
    assert!(matches!(
        run(&mut unit, &cdb_10(0x28, 0, last, 1)),
        Step::Io(_)
    ));
    for cdb in [
        cdb_10(0x28, 0, last, 2),
        cdb_10(0x28, 0, last + 1, 1),
        cdb_10(0x28, 0, last + 2, 0),
        cdb_12(0xa8, 0, u32::MAX, u32::MAX),
        cdb_16(0x88, 0, u64::MAX, 1),
        cdb_16(0x88, 0, u64::MAX, u32::MAX),
        cdb_16(0x8a, 0, BLOCKS, 1),
        cdb_10(0x35, 0, last, 2),
        cdb_16(0x91, 0, u64::MAX, 0),
        vec![0x08, 0x1f, 0xff, 0xff, 2, 0],
    ] {
        assert_eq!(sense(run(&mut unit, &cdb)), LBA_OUT_OF_RANGE, "{cdb:02x?}");
    }
}

#[test]
fn transfers_beyond_the_limit_are_refused() {
    let mut unit = unit();
    let most = (MAX_TRANSFER_BYTES / 512) as u32;
    assert!(matches!(
        run(&mut unit, &cdb_16(0x88, 0, 0, most)),
        Step::Io(_)
    ));
    let response = response(run(&mut unit, &cdb_16(0x88, 0, 0, most + 1)));
    assert_eq!(response.sense, Some(Sense::invalid_cdb_field(10, None)));
    assert_eq!(
        sense(run(&mut unit, &cdb_10(0x2a, 0, 0, u16::MAX))),
        INVALID_CDB_FIELD
    );
}

#[test]
fn protection_information_is_refused() {
    let mut unit = unit();
    for protect in [0x20, 0x80, 0xe0] {
        let response = response(run(&mut unit, &cdb_10(0x28, protect, 0, 1)));
        assert_eq!(response.sense, Some(Sense::invalid_cdb_field(1, Some(7))));
        assert_eq!(
            sense(run_with(&mut unit, &cdb_16(0x8a, protect, 0, 1), &[0; 512])),
            INVALID_CDB_FIELD
        );
    }
}

#[test]
fn naca_is_refused() {
    let mut unit = unit();
    let response = response(run(&mut unit, &[0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0x04]));
    assert_eq!(response.sense, Some(Sense::invalid_cdb_field(9, Some(2))));
}

#[test]
fn synchronize_cache_flushes() {
    let mut unit = unit();
    assert_eq!(io(run(&mut unit, &cdb_10(0x35, 0, 0, 0))), IoRequest::Flush);
    assert_eq!(
        io(run(&mut unit, &cdb_16(0x91, 0x02, 8, 8))),
        IoRequest::Flush
    );
}

/// UNMAP with its parameter list.
fn unmap(unit: &mut LogicalUnit, descriptors: &[(u64, u32)]) -> Step {
    let length = 16 * descriptors.len() as u16;
    let mut list = [
        (length + 6).to_be_bytes(),
        length.to_be_bytes(),
        [0; 2],
        [0; 2],
    ]
    .concat();
    for (lba, blocks) in descriptors {
        list.extend_from_slice(
            &[lba.to_be_bytes().as_slice(), &blocks.to_be_bytes(), &[0; 4]].concat(),
        );
    }
    run_with(unit, &cdb_10(0x42, 0, 0, length + 8), &list)
}

#[test]
fn unmap_asks_for_ascending_disjoint_ranges() {
    let mut unit = unit();
    let step = unmap(
        &mut unit,
        &[
            (100, 10),
            (0, 0),
            (8, 8),
            (105, 10),
            (16, 1),
            (40, 2),
            (100, 3),
        ],
    );
    assert_eq!(
        io(step),
        IoRequest::Unmap(vec![
            (8 * 512, 9 * 512),
            (40 * 512, 1024),
            (100 * 512, 15 * 512)
        ])
    );
}

#[test]
fn unmap_of_nothing_is_no_error() {
    let mut unit = unit();
    assert_eq!(
        response(run(&mut unit, &cdb_10(0x42, 0, 0, 0))),
        Response::good()
    );
    assert_eq!(response(unmap(&mut unit, &[])), Response::good());
    assert_eq!(response(unmap(&mut unit, &[(7, 0)])), Response::good());
    let cut_off = [&[0, 22, 0, 16, 0, 0, 0, 0], [0xff; 15].as_slice()].concat();
    assert_eq!(
        response(run_with(&mut unit, &cdb_10(0x42, 0, 0, 23), &cut_off)),
        Response::good()
    );
}

#[test]
fn unmap_keeps_to_its_limits() {
    let mut unit = unit();
    assert!(matches!(
        unmap(&mut unit, &[(0, 524_287), (600_000, 1)]),
        Step::Io(_)
    ));
    assert_eq!(
        sense(unmap(&mut unit, &[(0, 524_288), (600_000, 1)])),
        INVALID_PARAMETER
    );
    assert!(matches!(unmap(&mut unit, &[(1, 1); 256]), Step::Io(_)));
    assert_eq!(sense(unmap(&mut unit, &[(1, 1); 257])), INVALID_PARAMETER);
    assert_eq!(
        sense(unmap(&mut unit, &[(1, 1), (BLOCKS - 1, 2)])),
        LBA_OUT_OF_RANGE
    );
    assert_eq!(
        sense(unmap(&mut unit, &[(u64::MAX, u32::MAX)])),
        LBA_OUT_OF_RANGE
    );
}

#[test]
fn unmap_checks_its_cdb_and_lengths() {
    let mut unit = unit();
    assert_eq!(
        sense(run_with(&mut unit, &cdb_10(0x42, 0x01, 0, 8), &[0; 8])),
        INVALID_CDB_FIELD
    );
    assert_eq!(
        sense(run_with(&mut unit, &cdb_10(0x42, 0, 0, 7), &[0; 7])),
        (0x05, 0x1a, 0x00)
    );
    assert_eq!(
        sense(run_with(&mut unit, &cdb_10(0x42, 0, 0, 24), &[0; 23])),
        (0x05, 0x0e, 0x03)
    );
}

#[test]
fn capacity_counts_whole_blocks() {
    let mut unit = unit();
    let mut short = (BLOCKS as u32 - 1).to_be_bytes().to_vec();
    short.extend_from_slice(&512_u32.to_be_bytes());
    assert_eq!(data(run(&mut unit, &[0x25])), short);
    let mut long = (BLOCKS - 1).to_be_bytes().to_vec();
    long.extend_from_slice(&[0, 0, 2, 0, 0, 3, 0xc0, 0]);
    long.resize(32, 0);
    let mut cdb = cdb_16(0x9e, 0x10, 0, 32);
    assert_eq!(data(run(&mut unit, &cdb)), long);
    cdb[13] = 12;
    assert_eq!(data(run(&mut unit, &cdb)), long[..12]);
    assert_eq!(
        sense(run(&mut unit, &[0x25, 0, 0, 0, 0, 1])),
        INVALID_CDB_FIELD
    );
}

#[test]
fn a_disk_beyond_2_tib_sends_read_capacity_10_to_16() {
    let mut unit = sized(u64::MAX);
    assert_eq!(data(run(&mut unit, &[0x25]))[..4], [0xff; 4]);
    assert_eq!(
        data(run(&mut unit, &cdb_16(0x9e, 0x10, 0, 8))),
        (u64::MAX / 512 - 1).to_be_bytes()
    );
    let end = IoRequest::Read {
        offset_bytes: u64::MAX - 1023,
        len_bytes: 512,
        fua: false,
    };
    assert_eq!(
        io(run(&mut unit, &cdb_16(0x88, 0, u64::MAX / 512 - 1, 1))),
        end
    );
}

#[test]
fn every_block_is_mapped_or_unknown() {
    let mut unit = unit();
    let at = |lba, length| cdb_16(0x9e, 0x12, lba, length);
    assert_eq!(sense(run(&mut unit, &at(BLOCKS, 24))), (0x05, 0x21, 0x00));
}

#[test]
fn lba_status_tells_what_holds_data_as_far_as_there_is_room() {
    let mut unit = unit();
    let asked =
        |unit: &mut LogicalUnit, lba, length| match io(run(unit, &cdb_16(0x9e, 0x12, lba, length)))
        {
            IoRequest::LbaStatus(asked) => asked,
            other => panic!("{other:?}"),
        };
    let descriptor = |lba: u64, blocks: u32, status| {
        let numbers = [lba.to_be_bytes().as_slice(), &blocks.to_be_bytes()].concat();
        [numbers, vec![status, 0, 0, 0]].concat()
    };
    let near_end = asked(&mut unit, BLOCKS - 24, 255);
    let base = (BLOCKS - 24) * 512;
    assert_eq!(
        (near_end.offset_bytes, near_end.len_bytes),
        (base, 24 * 512)
    );
    // Two touching ranges, and one that holds a part of a block.
    let data_of = |ranges: &[(u64, u64)]| near_end.response(ranges).data.concat();
    let ranges = [(base + 4096, 512), (base + 4608, 512), (base + 8192, 1)];
    let expected = [
        vec![0, 0, 0, 84, 0, 0, 0, 0],
        descriptor(BLOCKS - 24, 8, 1),
        descriptor(BLOCKS - 16, 2, 0),
        descriptor(BLOCKS - 14, 6, 1),
        descriptor(BLOCKS - 8, 1, 0),
        descriptor(BLOCKS - 7, 7, 1),
    ];
    assert_eq!(data_of(&ranges), expected.concat());
    assert_eq!(
        data_of(&[(base, 24 * 512)])[8..],
        descriptor(BLOCKS - 24, 24, 0)
    );
    assert_eq!(data_of(&[])[8..], descriptor(BLOCKS - 24, 24, 1));
    let one = asked(&mut sized(4 << 30), 0, 24);
    assert_eq!(one.len_bytes, 1 << 30);
    let first = one.response(&[(0, 512), (1024, 512)]).data.concat();
    assert_eq!(
        first,
        [vec![0, 0, 0, 20, 0, 0, 0, 0], descriptor(0, 1, 0)].concat()
    );
}

#[test]
fn unknown_commands_and_service_actions_are_refused() {
    let mut unit = unit();
    for opcode in [0x02, 0x3b, 0x50, 0x7f, 0xd0, 0xee, 0xff] {
        let response = response(run(&mut unit, &[opcode]));
        assert_eq!(response.sense, Some(Sense::INVALID_OPCODE), "{opcode:02x}");
    }
    for cdb in [[0x9e, 0x11], [0x9e, 0x00], [0xa3, 0x05]] {
        assert_eq!(sense(run(&mut unit, &cdb)), INVALID_CDB_FIELD);
    }
}
