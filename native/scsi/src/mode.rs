//! MODE SENSE (SPC-4 §6.11, §6.12) and the mode pages (SPC-4 §7.5, SBC-3 §6.5). Nothing can be changed or saved.

use crate::capacity::block_length;
use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::Sense;

const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;
/// Device-specific parameter: not write protected, DPOFUA.
const DEVICE_SPECIFIC: u8 = 0x10;
const LONG_LBA: u8 = 0x01;

/// Read-write error recovery (SBC-3 §6.5.7): no retries or limits to set.
const ERROR_RECOVERY: [u8; 12] = [0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// Caching (SBC-3 §6.5.5): WCE.
const CACHING: [u8; 20] = [
    0x08, 0x12, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];
/// Control (SPC-4 §7.5.8): GLTSD, fixed format sense data, unrestricted reordering.
const CONTROL: [u8; 12] = [0x0a, 0x0a, 0x02, 0x10, 0, 0, 0, 0, 0, 0, 0, 0];
/// Informational exceptions control (SBC-3 §6.5.8): DEXCPT.
const EXCEPTIONS: [u8; 12] = [0x1c, 0x0a, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0];

static PAGES: [&[u8]; 4] = [&ERROR_RECOVERY, &CACHING, &CONTROL, &EXCEPTIONS];

/// MODE SENSE (6).
pub(crate) fn mode_sense_6(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let pages = pages(request)?;
    let descriptor = if request.bit(1, 3) {
        Vec::new()
    } else {
        short_descriptor(unit)
    };
    let length = 3 + descriptor.len() + pages.len();
    let data = [
        &[length as u8, 0, DEVICE_SPECIFIC, descriptor.len() as u8],
        descriptor.as_slice(),
        &pages,
    ]
    .concat();
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(4, 1),
    )))
}

/// MODE SENSE (10).
pub(crate) fn mode_sense_10(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let pages = pages(request)?;
    let (descriptor, long) = match (request.bit(1, 3), request.bit(1, 4)) {
        (true, _) => (Vec::new(), 0),
        (false, false) => (short_descriptor(unit), 0),
        (false, true) => (long_descriptor(unit), LONG_LBA),
    };
    let [high, low] = ((6 + descriptor.len() + pages.len()) as u16).to_be_bytes();
    let header = [
        high,
        low,
        0,
        DEVICE_SPECIFIC,
        long,
        0,
        0,
        descriptor.len() as u8,
    ];
    let data = [&header, descriptor.as_slice(), &pages].concat();
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(7, 2),
    )))
}

fn pages(request: &Request<'_>) -> Result<Vec<u8>, Sense> {
    const CHANGEABLE: u8 = 1;
    const SAVED: u8 = 3;
    let (control, code) = (request.byte(2) >> 6, request.byte(2) & 0x3f);
    let mut found: Vec<Vec<u8>> = PAGES
        .iter()
        .filter(|page| code == ALL_PAGES || page[0] == code)
        .map(|page| page.to_vec())
        .collect();
    if found.is_empty() {
        return Err(Sense::invalid_cdb_field(2, Some(5)));
    }
    if ![0, ALL_SUBPAGES].contains(&request.byte(3)) {
        return Err(Sense::invalid_cdb_field(3, None));
    }
    match control {
        SAVED => return Err(Sense::SAVING_NOT_SUPPORTED),
        CHANGEABLE => found.iter_mut().for_each(|page| page[2..].fill(0)),
        _ => {}
    }
    Ok(found.concat())
}

/// SBC-3 §6.5.2.2.
fn short_descriptor(unit: &LogicalUnit) -> Vec<u8> {
    let blocks = u32::try_from(unit.blocks()).unwrap_or(u32::MAX);
    [blocks.to_be_bytes(), block_length(unit)].concat()
}

/// SBC-3 §6.5.2.3.
fn long_descriptor(unit: &LogicalUnit) -> Vec<u8> {
    [
        unit.blocks().to_be_bytes(),
        unit.block().bytes().to_be_bytes(),
    ]
    .concat()
}
