//! Every command that there is, by operation code.

use crate::alua::report_target_port_groups;
use crate::capacity::{read_capacity_10, read_capacity_16, synchronize_cache};
use crate::compare_and_write::{compare_and_write, or_write};
use crate::inquiry::{inquiry, report_luns, request_sense, test_unit_ready};
use crate::lba_status::get_lba_status;
use crate::log::log_sense;
use crate::medium::{prevent_allow, read_defect_data_10, read_defect_data_12, start_stop};
use crate::mode::{mode_select, mode_sense_6, mode_sense_10};
use crate::opcodes::Answered::{Always, Serving, Standby};
use crate::opcodes::{Command, action, command, report_opcodes, report_task_functions, sparing};
use crate::read_write::{read, write, write_atomic};
use crate::reservations::{persistent_reserve_in, persistent_reserve_out};
use crate::reserve_release::reserve_release;
use crate::sanitize::sanitize;
use crate::third_party::{extended_copy, offload, receive_copy_results, receive_token_information};
use crate::unmap::unmap;
use crate::verify::{prefetch, verify, write_and_verify};
use crate::write_same::write_same;

/// The commands.
pub(crate) static COMMANDS: &[Command] = &[
    command(&[0x00, 0, 0, 0, 0, NACA], Serving, test_unit_ready),
    sparing(command(
        &[0x03, 0x01, 0, 0, 0xff, NACA],
        Always,
        request_sense,
    )),
    command(&[0x08, 0x1f, 0xff, 0xff, 0xff, NACA], Serving, read),
    command(&[0x0a, 0x1f, 0xff, 0xff, 0xff, NACA], Serving, write),
    sparing(command(
        &[0x12, 0x03, 0xff, 0xff, 0xff, NACA],
        Always,
        inquiry,
    )),
    command(&[0x15, 0x11, 0, 0, 0xff, NACA], Serving, mode_select),
    command(&[0x16, 0, 0, 0, 0, NACA], Serving, reserve_release),
    command(&[0x17, 0, 0, 0, 0, NACA], Serving, reserve_release),
    command(&[0x1a, 0x08, 0xff, 0xff, 0xff, NACA], Standby, mode_sense_6),
    command(&[0x1b, 0x01, 0, 0x0f, 0xf7, NACA], Serving, start_stop),
    command(&[0x1e, 0, 0, 0, 0x03, NACA], Serving, prevent_allow),
    command(
        &[0x25, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, NACA],
        Serving,
        read_capacity_10,
    ),
    command(&range_10(0x28, 0xfc), Serving, read),
    command(&range_10(0x2a, 0xf8), Serving, write),
    command(&range_10(0x2e, 0xf6), Serving, write_and_verify),
    command(&range_10(0x2f, 0xf6), Serving, verify),
    command(&range_10(0x34, 0x02), Serving, prefetch),
    command(&range_10(0x35, 0x02), Serving, synchronize_cache),
    command(
        &[0x37, 0, 0x1f, 0, 0, 0, 0, 0xff, 0xff, NACA],
        Serving,
        read_defect_data_10,
    ),
    command(&range_10(0x41, 0xf8), Serving, write_same),
    command(
        &[0x42, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, NACA],
        Serving,
        unmap,
    ),
    action(&sanitize_cdb(0xa1, 0xff), Serving, sanitize),
    action(&sanitize_cdb(0xa2, 0), Serving, sanitize),
    action(&sanitize_cdb(0xbf, 0), Serving, sanitize),
    command(
        &[0x4d, 0x01, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, NACA],
        Standby,
        log_sense,
    ),
    command(
        &[0x55, 0x11, 0, 0, 0, 0, 0, 0xff, 0xff, NACA],
        Serving,
        mode_select,
    ),
    command(
        &[0x56, 0, 0, 0, 0, 0, 0, 0, 0, NACA],
        Serving,
        reserve_release,
    ),
    command(
        &[0x57, 0, 0, 0, 0, 0, 0, 0, 0, NACA],
        Serving,
        reserve_release,
    ),
    command(
        &[0x5a, 0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, NACA],
        Standby,
        mode_sense_10,
    ),
    reserve_in(&[0x5e, 0x00, 0, 0, 0, 0, 0, 0xff, 0xff, NACA]),
    reserve_in(&[0x5e, 0x01, 0, 0, 0, 0, 0, 0xff, 0xff, NACA]),
    reserve_in(&[0x5e, 0x02, 0, 0, 0, 0, 0, 0xff, 0xff, NACA]),
    reserve_in(&[0x5e, 0x03, 0, 0, 0, 0, 0, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x00, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x01, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x02, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x03, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x04, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x05, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x06, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    reserve_out(&[0x5f, 0x07, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, NACA]),
    action(&third_party(0x83, 0x00, 0), Serving, extended_copy),
    action(&token_cdb(0x83, 0x10, 6), Serving, offload),
    action(&token_cdb(0x83, 0x11, 6), Serving, offload),
    action(
        &third_party(0x84, 0x00, 0xff),
        Serving,
        receive_copy_results,
    ),
    action(
        &third_party(0x84, 0x01, 0xff),
        Serving,
        receive_copy_results,
    ),
    action(&third_party(0x84, 0x03, 0), Serving, receive_copy_results),
    action(
        &third_party(0x84, 0x04, 0xff),
        Serving,
        receive_copy_results,
    ),
    action(
        &token_cdb(0x84, 0x07, 2),
        Serving,
        receive_token_information,
    ),
    command(&range_16(0x88, 0xfc), Serving, read),
    command(&range_16(0x8a, 0xf8), Serving, write),
    command(&COMPARE_AND_WRITE, Serving, compare_and_write),
    command(&range_16(0x8b, 0xf8), Serving, or_write),
    command(&range_16(0x8e, 0xf6), Serving, write_and_verify),
    command(&range_16(0x8f, 0xf6), Serving, verify),
    command(&range_16(0x90, 0x02), Serving, prefetch),
    command(&range_16(0x91, 0x02), Serving, synchronize_cache),
    command(&range_16(0x93, 0xf9), Serving, write_same),
    command(&range_16(0x9c, 0xf8), Serving, write_atomic),
    action(&service_action_in_16(0x10, 0), Serving, read_capacity_16),
    action(&service_action_in_16(0x12, 0xff), Serving, get_lba_status),
    sparing(command(
        &with_allocation(0xa0, 0, 0xff),
        Always,
        report_luns,
    )),
    action(
        &with_allocation(0xa3, 0xea, 0),
        Always,
        report_target_port_groups,
    ),
    action(
        &[
            0xa3, 0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, NACA,
        ],
        Serving,
        report_opcodes,
    ),
    action(
        &with_allocation(0xa3, 0x0d, 0x80),
        Serving,
        report_task_functions,
    ),
    command(&range_12(0xa8, 0xfc), Serving, read),
    command(&range_12(0xaa, 0xf8), Serving, write),
    command(&range_12(0xae, 0xf6), Serving, write_and_verify),
    command(&range_12(0xaf, 0xf6), Serving, verify),
    command(
        &[
            0xb7, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, NACA,
        ],
        Serving,
        read_defect_data_12,
    ),
];

const fn reserve_in(usage: &'static [u8]) -> Command {
    action(usage, Serving, persistent_reserve_in)
}

const fn reserve_out(usage: &'static [u8]) -> Command {
    action(usage, Serving, persistent_reserve_out)
}

/// The bit of the control byte that is looked at (SAM-5 §5.2).
const NACA: u8 = 0x04;

/// Usage data of a SANITIZE; `length`: of each byte of the parameter list length.
const fn sanitize_cdb(flags: u8, length: u8) -> [u8; 10] {
    [0x48, flags, 0, 0, 0, 0, 0, length, length, NACA]
}

/// Usage data of a third-party copy command; `identifier`: of the list identifier.
const fn third_party(opcode: u8, action: u8, identifier: u8) -> [u8; 16] {
    let mut usage = [0; 16];
    usage[0] = opcode;
    usage[1] = action;
    usage[2] = identifier;
    let mut byte = 10;
    while byte < 14 {
        usage[byte] = 0xff;
        byte += 1;
    }
    usage[15] = NACA;
    usage
}

/// The same with a list identifier of four bytes from byte `at`.
const fn token_cdb(opcode: u8, action: u8, at: usize) -> [u8; 16] {
    let mut usage = third_party(opcode, action, 0);
    let mut byte = at;
    while byte < at + 4 {
        usage[byte] = 0xff;
        byte += 1;
    }
    usage
}

/// Its length stands in a byte of its own.
const COMPARE_AND_WRITE: [u8; 16] = [
    0x89, 0xf8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0xff, 0, NACA,
];

/// Usage data of a CDB of 10 bytes with an LBA and a length; `flags`: byte 1.
const fn range_10(opcode: u8, flags: u8) -> [u8; 10] {
    [opcode, flags, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff, NACA]
}

/// The same for 12 bytes.
const fn range_12(opcode: u8, flags: u8) -> [u8; 12] {
    [
        opcode, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, NACA,
    ]
}

/// The same for 16 bytes.
const fn range_16(opcode: u8, flags: u8) -> [u8; 16] {
    let mut usage = [0xff; 16];
    usage[0] = opcode;
    usage[1] = flags;
    usage[14] = 0;
    usage[15] = NACA;
    usage
}

/// SERVICE ACTION IN (16) with an allocation length; `lba`: of each byte of the LBA.
const fn service_action_in_16(action: u8, lba: u8) -> [u8; 16] {
    let mut usage = [lba; 16];
    usage[0] = 0x9e;
    usage[1] = action;
    let mut byte = 10;
    while byte < 14 {
        usage[byte] = 0xff;
        byte += 1;
    }
    usage[14] = 0;
    usage[15] = NACA;
    usage
}

/// A CDB of 12 bytes with an allocation length in bytes 6 to 9.
const fn with_allocation(opcode: u8, first: u8, second: u8) -> [u8; 12] {
    [
        opcode, first, second, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, NACA,
    ]
}
