//! INQUIRY, VPD pages, mode pages, REPORT LUNS and REPORT SUPPORTED OPERATION CODES.

use super::*;
use crate::command_table::COMMANDS;

fn vpd(unit: &mut LogicalUnit, page: u8) -> Vec<u8> {
    let page_data = data(run(unit, &[0x12, 0x01, page, 0x10, 0x00, 0]));
    assert_eq!((page_data[0], page_data[1]), (0x00, page));
    assert_eq!(
        usize::from(u16::from_be_bytes([page_data[2], page_data[3]])),
        page_data.len() - 4
    );
    page_data[4..].to_vec()
}

#[test]
fn standard_inquiry_names_the_product() {
    let mut unit = unit();
    let inquiry = data(run(&mut unit, &[0x12, 0, 0, 0, 0xff, 0]));
    assert_eq!(inquiry.len(), 96);
    assert_eq!(inquiry[..8], [0x00, 0x00, 0x06, 0x12, 91, 0x18, 0x10, 0x02]);
    assert_eq!(inquiry[8..36], *b"QUADSTORVDISK           0001");
    assert_eq!(
        inquiry[58..66],
        [0x00, 0xa0, 0x04, 0x60, 0x04, 0xc0, 0x09, 0x60]
    );
    assert_eq!(data(run(&mut unit, &[0x12, 0, 0, 0, 36, 0])), inquiry[..36]);
    assert_eq!(data(run(&mut unit, &[0x12, 0, 0, 0, 0, 0])), []);
}

#[test]
fn inquiry_refuses_pages_it_does_not_have() {
    let mut unit = unit();
    for cdb in [[0x12, 0x00, 0x80], [0x12, 0x01, 0x86], [0x12, 0x02, 0x00]] {
        assert_eq!(sense(run(&mut unit, &cdb)), INVALID_CDB_FIELD);
    }
}

#[test]
fn every_listed_vpd_page_is_there() {
    let mut unit = unit();
    let pages = vpd(&mut unit, 0x00);
    assert_eq!(pages, [0x00, 0x80, 0x83, 0x8f, 0xb0, 0xb1, 0xb2]);
    for page in pages {
        vpd(&mut unit, page);
    }
}

#[test]
fn identity_is_made_of_the_serial_and_the_group_tag() {
    let mut unit = unit();
    assert_eq!(vpd(&mut unit, 0x80), *b"6e0123456789abcdef000102030405ff");
    let page = vpd(&mut unit, 0x83);
    assert_eq!(page[..4], [0x01, 0x03, 0, 16]);
    assert_eq!(page[4..20], SERIAL);
    assert_eq!(page[20..24], [0x02, 0x01, 0, 56]);
    assert_eq!(
        page[24..80],
        *b"QUADSTORVDISK           6e0123456789abcdef000102030405ff"
    );
    assert_eq!(
        page[80..],
        [0x51, 0x94, 0, 4, 0, 0, 0, 2, 0x51, 0x95, 0, 4, 0, 0, 0, 2]
    );
}

#[test]
fn block_limits_are_those_that_are_enforced() {
    let mut unit = unit();
    let limits = vpd(&mut unit, 0xb0);
    assert_eq!(limits.len(), 0x3c);
    let number = |page_offset: usize| {
        u32::from_be_bytes(limits[page_offset - 4..page_offset].try_into().unwrap())
    };
    assert_eq!(limits[..4], [0, 128, 0, 8]);
    assert_eq!([36, 40].map(number), [0, 32_768]);
    assert_eq!(
        [8, 12, 16, 20, 24, 28, 32].map(number),
        [16384, 2048, 0, 524_288, 256, 8, 0x8000_0000]
    );
    assert_eq!([44, 48, 52, 56, 60].map(number), [2048, 8, 8, 0, 0]);
    assert_eq!(vpd(&mut unit, 0xb1)[..2], [0, 1]);
    assert_eq!(vpd(&mut unit, 0xb2), [0, 0xe4, 0x02, 0]);
}

#[test]
fn mode_pages_come_alone_or_together() {
    let mut unit = unit();
    let all = data(run(&mut unit, &[0x1a, 0x08, 0x3f, 0xff, 0xff, 0]));
    assert_eq!(all[..4], [59, 0, 0x10, 0]);
    assert_eq!(all.len(), 60);
    for (page, length, second, third) in [
        (0x01, 12, 0x00, 0x00),
        (0x08, 20, 0x04, 0x00),
        (0x0a, 12, 0x02, 0x10),
        (0x1c, 12, 0x08, 0x00),
    ] {
        let one = data(run(&mut unit, &[0x1a, 0x08, page, 0, 0xff, 0]));
        assert_eq!(
            (one[4] & 0x3f, one.len() - 4, one[6], one[7]),
            (page, length, second, third)
        );
        assert!(all.windows(length).any(|window| *window == one[4..]));
    }
}

#[test]
fn unknown_mode_pages_are_refused() {
    let mut unit = unit();
    for cdb in [
        [0x1a, 0, 0x02, 0],
        [0x1a, 0, 0x08, 1],
        [0x1a, 0, 0x3f, 1],
        [0x5a, 0, 0x00, 0],
    ] {
        assert_eq!(sense(run(&mut unit, &cdb)), INVALID_CDB_FIELD);
    }
}

