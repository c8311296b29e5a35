//! LOG SENSE (SPC-4 §6.8): the list of pages, with and without subpages, and informational exceptions (SPC-4 §7.3.9), of which there are
//! none: what goes wrong with a copy takes the node's path away.

use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::Sense;

const SUPPORTED: u8 = 0x00;
const EXCEPTIONS: u8 = 0x2f;
const ALL_SUBPAGES: u8 = 0xff;
/// SPF: the page has a subpage code.
const SUBPAGE_FORMAT: u8 = 0x40;
/// Parameter 0000h in the binary format of a list: no additional sense code, and no temperature.
const NO_EXCEPTION: [u8; 8] = [0, 0, 0x03, 4, 0, 0, 0xff, 0];

/// LOG SENSE.
pub(crate) fn log_sense(_unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    // SP: nothing can be saved.
    if request.bit(1, 0) {
        return Err(Sense::invalid_cdb_field(1, Some(0)));
    }
    let (page, subpage) = (request.byte(2) & 0x3f, request.byte(3));
    let (head, body) = match (page, subpage) {
        (SUPPORTED, 0) => (SUPPORTED, vec![SUPPORTED, EXCEPTIONS]),
        (SUPPORTED, ALL_SUBPAGES) => {
            let pairs = [[SUPPORTED, 0], [SUPPORTED, ALL_SUBPAGES], [EXCEPTIONS, 0]];
            (SUPPORTED | SUBPAGE_FORMAT, pairs.concat())
        }
        (EXCEPTIONS, 0) => (EXCEPTIONS, NO_EXCEPTION.to_vec()),
        (SUPPORTED | EXCEPTIONS, _) => return Err(Sense::invalid_cdb_field(3, None)),
        _ => return Err(Sense::invalid_cdb_field(2, Some(5))),
    };
    // PARAMETER POINTER: no page has a parameter behind the first.
    if request.number(5, 2) != 0 {
        return Err(Sense::invalid_cdb_field(5, None));
    }
    let [high, low] = (body.len() as u16).to_be_bytes();
    let data = [vec![head, subpage, high, low], body].concat();
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(7, 2),
    )))
}
