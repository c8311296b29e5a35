//! RECEIVE COPY RESULTS (SPC-4 §6.17 to §6.20; SPC-3 §6.18), by list identifiers of one byte.

use super::states::{CopyName, CopyProgress, CopyState, Outcome};
use super::{
    BLOCKS, COPIES_MAX, DATA, DESCRIPTORS_MAX_BYTES, FAILURE_DETAILS, IDENTIFICATION,
    OPERATING_PARAMETERS, SEGMENT_MAX_BYTES, SEGMENTS_MAX, STATUS, TARGETS_MAX, WITH_OFFSETS,
};
use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Status, Step};
use crate::sense::Sense;

/// SNLID: copies without a list identifier are taken.
const SNLID: u8 = 0x01;
const IN_PROGRESS: u8 = 0x00;
const DONE: u8 = 0x01;
const FAILED: u8 = 0x02;

/// RECEIVE COPY STATUS, DATA, OPERATING PARAMETERS and FAILURE DETAILS (LID1).
pub(crate) fn receive_copy_results(
    unit: &LogicalUnit,
    request: &Request<'_>,
) -> Result<Step, Sense> {
    let identifier = request.byte(2);
    let state = unit.copies.get(request.nexus, CopyName::Short(identifier));
    let unknown = Sense::invalid_cdb_field(2, None);
    let data = match request.byte(1) & 0x1f {
        STATUS => status(state.ok_or(unknown)?),
        // No copy holds data.
        DATA => state.map(|_| vec![0; 4]).ok_or(unknown)?,
        OPERATING_PARAMETERS => operating_parameters(),
        FAILURE_DETAILS => match state.map(|state| state.outcome) {
            Some(Outcome::Failed(sense)) => failure_details(sense),
            _ => return Err(unknown),
        },
        _ => return Err(Sense::invalid_cdb_field(1, Some(4))),
    };
    Ok(Step::Done(Response::parameter_data(
        data,
        request.number(10, 4),
    )))
}

fn status(state: &CopyState) -> Vec<u8> {
    let CopyProgress { segments, bytes } = state.progress;
    let outcome = match state.outcome {
        Outcome::Running => IN_PROGRESS,
        Outcome::Done => DONE,
        Outcome::Failed(_) => FAILED,
    };
    let (units, count) = counted(bytes);
    let mut data = vec![0, 0, 0, 8, outcome];
    data.extend(segments.to_be_bytes());
    data.push(units);
    data.extend(count.to_be_bytes());
    data
}

/// TRANSFER COUNT UNITS and TRANSFER COUNT: the finest units that have room.
fn counted(bytes: u64) -> (u8, u32) {
    [(0, 0), (1, 10), (2, 20), (3, 30)]
        .into_iter()
        .find_map(|(units, shift)| Some((units, u32::try_from(bytes >> shift).ok()?)))
        .unwrap_or((3, u32::MAX))
}

fn operating_parameters() -> Vec<u8> {
    let types = [BLOCKS, WITH_OFFSETS, IDENTIFICATION];
    let mut data = vec![0; 44];
    let mut put = |at: usize, bytes: &[u8]| data[at..at + bytes.len()].copy_from_slice(bytes);
    put(3, &[40 + types.len() as u8]);
    put(4, &[SNLID]);
    put(8, &(TARGETS_MAX as u16).to_be_bytes());
    put(10, &(SEGMENTS_MAX as u16).to_be_bytes());
    put(12, &(DESCRIPTORS_MAX_BYTES as u32).to_be_bytes());
    put(16, &(SEGMENT_MAX_BYTES as u32).to_be_bytes());
    put(34, &(COPIES_MAX as u16).to_be_bytes());
    put(36, &[COPIES_MAX as u8]);
    put(43, &[types.len() as u8]);
    data.extend(types);
    data
}

fn failure_details(sense: Option<Sense>) -> Vec<u8> {
    let bytes = sense.map(|sense| sense.to_fixed().to_vec());
    let status = match bytes {
        Some(_) => Status::CheckCondition,
        None => Status::TaskAborted,
    };
    let bytes = bytes.unwrap_or_default();
    let mut data = vec![0; 60];
    data[3] = (56 + bytes.len()) as u8;
    data[56] = status as u8;
    data[59] = bytes.len() as u8;
    data.extend(bytes);
    data
}
