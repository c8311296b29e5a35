//! A parameter list of MODE SELECT (SPC-4 §7.5.2 to §7.5.5), read and checked.

use super::pages::{PAGES, Values, changeable};
use crate::logical_unit::LogicalUnit;
use crate::sense::Sense;

/// SUBPAGE FORMAT in the first byte of a page.
const SUBPAGE_FORMAT: u8 = 0x40;
const PAGE_CODE: u8 = 0x3f;
const LONG_LBA: u8 = 0x01;

/// The header's layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// Four bytes: MODE SELECT (6).
    Short,
    /// Eight bytes: MODE SELECT (10).
    Long,
}

/// Carry a parameter list out on `current` values of `unit`. Also true when there are pages in it.
///
/// # Errors
/// Sense data that points at what is wrong.
pub(crate) fn apply(
    list: &[u8],
    header: Header,
    current: Values,
    unit: &LogicalUnit,
) -> Result<(Values, bool), Sense> {
    let mut values = current;
    let mut at = past_descriptors(list, header, unit)?;
    let has_pages = at < list.len();
    while at < list.len() {
        at += take_page(list, at, current, &mut values)?;
    }
    Ok((values, has_pages))
}

/// Check header and block descriptor; where the pages begin.
fn past_descriptors(list: &[u8], header: Header, unit: &LogicalUnit) -> Result<usize, Sense> {
    let (length, medium_type, long) = match header {
        Header::Short => (4, 1, false),
        Header::Long => (8, 2, list.get(4).is_some_and(|byte| byte & LONG_LBA != 0)),
    };
    let head = list.get(..length).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    // A direct access block device has medium type 0; the device-specific parameter is not looked at (SBC-3 §6.5.1).
    if head[medium_type] != 0 {
        return Err(Sense::invalid_parameter(medium_type as u16));
    }
    let (descriptor, length_at) = match header {
        Header::Short => (usize::from(head[3]), 3),
        Header::Long => (usize::from(u16::from_be_bytes([head[6], head[7]])), 6),
    };
    let one = if long { 16 } else { 8 };
    if descriptor != 0 && descriptor != one {
        return Err(Sense::invalid_parameter(length_at));
    }
    let end = length + descriptor;
    let bytes = list.get(length..end).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    check_descriptor(bytes, length as u16, unit)?;
    Ok(end)
}

/// The size of the disk and of its blocks cannot be changed (SBC-3 §6.5.2): 0 and the highest number of blocks mean that it is as it
/// is.
fn check_descriptor(bytes: &[u8], at: u16, unit: &LogicalUnit) -> Result<(), Sense> {
    let number = |bytes: &[u8]| {
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    };
    let (said, highest, block_at, block_bytes) = match bytes.len() {
        8 => (
            number(&bytes[..4]),
            u64::from(u32::MAX),
            5,
            number(&bytes[5..]),
        ),
        16 => (number(&bytes[..8]), u64::MAX, 12, number(&bytes[12..])),
        _ => return Ok(()),
    };
    if said != 0 && said != highest && said != unit.blocks() {
        return Err(Sense::invalid_parameter(at));
    }
    if block_bytes != unit.block().bytes() {
        return Err(Sense::invalid_parameter(at + block_at));
    }
    Ok(())
}

/// Take over the page at `at`; its length.
fn take_page(list: &[u8], at: usize, current: Values, values: &mut Values) -> Result<usize, Sense> {
    let &[first, length, ..] = &list[at..] else {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    };
    if first & SUBPAGE_FORMAT != 0 {
        return Err(Sense::invalid_parameter_bit(at as u16, 6));
    }
    let default = PAGES
        .iter()
        .find(|page| page[0] == first & PAGE_CODE)
        .ok_or(Sense::invalid_parameter_bit(at as u16, 5))?;
    if usize::from(length) != default.len() - 2 {
        return Err(Sense::invalid_parameter(at as u16 + 1));
    }
    let end = at + default.len();
    let page = list.get(at..end).ok_or(Sense::PARAMETER_LIST_LENGTH)?;
    let (now, mask) = (current.page(default), changeable(default));
    for byte in 2..page.len() {
        let wrong = (page[byte] ^ now[byte]) & !mask[byte];
        if wrong != 0 {
            let bit = wrong.ilog2() as u8;
            return Err(Sense::invalid_parameter_bit((at + byte) as u16, bit));
        }
    }
    // PS is reserved here: initiators that send back what they were told leave it set.
    let page = [&[default[0]], &page[1..]].concat();
    values
        .take(&page)
        .map_err(|(byte, bit)| Sense::invalid_parameter_bit((at + byte) as u16, bit))?;
    Ok(default.len())
}
