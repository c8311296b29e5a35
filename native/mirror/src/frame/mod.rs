//! Frames of the mirror link (docs/formats/mirror-frame.md): a 64-byte header, then the payload.
//!
//! Rules: header and payload each carry a CRC32C; any mismatch, unknown kind or length beyond the bound ends the
//! link. All numbers are little-endian.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::decode;
pub use encode::encode;

/// Bytes of a header.
pub const HEADER_BYTES: usize = 64;
/// Longest payload that is accepted.
pub const PAYLOAD_MAX_BYTES: usize = 32 << 20;
/// Most words of one `DirtyWords`, most extents of one activity log message.
pub const WORDS_MAX: usize = 32 << 10;
const MAGIC: [u8; 4] = *b"TDM1";
const VERSION: u8 = 1;

/// Why a frame was not understood; the link must be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not one of our frames.
    #[error("bad magic")]
    Magic,
    /// Another protocol version.
    #[error("unknown version {0}")]
    Version(u8),
    /// Damaged header.
    #[error("header checksum mismatch")]
    HeaderChecksum,
    /// Damaged payload.
    #[error("payload checksum mismatch")]
    PayloadChecksum,
    /// Longer than the bound.
    #[error("payload of {0} bytes is too long")]
    TooLong(u32),
    /// A kind that this version does not know.
    #[error("unknown kind {0}")]
    Kind(u8),
    /// The payload does not fit the kind.
    #[error("malformed payload of kind {0}")]
    Payload(u8),
}
