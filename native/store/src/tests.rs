//! Behaviour on a real file system.

use std::fs;
use std::io::IoSlice;
use std::path::PathBuf;
use std::thread;

use proptest::prelude::*;
use tempfile::TempDir;

use crate::error::RecordProblem;
use crate::segments::{SEGMENT_BYTES, name_of};
use crate::{BitmapChange, CHUNK_BYTES, CopyFiles, CopyRecord, EXTENT_BYTES, Role, StoreError};

const ODD_BYTES: u64 = 3 * SEGMENT_BYTES + 4 * CHUNK_BYTES + 513;

fn record(size_bytes: u64) -> CopyRecord {
    CopyRecord {
        serial: [0x6e; 16],
        size_bytes,
        current: 11,
        base: 10,
        lineage: vec![4, 5],
        epoch: 3,
        role: Role::Master,
        inconsistent: false,
        ending: false,
        active: vec![0, 7],
    }
}

fn place() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("M1");
    (parent, directory)
}

fn new_copy(size_bytes: u64) -> (TempDir, PathBuf, CopyFiles) {
    let (parent, directory) = place();
    let files = CopyFiles::create(&directory, &record(size_bytes)).unwrap();
    (parent, directory, files)
}

#[test]
fn files_may_be_used_from_several_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<CopyFiles>();
}

#[test]
fn facts_and_bitmap_come_back_when_a_copy_is_opened_again() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    let changed = CopyRecord {
        epoch: 4,
        role: Role::Slave,
        inconsistent: true,
        ending: true,
        ..record(ODD_BYTES)
    };
    files
        .persist(&changed, BitmapChange::Words(&[(768, u64::MAX), (2, 9)]))
        .unwrap();
    drop(files);
    let opened = CopyFiles::open(&directory).unwrap();
    assert_eq!(opened.record, changed);
    assert_eq!(opened.bitmap, [(2, 9), (768, 0b1_1111)]);
    assert_eq!(opened.warnings, []);
    opened
        .files
        .persist(&changed, BitmapChange::Replace(&[(1, 1)]))
        .unwrap();
    drop(opened);
    assert_eq!(CopyFiles::open(&directory).unwrap().bitmap, [(1, 1)]);
}

#[test]
fn a_second_opener_is_refused() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    assert!(matches!(
        CopyFiles::open(&directory),
        Err(StoreError::InUse { .. })
    ));
    assert!(matches!(
        CopyFiles::create(&directory, &record(5)),
        Err(StoreError::InUse { .. })
    ));
    assert!(matches!(
        CopyFiles::delete(&directory),
        Err(StoreError::InUse { .. })
    ));
    drop(files);
    assert!(matches!(
        CopyFiles::create(&directory, &record(5)),
        Err(StoreError::AlreadyExists { .. })
    ));
    CopyFiles::open(&directory).unwrap();
}

#[test]
fn a_directory_without_a_copy_is_refused() {
    let (_parent, directory) = place();
    assert!(matches!(
        CopyFiles::open(&directory),
        Err(StoreError::NotACopy { .. })
    ));
    assert!(matches!(
        CopyFiles::delete(&directory),
        Err(StoreError::NotACopy { .. })
    ));
    fs::create_dir(&directory).unwrap();
    assert!(matches!(
        CopyFiles::open(&directory),
        Err(StoreError::NotACopy { .. })
    ));
}

#[test]
fn a_deleted_copy_leaves_nothing() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    files.write(0, &[IoSlice::new(b"data")]).unwrap();
    drop(files);
    CopyFiles::delete(&directory).unwrap();
    assert!(!directory.exists());
}

#[test]
fn files_of_others_are_not_deleted() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    drop(files);
    fs::write(directory.join("note"), "mine").unwrap();
    assert!(matches!(
        CopyFiles::delete(&directory),
        Err(StoreError::Io {
            operation: "remove",
            ..
        })
    ));
    assert_eq!(fs::read_to_string(directory.join("note")).unwrap(), "mine");
    assert!(matches!(
        CopyFiles::open(&directory),
        Err(StoreError::NotACopy { .. })
    ));
}

#[test]
fn a_new_copy_does_not_show_what_a_half_deleted_one_left() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    files.write(0, &[IoSlice::new(b"old")]).unwrap();
    drop(files);
    fs::remove_file(directory.join("meta")).unwrap();
    let files = CopyFiles::create(&directory, &record(ODD_BYTES)).unwrap();
    assert_eq!(files.read(0, 3).unwrap(), [0; 3]);
}

#[test]
fn what_was_never_written_reads_as_zeros_and_takes_no_file() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    assert_eq!(files.read(ODD_BYTES - 1000, 1000).unwrap(), [0; 1000]);
    assert_eq!(
        files.try_read_cached(SEGMENT_BYTES - 5, 10).unwrap(),
        Some(vec![0; 10])
    );
    files.punch(0, ODD_BYTES).unwrap();
    assert!(!directory.join(name_of(0)).exists());
    assert_eq!(files.allocated_extents().unwrap(), []);
    assert!(files.bytes_allocated().unwrap() < 1 << 20);
}

