//! The power is cut at every changing operation; what is found afterwards must be the old or the new state.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::sync::Arc;

use crate::copy_files::{BitmapChange, CopyFiles, OpenWarning, Opened};
use crate::error::{SlotProblem, StoreError};
use crate::memory::{MemoryDirectory, Random};
use crate::record::{CopyRecord, EXTENT_BYTES, Role, valid_chunks};
use crate::segments::SEGMENT_BYTES;
use crate::slot::SLOT_BYTES;

const SIZE_BYTES: u64 = 1200 * EXTENT_BYTES + 77_777;
const SEEDS: u64 = 12;

fn record(epoch: u64) -> CopyRecord {
    CopyRecord {
        serial: [0x6e; 16],
        size_bytes: SIZE_BYTES,
        current: 1,
        base: 0,
        lineage: Vec::new(),
        epoch,
        role: Role::Slave,
        inconsistent: false,
        ending: false,
        active: (0..epoch * 100).map(|extent| extent % 1200).collect(),
    }
}

fn open(directory: &MemoryDirectory) -> Opened {
    CopyFiles::open_in(Arc::new(directory.clone()))
        .unwrap()
        .expect("the copy is there")
}

fn create(directory: &MemoryDirectory) -> Result<CopyFiles, StoreError> {
    CopyFiles::create_in(Arc::new(directory.clone()), &record(0))
}

/// A script of persists: epochs 1 and up, each with its change of the bitmap.
fn script(seed: u64) -> Vec<(bool, Vec<(u64, u64)>)> {
    let mut random = Random::new(seed);
    let step = |random: &mut Random| {
        let words = (0..random.below(4))
            .map(|_| (random.below(1201), random.below(1 << 40)))
            .collect::<BTreeMap<_, _>>();
        (random.below(4) == 0, words.into_iter().collect())
    };
    (0..6).map(|_| step(&mut random)).collect()
}

fn change(replace: bool, words: &[(u64, u64)]) -> BitmapChange<'_> {
    if replace {
        BitmapChange::Replace(words)
    } else {
        BitmapChange::Words(words)
    }
}

/// The bitmap after each step of a script, the empty one first.
fn bitmaps(script: &[(bool, Vec<(u64, u64)>)]) -> Vec<BTreeMap<u64, u64>> {
    let mut states = vec![BTreeMap::new()];
    for (replace, words) in script {
        let mut state = if *replace {
            BTreeMap::new()
        } else {
            states[states.len() - 1].clone()
        };
        state.extend(
            words
                .iter()
                .map(|(extent, word)| (*extent, word & valid_chunks(*extent, SIZE_BYTES))),
        );
        state.retain(|_, word| *word != 0);
        states.push(state);
    }
    states
}

fn run(directory: &MemoryDirectory, script: &[(bool, Vec<(u64, u64)>)]) -> u64 {
    let Ok(files) = create(directory) else {
        return 0;
    };
    for (step, (replace, words)) in script.iter().enumerate() {
        if files
            .persist(&record(step as u64 + 1), change(*replace, words))
            .is_err()
        {
            let again = files.persist(&record(99), BitmapChange::Words(&[]));
            assert!(matches!(again, Err(StoreError::Failed)));
            return step as u64;
        }
    }
    script.len() as u64
}

#[test]
fn a_crash_in_persist_leaves_the_old_or_the_new_record_and_no_bit_too_few() {
    for seed in 0..SEEDS {
        let script = script(seed);
        let bitmaps = bitmaps(&script);
        let whole = MemoryDirectory::default();
        drop(create(&whole).unwrap());
        let made = whole.operations();
        let whole = MemoryDirectory::default();
        run(&whole, &script);
        for cut in made..=whole.operations() {
            let directory = MemoryDirectory::default();
            directory.cut_at(cut);
            let done = run(&directory, &script);
            let opened = open(&directory.after_crash(seed * 1000 + cut));
            let found = opened.record.epoch;
            assert!(
                found == done || found == done + 1,
                "seed {seed} cut {cut}: {found} after {done}"
            );
            assert_eq!(opened.record, record(found));
            let there: BTreeMap<u64, u64> = opened.bitmap.iter().copied().collect();
            for (extent, word) in &bitmaps[found as usize] {
                let kept = there.get(extent).copied().unwrap_or(0);
                assert_eq!(kept & word, *word, "seed {seed} cut {cut} extent {extent}");
            }
            if done == script.len() as u64 {
                assert_eq!(there, bitmaps[found as usize], "seed {seed}");
                assert!(opened.warnings.is_empty());
            }
        }
    }
}

