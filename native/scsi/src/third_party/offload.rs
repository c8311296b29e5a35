//! POPULATE TOKEN (SBC-4 §5.12) and WRITE USING TOKEN (SBC-4 §5.59): their parameter lists, and what they come to.

use super::block_ranges::block_ranges;
use super::list::number;
use super::states::CopyName;
use super::token::{ANY_POINT_IN_TIME, CHANGE_VULNERABLE, Claim, TOKEN_BYTES, is_same};
use super::{POPULATE_TOKEN, TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S, WRITE_USING_TOKEN};
use crate::cdb::Request;
use crate::logical_unit::LogicalUnit;
use crate::response::{Response, Step};
use crate::sense::{Sense, SenseKey};

const IMMED: u8 = 0x01;
const RTV: u8 = 0x02;
const DEL_TKN: u8 = 0x02;
const POPULATE_HEADER_BYTES: usize = 16;
const WRITE_HEADER_BYTES: usize = 536;
const TOKEN_AT: usize = 16;

/// A command that makes or uses a token, checked in full but for the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Offload {
    /// POPULATE TOKEN.
    Populate(Populate),
    /// WRITE USING TOKEN.
    Write(Box<TokenWrite>),
}

/// A token is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Populate {
    /// LIST IDENTIFIER, by which the initiator asks for the token.
    pub identifier: u32,
    /// It is answered at once.
    pub immediate: bool,
    /// The token ends when it was not used for so long.
    pub timeout_ms: u32,
    /// (first byte, length) of what it stands for; none empty.
    pub ranges: Vec<(u64, u64)>,
}

/// What a token stands for is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWrite {
    /// LIST IDENTIFIER, by which the initiator asks how it went.
    pub identifier: u32,
    /// It is answered at once.
    pub immediate: bool,
    /// The token is of no use afterwards.
    pub delete: bool,
    token: [u8; TOKEN_BYTES],
    /// First byte of what the token stands for.
    offset: u64,
    /// (first byte, length) of what is written; none empty.
    ranges: Vec<(u64, u64)>,
    block_bytes: u64,
}

/// Where what is written comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenSource {
    /// From nowhere: zeros.
    Zeros,
    /// From what the logical unit with this serial keeps under this name.
    Unit {
        /// Its NAA identifier.
        serial: [u8; 16],
        /// The token's name.
        id: u64,
    },
}

/// A piece of what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenRange {
    /// First byte of the source; `None`: zeros.
    pub source: Option<u64>,
    /// First byte of the destination.
    pub target: u64,
    /// Length, never 0.
    pub len_bytes: u64,
}

/// POPULATE TOKEN and WRITE USING TOKEN.
pub(crate) fn offload(unit: &LogicalUnit, request: &Request<'_>) -> Result<Step, Sense> {
    let length = request.number(10, 4) as usize;
    if length == 0 {
        return Ok(Step::Done(Response::good()));
    }
    let offload = match request.byte(1) & 0x1f {
        POPULATE_TOKEN => Offload::Populate(populate(unit, request, length)?),
        WRITE_USING_TOKEN => Offload::Write(Box::new(write(unit, request, length)?)),
        _ => return Err(Sense::invalid_cdb_field(1, Some(4))),
    };
    let name = CopyName::Long(request.number(6, 4) as u32);
    if unit.copies.is_running(request.nexus, name) {
        return Err(Sense::OPERATION_IN_PROGRESS);
    }
    Ok(Step::Offload(offload))
}

/// The parameters, of which `header` bytes have to be there, up to where the list or the command ends.
fn parameters(request: &Request<'_>, length: usize, header: usize) -> Result<Vec<u8>, Sense> {
    const SHORTEST_LIST_BYTES: usize = 16;
    if length < header {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    }
    let head = request.parameters(header)?;
    let told = 2 + number(&head, 0, 2) as usize;
    if told < header + SHORTEST_LIST_BYTES {
        return Err(Sense::invalid_parameter(0));
    }
    request.parameters(length.min(told))
}

fn populate(unit: &LogicalUnit, request: &Request<'_>, length: usize) -> Result<Populate, Sense> {
    let list = parameters(request, length, POPULATE_HEADER_BYTES)?;
    let timeout_s = match number(&list, 4, 4) as u32 {
        0 => TIMEOUT_DEFAULT_S,
        seconds if seconds > TIMEOUT_MAX_S => return Err(Sense::invalid_parameter(4)),
        seconds => seconds,
    };
    let kind = number(&list, 8, 4) as u32;
    if list[2] & RTV != 0 && ![CHANGE_VULNERABLE, ANY_POINT_IN_TIME].contains(&kind) {
        return Err(Sense::invalid_parameter(8));
    }
    Ok(Populate {
        identifier: request.number(6, 4) as u32,
        immediate: list[2] & IMMED != 0,
        timeout_ms: timeout_s * 1000,
        ranges: block_ranges(
            unit,
            &list,
            POPULATE_HEADER_BYTES,
            number(&list, 14, 2) as usize,
        )?,
    })
}

