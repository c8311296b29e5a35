//! Vital product data pages (SPC-4 §7.8, SBC-3 §6.6).

use std::fmt::Write as _;

use crate::inquiry::{PRODUCT, VENDOR};
use crate::limits::{BlockSize, UNMAP_DESCRIPTORS_MAX};
use crate::logical_unit::LogicalUnit;
use crate::third_party;
use crate::third_party::Designator;

const PAGES: [u8; 7] = [0x00, 0x80, 0x83, 0x8f, 0xb0, 0xb1, 0xb2];

/// Code set, designator type and association of designators (SPC-4 §7.8.6.1).
const BINARY: u8 = 0x01;
const ASCII: u8 = 0x02;
const OF_TARGET_PORT: u8 = 0x10;
const TYPE_T10_VENDOR: u8 = 0x01;
const TYPE_NAA: u8 = 0x03;
const TYPE_RELATIVE_PORT: u8 = 0x04;
const TYPE_PORT_GROUP: u8 = 0x05;
/// PIV, and iSCSI as the protocol identifier.
const PIV: u8 = 0x80;
const PROTOCOL_ISCSI: u8 = 0x50;

/// A whole page; `None`: there is no such page.
pub(crate) fn page(unit: &LogicalUnit, code: u8) -> Option<Vec<u8>> {
    let body = match code {
        0x00 => PAGES.to_vec(),
        0x80 => serial_digits(unit).into_bytes(),
        0x83 => designators(unit),
        0x8f => third_party::page(unit.block()),
        0xb0 => block_limits(unit.block()),
        0xb1 => characteristics(),
        0xb2 => provisioning(),
        _ => return None,
    };
    let [high, low] = (body.len() as u16).to_be_bytes();
    let mut page = vec![0, code, high, low];
    page.extend_from_slice(&body);
    Some(page)
}

fn serial_digits(unit: &LogicalUnit) -> String {
    unit.identity()
        .serial
        .iter()
        .fold(String::with_capacity(32), |mut digits, byte| {
            write!(digits, "{byte:02x}").expect("writing to a String cannot fail");
            digits
        })
}

/// True when a designator of a copy's parameter list names the logical unit. Only the NAA designator has room there.
pub(crate) fn is_named(unit: &LogicalUnit, designator: &Designator) -> bool {
    (designator.code_set, designator.kind) == (BINARY, TYPE_NAA)
        && designator.bytes == unit.identity().serial
}

fn designators(unit: &LogicalUnit) -> Vec<u8> {
    let mut list = Vec::new();
    let mut push = |code_set: u8, kind: u8, designator: &[u8]| {
        list.extend_from_slice(&[code_set, kind, 0, designator.len() as u8]);
        list.extend_from_slice(designator);
    };
    let vendor = [VENDOR.as_slice(), PRODUCT, serial_digits(unit).as_bytes()].concat();
    let [high, low] = unit.group_tag().to_be_bytes();
    push(BINARY, TYPE_NAA, &unit.identity().serial);
    push(ASCII, TYPE_T10_VENDOR, &vendor);
    push(
        PROTOCOL_ISCSI | BINARY,
        PIV | OF_TARGET_PORT | TYPE_RELATIVE_PORT,
        &[0, 0, high, low],
    );
    push(
        PROTOCOL_ISCSI | BINARY,
        PIV | OF_TARGET_PORT | TYPE_PORT_GROUP,
        &[0, 0, high, low],
    );
    list
}

fn block_limits(block: BlockSize) -> Vec<u8> {
    let mut body = vec![0; 0x3c];
    let mut put = |page_offset: usize, bytes: &[u8]| {
        body[page_offset - 4..page_offset - 4 + bytes.len()].copy_from_slice(bytes)
    };
    let number = |number: u64| (number as u32).to_be_bytes();
    let granularity = number(block.physical_blocks());
    put(5, &[block.compare_blocks_max() as u8]);
    put(6, &granularity[2..]);
    put(8, &number(block.transfer_blocks_max()));
    put(12, &number(block.transfer_blocks_optimal()));
    put(20, &number(block.unmap_blocks_max()));
    put(24, &number(UNMAP_DESCRIPTORS_MAX as u64));
    put(28, &granularity);
    put(32, &0x8000_0000_u32.to_be_bytes()); // UGAVALID, alignment 0
    put(36, &block.write_same_blocks_max().to_be_bytes());
    put(44, &number(block.atomic_blocks_max()));
    put(48, &granularity); // ATOMIC ALIGNMENT
    put(52, &granularity);
    body
}

fn characteristics() -> Vec<u8> {
    let mut body = vec![0; 0x3c];
    body[1] = 1; // MEDIUM ROTATION RATE: not rotating
    body[3] = 0x40; // WABEREQ 01b: blocks can be read after a block erase
    body
}

fn provisioning() -> Vec<u8> {
    const LBPU: u8 = 0x80;
    const LBPWS: u8 = 0x40;
    const LBPWS10: u8 = 0x20;
    const LBPRZ: u8 = 0x04;
    const THIN: u8 = 0x02;
    vec![0, LBPU | LBPWS | LBPWS10 | LBPRZ, THIN, 0]
}
