//! RECEIVE ROD TOKEN INFORMATION (SPC-5 §6.26): how a command that makes or uses a token went, and the token.

use super::states::{CopyName, CopyState, Outcome};
use super::token::TOKEN_BYTES;
use super::{RECEIVE_COPY_RESULTS, RECEIVE_TOKEN_INFORMATION};
use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Status, Step};
use crate::sense::Sense;

/// COPY OPERATION STATUS (SPC-5 §6.24).
const DONE: u8 = 0x01;
const FAILED: u8 = 0x02;
const PARTIAL: u8 = 0x03;
const FOREGROUND: u8 = 0x11;
const BACKGROUND: u8 = 0x12;
const TERMINATED: u8 = 0x60;
/// ESTIMATED STATUS UPDATE DELAY in milliseconds while it is under way.
const DELAY_MS: u32 = 50;
/// The same once it has ended.
const NO_DELAY: u32 = 0xffff_fffe;
/// TRANSFER COUNT UNITS: logical blocks of the unit that was asked.
const BLOCKS: u8 = 0xf1;
const HEADER_BYTES: usize = 32;
/// Bytes of a ROD token descriptor before its token.
const DESCRIPTOR_BYTES: usize = 2;
/// Bytes of an answer with a token.
const WITH_TOKEN_BYTES: usize = HEADER_BYTES + 4 + DESCRIPTOR_BYTES + TOKEN_BYTES;

/// RECEIVE ROD TOKEN INFORMATION.
pub(crate) fn receive_token_information(
    unit: &LogicalUnit,
    request: &Request<'_>,
) -> Result<Step, Sense> {
    let state = unit.copies.get(request.nexus, name(request.cdb));
    let state = state.ok_or(Sense::invalid_cdb_field(2, None))?;
    let data = information(state, unit.block().bytes());
    let allocation = request.number(10, 4);
    Ok(Step::Done(Response::parameter_data(data, allocation)))
}

/// The copy that such a command asks about.
fn name(cdb: &[u8; 16]) -> CopyName {
    CopyName::Long(u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]))
}

fn information(state: &CopyState, block_bytes: u64) -> Vec<u8> {
    let token = state
        .token
        .as_ref()
        .filter(|_| state.outcome == Outcome::Done);
    let (status, completion, sense) = match state.outcome {
        Outcome::Running if state.start.background => (BACKGROUND, Status::Good, None),
        Outcome::Running => (FOREGROUND, Status::Good, None),
        Outcome::Done if state.start.partial => (PARTIAL, Status::Good, None),
        Outcome::Done => (DONE, Status::Good, None),
        Outcome::Failed(None) => (TERMINATED, Status::TaskAborted, None),
        Outcome::Failed(sense) => (FAILED, Status::CheckCondition, sense),
    };
    let delay = match state.outcome {
        Outcome::Running => DELAY_MS,
        _ => NO_DELAY,
    };
    let mut sense = sense.map_or(Vec::new(), |sense| sense.to_fixed().to_vec());
    let sense_bytes = sense.len();
    sense.resize(sense_bytes.next_multiple_of(4), 0);
    let mut data = vec![0; HEADER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| data[at..at + bytes.len()].copy_from_slice(bytes);
    put(4, &[state.start.action, status]);
    put(8, &delay.to_be_bytes());
    put(
        12,
        &[
            completion as u8,
            sense.len() as u8,
            sense_bytes as u8,
            BLOCKS,
        ],
    );
    put(16, &(state.progress.bytes / block_bytes).to_be_bytes());
    data.extend(sense);
    let token_bytes = token.map_or(0, |token| DESCRIPTOR_BYTES + token.len());
    data.extend((token_bytes as u32).to_be_bytes());
    if let Some(token) = token {
        data.extend([0; DESCRIPTOR_BYTES]);
        data.extend_from_slice(token);
    }
    let available = data.len() as u32 - 4;
    data[..4].copy_from_slice(&available.to_be_bytes());
    data
}

impl LogicalUnit {
    /// A command was answered: a token that was told in full, or of which nothing is wanted, is not told again.
    pub(crate) fn token_told(&mut self, request: &Request<'_>, step: &Result<Step, Sense>) {
        let asks = request.byte(0) == RECEIVE_COPY_RESULTS
            && request.byte(1) & 0x1f == RECEIVE_TOKEN_INFORMATION;
        let Ok(Step::Done(response)) = step else {
            return;
        };
        if !asks {
            return;
        }
        let allocation = request.number(10, 4);
        let name = name(request.cdb);
        if let Some(state) = self.copies.get_mut(request.nexus, name)
            && (allocation == 0 || response.data_len() >= WITH_TOKEN_BYTES)
        {
            state.token = None;
        }
    }
}
