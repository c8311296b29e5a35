//! Why a connection has to be closed.

use thiserror::Error;

/// A fault that a connection does not survive. Nothing else than this connection is affected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// The first PDU of a connection was no Login Request (RFC 7143 §6.3).
    #[error("opcode {opcode:#04x} before login")]
    NotLogin {
        /// The opcode received.
        opcode: u8,
    },
    /// A data segment longer than declared, or than any login may send (8192 bytes).
    #[error("data segment of {length} bytes where {limit} are the limit")]
    SegmentTooLong {
        /// DataSegmentLength as received.
        length: u32,
        /// The limit at that time.
        limit: u32,
    },
    /// The header's CRC32C is wrong: the place of the next PDU is unknown (RFC 7143 §7.8).
    #[error("header digest mismatch")]
    HeaderDigest,
    /// The login did not finish in time.
    #[error("login timed out")]
    LoginTimeout,
    /// A NOP-In was not answered in time.
    #[error("initiator is silent")]
    PingTimeout,
    /// Something was received or called after an error or the end of the connection.
    #[error("connection is finished")]
    Finished,
}
