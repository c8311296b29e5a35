//! What POPULATE TOKEN, WRITE USING TOKEN and RECEIVE ROD TOKEN INFORMATION ask, answer and refuse.

use super::token::is_same;
use super::{TIMEOUT_DEFAULT_S, TOKEN_MAX_BYTES};
use crate::tests::*;
use crate::{
    CopyName, CopyProgress, LogicalUnit, Offload, Populate, RANGES_MAX, Response, Sense, Step,
    TOKEN_BYTES, TOKEN_KEY_BYTES, TokenRange, TokenSource, TokenWrite,
};

const BLOCK: u64 = 512;
const NAME: u32 = 0xcafe_babe;
const KEY: [u8; TOKEN_KEY_BYTES] = [0x5a; TOKEN_KEY_BYTES];
const UNKNOWN: (u8, u8, u8) = (5, 0x23, 0x04);
const LENGTH_ERROR: (u8, u8, u8) = (5, 0x1a, 0);

fn command(opcode: u8, action: u8, name_at: usize, length: usize) -> [u8; 16] {
    let mut cdb = [0; 16];
    (cdb[0], cdb[1]) = (opcode, action);
    cdb[name_at..name_at + 4].copy_from_slice(&NAME.to_be_bytes());
    cdb[10..14].copy_from_slice(&(length as u32).to_be_bytes());
    cdb
}

fn descriptors(ranges: &[(u64, u32)]) -> Vec<u8> {
    let one = |&(lba, blocks): &(u64, u32)| {
        [&lba.to_be_bytes()[..], &blocks.to_be_bytes(), &[0; 4]].concat()
    };
    ranges.iter().flat_map(one).collect()
}

fn populate_list(flags: u8, timeout_s: u32, kind: u32, ranges: &[(u64, u32)]) -> Vec<u8> {
    let ranges = descriptors(ranges);
    let mut list = (14 + ranges.len() as u16).to_be_bytes().to_vec();
    list.extend([flags, 0]);
    list.extend(timeout_s.to_be_bytes());
    list.extend(kind.to_be_bytes());
    list.extend([0, 0]);
    list.extend((ranges.len() as u16).to_be_bytes());
    [list, ranges].concat()
}

fn write_list(flags: u8, offset: u64, token: &[u8], ranges: &[(u64, u32)]) -> Vec<u8> {
    let ranges = descriptors(ranges);
    let mut list = (534 + ranges.len() as u16).to_be_bytes().to_vec();
    list.extend([flags, 0, 0, 0, 0, 0]);
    list.extend(offset.to_be_bytes());
    list.extend(token);
    list.extend([0; 6]);
    list.extend((ranges.len() as u16).to_be_bytes());
    [list, ranges].concat()
}

fn run_list(unit: &mut LogicalUnit, action: u8, list: &[u8]) -> Step {
    run_with(unit, &command(0x83, action, 6, list.len()), list)
}

fn populate(unit: &mut LogicalUnit, list: &[u8]) -> Populate {
    match run_list(unit, 0x10, list) {
        Step::Offload(Offload::Populate(populate)) => populate,
        step => panic!("{step:?}"),
    }
}

fn token_write(unit: &mut LogicalUnit, list: &[u8]) -> TokenWrite {
    match run_list(unit, 0x11, list) {
        Step::Offload(Offload::Write(write)) => *write,
        step => panic!("{step:?}"),
    }
}

fn information(unit: &mut LogicalUnit, allocation: usize) -> Step {
    run(unit, &command(0x84, 0x07, 2, allocation))
}

fn zero_token() -> [u8; TOKEN_BYTES] {
    let mut token = [0; TOKEN_BYTES];
    token[..8].copy_from_slice(&[0xff, 0xff, 0, 1, 0, 0, 0x01, 0xf8]);
    token
}

fn piece(source: u64, target: u64, blocks: u64) -> TokenRange {
    TokenRange {
        source: Some(source * BLOCK),
        target: target * BLOCK,
        len_bytes: blocks * BLOCK,
    }
}

