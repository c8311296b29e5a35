//! What every logical unit answers: INQUIRY (SPC-4 §6.6), REPORT LUNS (§6.33), REQUEST SENSE (§6.39), TEST UNIT READY (§6.47).

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::opcodes::{INQUIRY, REQUEST_SENSE};
use crate::response::{Response, Step};
use crate::sense::Sense;
use crate::vpd;

/// T10 VENDOR IDENTIFICATION.
pub(crate) const VENDOR: &[u8; 8] = b"QUADSTOR";
/// PRODUCT IDENTIFICATION.
pub(crate) const PRODUCT: &[u8; 16] = b"VDISK           ";

/// Peripheral qualifier 3 and device type 1Fh: no logical unit here.
const ABSENT: u8 = 0x7f;
/// SPC-4.
const VERSION: u8 = 0x06;
/// HISUP and response data format 2.
const FORMAT: u8 = 0x12;
/// TPGS 01b: implicit asymmetric access.
const TPGS_IMPLICIT: u8 = 0x10;
/// 3PC: third-party copies.
const THIRD_PARTY_COPY: u8 = 0x08;
const MULTIP: u8 = 0x10;
const CMDQUE: u8 = 0x02;
/// SAM-5, SPC-4, SBC-3, iSCSI (SPC-4 table 142), no version claimed.
const VERSION_DESCRIPTORS: [u16; 4] = [0x00a0, 0x0460, 0x04c0, 0x0960];
const STANDARD_BYTES: usize = 96;

/// INQUIRY.
pub(crate) fn inquiry(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    check(request)?;
    let data = match (request.bit(1, 0), request.byte(2)) {
        (true, page) => vpd::page(unit, page).ok_or(Sense::invalid_cdb_field(2, None))?,
        (false, 0) => standard(0x00, &unit.identity().revision),
        (false, _) => return Err(Sense::invalid_cdb_field(2, None)),
    };
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(3, 2),
    )))
}

fn check(request: &Request<'_>) -> Result<(), Sense> {
    // CMDDT, obsolete: its data would be another format.
    if request.bit(1, 1) {
        Err(Sense::invalid_cdb_field(1, Some(1)))
    } else {
        Ok(())
    }
}

fn standard(peripheral: u8, revision: &[u8; 4]) -> Vec<u8> {
    let mut data = vec![
        peripheral,
        0,
        VERSION,
        FORMAT,
        (STANDARD_BYTES - 5) as u8,
        TPGS_IMPLICIT | THIRD_PARTY_COPY,
        MULTIP,
        CMDQUE,
    ];
    data.extend_from_slice(VENDOR);
    data.extend_from_slice(PRODUCT);
    data.extend_from_slice(revision);
    data.resize(58, 0);
    for descriptor in VERSION_DESCRIPTORS {
        data.extend_from_slice(&descriptor.to_be_bytes());
    }
    data.resize(STANDARD_BYTES, 0);
    data
}

/// A command to a LUN that has no logical unit (SPC-4 §6.6.2, SAM-5 §4.7).
pub(crate) fn absent(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    match request.byte(0) {
        INQUIRY => {
            check(request)?;
            let data = match (request.bit(1, 0), request.byte(2)) {
                (false, 0) => standard(ABSENT, &unit.identity().revision),
                (true, 0) => vec![ABSENT, 0, 0, 1, 0],
                _ => return Err(Sense::invalid_cdb_field(2, None)),
            };
            Ok(Step::Done(Response::parameter_data(
                data,
                request.number(3, 2),
            )))
        }
        REQUEST_SENSE => request_sense(
            unit,
            &Request {
                pending: Sense::LUN_NOT_SUPPORTED,
                ..*request
            },
        ),
        _ => Err(Sense::LUN_NOT_SUPPORTED),
    }
}

/// REPORT LUNS: the only logical unit is LUN 0, and there are no well-known ones.
pub(crate) fn report_luns(_unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    const SMALLEST: u64 = 16;
    let luns: &[u64] = match request.byte(2) {
        0x00 | 0x02 => &[0],
        0x01 => &[],
        _ => return Err(Sense::invalid_cdb_field(2, None)),
    };
    let length = request.number(6, 4);
    if length < SMALLEST {
        return Err(Sense::invalid_cdb_field(6, None));
    }
    let mut data = (8 * luns.len() as u32).to_be_bytes().to_vec();
    data.extend_from_slice(&[0; 4]);
    data.extend(luns.iter().flat_map(|lun| lun.to_be_bytes()));
    Ok(Step::Done(Response::parameter_data(data, length)))
}

/// REQUEST SENSE: the pending unit attention, or why TEST UNIT READY would fail, or nothing.
pub(crate) fn request_sense(_unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let data = if request.bit(1, 0) {
        request.pending.to_descriptor()
    } else {
        request.pending.to_fixed().to_vec()
    };
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(4, 1),
    )))
}

/// TEST UNIT READY; the access state has been checked already.
pub(crate) fn test_unit_ready(_unit: &LogicalUnit, _request: &Request<'_>) -> Result<Step, Sense> {
    Ok(Step::Done(Response::good()))
}