fn write(unit: &LogicalUnit, request: &Request<'_>, length: usize) -> Result<TokenWrite, Sense> {
    let list = parameters(request, length, WRITE_HEADER_BYTES)?;
    let block_bytes = unit.block().bytes();
    let mut token = [0; TOKEN_BYTES];
    token.copy_from_slice(&list[TOKEN_AT..][..TOKEN_BYTES]);
    match Claim::of(&token) {
        Claim::BadLength => return Err(Sense::TOKEN_LENGTH),
        Claim::Unknown => return Err(Sense::TOKEN_UNKNOWN),
        Claim::Zeros | Claim::Made { .. } => {}
    }
    let offset = number(&list, 8, 8).checked_mul(block_bytes);
    Ok(TokenWrite {
        identifier: request.number(6, 4) as u32,
        immediate: list[2] & IMMED != 0,
        delete: list[2] & DEL_TKN != 0,
        token,
        offset: offset.ok_or(Sense::invalid_parameter(8))?,
        ranges: block_ranges(
            unit,
            &list,
            WRITE_HEADER_BYTES,
            number(&list, 534, 2) as usize,
        )?,
        block_bytes,
    })
}

impl TokenWrite {
    /// Where the token says that it comes from.
    #[must_use]
    pub fn source(&self) -> TokenSource {
        match Claim::of(&self.token) {
            Claim::Made { serial, id } => TokenSource::Unit { serial, id },
            _ => TokenSource::Zeros,
        }
    }

    /// True when this is the token that `made` is.
    #[must_use]
    pub fn holds(&self, made: &[u8]) -> bool {
        is_same(&self.token, made)
    }

    /// Bytes that are asked for.
    #[must_use]
    pub fn asked_bytes(&self) -> u64 {
        self.ranges.iter().map(|(_, len_bytes)| len_bytes).sum()
    }

    /// What zeros are written to.
    #[must_use]
    pub fn zeros(&self) -> Vec<TokenRange> {
        let range = |&(target, len_bytes): &(u64, u64)| TokenRange {
            source: None,
            target,
            len_bytes,
        };
        self.ranges.iter().map(range).collect()
    }

    /// What is written of `represented`, the ranges that the token stands for, in its order. If they are shorter than what is asked
    /// for, that is as many blocks as they have bytes for, the last one filled up with zeros.
    ///
    /// # Errors
    /// ILLEGAL REQUEST: the token's data end before they are to begin.
    pub fn moves(&self, represented: &[(u64, u64)]) -> Result<Vec<TokenRange>, Sense> {
        let mut skip_bytes = self.offset;
        let mut sources = represented.iter().filter_map(|&(offset, len_bytes)| {
            let skipped_bytes = skip_bytes.min(len_bytes);
            skip_bytes -= skipped_bytes;
            let rest = (offset + skipped_bytes, len_bytes - skipped_bytes);
            (rest.1 > 0).then_some(rest)
        });
        let Some(mut source) = sources.next() else {
            return Err(Sense::invalid_parameter(8));
        };
        let mut moves = Vec::new();
        for &(mut target, mut len_bytes) in &self.ranges {
            while len_bytes > 0 {
                if source.1 == 0 {
                    let Some(next) = sources.next() else {
                        moves.extend(self.fill(target));
                        return Ok(moves);
                    };
                    source = next;
                }
                let part_bytes = len_bytes.min(source.1);
                moves.push(TokenRange {
                    source: Some(source.0),
                    target,
                    len_bytes: part_bytes,
                });
                source = (source.0 + part_bytes, source.1 - part_bytes);
                (target, len_bytes) = (target + part_bytes, len_bytes - part_bytes);
            }
        }
        Ok(moves)
    }

    /// The rest of the block that `end` is inside of.
    fn fill(&self, end: u64) -> Option<TokenRange> {
        let len_bytes = end.next_multiple_of(self.block_bytes) - end;
        (len_bytes > 0).then_some(TokenRange {
            source: None,
            target: end,
            len_bytes,
        })
    }
}

impl Sense {
    /// INVALID TOKEN OPERATION, TOKEN UNKNOWN.
    pub const TOKEN_UNKNOWN: Self = Self::new(SenseKey::IllegalRequest, 0x23, 0x04);
    /// INVALID TOKEN OPERATION, TOKEN REVOKED: what it stood for has changed.
    pub const TOKEN_REVOKED: Self = Self::new(SenseKey::IllegalRequest, 0x23, 0x06);
    /// INVALID TOKEN OPERATION, TOKEN EXPIRED.
    pub const TOKEN_EXPIRED: Self = Self::new(SenseKey::IllegalRequest, 0x23, 0x07);
    /// INVALID TOKEN OPERATION, INVALID TOKEN LENGTH.
    const TOKEN_LENGTH: Self = Self::new(SenseKey::IllegalRequest, 0x23, 0x0a);
    /// INSUFFICIENT RESOURCES TO CREATE ROD TOKEN.
    pub const NO_ROOM_FOR_TOKEN: Self = Self::new(SenseKey::IllegalRequest, 0x55, 0x0d);
}