#[test]
fn a_crash_while_a_copy_is_made_leaves_a_whole_copy_or_none() {
    let whole = MemoryDirectory::default();
    drop(create(&whole).unwrap());
    for cut in 0..=whole.operations() {
        for seed in 0..SEEDS {
            let directory = MemoryDirectory::default();
            directory.cut_at(cut);
            let made = create(&directory).is_ok();
            match CopyFiles::open_in(Arc::new(directory.after_crash(seed))).unwrap() {
                Some(opened) => {
                    assert_eq!(opened.record, record(0));
                    assert!(opened.bitmap.is_empty());
                }
                None => assert!(!made, "cut {cut} seed {seed}"),
            }
        }
    }
}

#[test]
fn flushed_content_survives_a_crash_at_any_later_moment() {
    let offset = SEGMENT_BYTES - 700;
    for cut in 0..8 {
        for seed in 0..SEEDS {
            let directory = MemoryDirectory::default();
            let files = create(&directory).unwrap();
            files.write(offset, &[IoSlice::new(&[7; 2000])]).unwrap();
            files.flush().unwrap();
            directory.cut_at(directory.operations() + cut);
            let _ = files.write(0, &[IoSlice::new(&[8; 5000])]);
            let _ = files.write(SIZE_BYTES - 5, &[IoSlice::new(&[9; 5])]);
            let _ = files.punch(3000, 1000);
            let _ = files.flush();
            let opened = open(&directory.after_crash(seed));
            assert_eq!(opened.files.read(offset, 2000).unwrap(), [7; 2000]);
            assert_eq!(opened.files.read(offset - 512, 512).unwrap(), [0; 512]);
        }
    }
}

#[test]
fn after_a_failed_sync_the_copy_refuses_everything() {
    let directory = MemoryDirectory::default();
    let files = create(&directory).unwrap();
    files.write(0, &[IoSlice::new(b"x")]).unwrap();
    directory.fail_syncs(true);
    let failed = files.flush();
    assert!(
        matches!(
            &failed,
            Err(StoreError::Io {
                operation: "sync",
                ..
            })
        ),
        "{failed:?}"
    );
    assert_eq!(failed.map_err(|error| error.errno()), Err(Some(5)));
    directory.fail_syncs(false);
    assert!(matches!(files.flush(), Err(StoreError::Failed)));
    assert!(matches!(files.read(0, 1), Err(StoreError::Failed)));
    assert!(matches!(
        files.write(0, &[IoSlice::new(b"y")]),
        Err(StoreError::Failed)
    ));
    assert!(matches!(files.punch(0, 1), Err(StoreError::Failed)));
    assert!(matches!(
        files.persist(&record(1), BitmapChange::Words(&[])),
        Err(StoreError::Failed)
    ));
}

#[test]
fn a_corrupt_slot_is_reported_and_the_other_serves() {
    let directory = MemoryDirectory::default();
    let files = create(&directory).unwrap();
    files.persist(&record(1), BitmapChange::Words(&[])).unwrap(); // sequence 3, slot 1
    directory.corrupt("meta", SLOT_BYTES as u64 + 200, &[0xff]);
    let opened = open(&directory);
    assert_eq!(opened.record, record(0));
    assert_eq!(
        opened.warnings,
        [OpenWarning::SlotCorrupt {
            slot: 1,
            problem: SlotProblem::Checksum
        }]
    );
    opened
        .files
        .persist(&record(2), BitmapChange::Words(&[]))
        .unwrap(); // to the corrupt slot
    let opened = open(&directory);
    assert_eq!((opened.record, opened.warnings.len()), (record(2), 0));
}

