//! Writing on a filesystem without space: zeros become holes, which take none.
//!
//! A write that found no space is made again piece by piece: whole blocks of zeros are punched, the rest is written. It succeeds where
//! the rest has its space already, as when a copy is to hold again what it held.

use std::io::IoSlice;
use std::ops::Range;

use twindisk_mirror::copy::is_no_space;
use twindisk_store::{CopyFiles, StoreError};

/// Blocks in which filesystems give space, in bytes. Zeros are punched by these.
const BLOCK_BYTES: u64 = 4096;

/// True for the error of a write that may be made again by [`write`].
pub fn is_for_want_of_space(error: &StoreError) -> bool {
    error.errno().is_some_and(is_no_space)
}

/// Write `data` at `offset`, and punch where it is zeros.
///
/// # Errors
/// Those of the copy's files; the data may be there in part.
pub fn write(files: &CopyFiles, offset: u64, data: &[u8]) -> Result<(), StoreError> {
    for (zeros, range) in runs(offset, data) {
        let start = offset + range.start as u64;
        if zeros {
            files.punch(start, range.len() as u64)?;
        } else {
            files.write(start, &[IoSlice::new(&data[range])])?;
        }
    }
    Ok(())
}

/// The data in runs of whole blocks of zeros (true) and of anything else (false), in order.
fn runs(offset: u64, data: &[u8]) -> Vec<(bool, Range<usize>)> {
    let mut runs: Vec<(bool, Range<usize>)> = vec![];
    let mut at = 0;
    while at < data.len() {
        let left = BLOCK_BYTES - (offset + at as u64) % BLOCK_BYTES;
        let end = data
            .len()
            .min(at + usize::try_from(left).expect("a block fits"));
        let zeros = (end - at) as u64 == BLOCK_BYTES && data[at..end].iter().all(|byte| *byte == 0);
        match runs.last_mut() {
            Some((kind, range)) if *kind == zeros => range.end = end,
            _ => runs.push((zeros, at..end)),
        }
        at = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = BLOCK_BYTES as usize;

    #[test]
    fn only_whole_blocks_of_zeros_are_holes() {
        let mut data = vec![0; 4 * BLOCK];
        data[BLOCK] = 1;
        let expected = vec![
            (true, 0..BLOCK),
            (false, BLOCK..2 * BLOCK),
            (true, 2 * BLOCK..4 * BLOCK),
        ];
        assert_eq!(runs(8 * BLOCK_BYTES, &data), expected);

        // Neither block of the zeros is whole here.
        let shifted = runs(BLOCK_BYTES - 512, &data[..BLOCK]);
        assert_eq!(shifted, vec![(false, 0..BLOCK)]);
    }

    #[test]
    fn nothing_is_left_out() {
        let mut data = vec![0; 5 * BLOCK + 1024];
        data[3 * BLOCK + 7] = 9;
        for offset in [0, 512, 4096, 7168] {
            let found = runs(offset, &data);
            assert_eq!(found[0].1.start, 0);
            assert!(found.windows(2).all(|two| two[0].1.end == two[1].1.start));
            assert_eq!(found.last().map(|run| run.1.end), Some(data.len()));
            let holes = found.iter().filter(|run| run.0);
            assert!(
                holes
                    .clone()
                    .all(|run| data[run.1.clone()].iter().all(|byte| *byte == 0))
            );
            assert!(holes.count() > 0);
        }
    }
}
