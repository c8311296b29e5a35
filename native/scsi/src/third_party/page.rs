//! The third-party copy VPD page (SPC-4 §7.8.17): what copies are taken.

use super::{
    BLOCKS, COPIES_MAX, DATA, DESCRIPTORS_MAX_BYTES, FAILURE_DETAILS, IDENTIFICATION,
    OPERATING_PARAMETERS, SEGMENT_MAX_BYTES, SEGMENTS_MAX, STATUS, TARGETS_MAX, WITH_OFFSETS,
};

/// DATA SEGMENT GRANULARITY: one byte, as a power of two.
const GRANULARITY: u8 = 0;

/// The page without its header: descriptors by type, each filled up to a multiple of 4 bytes.
pub(crate) fn page() -> Vec<u8> {
    [
        descriptor(0x0001, &commands()),
        descriptor(0x0004, &parameter_data()),
        descriptor(0x0008, &[3, BLOCKS, WITH_OFFSETS, IDENTIFICATION]),
        // No CSCD descriptor IDs but those of the descriptors of a list.
        descriptor(0x000c, &[0, 0]),
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
        (0x83, &[0x00]),
        (0x84, &[STATUS, DATA, OPERATING_PARAMETERS, FAILURE_DETAILS]),
    ];
    let mut list = vec![0];
    for (opcode, actions) in supported {
        list.extend([opcode, actions.len() as u8]);
        list.extend(actions);
    }
    list[0] = list.len() as u8 - 1;
    list
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