#[test]
fn block_descriptors_are_short_or_long() {
    let mut unit = unit();
    let short = [(BLOCKS as u32).to_be_bytes(), 512_u32.to_be_bytes()].concat();
    assert_eq!(
        data(run(&mut unit, &[0x1a, 0, 0x0a, 0, 12, 0]))[3..],
        [&[8], short.as_slice()].concat()
    );
    let ten = data(run(&mut unit, &[0x5a, 0, 0x0a, 0, 0, 0, 0, 0, 0xff, 0]));
    assert_eq!(ten[..8], [0, 26, 0, 0x10, 0, 0, 0, 8]);
    assert_eq!(ten[8..16], short);
    let long = data(run(&mut unit, &[0x5a, 0x10, 0x0a, 0, 0, 0, 0, 0, 0xff, 0]));
    assert_eq!(long[..8], [0, 34, 0, 0x10, 1, 0, 0, 16]);
    assert_eq!(
        long[8..24],
        [BLOCKS.to_be_bytes(), 512_u64.to_be_bytes()].concat()
    );
    let huge = data(run(&mut sized(u64::MAX), &[0x1a, 0, 0x0a, 0, 12, 0]));
    assert_eq!(huge[4..8], [0xff; 4]);
}

#[test]
fn report_luns_lists_lun_0() {
    let mut unit = unit();
    let report = |unit: &mut LogicalUnit, select: u8, length: u8| {
        run(unit, &[0xa0, 0, select, 0, 0, 0, 0, 0, 0, length, 0, 0])
    };
    let lun_0 = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(data(report(&mut unit, 0, 16)), lun_0);
    assert_eq!(data(report(&mut unit, 2, 255)), lun_0);
    assert_eq!(data(report(&mut unit, 1, 255)), [0; 8]);
    assert_eq!(sense(report(&mut unit, 0, 15)), INVALID_CDB_FIELD);
    assert_eq!(sense(report(&mut unit, 3, 16)), INVALID_CDB_FIELD);
}

#[test]
fn the_table_of_commands_is_sound() {
    for (index, command) in COMMANDS.iter().enumerate() {
        let length = match command.opcode >> 5 {
            0 => 6,
            1 | 2 => 10,
            4 => 16,
            5 => 12,
            group => panic!("group {group}"),
        };
        assert_eq!(
            (command.usage.len(), command.usage[0]),
            (length, command.opcode)
        );
        let same = |other: &&crate::opcodes::Command| {
            (other.opcode, other.service_action) == (command.opcode, command.service_action)
        };
        assert_eq!(COMMANDS.iter().position(|other| same(&other)), Some(index));
    }
}

fn report_opcodes(unit: &mut LogicalUnit, options: u8, opcode: u8, action: u8) -> Step {
    run(
        unit,
        &[0xa3, 0x0c, options, opcode, 0, action, 0, 0, 0x10, 0, 0, 0],
    )
}

#[test]
fn supported_operation_codes_are_listed() {
    let mut unit = unit();
    let all = data(report_opcodes(&mut unit, 0, 0, 0));
    assert_eq!(all.len(), 4 + 8 * COMMANDS.len());
    assert_eq!(all[..4], (8 * COMMANDS.len() as u32).to_be_bytes());
    assert!(
        all[4..]
            .chunks_exact(8)
            .any(|entry| *entry == [0x9e, 0, 0, 0x10, 0, 1, 0, 16])
    );
    assert_eq!(
        data(report_opcodes(&mut unit, 0x80, 0, 0)).len(),
        4 + 20 * COMMANDS.len()
    );
}

#[test]
fn one_operation_code_is_described() {
    let mut unit = unit();
    let inquiry = [0, 3, 0, 6, 0x12, 0x03, 0xff, 0xff, 0xff, 0x04];
    assert_eq!(data(report_opcodes(&mut unit, 1, 0x12, 0)), inquiry);
    assert_eq!(data(report_opcodes(&mut unit, 3, 0x12, 0)), inquiry);
    assert_eq!(data(report_opcodes(&mut unit, 0x81, 0x12, 0)).len(), 22);
    assert_eq!(
        data(report_opcodes(&mut unit, 2, 0x9e, 0x10))[..6],
        [0, 3, 0, 16, 0x9e, 0x10]
    );
    for (options, opcode, action) in [
        (1, 0x50, 0),
        (2, 0x50, 0),
        (2, 0x9e, 0x11),
        (3, 0x9e, 0),
        (3, 0x12, 1),
    ] {
        assert_eq!(
            data(report_opcodes(&mut unit, options, opcode, action)),
            [0, 1, 0, 0]
        );
    }
    for (options, opcode) in [(1, 0x9e), (2, 0x12), (4, 0x12)] {
        assert_eq!(
            sense(report_opcodes(&mut unit, options, opcode, 0x10)),
            INVALID_CDB_FIELD
        );
    }
}

#[test]
fn log_pages_are_listed_and_tell_of_no_exception() {
    let mut unit = unit();
    let mut log = |page: u8, subpage: u8, pointer: u8, length: u8| {
        run(
            &mut unit,
            &[0x4d, 0, page, subpage, 0, 0, pointer, 0, length, 0],
        )
    };
    assert_eq!(data(log(0x40, 0, 0, 255)), [0, 0, 0, 2, 0x00, 0x2f]);
    assert_eq!(data(log(0x40, 0, 0, 5)), [0, 0, 0, 2, 0x00]);
    assert_eq!(
        data(log(0x40, 0xff, 0, 255)),
        [0x40, 0xff, 0, 6, 0, 0, 0, 0xff, 0x2f, 0]
    );
    assert_eq!(
        data(log(0x6f, 0, 0, 255)),
        [0x2f, 0, 0, 8, 0, 0, 3, 4, 0, 0, 0xff, 0]
    );
    for (page, subpage, pointer) in [(0x42, 0, 0), (0x6f, 1, 0), (0x6f, 0, 1)] {
        assert_eq!(sense(log(page, subpage, pointer, 255)), INVALID_CDB_FIELD);
    }
    assert_eq!(sense(run(&mut unit, &[0x4d, 0x01])), INVALID_CDB_FIELD);
}
