//! Text of login and text negotiation: `key=value` pairs, each ended by a zero byte (RFC 7143 §6.1).

/// The longest key name in bytes (RFC 7143 §6.1).
const MAX_KEY_BYTES: usize = 63;
/// More pairs than this in one exchange are no negotiation.
const MAX_PAIRS: usize = 256;

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFault {
    /// It is not UTF-8.
    NotText,
    /// A pair without `=`, or a key of no or of forbidden characters, or longer than 63 bytes.
    BadPair,
    /// More than 256 pairs.
    TooMany,
    /// A key that was given before.
    Repeated,
}

/// Cut a text into its pairs, in order. Empty strings between zero bytes (padding inside the segment) are skipped.
///
/// # Errors
/// What is wrong with the text; a key given twice is wrong too.
pub(crate) fn parse_pairs(text: &[u8]) -> Result<Vec<(&str, &str)>, TextFault> {
    let text = std::str::from_utf8(text).map_err(|_| TextFault::NotText)?;
    let mut pairs: Vec<(&str, &str)> = Vec::new();
    for part in text.split('\0').filter(|part| !part.is_empty()) {
        let (key, value) = part.split_once('=').ok_or(TextFault::BadPair)?;
        if !is_key(key) {
            return Err(TextFault::BadPair);
        }
        if pairs.len() == MAX_PAIRS {
            return Err(TextFault::TooMany);
        }
        if pairs.iter().any(|(earlier, _)| *earlier == key) {
            return Err(TextFault::Repeated);
        }
        pairs.push((key, value));
    }
    Ok(pairs)
}

/// Append one pair to a text.
pub(crate) fn put_pair(text: &mut Vec<u8>, key: &str, value: &str) {
    text.extend_from_slice(key.as_bytes());
    text.push(b'=');
    text.extend_from_slice(value.as_bytes());
    text.push(0);
}

/// A number as decimal or `0x` hexadecimal constant (RFC 7143 §6.1); None if it is neither or over 32 bits.
pub(crate) fn parse_number(value: &str) -> Option<u32> {
    let hexadecimal = value
        .strip_prefix("0x")
        .or_else(|| value.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((value, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}

/// `Yes` or `No`; None if it is neither.
pub(crate) fn parse_boolean(value: &str) -> Option<bool> {
    match value {
        "Yes" => Some(true),
        "No" => Some(false),
        _ => None,
    }
}

fn is_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-+@_#/".contains(&byte);
    (1..=MAX_KEY_BYTES).contains(&key.len()) && key.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_keep_their_order_and_their_equal_signs() {
        assert_eq!(
            parse_pairs(b"A=1\0B=x=y\0\0\0"),
            Ok(vec![("A", "1"), ("B", "x=y")])
        );
        assert_eq!(parse_pairs(b"Last=unended"), Ok(vec![("Last", "unended")]));
        assert_eq!(parse_pairs(b""), Ok(vec![]));
    }

    #[test]
    fn faults_are_told_apart() {
        assert_eq!(parse_pairs(b"novalue\0"), Err(TextFault::BadPair));
        assert_eq!(parse_pairs(b"=x\0"), Err(TextFault::BadPair));
        assert_eq!(parse_pairs(b"with space=x\0"), Err(TextFault::BadPair));
        assert_eq!(
            parse_pairs(format!("{}=x\0", "K".repeat(64)).as_bytes()),
            Err(TextFault::BadPair)
        );
        assert_eq!(parse_pairs(&[0x41, b'=', 0xff, 0]), Err(TextFault::NotText));
        assert_eq!(parse_pairs(b"A=1\0A=1\0"), Err(TextFault::Repeated));
        let many: String = (0..257).map(|number| format!("K{number}=\0")).collect();
        assert_eq!(parse_pairs(many.as_bytes()), Err(TextFault::TooMany));
    }

    #[test]
    fn numbers_are_decimal_or_hexadecimal() {
        assert_eq!(parse_number("262144"), Some(262_144));
        assert_eq!(parse_number("0x1F"), Some(31));
        for wrong in ["", "0x", "-1", "+1", "1.5", "4294967296", "12a", "1~2"] {
            assert_eq!(parse_number(wrong), None, "{wrong}");
        }
    }
}
