//! What EXTENDED COPY and RECEIVE COPY RESULTS ask, answer and refuse.

use std::slice;

use crate::tests::*;
use crate::{
    CopyList, CopyName, CopyProgress, CopyRange, CopyTarget, LogicalUnit, Response, Sense, Step,
};

const BLOCK: u64 = 512;
const UNIT: CopyTarget = CopyTarget {
    serial: SERIAL,
    blocks: 1000,
    block_bytes: BLOCK,
};
const OTHER: [u8; 16] = [0x6f; 16];

fn target(serial: &[u8; 16]) -> Vec<u8> {
    let mut descriptor = vec![0xe4, 0, 0, 0, 0x01, 0x03, 0, 16];
    descriptor.extend(serial);
    descriptor.resize(28, 0);
    descriptor.extend([0, 0, 2, 0]);
    descriptor
}

fn segment(from: u16, to: u16, blocks: u16, source: u64, target: u64) -> Vec<u8> {
    let mut descriptor = vec![0x02, 0, 0, 0x18];
    descriptor.extend([from.to_be_bytes(), to.to_be_bytes(), [0; 2]].concat());
    descriptor.extend(blocks.to_be_bytes());
    descriptor.extend([source.to_be_bytes(), target.to_be_bytes()].concat());
    descriptor
}

fn segment_of_bytes(length: u32, source: (u64, u16), target: (u64, u16)) -> Vec<u8> {
    let mut descriptor = vec![0x0a, 0, 0, 0x1c, 0, 0, 0, 0];
    descriptor.extend(length.to_be_bytes());
    descriptor.extend([source.0.to_be_bytes(), target.0.to_be_bytes()].concat());
    descriptor.extend([source.1.to_be_bytes(), target.1.to_be_bytes()].concat());
    descriptor
}

fn parameters(head: [u8; 2], targets: &[Vec<u8>], segments: &[Vec<u8>]) -> Vec<u8> {
    let (targets, segments) = (targets.concat(), segments.concat());
    let mut list = head.to_vec();
    list.extend((targets.len() as u16).to_be_bytes());
    list.extend([0; 4]);
    list.extend((segments.len() as u32).to_be_bytes());
    list.extend([0; 4]);
    [list, targets, segments].concat()
}

fn run_copy(unit: &mut LogicalUnit, list: &[u8]) -> Step {
    let mut cdb = [0; 16];
    cdb[0] = 0x83;
    cdb[10..14].copy_from_slice(&(list.len() as u32).to_be_bytes());
    run_with(unit, &cdb, list)
}

fn copy_list(list: &[u8]) -> CopyList {
    match run_copy(&mut unit(), list) {
        Step::Copy(list) => list,
        step => panic!("{step:?}"),
    }
}

fn results(unit: &mut LogicalUnit, action: u8, identifier: u8) -> Step {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1], cdb[2], cdb[12]) = (0x84, action, identifier, 4);
    run(unit, &cdb)
}

fn codes(sense: Sense) -> (u8, u8, u8, u16) {
    let at = sense.field.expect("it points").byte;
    (sense.key as u8, sense.asc, sense.ascq, at)
}

#[test]
fn segments_become_ranges_in_bytes_of_the_units_that_the_list_names() {
    let segments = [
        segment(0, 1, 8, 100, 200),
        segment(1, 1, 0, 0, 0),
        segment_of_bytes(1000, (2, 10), (3, 511)),
    ];
    let list = copy_list(&parameters(
        [7, 0],
        &[target(&SERIAL), target(&OTHER)],
        &segments,
    ));
    let unit = unit();
    let named: Vec<_> = list.designators().map(|one| unit.is_named(one)).collect();
    assert_eq!(named, [true, false]);
    assert_eq!((list.identifier, list.keep), (Some(7), true));
    let range = |from: (usize, u64), to: (usize, u64), len_bytes, segments| CopyRange {
        source: from.0,
        target: to.0,
        source_offset: from.1,
        target_offset: to.1,
        len_bytes,
        segments,
    };
    assert_eq!(
        list.ranges(&[Some(UNIT), Some(UNIT)]),
        Ok(vec![
            range((0, 100 * BLOCK), (1, 200 * BLOCK), 8 * BLOCK, 1),
            range((0, 2 * BLOCK + 10), (0, 3 * BLOCK + 511), 1000, 3),
        ])
    );
}