#[test]
fn a_token_is_asked_for_in_ranges_of_blocks() {
    let mut unit = unit();
    let asked = populate(
        &mut unit,
        &populate_list(0, 0, 0, &[(100, 8), (7, 0), (0, 1)]),
    );
    assert_eq!(asked.ranges, [(100 * BLOCK, 8 * BLOCK), (0, BLOCK)]);
    assert_eq!(asked.timeout_ms, TIMEOUT_DEFAULT_S * 1000);
    assert_eq!((asked.identifier, asked.immediate), (NAME, false));
    let asked = populate(&mut unit, &populate_list(0x03, 900, 0x0080_ffff, &[(0, 1)]));
    assert_eq!((asked.timeout_ms, asked.immediate), (900_000, true));
    // What did not come whole is not looked at.
    let cut = populate_list(0, 0, 0, &[(1, 1), (2, 2)]);
    let asked = populate(&mut unit, &cut[..cut.len() - 1]);
    assert_eq!(asked.ranges, [(BLOCK, BLOCK)]);
    assert_eq!(data(run_list(&mut unit, 0x10, &[])), []);
}

#[test]
fn a_token_that_cannot_be_made_is_refused() {
    let mut unit = unit();
    let mut refused = |list: Vec<u8>| sense(run_list(&mut unit, 0x10, &list));
    let good = || populate_list(0, 0, 0, &[(0, 1)]);
    assert_eq!(refused(good()[..15].to_vec()), LENGTH_ERROR);
    let with = |at: usize, byte: u8| {
        let mut list = good();
        list[at] = byte;
        list
    };
    assert_eq!(refused(with(1, 29)), INVALID_PARAMETER, "too short a list");
    assert_eq!(refused(with(15, 15)), INVALID_PARAMETER, "no descriptor");
    let of_kind = |kind| populate_list(0x02, 0, kind, &[(0, 1)]);
    for kind in [0, 0x0001_0000, 0x0080_0002, 0xffff_0001] {
        assert_eq!(refused(of_kind(kind)), INVALID_PARAMETER, "{kind:x}");
    }
    assert_eq!(
        refused(populate_list(0, 901, 0, &[(0, 1)])),
        INVALID_PARAMETER
    );
    let many: Vec<_> = (0..=RANGES_MAX as u64).map(|lba| (lba * 8, 1)).collect();
    assert_eq!(refused(populate_list(0, 0, 0, &many)), (5, 0x26, 0x08));
    let twice = [(10, 5), (100, 5), (14, 1)];
    assert_eq!(refused(populate_list(0, 0, 0, &twice)), INVALID_PARAMETER);
    let longest = (TOKEN_MAX_BYTES / BLOCK) as u32;
    assert_eq!(
        refused(populate_list(0, 0, 0, &[(0, longest), (1 << 20, 1)])),
        INVALID_PARAMETER
    );
    for range in [((1 << 21) - 1, 2), (u64::MAX, 1), (u64::MAX, u32::MAX)] {
        assert_eq!(refused(populate_list(0, 0, 0, &[range])), (5, 0x21, 0));
    }
}

