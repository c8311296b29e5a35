//! MODE SENSE (SPC-4 §6.11, §6.12).

use super::modes::Modes;
use super::pages::{PAGES, Values, changeable, is_savable};
use crate::capacity::block_length;
use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::Sense;

const ALL_PAGES: u8 = 0x3f;
const ALL_SUBPAGES: u8 = 0xff;
/// Device-specific parameter (SBC-3 §6.5.1).
const DPOFUA: u8 = 0x10;
const WRITE_PROTECTED: u8 = 0x80;
/// PARAMETERS SAVEABLE in the first byte of a page.
const SAVABLE: u8 = 0x80;
const LONG_LBA: u8 = 0x01;

/// MODE SENSE (6).
pub(crate) fn mode_sense_6(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let modes = unit.readable_state()?.modes;
    let pages = pages(modes, request)?;
    let descriptor = if request.bit(1, 3) {
        Vec::new()
    } else {
        short_descriptor(unit)
    };
    let length = 3 + descriptor.len() + pages.len();
    let data = [
        &[
            length as u8,
            0,
            device_specific(modes),
            descriptor.len() as u8,
        ],
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
    let modes = unit.readable_state()?.modes;
    let pages = pages(modes, request)?;
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
        device_specific(modes),
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

fn device_specific(modes: Modes) -> u8 {
    DPOFUA
        | if modes.current.write_protect() {
            WRITE_PROTECTED
        } else {
            0
        }
}

fn pages(modes: Modes, request: &Request<'_>) -> Result<Vec<u8>, Sense> {
    let code = request.byte(2) & 0x3f;
    let image = |page: &[u8]| {
        let mut bytes = match request.byte(2) >> 6 {
            0 => modes.current.page(page),
            1 => changeable(page),
            2 => Values::default().page(page),
            _ => modes.saved.page(page),
        };
        if is_savable(page) {
            bytes[0] |= SAVABLE;
        }
        bytes
    };
    let wanted = |page: &&&[u8]| code == ALL_PAGES || page[0] == code;
    let found: Vec<_> = PAGES
        .iter()
        .filter(wanted)
        .map(|page| image(page))
        .collect();
    if found.is_empty() {
        return Err(Sense::invalid_cdb_field(2, Some(5)));
    }
    if ![0, ALL_SUBPAGES].contains(&request.byte(3)) {
        return Err(Sense::invalid_cdb_field(3, None));
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