#[test]
fn a_segment_that_cannot_be_copied_is_pointed_at() {
    let of = |target_: Vec<u8>, segment_: Vec<u8>| {
        let list = copy_list(&parameters([1, 0], &[target_], &[segment_]));
        codes(list.ranges(&[Some(UNIT)]).unwrap_err())
    };
    let own = || target(&SERIAL);
    let first = 16 + 32;
    assert_eq!(
        of(own(), segment(0, 1, 8, 0, 0)),
        (0xa, 0x0d, 0x02, first + 6)
    );
    assert_eq!(
        of(own(), segment(9, 0, 8, 0, 0)),
        (0xa, 0x0d, 0x02, first + 4)
    );
    assert_eq!(of(own(), segment(0, 0, 8, 993, 0)), (0xa, 0, 0, first + 12));
    assert_eq!(
        of(own(), segment(0, 0, 8, 0, u64::MAX)),
        (0xa, 0, 0, first + 20)
    );
    let mut tape = own();
    tape[1] = 1;
    assert_eq!(
        of(tape, segment(0, 0, 8, 0, 0)),
        (0xa, 0x0d, 0x03, first + 4)
    );
    let mut coarse = own();
    coarse[30] = 0x10;
    assert_eq!(of(coarse, segment(0, 0, 8, 0, 0)), (0x5, 0x26, 0, 16 + 29));
    let far = segment_of_bytes(8, (0, 512), (0, 0));
    assert_eq!(of(own(), far), (0x5, 0x26, 0, first + 28));

    let list = copy_list(&parameters([1, 0], &[own()], &[segment(0, 0, 8, 0, 0)]));
    let unreachable = list.ranges(&[None]).unwrap_err();
    assert_eq!(codes(unreachable), (0xa, 0x0d, 0x02, first + 4));
}

#[test]
fn a_range_is_not_copied_over_itself_from_nearer_than_a_block_nor_in_very_many_steps() {
    let large = CopyTarget {
        blocks: 1 << 20,
        ..UNIT
    };
    let other = CopyTarget {
        serial: OTHER,
        ..large
    };
    let two = [target(&SERIAL), target(&SERIAL)];
    let ranges = |segment_: Vec<u8>, second| {
        let list = copy_list(&parameters([1, 0], &two, &[segment_]));
        list.ranges(&[Some(large), Some(second)])
    };
    let mut near = segment_of_bytes(1000, (2, 0), (2, 511));
    (near[5], near[7]) = (0, 1);
    let refused = ranges(near.clone(), large).unwrap_err();
    assert_eq!(codes(refused), (0x5, 0x26, 0, 16 + 64 + 20));
    assert!(ranges(near, other).is_ok(), "another unit");
    for (length, apart, is_done) in [
        (511, 511, true),
        (0, 0, true),
        (4 << 20, 0, true),
        (1000, 512, true),
        (1000, 513, true),
        (4096 * 512 + 511, 512, true),
        (4097 * 512, 512, false),
        (4097 * 512, 1023, false),
        (4097 * 512, 1024, true),
    ] {
        for (from, to) in [(0, apart), (apart, 0)] {
            let place = |offset: u16| (8 + u64::from(offset / 512), offset % 512);
            let near = segment_of_bytes(length, place(from), place(to));
            let found = ranges(near, large);
            assert_eq!(
                found.is_ok(),
                is_done,
                "{length} bytes {from} {to}: {found:?}"
            );
        }
    }
}

#[test]
fn a_length_counts_in_blocks_of_the_side_that_it_names() {
    let coarse = CopyTarget {
        serial: OTHER,
        blocks: 1000,
        block_bytes: 4096,
    };
    let mut other = target(&OTHER);
    (other[30], other[31]) = (0x10, 0);
    let mut by_target = segment(0, 1, 2, 8, 1);
    by_target[1] = 0x02;
    let targets = [target(&SERIAL), other];
    let ranges = |segment_: Vec<u8>| {
        let list = copy_list(&parameters([1, 0], &targets, &[segment_]));
        list.ranges(&[Some(UNIT), Some(coarse)])
    };
    assert_eq!(ranges(by_target).unwrap()[0].len_bytes, 2 * 4096);
    assert_eq!(ranges(segment(0, 1, 8, 8, 1)).unwrap()[0].len_bytes, 4096);
    let inexact = ranges(segment(0, 1, 9, 8, 1)).unwrap_err();
    assert_eq!(codes(inexact), (0xa, 0x26, 0x0a, 16 + 64 + 10));
}

#[test]
fn lists_that_say_too_much_or_nothing_known_are_refused() {
    let mut unit = unit();
    let (own, one) = (target(&SERIAL), segment(0, 0, 8, 0, 100));
    let good = parameters([1, 0], slice::from_ref(&own), slice::from_ref(&one));
    for cut in [1, 15, 17, 47, 49, good.len() - 1] {
        assert_eq!(sense(run_copy(&mut unit, &good[..cut])), (5, 0x1a, 0));
    }
    assert_eq!(data(run_copy(&mut unit, &[])), []);
    let mut refused = |list: Vec<u8>| sense(run_copy(&mut unit, &list));
    let many = |targets: usize, segments: usize| {
        parameters(
            [1, 0],
            &vec![own.clone(); targets],
            &vec![one.clone(); segments],
        )
    };
    assert_eq!(refused(many(17, 1)), (5, 0x26, 0x06));
    assert_eq!(refused(many(1, 65)), (5, 0x26, 0x08));
    assert_eq!(refused(many(17, 90)), (5, 0x1a, 0));
    let with = |at: usize, byte: u8| {
        let mut list = good.clone();
        list[at] = byte;
        list
    };
    assert_eq!(refused(with(16, 0xe0)), (5, 0x26, 0x07));
    assert_eq!(refused(with(48, 0x03)), (5, 0x26, 0x09));
    assert_eq!(refused(with(1, 0x08)), INVALID_PARAMETER);
    assert_eq!(refused(with(1, 0x18)), INVALID_PARAMETER, "an identifier");
    assert_eq!(refused(with(16 + 7, 21)), INVALID_PARAMETER);
    assert_eq!(refused(with(48 + 3, 0x1c)), INVALID_PARAMETER);
    let mut inline = with(15, 4);
    inline.extend([0; 4]);
    assert_eq!(refused(inline), (5, 0x26, 0x0b));
}

