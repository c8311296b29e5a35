//! PERSISTENT RESERVE IN (SPC-4 §6.15).

use super::table::Table;
use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::Sense;

/// SIP_C, ATP_C, PTPL_C: SPEC_I_PT, ALL_TG_PT and persistence are there.
const CAPABLE: u8 = 0x08 | 0x04 | 0x01;
/// The type mask is valid.
const TMV: u8 = 0x80;
/// All six types (SPC-4 table 235).
const TYPE_MASK: [u8; 2] = [0xea, 0x01];

/// PERSISTENT RESERVE IN.
pub(crate) fn persistent_reserve_in(
    unit: &LogicalUnit,
    request: &Request<'_>,
) -> Result<Step, Sense> {
    let table = &unit.readable_state()?.reservations;
    let data = match request.byte(1) & 0x1f {
        0 => read_keys(table),
        1 => read_reservation(table),
        2 => vec![
            0,
            8,
            CAPABLE,
            TMV | u8::from(table.aptpl),
            TYPE_MASK[0],
            TYPE_MASK[1],
            0,
            0,
        ],
        3 => read_full_status(table),
        _ => return Err(Sense::invalid_cdb_field(1, Some(4))),
    };
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(7, 2),
    )))
}

fn with_header(table: &Table, list: &[u8]) -> Vec<u8> {
    let length = list.len() as u32;
    [&table.generation.to_be_bytes(), &length.to_be_bytes(), list].concat()
}

fn read_keys(table: &Table) -> Vec<u8> {
    let keys = table.registrations.iter();
    let list: Vec<_> = keys.flat_map(|one| one.key.to_be_bytes()).collect();
    with_header(table, &list)
}

fn read_reservation(table: &Table) -> Vec<u8> {
    let Some(held) = &table.reservation else {
        return with_header(table, &[]);
    };
    let key = if held.kind.is_all() {
        0
    } else {
        table.key_of(&held.holder).unwrap_or(0)
    };
    let mut list = [0; 16];
    list[..8].copy_from_slice(&key.to_be_bytes());
    list[13] = held.kind as u8;
    with_header(table, &list)
}

fn read_full_status(table: &Table) -> Vec<u8> {
    let mut list = Vec::new();
    for one in &table.registrations {
        let id = one.nexus.initiator.transport_id();
        let holds = table.is_holder(&one.nexus);
        let kind = table.reservation.as_ref().map_or(0, |held| held.kind as u8);
        list.extend(one.key.to_be_bytes());
        list.extend([0; 4]);
        list.extend([u8::from(holds), if holds { kind } else { 0 }]);
        list.extend([0; 4]);
        list.extend(one.nexus.target.to_be_bytes());
        list.extend((id.len() as u32).to_be_bytes());
        list.extend(id);
    }
    with_header(table, &list)
}
