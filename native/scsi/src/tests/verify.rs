//! VERIFY, WRITE AND VERIFY, WRITE ATOMIC, WRITE SAME, COMPARE AND WRITE, ORWRITE, PRE-FETCH and the commands of drives with a medium.

use super::*;

fn cdb_10(opcode: u8, flags: u8, lba: u32, blocks: u16) -> [u8; 10] {
    let mut cdb = [0; 10];
    cdb[..2].copy_from_slice(&[opcode, flags]);
    cdb[2..6].copy_from_slice(&lba.to_be_bytes());
    cdb[7..9].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

fn atomic(lba: u64, boundary: u16, blocks: u16) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[0] = 0x9c;
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..12].copy_from_slice(&boundary.to_be_bytes());
    cdb[12..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

#[test]
fn verify_compares_with_what_byte_check_says() {
    let mut unit = unit();
    for (flags, sent, compare) in [
        (0x10, 0, None),
        (0x02, 1024, Some(Compare::Data)),
        (0x06, 512, Some(Compare::Block { len_bytes: 512 })),
    ] {
        let step = run_with(&mut unit, &cdb_10(0x2f, flags, 8, 2), &vec![0; sent]);
        let expected = IoRequest::Verify {
            offset_bytes: 4096,
            len_bytes: 1024,
            compare,
        };
        assert_eq!(io(step), expected);
    }
    let short = run_with(&mut unit, &cdb_10(0x2f, 0x02, 8, 2), &[0; 1023]);
    assert_eq!(sense(short), (0x05, 0x0e, 0x03));
    for (flags, lba, blocks, expected) in [
        (0x04, 0, 1, INVALID_CDB_FIELD),
        (0x20, 0, 1, INVALID_CDB_FIELD),
        (0x00, 0, 16385, INVALID_CDB_FIELD),
        (0x02, BLOCKS as u32, 1, LBA_OUT_OF_RANGE),
        (0x02, BLOCKS as u32 + 1, 0, LBA_OUT_OF_RANGE),
    ] {
        let step = run(&mut unit, &cdb_10(0x2f, flags, lba, blocks));
        assert_eq!(sense(step), expected);
    }
}

#[test]
fn write_and_verify_writes_what_came_and_may_compare() {
    let mut unit = unit();
    for (flags, compare) in [(0, false), (0x12, true)] {
        let step = run_with(&mut unit, &cdb_10(0x2e, flags, 8, 2), &[0; 512]);
        let expected = IoRequest::WriteAndVerify {
            offset_bytes: 4096,
            len_bytes: 512,
            asked_bytes: 1024,
            compare,
        };
        assert_eq!(io(step), expected);
    }
    for flags in [0x04, 0x06, 0x40] {
        let step = run_with(&mut unit, &cdb_10(0x2e, flags, 8, 2), &[0; 1024]);
        assert_eq!(sense(step), INVALID_CDB_FIELD);
    }
}

#[test]
fn an_atomic_write_is_made_of_physical_blocks() {
    let mut unit = unit();
    let sent = vec![0; 4096];
    assert!(matches!(
        io(run_with(&mut unit, &atomic(16, 0, 8), &sent)),
        IoRequest::Write {
            offset_bytes: 8192,
            len_bytes: 4096,
            ..
        }
    ));
    for (cdb, expected) in [
        (atomic(1, 0, 8), INVALID_CDB_FIELD),
        (atomic(8, 0, 9), INVALID_CDB_FIELD),
        (atomic(8, 8, 8), INVALID_CDB_FIELD),
        (atomic(0, 0, 2056), INVALID_CDB_FIELD),
        (atomic(BLOCKS, 0, 8), LBA_OUT_OF_RANGE),
    ] {
        assert_eq!(sense(run_with(&mut unit, &cdb, &sent)), expected);
    }
    let short = run_with(&mut unit, &atomic(16, 0, 8), &sent[..3584]);
    assert_eq!(sense(short), (0x05, 0x0e, 0x03));
}

#[test]
fn prefetch_checks_its_range_and_promises_nothing() {
    let mut unit = unit();
    assert_eq!(
        response(run(&mut unit, &cdb_10(0x34, 0x02, 0, 9))),
        Response::good()
    );
    assert_eq!(
        sense(run(&mut unit, &cdb_10(0x34, 0, BLOCKS as u32, 1))),
        LBA_OUT_OF_RANGE
    );
}

#[test]
fn a_vdisk_cannot_be_stopped_ejected_or_locked() {
    let mut unit = unit();
    let start_stop = |options| [0x1b, 0, 0, 0, options, 0];
    assert_eq!(
        response(run(&mut unit, &start_stop(0x01))),
        Response::good()
    );
    assert_eq!(
        response(run(&mut unit, &start_stop(0x04))),
        Response::good()
    );
    assert_eq!(io(run(&mut unit, &start_stop(0x00))), IoRequest::Flush);
    for refused in [0x02, 0x03, 0x10, 0x21] {
        assert_eq!(
            sense(run(&mut unit, &start_stop(refused))),
            INVALID_CDB_FIELD
        );
    }
    let prevent = |how| [0x1e, 0, 0, 0, how, 0];
    assert_eq!(response(run(&mut unit, &prevent(0))), Response::good());
    assert_eq!(sense(run(&mut unit, &prevent(1))), INVALID_CDB_FIELD);
}

#[test]
fn defect_lists_are_empty_and_in_the_format_that_was_asked_for() {
    let mut unit = unit();
    let mut ten = [0x37, 0, 0x1d, 0, 0, 0, 0, 0, 32, 0];
    assert_eq!(data(run(&mut unit, &ten)), [0, 0x1d, 0, 0]);
    ten[8] = 2;
    assert_eq!(data(run(&mut unit, &ten)), [0, 0x1d]);
    let twelve = [0xb7, 0x08, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    assert_eq!(data(run(&mut unit, &twelve)), [0, 0x08, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn task_management_functions_are_told() {
    let mut unit = unit();
    let mut cdb = [0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0];
    assert_eq!(data(run(&mut unit, &cdb)), [0xda, 0, 0, 0]);
    (cdb[2], cdb[9]) = (0x80, 255);
    let extended = data(run(&mut unit, &cdb));
    assert_eq!((extended.len(), extended[3]), (16, 12));
    cdb[9] = 3;
    assert_eq!(sense(run(&mut unit, &cdb)), INVALID_CDB_FIELD);
}

fn range_16(opcode: u8, flags: u8, lba: u64, blocks: u32) -> [u8; 16] {
    let mut cdb = [0; 16];
    cdb[..2].copy_from_slice(&[opcode, flags]);
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    cdb
}

const UNMAP: u8 = 0x08;
const NO_DATA_OUT: u8 = 0x01;

#[test]
fn write_same_unmaps_only_zeros_and_only_when_it_may() {
    let mut unit = unit();
    let fill = |zeros| IoRequest::WriteSame {
        offset_bytes: 4096,
        len_bytes: 1024,
        zeros,
    };
    let unmap = || IoRequest::Unmap(vec![(4096, 1024)]);
    for (flags, sent, expected) in [
        (0, vec![1; 512], fill(false)),
        (0, vec![0; 512], fill(true)),
        (UNMAP, vec![1; 512], fill(false)),
        (UNMAP, vec![0; 512], unmap()),
        (NO_DATA_OUT, vec![], fill(true)),
        (UNMAP | NO_DATA_OUT, vec![], unmap()),
    ] {
        let step = run_with(&mut unit, &range_16(0x93, flags, 8, 2), &sent);
        assert_eq!(io(step), expected);
    }
    let ten = run_with(&mut unit, &cdb_10(0x41, UNMAP, 8, 2), &[0; 512]);
    assert_eq!(io(ten), unmap());
}

#[test]
fn write_same_of_no_length_goes_to_the_end_within_the_limit() {
    let mut unit = unit();
    let block = [1; 512];
    let last = run_with(&mut unit, &range_16(0x93, 0, BLOCKS - 3, 0), &block);
    let expected = IoRequest::WriteSame {
        offset_bytes: (BLOCKS - 3) * 512,
        len_bytes: 3 * 512,
        zeros: false,
    };
    assert_eq!(io(last), expected);
    for (cdb, expected) in [
        (range_16(0x93, 0, 0, 0), INVALID_CDB_FIELD),
        (range_16(0x93, 0, 0, 32_769), INVALID_CDB_FIELD),
        (range_16(0x93, 0, BLOCKS, 0), LBA_OUT_OF_RANGE),
        (range_16(0x93, 0, BLOCKS - 1, 2), LBA_OUT_OF_RANGE),
        (range_16(0x93, 0x10 | UNMAP, 0, 1), INVALID_CDB_FIELD),
        (range_16(0x93, 0x20, 0, 1), INVALID_CDB_FIELD),
        (range_16(0x93, 0x02, 0, 1), INVALID_CDB_FIELD),
    ] {
        assert_eq!(sense(run_with(&mut unit, &cdb, &block)), expected);
    }
    for length in [0, 256, 1024] {
        let step = run_with(&mut unit, &range_16(0x93, UNMAP, 0, 1), &vec![0; length]);
        assert_eq!(sense(step), (0x05, 0x0e, 0x03));
    }
}

#[test]
fn compare_and_write_takes_exactly_twice_its_range() {
    let mut unit = unit();
    let cdb = |blocks| {
        let mut cdb = range_16(0x89, 0x08, 8, 0);
        cdb[13] = blocks;
        cdb
    };
    let expected = IoRequest::CompareAndWrite {
        offset_bytes: 4096,
        len_bytes: 1024,
        fua: true,
    };
    assert_eq!(io(run_with(&mut unit, &cdb(2), &[0; 2048])), expected);
    assert_eq!(response(run(&mut unit, &cdb(0))), Response::good());
    for (blocks, length) in [(2, 2047), (2, 2049), (2, 1024), (0, 512), (129, 129 * 1024)] {
        let step = run_with(&mut unit, &cdb(blocks), &vec![0; length]);
        assert_eq!(sense(step), INVALID_CDB_FIELD);
    }
}

#[test]
fn orwrite_takes_all_of_its_range() {
    let mut unit = unit();
    let expected = IoRequest::OrWrite {
        offset_bytes: 4096,
        len_bytes: 1024,
        fua: false,
    };
    let cdb = range_16(0x8b, 0, 8, 2);
    assert_eq!(io(run_with(&mut unit, &cdb, &[1; 1024])), expected);
    let short = run_with(&mut unit, &cdb, &[1; 1023]);
    assert_eq!(sense(short), (0x05, 0x0e, 0x03));
}