#[test]
fn status_is_told_of_the_copy_by_its_name_until_the_nexus_ends() {
    let mut unit = unit();
    let list = parameters([9, 0], &[target(&SERIAL)], &[segment(0, 0, 8, 0, 100)]);
    let list = copy_list(&list);
    assert_eq!(sense(results(&mut unit, 0x00, 9)), INVALID_CDB_FIELD);
    unit.copy_began(NEXUS, &list);
    assert_eq!(
        data(results(&mut unit, 0x00, 9)),
        [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]
    );
    let again = parameters([9, 0], &[target(&SERIAL)], &[segment(0, 0, 8, 0, 100)]);
    assert_eq!(
        sense(run_copy(&mut unit, &again)),
        (5, 0x00, 0x16),
        "in progress"
    );
    let progress = CopyProgress {
        segments: 1,
        bytes: 3 << 32,
    };
    unit.copy_advanced(NEXUS, CopyName::Short(9), progress);
    let counted = [0, 0, 0, 8, 0, 0, 1, 1, 0, 0xc0, 0, 0];
    assert_eq!(data(results(&mut unit, 0x00, 9)), counted, "in KiB");
    assert_eq!(sense(results(&mut unit, 0x04, 9)), INVALID_CDB_FIELD);
    unit.copy_ended(
        NEXUS,
        CopyName::Short(9),
        &Response::check(Sense::NOT_REACHABLE),
    );
    assert_eq!(data(results(&mut unit, 0x00, 9))[4], 2);
    let details = data(results(&mut unit, 0x04, 9));
    assert_eq!((details[3], details[56], details[59]), (74, 2, 18));
    assert_eq!((details[62], details[72], details[73]), (0xa, 0x0d, 0x02));
    unit.copy_began(NEXUS, &list);
    unit.copy_ended(NEXUS, CopyName::Short(9), &Response::good());
    assert_eq!(data(results(&mut unit, 0x00, 9))[4], 1);
    assert_eq!(data(results(&mut unit, 0x01, 9)), [0; 4]);
    unit.close_nexus(NEXUS);
    unit.open_nexus(NEXUS);
    drop(run(&mut unit, &[0x00]));
    assert_eq!(sense(results(&mut unit, 0x00, 9)), INVALID_CDB_FIELD);
}

#[test]
fn a_status_that_is_not_to_be_kept_goes_with_the_copy() {
    let mut unit = unit();
    let of = |head| {
        copy_list(&parameters(
            head,
            &[target(&SERIAL)],
            &[segment(0, 0, 8, 0, 100)],
        ))
    };
    let discarded = of([9, 0x10]);
    unit.copy_began(NEXUS, &discarded);
    assert_eq!(data(results(&mut unit, 0x00, 9))[4], 0);
    unit.copy_ended(NEXUS, CopyName::Short(9), &Response::good());
    assert_eq!(sense(results(&mut unit, 0x00, 9)), INVALID_CDB_FIELD);
    assert_eq!(of([0, 0x18]).identifier, None);
}

#[test]
fn the_limits_are_told_alike_by_the_command_and_by_the_page() {
    let mut unit = unit();
    let told = data(results(&mut unit, 0x03, 0));
    assert_eq!(told.len(), 47);
    assert_eq!((told[3], told[4], told[43]), (43, 1, 3));
    assert_eq!(told[44..], [0x02, 0x0a, 0xe4]);
    let page = data(run(&mut unit, &[0x12, 0x01, 0x8f, 0x10, 0x00, 0]));
    let mut found = std::collections::BTreeMap::new();
    let mut rest = &page[4..];
    while !rest.is_empty() {
        let kind = u16::from_be_bytes([rest[0], rest[1]]);
        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
        assert_eq!(length % 4, 0);
        found.insert(kind, rest[4..4 + length].to_vec());
        rest = &rest[4 + length..];
    }
    assert_eq!(found[&0x0004][4..12], told[8..16], "counts and list length");
    assert_eq!(found[&0x8001][8..12], told[16..20], "longest segment");
    let commands = &found[&0x0001];
    assert_eq!(commands[1..6], [0x83, 3, 0x00, 0x10, 0x11]);
    assert_eq!(commands[6..13], [0x84, 5, 0x00, 0x01, 0x03, 0x04, 0x07]);
    assert_eq!(found[&0x0008][..4], [3, 0x02, 0x0a, 0xe4]);
}
