//! Bytes of one page of the dirty bitmap (docs/formats/copy-metadata.md), without I/O.

/// Bytes of a page.
pub(crate) const PAGE_BYTES: usize = 4096;
/// Words, that is extents, that a page holds.
pub(crate) const PAGE_WORDS: usize = 510;

const MAGIC: [u8; 4] = *b"TWBM";
const HEADER_BYTES: usize = PAGE_BYTES - 8 * PAGE_WORDS;

/// The words of a page.
pub(crate) type Words = Box<[u64; PAGE_WORDS]>;

/// Page and place in it of an extent's word.
pub(crate) fn place_of(extent: u64) -> (u64, usize) {
    (
        extent / PAGE_WORDS as u64,
        (extent % PAGE_WORDS as u64) as usize,
    )
}

/// First extent of a page.
pub(crate) fn first_extent(page: u64) -> u64 {
    page * PAGE_WORDS as u64
}

/// Pages that a bitmap of so many extents has.
pub(crate) fn page_count(extents: u64) -> u64 {
    extents.div_ceil(PAGE_WORDS as u64)
}

/// A page without a dirty bit.
pub(crate) fn clean() -> Words {
    Box::new([0; PAGE_WORDS])
}

/// The bytes of page number `page`.
pub(crate) fn encode(page: u64, words: &[u64; PAGE_WORDS]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PAGE_BYTES);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&page.to_le_bytes());
    for word in words {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

/// The words of page number `page`; `None`: the page is corrupt.
pub(crate) fn decode(page: u64, bytes: &[u8; PAGE_BYTES]) -> Option<Words> {
    if bytes.iter().all(|byte| *byte == 0) {
        return Some(clean());
    }
    let checksum = crc32c::crc32c(&bytes[4..]).to_le_bytes();
    if bytes[..4] != checksum
        || bytes[4..8] != MAGIC
        || bytes[8..HEADER_BYTES] != page.to_le_bytes()
    {
        return None;
    }
    let mut words = clean();
    for (word, bytes) in words.iter_mut().zip(bytes[HEADER_BYTES..].chunks_exact(8)) {
        *word = u64::from_le_bytes(bytes.try_into().expect("chunks_exact gives 8 bytes"));
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page_bytes(page: u64, words: &Words) -> [u8; PAGE_BYTES] {
        encode(page, words).try_into().unwrap()
    }

    #[test]
    fn words_come_back_as_they_were() {
        let mut words = clean();
        (words[0], words[509]) = (1, u64::MAX);
        let bytes = page_bytes(3, &words);
        assert_eq!(bytes[4..16], *b"TWBM\x03\0\0\0\0\0\0\0");
        assert_eq!(decode(3, &bytes), Some(words));
    }

    #[test]
    fn a_page_that_was_never_written_is_clean() {
        assert_eq!(decode(9, &[0; PAGE_BYTES]), Some(clean()));
    }

    #[test]
    fn a_page_in_another_place_is_corrupt() {
        assert_eq!(decode(4, &page_bytes(3, &clean())), None);
    }

    #[test]
    fn a_torn_page_is_corrupt() {
        let mut words = clean();
        words.fill(7);
        let mut bytes = page_bytes(0, &words);
        bytes[2048..].fill(0);
        assert_eq!(decode(0, &bytes), None);
    }

    #[test]
    fn extents_fill_page_after_page() {
        assert_eq!((place_of(509), place_of(510)), ((0, 509), (1, 0)));
        assert_eq!((page_count(0), page_count(510), page_count(511)), (0, 1, 2));
        assert_eq!(first_extent(2), 1020);
    }
}