#[test]
fn a_write_across_a_segment_border_comes_back_whole() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    let bytes: Vec<u8> = (0..10_000_u32).map(|byte| (byte % 251) as u8).collect();
    let offset = 2 * SEGMENT_BYTES - 3333;
    files
        .write(
            offset,
            &[
                IoSlice::new(&bytes[..17]),
                IoSlice::new(&bytes[17..5000]),
                IoSlice::new(&bytes[5000..]),
            ],
        )
        .unwrap();
    assert_eq!(files.read(offset, bytes.len()).unwrap(), bytes);
    files.flush().unwrap();
    drop(files);
    let files = CopyFiles::open(&directory).unwrap().files;
    assert_eq!(files.read(offset, bytes.len()).unwrap(), bytes);
    assert!(!directory.join(name_of(0)).exists());
    assert_eq!(files.allocated_extents().unwrap(), [511, 512]);
}

#[test]
fn data_ranges_are_those_that_were_written_inside_what_is_asked_for() {
    const PAGE: u64 = 64 << 10;
    let (_parent, _directory, files) = new_copy(ODD_BYTES);
    let bytes = vec![1; PAGE as usize];
    let border = SEGMENT_BYTES;
    for offset in [0, 4 * PAGE, border - PAGE, border] {
        files.write(offset, &[IoSlice::new(&bytes)]).unwrap();
    }
    let all = [(0, PAGE), (4 * PAGE, PAGE), (border - PAGE, 2 * PAGE)];
    assert_eq!(files.data_ranges(0, 2 * SEGMENT_BYTES).unwrap(), all);
    assert_eq!(
        files.data_ranges(4 * PAGE + 512, 1024).unwrap(),
        [(4 * PAGE + 512, 1024)]
    );
    assert_eq!(files.data_ranges(PAGE, 3 * PAGE).unwrap(), []);
    assert!(files.data_ranges(ODD_BYTES, 1).is_err());
}

#[test]
fn the_tail_of_an_odd_size_is_there_and_nothing_behind_it() {
    let (_parent, _directory, files) = new_copy(ODD_BYTES);
    files.write(ODD_BYTES - 3, &[IoSlice::new(b"end")]).unwrap();
    assert_eq!(files.read(ODD_BYTES - 4, 4).unwrap(), b"\0end");
    for (offset, length) in [
        (ODD_BYTES - 3, 4),
        (ODD_BYTES, 1),
        (u64::MAX, 1),
        (u64::MAX, 2),
    ] {
        let bytes = vec![0; length];
        assert!(matches!(
            files.write(offset, &[IoSlice::new(&bytes)]),
            Err(StoreError::OutOfBounds { .. })
        ));
        assert!(matches!(
            files.read(offset, length),
            Err(StoreError::OutOfBounds { .. })
        ));
        assert!(matches!(
            files.try_read_cached(offset, length),
            Err(StoreError::OutOfBounds { .. })
        ));
        assert!(matches!(
            files.punch(offset, length as u64),
            Err(StoreError::OutOfBounds { .. })
        ));
    }
    assert_eq!(files.read(ODD_BYTES, 0).unwrap(), []);
    assert_eq!(files.allocated_extents().unwrap(), [768]);
}

#[test]
fn a_punched_range_reads_as_zeros_and_gives_space_back() {
    let (_parent, _directory, files) = new_copy(ODD_BYTES);
    let bytes = vec![9; 2 * EXTENT_BYTES as usize];
    let offset = SEGMENT_BYTES - EXTENT_BYTES;
    files.write(offset, &[IoSlice::new(&bytes)]).unwrap();
    files.flush().unwrap();
    let before = files.bytes_allocated().unwrap();
    files.punch(offset + 100, bytes.len() as u64 - 200).unwrap();
    let read = files.read(offset, bytes.len()).unwrap();
    assert!(
        read[..100]
            .iter()
            .chain(&read[bytes.len() - 100..])
            .all(|byte| *byte == 9)
    );
    assert!(read[100..bytes.len() - 100].iter().all(|byte| *byte == 0));
    files.flush().unwrap();
    assert!(files.bytes_allocated().unwrap() < before - EXTENT_BYTES);
}

#[test]
fn what_was_just_written_is_read_from_the_cache() {
    let (_parent, _directory, files) = new_copy(ODD_BYTES);
    files.write(8192, &[IoSlice::new(&[5; 4096])]).unwrap();
    // None is allowed (a file system without RWF_NOWAIT), wrong bytes are not.
    if let Some(read) = files.try_read_cached(8192, 4096).unwrap() {
        assert_eq!(read, [5; 4096]);
    }
}