#[test]
fn two_corrupt_slots_are_refused() {
    let directory = MemoryDirectory::default();
    drop(create(&directory).unwrap());
    directory.corrupt("meta", 0, b"X");
    directory.truncate("meta", SLOT_BYTES as u64 + 64);
    let refused = CopyFiles::open_in(Arc::new(directory));
    let expected = (SlotProblem::Magic, SlotProblem::Short);
    assert!(
        matches!(refused, Err(StoreError::BothSlotsCorrupt { first, second }) if (first, second) == expected)
    );
}

#[test]
fn a_corrupt_bitmap_page_counts_as_all_dirty_inside_the_disk() {
    let directory = MemoryDirectory::default();
    let files = create(&directory).unwrap();
    files
        .persist(&record(0), BitmapChange::Words(&[(3, 5), (1100, 9)]))
        .unwrap();
    directory.corrupt("bitmap", 2 * 4096 + 100, &[1]);
    let opened = open(&directory);
    assert_eq!(
        opened.warnings,
        [OpenWarning::BitmapPageCorrupt { page: 2 }]
    );
    assert_eq!(opened.bitmap[0], (3, 5));
    assert_eq!(opened.bitmap[1], (1020, u64::MAX));
    assert_eq!(opened.bitmap.last(), Some(&(1200, 0b11)));
    assert_eq!(opened.bitmap.len(), 1 + 181);
    assert!(
        open(&directory).warnings.is_empty(),
        "the page was written anew"
    );
}

#[test]
fn a_bitmap_that_was_cut_off_stays_dirty_when_a_later_page_is_written() {
    let directory = MemoryDirectory::default();
    drop(create(&directory).unwrap());
    directory.truncate("bitmap", 5000);
    let opened = open(&directory);
    assert_eq!(opened.warnings.len(), 2);
    opened
        .files
        .persist(&record(0), BitmapChange::Words(&[(1199, 0)]))
        .unwrap();
    let opened = open(&directory);
    assert_eq!(opened.bitmap[0], (510, u64::MAX));
    assert_eq!(opened.bitmap.len(), 510 + 180);
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let directory = MemoryDirectory::default();
    let files = create(&directory).unwrap();
    files
        .persist(&record(1), BitmapChange::Words(&[(1, 1)]))
        .unwrap();
    let before = directory.operations();
    files
        .persist(&record(1), BitmapChange::Replace(&[(1, 1)]))
        .unwrap();
    assert_eq!(directory.operations(), before);
}

#[test]
fn a_flush_after_a_restart_covers_what_a_killed_process_wrote() {
    for seed in 0..SEEDS {
        let directory = MemoryDirectory::default();
        let files = create(&directory).unwrap();
        files.write(5, &[IoSlice::new(b"acknowledged")]).unwrap();
        drop(files);
        open(&directory).files.flush().unwrap();
        let opened = open(&directory.after_crash(seed));
        assert_eq!(opened.files.read(5, 12).unwrap(), b"acknowledged");
    }
}

#[test]
fn what_open_tells_is_durable_even_if_a_killed_process_had_not_synced_it() {
    let words = [(3, 5), (900, 6)];
    for cut in 0..6 {
        for seed in 0..SEEDS {
            let directory = MemoryDirectory::default();
            let files = create(&directory).unwrap();
            directory.cut_at(directory.operations() + cut);
            let _ = files.persist(&record(1), BitmapChange::Words(&words));
            drop(files);
            directory.restore_power();
            let told = open(&directory);
            let found = open(&directory.after_crash(seed));
            assert_eq!(
                (found.record, found.bitmap),
                (told.record, told.bitmap),
                "cut {cut} seed {seed}"
            );
        }
    }
}

#[test]
fn every_flush_covers_what_came_after_the_one_before() {
    for seed in 0..SEEDS {
        let directory = MemoryDirectory::default();
        let files = create(&directory).unwrap();
        files.write(0, &[IoSlice::new(&[1; 4096])]).unwrap();
        files.flush().unwrap();
        files.write(1024, &[IoSlice::new(&[2; 1024])]).unwrap();
        files.flush().unwrap();
        let opened = open(&directory.after_crash(seed));
        assert_eq!(opened.files.read(1024, 1024).unwrap(), [2; 1024]);
        files.punch(512, 512).unwrap();
        files.flush().unwrap();
        let opened = open(&directory.after_crash(seed));
        assert_eq!(opened.files.read(512, 512).unwrap(), [0; 512]);
    }
}
