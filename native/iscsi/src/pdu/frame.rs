//! Cuts the byte stream into PDUs.
//!
//! Rules: with a header digest no length is believed before the digest is checked; a data segment over the limit is an
//! error before any of it is awaited; data are slices of the receive buffer.

use bytes::{Buf, Bytes, BytesMut};

use super::HEADER_BYTES;
use super::header::Header;
use crate::digest::{DIGEST_BYTES, Digest};
use crate::error::ProtocolError;

/// How the PDUs of a connection are framed at the moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameRules {
    /// A CRC32C follows each header.
    pub(crate) header_digest: bool,
    /// A CRC32C follows each data segment that is not empty.
    pub(crate) data_digest: bool,
    /// The longest data segment in bytes.
    pub(crate) max_segment: u32,
}

/// One received PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pdu {
    pub(crate) header: Header,
    /// The data segment without padding.
    pub(crate) data: Bytes,
    /// False if the data digest is wrong; the header can be relied on.
    pub(crate) data_intact: bool,
}

/// Where the parts of a PDU lie; offsets from its first byte.
struct Layout {
    header: Header,
    data_at: usize,
    data_len: usize,
    total: usize,
}

/// Take one whole PDU off the front of `input`; None if it is not all there yet.
pub(crate) fn take_pdu(
    input: &mut BytesMut,
    rules: FrameRules,
) -> Result<Option<Pdu>, ProtocolError> {
    let Some(layout) = layout(input, rules)? else {
        return Ok(None);
    };
    if input.len() < layout.total {
        return Ok(None);
    }
    let Layout {
        header,
        data_at,
        data_len,
        total,
    } = layout;
    if data_len == 0 {
        input.advance(total);
        return Ok(Some(Pdu {
            header,
            data: Bytes::new(),
            data_intact: true,
        }));
    }
    let bytes = input.split_to(total).freeze();
    let padded_end = data_at + padded(data_len);
    let data_intact = !rules.data_digest
        || Digest::of(&bytes[data_at..padded_end]).wire() == bytes[padded_end..total];
    Ok(Some(Pdu {
        header,
        data: bytes.slice(data_at..data_at + data_len),
        data_intact,
    }))
}

/// How many bytes `input` lacks for [`take_pdu`] to get further, at least 1.
pub(crate) fn bytes_wanted(input: &BytesMut, rules: FrameRules) -> usize {
    let total = match layout(input, rules) {
        Ok(Some(layout)) => layout.total,
        _ => HEADER_BYTES,
    };
    total.saturating_sub(input.len()).max(1)
}

/// Find the parts of the PDU at the front of `input`; None if its header is not all there yet.
fn layout(input: &[u8], rules: FrameRules) -> Result<Option<Layout>, ProtocolError> {
    let Some(first) = input.first_chunk::<HEADER_BYTES>() else {
        return Ok(None);
    };
    let header = Header(*first);
    let header_end = HEADER_BYTES + header.additional_bytes();
    let mut data_at = header_end;
    if rules.header_digest {
        data_at += DIGEST_BYTES;
        if input.len() < data_at {
            return Ok(None);
        }
        if Digest::of(&input[..header_end]).wire() != input[header_end..data_at] {
            return Err(ProtocolError::HeaderDigest);
        }
    }
    let length = header.data_len();
    if length > rules.max_segment {
        return Err(ProtocolError::SegmentTooLong {
            length,
            limit: rules.max_segment,
        });
    }
    let data_len = length as usize;
    let mut total = data_at + padded(data_len);
    if rules.data_digest && data_len > 0 {
        total += DIGEST_BYTES;
    }
    Ok(Some(Layout {
        header,
        data_at,
        data_len,
        total,
    }))
}

/// `len` rounded up to whole words of 4 bytes.
fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: FrameRules = FrameRules {
        header_digest: false,
        data_digest: false,
        max_segment: 1024,
    };
    const DIGESTS: FrameRules = FrameRules {
        header_digest: true,
        data_digest: true,
        max_segment: 1024,
    };

    fn nop_out(additional_words: u8, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[0] = 0x40;
        bytes[1] = 0x80;
        bytes[4] = additional_words;
        bytes[5..8].copy_from_slice(&u32::try_from(data.len()).unwrap().to_be_bytes()[1..]);
        bytes.resize(HEADER_BYTES + usize::from(additional_words) * 4, 0x11);
        bytes
    }

    fn with_digests(mut bytes: Vec<u8>, data: &[u8]) -> Vec<u8> {
        bytes.extend(Digest::of(&bytes).wire());
        let mut segment = data.to_vec();
        segment.resize(data.len().next_multiple_of(4), 0);
        bytes.extend(&segment);
        bytes.extend(Digest::of(&segment).wire());
        bytes
    }

    #[test]
    fn padding_and_additional_headers_are_skipped() {
        let mut bytes = nop_out(3, b"hello");
        bytes.extend(b"hello\0\0\0next");
        let mut input = BytesMut::from(&bytes[..]);
        let pdu = take_pdu(&mut input, PLAIN).unwrap().unwrap();
        assert_eq!(&pdu.data[..], b"hello");
        assert_eq!(&input[..], b"next");
    }

    #[test]
    fn nothing_is_taken_before_the_last_byte() {
        let bytes = with_digests(nop_out(1, b"abcde"), b"abcde");
        for end in 0..bytes.len() {
            let mut input = BytesMut::from(&bytes[..end]);
            assert_eq!(take_pdu(&mut input, DIGESTS), Ok(None));
            assert!((1..=bytes.len() - end).contains(&bytes_wanted(&input, DIGESTS)));
        }
        let mut input = BytesMut::from(&bytes[..]);
        assert!(take_pdu(&mut input, DIGESTS).unwrap().unwrap().data_intact);
        assert!(input.is_empty());
    }

    #[test]
    fn a_wrong_header_digest_is_an_error_and_a_wrong_data_digest_is_marked() {
        let good = with_digests(nop_out(0, b"abcd"), b"abcd");
        let mut header_wrong = good.clone();
        header_wrong[20] ^= 1;
        assert_eq!(
            take_pdu(&mut BytesMut::from(&header_wrong[..]), DIGESTS),
            Err(ProtocolError::HeaderDigest)
        );
        let mut data_wrong = good;
        data_wrong[HEADER_BYTES + 4] ^= 1;
        let pdu = take_pdu(&mut BytesMut::from(&data_wrong[..]), DIGESTS)
            .unwrap()
            .unwrap();
        assert!(!pdu.data_intact);
    }

    #[test]
    fn a_segment_over_the_limit_is_refused_by_its_header_alone() {
        let mut bytes = nop_out(0, b"");
        bytes[5..8].copy_from_slice(&[0, 4, 1]);
        assert_eq!(
            take_pdu(&mut BytesMut::from(&bytes[..]), PLAIN),
            Err(ProtocolError::SegmentTooLong {
                length: 1025,
                limit: 1024
            })
        );
    }
}
