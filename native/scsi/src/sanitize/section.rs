//! The section of the shared state that says how the latest sanitize operation stands (docs/formats/unit-state.md).

use super::{Method, Operation, Sanitize};
use crate::unit_state::Section;

const HEADER_BYTES: usize = 20;
const RUNNING: u8 = 1;
const FAILED: u8 = 2;
const OVERWRITE: u8 = 1;
const BLOCK_ERASE: u8 = 2;
const UNRESTRICTED: u8 = 0x01;
const INVERT: u8 = 0x02;
/// A pattern is no longer than the largest block.
const PATTERN_MAX_BYTES: usize = 4096;

impl Section for Sanitize {
    const TAG: [u8; 4] = *b"SANI";
    const VERSION: u8 = 1;

    fn encode(&self) -> Vec<u8> {
        let (stage, operation) = match self {
            Self::Idle => return Vec::new(),
            Self::Running(operation) => (RUNNING, operation),
            Self::Failed(operation) => (FAILED, operation),
        };
        let (method, invert, pattern): (u8, bool, &[u8]) = match &operation.method {
            Method::BlockErase => (BLOCK_ERASE, false, &[]),
            Method::Overwrite {
                pattern, invert, ..
            } => (OVERWRITE, *invert, pattern),
        };
        let flags = (UNRESTRICTED * u8::from(operation.unrestricted)) | (INVERT * u8::from(invert));
        let mut out = vec![
            stage,
            method,
            flags,
            operation.passes(),
            operation.pass,
            0,
            0,
            0,
        ];
        out.extend(operation.done_bytes.to_le_bytes());
        out.extend((pattern.len() as u16).to_le_bytes());
        out.extend([0, 0]);
        out.extend(pattern);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::Idle);
        }
        let (head, pattern) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let &[stage, method, flags, count, pass, 0, 0, 0, ..] = head else {
            return None;
        };
        let length = u16::from_le_bytes([head[16], head[17]]);
        if head[18..] != [0, 0] || pattern.len() != usize::from(length) || pass >= count {
            return None;
        }
        let invert = flags & INVERT != 0;
        let method = match (method, count, pattern.len()) {
            (BLOCK_ERASE, 1, 0) if !invert => Method::BlockErase,
            (OVERWRITE, 1..=31, 1..=PATTERN_MAX_BYTES) => Method::Overwrite {
                pattern: pattern.to_vec(),
                invert,
                count,
            },
            _ => return None,
        };
        if flags & !(UNRESTRICTED | INVERT) != 0 {
            return None;
        }
        let done_bytes = head[8..16].try_into().map(u64::from_le_bytes).ok()?;
        let operation = Operation {
            method,
            unrestricted: flags & UNRESTRICTED != 0,
            pass,
            done_bytes,
        };
        match stage {
            RUNNING => Some(Self::Running(operation)),
            FAILED => Some(Self::Failed(operation)),
            _ => None,
        }
    }
}