#[test]
fn a_token_is_made_of_its_name_its_key_and_what_it_stands_for() {
    let unit = unit();
    let token = unit.token(0x0102_0304_0506_0708, &KEY, 3 * BLOCK);
    assert_eq!(token.len(), TOKEN_BYTES);
    assert_eq!(token[..8], [0x00, 0x80, 0x00, 0x01, 0, 0, 0x01, 0xf8]);
    assert_eq!(token[8..16], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(
        (token[16], token[20], token[21], token[23]),
        (0xe4, 1, 3, 16)
    );
    assert_eq!(token[24..40], SERIAL);
    assert_eq!(token[62..64], [0x06, 0x00]);
    assert_eq!((token[98], token[101]), (2, 3), "blocks of 512 on 4,096");
    assert_eq!((token[128], token[129], token[131]), (1, 0x23, 16));
    assert!(token[148..].iter().all(|byte| *byte == 0x5a));
    assert!(is_same(
        &token,
        &unit.token(0x0102_0304_0506_0708, &KEY, 3 * BLOCK)
    ));
    for at in 0..TOKEN_BYTES {
        let mut other = token.to_vec();
        other[at] ^= 0x10;
        assert!(!is_same(&token, &other), "byte {at}");
    }
    assert!(!is_same(&token, &token[1..]));
}

#[test]
fn a_token_says_where_it_comes_from_and_only_the_whole_of_it_counts() {
    let mut unit = unit();
    let token = unit.token(77, &KEY, 8 * BLOCK);
    let write = token_write(&mut unit, &write_list(0x02, 0, &token, &[(50, 8)]));
    let source = TokenSource::Unit {
        serial: SERIAL,
        id: 77,
    };
    assert_eq!(
        (write.source(), write.delete, write.immediate),
        (source, true, false)
    );
    assert!(write.holds(&token));
    for other in [
        unit.token(77, &[0; TOKEN_KEY_BYTES], 8 * BLOCK),
        unit.token(78, &KEY, 8 * BLOCK),
        unit.token(77, &KEY, 9 * BLOCK),
    ] {
        assert!(!write.holds(&other));
    }
    let mut refused = |at: usize, byte: u8| {
        let mut token = token.to_vec();
        token[at] = byte;
        sense(run_list(
            &mut unit,
            0x11,
            &write_list(0, 0, &token, &[(50, 8)]),
        ))
    };
    assert_eq!(refused(7, 0xf7), (5, 0x23, 0x0a));
    assert_eq!(refused(3, 0x02), UNKNOWN, "a persistent one");
    assert_eq!(refused(0, 0xff), UNKNOWN);
}

#[test]
fn what_a_token_stands_for_is_written_in_its_order_from_the_offset_on() {
    let mut unit = unit();
    let token = unit.token(1, &KEY, 18 * BLOCK);
    let represented = [(100, 8), (10, 4), (200, 6)].map(|(lba, n)| (lba * BLOCK, n * BLOCK));
    let mut moves = |offset, ranges: &[(u64, u32)]| {
        let write = token_write(&mut unit, &write_list(0, offset, &token, ranges));
        write.moves(&represented)
    };
    assert_eq!(
        moves(0, &[(500, 18)]).unwrap(),
        [piece(100, 500, 8), piece(10, 508, 4), piece(200, 512, 6)]
    );
    assert_eq!(
        moves(6, &[(700, 1), (500, 4)]).unwrap(),
        [piece(106, 700, 1), piece(107, 500, 1), piece(10, 501, 3)]
    );
    assert_eq!(moves(12, &[(0, 1)]).unwrap(), [piece(200, 0, 1)]);
    let rest = [piece(205, 0, 1)];
    assert_eq!(moves(17, &[(0, 100), (300, 5)]).unwrap(), rest, "no more");
    for offset in [18, 1000] {
        assert_eq!(moves(offset, &[(0, 1)]), Err(Sense::invalid_parameter(8)));
    }
    let far = write_list(0, u64::MAX, &token, &[(0, 1)]);
    assert_eq!(sense(run_list(&mut unit, 0x11, &far)), INVALID_PARAMETER);
}

#[test]
fn the_last_block_of_a_token_that_ends_inside_of_it_is_filled_with_zeros() {
    let mut unit = coarse_unit();
    let token = unit.token(1, &KEY, 9 * BLOCK);
    let write = token_write(&mut unit, &write_list(0, 1, &token, &[(10, 2)]));
    let moves = write.moves(&[(0, 9 * BLOCK)]).unwrap();
    let zeros = TokenRange {
        source: None,
        target: 10 * 4096 + BLOCK,
        len_bytes: 7 * BLOCK,
    };
    assert_eq!(moves, [piece(8, 80, 1), zeros]);
    assert_eq!(write.asked_bytes(), 2 * 4096);
}

#[test]
fn zeros_come_from_nowhere_and_have_no_end() {
    let mut unit = unit();
    let list = write_list(0x01, 1 << 40, &zero_token(), &[(8, 8), (100, 1)]);
    let write = token_write(&mut unit, &list);
    assert_eq!(
        (write.source(), write.immediate),
        (TokenSource::Zeros, true)
    );
    let zeros = |lba: u64, blocks: u64| TokenRange {
        source: None,
        ..piece(0, lba, blocks)
    };
    assert_eq!(write.zeros(), [zeros(8, 8), zeros(100, 1)]);
}

#[test]
fn a_write_list_that_is_too_short_or_names_a_block_twice_is_refused() {
    let mut unit = unit();
    let mut refused = |list: &[u8]| sense(run_list(&mut unit, 0x11, list));
    let good = write_list(0, 0, &zero_token(), &[(8, 8)]);
    assert_eq!(refused(&good[..535]), LENGTH_ERROR);
    let mut short = good.clone();
    short[1] = 0x25;
    assert_eq!(refused(&short), INVALID_PARAMETER);
    let twice = write_list(0, 0, &zero_token(), &[(8, 8), (15, 1)]);
    assert_eq!(refused(&twice), INVALID_PARAMETER);
}

#[test]
fn information_is_told_by_name_while_it_runs_and_after() {
    let mut unit = unit();
    assert_eq!(sense(information(&mut unit, 1024)), INVALID_CDB_FIELD);
    let list = populate_list(0x01, 0, 0, &[(0, 8)]);
    let asked = populate(&mut unit, &list);
    unit.populate_began(NEXUS, &asked);
    assert_eq!(
        sense(run_list(&mut unit, 0x10, &list)),
        (5, 0x00, 0x16),
        "in progress"
    );
    let told = data(information(&mut unit, 1024));
    assert_eq!(
        (told.len(), told[3], told[4], told[5]),
        (36, 32, 0x10, 0x12)
    );
    assert_eq!(told[8..12], 50_u32.to_be_bytes());
    let token = unit.token(1, &KEY, 8 * BLOCK);
    unit.token_made(NEXUS, NAME, token.clone(), 8 * BLOCK);
    unit.copy_ended(NEXUS, CopyName::Long(NAME), &Response::good());
    assert_eq!(data(information(&mut unit, 36)).len(), 36, "not in full");
    let told = data(information(&mut unit, 1024));
    assert_eq!((told.len(), told[4], told[5]), (36 + 514, 0x10, 0x01));
    assert_eq!(told[8..16], [0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0xf1]);
    assert_eq!(told[16..24], 8_u64.to_be_bytes());
    assert_eq!(told[32..38], [0, 0, 0x02, 0x02, 0, 0]);
    assert_eq!(told[38..], token);
    let again = data(information(&mut unit, 1024));
    assert_eq!(
        (again.len(), again[5], again[35]),
        (36, 0x01, 0),
        "told once"
    );
}

#[test]
fn information_tells_of_a_failure_and_how_far_it_came() {
    let mut unit = unit();
    let token = unit.token(1, &KEY, 8 * BLOCK);
    let write = token_write(&mut unit, &write_list(0, 0, &token, &[(50, 8)]));
    unit.token_write_began(NEXUS, &write, false);
    assert_eq!(data(information(&mut unit, 1024))[5], 0x11);
    let progress = CopyProgress {
        segments: 0,
        bytes: 3 * BLOCK,
    };
    unit.copy_advanced(NEXUS, CopyName::Long(NAME), progress);
    unit.copy_ended(
        NEXUS,
        CopyName::Long(NAME),
        &Response::check(Sense::TOKEN_REVOKED),
    );
    let told = data(information(&mut unit, 1024));
    assert_eq!((told[4], told[5], told[12]), (0x11, 0x02, 0x02));
    assert_eq!((told[13], told[14], told[23]), (20, 18, 3));
    assert_eq!((told[34], told[44], told[45]), (0x05, 0x23, 0x06));
    assert_eq!((told.len(), told[52..].to_vec()), (56, vec![0; 4]));
    unit.token_write_began(NEXUS, &write, true);
    unit.copy_ended(NEXUS, CopyName::Long(NAME), &Response::good());
    assert_eq!(data(information(&mut unit, 1024))[5], 0x03, "partial");
    unit.token_write_began(NEXUS, &write, false);
    unit.copy_ended(NEXUS, CopyName::Long(NAME), &Response::task_aborted());
    let told = data(information(&mut unit, 1024));
    assert_eq!((told[5], told[12], told[14]), (0x60, 0x40, 0));
}

#[test]
fn what_became_of_old_copies_is_forgotten_and_of_running_ones_is_not() {
    let mut unit = unit();
    let mut write = token_write(&mut unit, &write_list(0, 0, &zero_token(), &[(50, 8)]));
    for identifier in 0..200 {
        write.identifier = identifier;
        unit.token_write_began(NEXUS, &write, false);
        if identifier > 0 {
            unit.copy_ended(NEXUS, CopyName::Long(identifier), &Response::good());
        }
    }
    let mut known = |identifier: u32| {
        let mut cdb = command(0x84, 0x07, 2, 1024);
        cdb[2..6].copy_from_slice(&identifier.to_be_bytes());
        matches!(run(&mut unit, &cdb), Step::Done(response) if response.sense.is_none())
    };
    assert!(known(0), "it runs");
    let kept: Vec<_> = (1..200).filter(|identifier| known(*identifier)).collect();
    assert_eq!((kept.len(), kept[0]), (64, 136));
}
