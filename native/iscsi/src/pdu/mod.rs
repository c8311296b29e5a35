//! PDU formats (RFC 7143 §11): the basic header segment, framing, and one builder per PDU that a target sends.

mod frame;
mod header;
mod outgoing;

pub(crate) use frame::{FrameRules, Pdu, bytes_wanted, take_pdu};
pub(crate) use header::{Header, RESERVED_TAG, opcode};
pub(crate) use outgoing::{
    DataIn, LoginAnswer, Outgoing, ScsiStatus, StatSn, data_in, drop_notice, login_response,
    logout_request, logout_response, nop_in, r2t, reject, scsi_response, task_management_response,
    text_response,
};

/// Bytes of the basic header segment.
pub(crate) const HEADER_BYTES: usize = 48;