#[test]
fn a_copy_that_grew_has_zeros_at_its_end() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    let larger = record(ODD_BYTES + 5 * SEGMENT_BYTES);
    assert!(matches!(
        files.persist(&larger, BitmapChange::Words(&[])),
        Err(StoreError::InvalidRecord { .. })
    ));
    files.grow(&larger).unwrap();
    assert_eq!(files.size_bytes(), larger.size_bytes);
    assert_eq!(files.read(ODD_BYTES, 100).unwrap(), [0; 100]);
    files
        .write(larger.size_bytes - 1, &[IoSlice::new(b"!")])
        .unwrap();
    files
        .persist(&larger, BitmapChange::Words(&[(2000, 1)]))
        .unwrap();
    let smaller = files.grow(&record(ODD_BYTES));
    assert!(matches!(
        smaller,
        Err(StoreError::InvalidRecord {
            problem: RecordProblem::Size { .. }
        })
    ));
    drop(files);
    let opened = CopyFiles::open(&directory).unwrap();
    assert_eq!((opened.record, opened.bitmap), (larger, vec![(2000, 1)]));
}

#[test]
fn a_record_that_cannot_be_stored_changes_nothing() {
    let (_parent, directory, files) = new_copy(ODD_BYTES);
    let good = record(ODD_BYTES);
    let bad = [
        CopyRecord {
            serial: [1; 16],
            ..good.clone()
        },
        CopyRecord {
            size_bytes: 0,
            ..good.clone()
        },
        CopyRecord {
            active: vec![0; 2049],
            ..good.clone()
        },
        CopyRecord {
            active: vec![769],
            ..good.clone()
        },
        CopyRecord {
            lineage: vec![1; 5],
            ..good.clone()
        },
        CopyRecord {
            lineage: vec![0],
            ..good.clone()
        },
    ];
    for record in bad {
        let refused = files.persist(&record, BitmapChange::Words(&[(0, 1)]));
        assert!(
            matches!(refused, Err(StoreError::InvalidRecord { .. })),
            "{record:?}"
        );
    }
    assert!(matches!(
        files.persist(&good, BitmapChange::Replace(&[(769, 1)])),
        Err(StoreError::InvalidRecord { .. })
    ));
    drop(files);
    let opened = CopyFiles::open(&directory).unwrap();
    assert_eq!((opened.record, opened.bitmap), (good, vec![]));
    let (_parent, directory) = place();
    assert!(matches!(
        CopyFiles::create(&directory, &record(0)),
        Err(StoreError::InvalidRecord { .. })
    ));
    assert!(matches!(
        CopyFiles::open(&directory),
        Err(StoreError::NotACopy { .. })
    ));
}

#[test]
fn threads_write_and_flush_side_by_side() {
    let (_parent, _directory, files) = new_copy(ODD_BYTES);
    thread::scope(|scope| {
        for worker in 0..4_u64 {
            let files = &files;
            scope.spawn(move || {
                for round in 0..50 {
                    let offset = round * SEGMENT_BYTES / 20 + worker * 4096;
                    files
                        .write(offset, &[IoSlice::new(&[worker as u8 + 1; 4096])])
                        .unwrap();
                    if round % 10 == worker {
                        files.flush().unwrap();
                    }
                    assert_eq!(files.read(offset, 4096).unwrap(), [worker as u8 + 1; 4096]);
                }
            });
        }
    });
}

#[derive(Debug, Clone)]
enum Op {
    Write(usize, Vec<usize>),
    Punch(usize, usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (
            0..60_000_usize,
            proptest::collection::vec(0..9000_usize, 0..4)
        )
            .prop_map(|(at, chunks)| Op::Write(at, chunks)),
        (0..60_000_usize, 0..40_000_usize).prop_map(|(at, length)| Op::Punch(at, length)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn content_is_what_was_written_and_punched(ops in proptest::collection::vec(op(), 1..20)) {
        const WINDOW: usize = 100_000;
        let (_parent, _directory, files) = new_copy(ODD_BYTES);
        let start = SEGMENT_BYTES - WINDOW as u64 / 2;
        let mut model = vec![0_u8; WINDOW];
        for (number, op) in ops.into_iter().enumerate() {
            let fill = number as u8 + 1;
            match op {
                Op::Write(at, lengths) => {
                    let chunks: Vec<Vec<u8>> = lengths.iter().map(|length| vec![fill; *length]).collect();
                    let slices: Vec<IoSlice<'_>> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
                    files.write(start + at as u64, &slices).unwrap();
                    model[at..at + lengths.iter().sum::<usize>()].fill(fill);
                }
                Op::Punch(at, length) => {
                    files.punch(start + at as u64, length as u64).unwrap();
                    model[at..at + length].fill(0);
                }
            }
        }
        prop_assert!(files.read(start, WINDOW).unwrap() == model);
        if let Some(cached) = files.try_read_cached(start, WINDOW).unwrap() {
            prop_assert!(cached == model);
        }
    }
}
