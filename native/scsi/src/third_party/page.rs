//! The third-party copy VPD page (SPC-4 §7.8.17): what copies are taken.

use super::token::{ANY_POINT_IN_TIME, CHANGE_VULNERABLE, ZEROS};
use super::{
    BLOCKS, COPIES_MAX, DATA, DESCRIPTORS_MAX_BYTES, EXTENDED_COPY, FAILURE_DETAILS,
    IDENTIFICATION, LIFETIME_S, OPERATING_PARAMETERS, POPULATE_TOKEN, RANGES_MAX,
    RECEIVE_COPY_RESULTS, RECEIVE_TOKEN_INFORMATION, SEGMENT_MAX_BYTES, SEGMENTS_MAX, STATUS,
    TARGETS_MAX, TIMEOUT_DEFAULT_S, TIMEOUT_MAX_S, TOKEN_MAX_BYTES, TOKEN_OPTIMAL_BYTES,
    WITH_OFFSETS, WRITE_USING_TOKEN,
};
use crate::limits::BlockSize;

/// DATA SEGMENT GRANULARITY: one byte, as a power of two.
const GRANULARITY: u8 = 0;

/// The page without its header: descriptors by type, each filled up to a multiple of 4 bytes.
pub(crate) fn page(block: BlockSize) -> Vec<u8> {
    [
        descriptor(0x0000, &token_limits(block)),
        descriptor(0x0001, &commands()),
        descriptor(0x0004, &parameter_data()),
        descriptor(0x0008, &[3, BLOCKS, WITH_OFFSETS, IDENTIFICATION]),
        // No CSCD descriptor IDs but those of the descriptors of a list.
        descriptor(0x000c, &[0, 0]),
        descriptor(0x0106, &token_features(block)),
        descriptor(0x0108, &token_types()),
        descriptor(0x8001, &general()),
    ]
    .concat()
}

fn descriptor(kind: u16, body: &[u8]) -> Vec<u8> {
    let length = body.len().next_multiple_of(4);
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((length as u16).to_be_bytes());
    bytes.extend(body);
    bytes.resize(4 + length, 0);
    bytes
}

/// Operation codes with their service actions.
fn commands() -> Vec<u8> {
    let supported: [(u8, &[u8]); 2] = [
        (EXTENDED_COPY, &[0x00, POPULATE_TOKEN, WRITE_USING_TOKEN]),
        (
            RECEIVE_COPY_RESULTS,
            &[
                STATUS,
                DATA,
                OPERATING_PARAMETERS,
                FAILURE_DETAILS,
                RECEIVE_TOKEN_INFORMATION,
            ],
        ),
    ];
    let mut list = vec![0];
    for (opcode, actions) in supported {
        list.extend([opcode, actions.len() as u8]);
        list.extend(actions);
    }
    list[0] = list.len() as u8 - 1;
    list
}

/// Block device ROD token limits (SBC-4 §6.6.9.3).
fn token_limits(block: BlockSize) -> Vec<u8> {
    let mut body = vec![0; 32];
    body[6..8].copy_from_slice(&(RANGES_MAX as u16).to_be_bytes());
    body[8..12].copy_from_slice(&TIMEOUT_MAX_S.to_be_bytes());
    body[12..16].copy_from_slice(&TIMEOUT_DEFAULT_S.to_be_bytes());
    body[16..24].copy_from_slice(&(TOKEN_MAX_BYTES / block.bytes()).to_be_bytes());
    body[24..32].copy_from_slice(&(TOKEN_OPTIMAL_BYTES / block.bytes()).to_be_bytes());
    body
}

/// ROD token features with the block ROD device type specific features descriptor.
fn token_features(block: BlockSize) -> Vec<u8> {
    const BLOCK_FEATURES_BYTES: u16 = 48;
    /// REMOTE TOKENS: tokens are of use at the logical units of this target's nodes, whichever of them made them.
    const REMOTE_TOKENS: u8 = 4;
    let mut body = vec![0; 44];
    body[0] = REMOTE_TOKENS;
    body[16..20].copy_from_slice(&LIFETIME_S.to_be_bytes());
    body[20..24].copy_from_slice(&TIMEOUT_MAX_S.to_be_bytes());
    body[42..44].copy_from_slice(&BLOCK_FEATURES_BYTES.to_be_bytes());
    let mut features = vec![0; BLOCK_FEATURES_BYTES.into()];
    features[2..4].copy_from_slice(&(BLOCK_FEATURES_BYTES - 4).to_be_bytes());
    features[6..8].copy_from_slice(&(block.physical_blocks() as u16).to_be_bytes());
    features[8..16].copy_from_slice(&TOKEN_MAX_BYTES.to_be_bytes());
    for at in [16, 24, 32] {
        features[at..at + 8].copy_from_slice(&TOKEN_OPTIMAL_BYTES.to_be_bytes());
    }
    [body, features].concat()
}

/// Supported ROD types, in ascending order.
fn token_types() -> Vec<u8> {
    const TYPE_BYTES: usize = 64;
    const TOKEN_IN: u8 = 0x02;
    const TOKEN_OUT: u8 = 0x01;
    let types = [
        (CHANGE_VULNERABLE, TOKEN_IN | TOKEN_OUT),
        (ANY_POINT_IN_TIME, TOKEN_OUT),
        (ZEROS, TOKEN_IN),
    ];
    let mut body = vec![0; 4];
    body[2..4].copy_from_slice(&((types.len() * TYPE_BYTES) as u16).to_be_bytes());
    for (kind, uses) in types {
        let end = body.len() + TYPE_BYTES;
        body.extend(kind.to_be_bytes());
        body.push(uses);
        body.resize(end, 0);
    }
    body
}

fn parameter_data() -> Vec<u8> {
    let mut body = vec![0; 28];
    body[4..6].copy_from_slice(&(TARGETS_MAX as u16).to_be_bytes());
    body[6..8].copy_from_slice(&(SEGMENTS_MAX as u16).to_be_bytes());
    body[8..12].copy_from_slice(&(DESCRIPTORS_MAX_BYTES as u32).to_be_bytes());
    body
}

fn general() -> Vec<u8> {
    let mut body = vec![0; 32];
    body[0..4].copy_from_slice(&(COPIES_MAX as u32).to_be_bytes());
    body[4..8].copy_from_slice(&(COPIES_MAX as u32).to_be_bytes());
    body[8..12].copy_from_slice(&(SEGMENT_MAX_BYTES as u32).to_be_bytes());
    body[12] = GRANULARITY;
    body
}
