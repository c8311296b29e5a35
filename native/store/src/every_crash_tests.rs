//! Every update of a copy's metadata, with the power cut at every operation of it and each set of unsynced sectors lost: what is
//! found is the old state or the new one, never anything else, and never fewer dirty bits than belong to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::copy_files::{BitmapChange, CopyFiles, Opened};
use crate::error::StoreError;
use crate::memory::MemoryDirectory;
use crate::record::{CopyRecord, EXTENT_BYTES, Role};

/// Two pages of bitmap.
const SIZE_BYTES: u64 = 520 * EXTENT_BYTES;

/// All that a copy durably knows, as this test writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    record: CopyRecord,
    bitmap: BTreeMap<u64, u64>,
    shared: Vec<u8>,
}

impl State {
    fn in_sync() -> Self {
        let record = CopyRecord {
            serial: [0x6e; 16],
            size_bytes: SIZE_BYTES,
            current: 77,
            base: 0,
            lineage: Vec::new(),
            epoch: 5,
            role: Role::Slave,
            inconsistent: false,
            ending: false,
            active: vec![1, 2],
        };
        Self {
            record,
            bitmap: BTreeMap::new(),
            shared: b"one reservation".to_vec(),
        }
    }

    fn alone() -> Self {
        let mut state = Self::in_sync();
        (state.record.current, state.record.base) = (90, 77);
        (state.record.role, state.record.lineage) = (Role::Master, vec![80]);
        state.bitmap = BTreeMap::from([(1, 0b1010), (2, u64::MAX)]);
        state
    }

    fn target() -> Self {
        let mut state = Self::in_sync();
        state.record.inconsistent = true;
        state.bitmap = BTreeMap::from([(1, 0b1010), (2, u64::MAX)]);
        state
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

/// One update: what is there before and after, and how the bitmap is given.
struct Update {
    name: &'static str,
    old: State,
    new: State,
    replace: bool,
}

fn update(name: &'static str, old: State, change: impl FnOnce(&mut State)) -> Update {
    let new = old.clone().with(change);
    Update {
        name,
        old,
        new,
        replace: false,
    }
}

/// Updates of the facts and the activity log.
fn updates_of_facts() -> Vec<Update> {
    vec![
        update("an extent becomes active", State::in_sync(), |state| {
            state.record.active.push(7);
        }),
        update(
            "an extent leaves the activity log",
            State::in_sync(),
            |state| {
                state.record.active = vec![2];
            },
        ),
        update(
            "a higher epoch and the other role",
            State::in_sync(),
            |state| {
                (state.record.epoch, state.record.role) = (6, Role::Master);
            },
        ),
        update(
            "a resync onto this copy begins",
            State::in_sync(),
            |state| {
                (state.record.inconsistent, state.record.epoch) = (true, 6);
            },
        ),
        update("the end of a resync is noted", State::alone(), |state| {
            state.record.ending = true
        }),
        update(
            "outdated once more",
            State::alone().with(|state| state.record.ending = true),
            |state| {
                (state.record.current, state.record.ending) = (91, false);
                state.record.lineage.push(90);
            },
        ),
    ]
}

/// Updates of words of the bitmap and of the shared record, alone and with the facts.
fn updates_of_words() -> Vec<Update> {
    vec![
        update(
            "a word of the bitmap gains and loses bits",
            State::alone(),
            |state| {
                state.bitmap.insert(1, 0b0110);
            },
        ),
        update(
            "an extent moves from the log to the bitmap",
            State::alone(),
            |state| {
                state.record.active = vec![2];
                state.bitmap.insert(515, 0xff00);
            },
        ),
        update("reservations change", State::in_sync(), |state| {
            state.shared = vec![7; 3 * 512];
        }),
        update(
            "reservations change with an attach",
            State::in_sync(),
            |state| {
                state.shared = b"none".to_vec();
                (state.record.epoch, state.record.inconsistent) = (6, true);
            },
        ),
        update(
            "the first reservation",
            State::in_sync().with(|state| state.shared.clear()),
            |state| {
                state.shared = b"one reservation".to_vec();
            },
        ),
        update(
            "the log of a busy copy grows beyond one page",
            State::in_sync(),
            |state| {
                state.record.active = (0..510).collect();
            },
        ),
    ]
}

/// Updates that replace the bitmap.
fn updates_of_bitmaps() -> Vec<Update> {
    let mut updates = vec![
        update(
            "going alone: the peer is outdated, the log goes to the bitmap",
            State::in_sync(),
            |state| {
                let alone = State::alone();
                state.record = CopyRecord {
                    active: Vec::new(),
                    ..alone.record
                };
                state.bitmap = alone.bitmap;
            },
        ),
        update(
            "a source settles: both are equal",
            State::alone(),
            |state| {
                state.record = CopyRecord {
                    role: Role::Master,
                    active: Vec::new(),
                    ..State::in_sync().record
                };
                state.bitmap.clear();
            },
        ),
        update(
            "a target settles: it is current",
            State::target(),
            |state| {
                (state.record.current, state.record.inconsistent) = (91, false);
                state.bitmap.clear();
            },
        ),
        update("a bitmap of other extents", State::alone(), |state| {
            state.bitmap = BTreeMap::from([(2, 1), (3, 6)]);
            state.record.epoch = 9;
        }),
    ];
    for update in &mut updates {
        update.replace = true;
    }
    updates
}

fn write(files: &CopyFiles, old: &State, new: &State, replace: bool) -> Result<(), StoreError> {
    // As the engine does: the shared record first, since what follows may say that this copy is current.
    files.persist_shared(&new.shared)?;
    let changed = |extent: &u64| replace || old.bitmap.get(extent) != new.bitmap.get(extent);
    let words: Vec<_> = (old.bitmap.keys().chain(new.bitmap.keys()))
        .filter(|extent| changed(extent))
        .map(|extent| (*extent, new.bitmap.get(extent).copied().unwrap_or(0)))
        .collect::<BTreeMap<_, _>>()
        .into_iter()
        .collect();
    let bitmap = if replace {
        BitmapChange::Replace(&words)
    } else {
        BitmapChange::Words(&words)
    };
    files.persist(&new.record, bitmap)
}

/// A directory in which `old` is durable.
fn holding(old: &State) -> (MemoryDirectory, CopyFiles) {
    let directory = MemoryDirectory::default();
    let blank = CopyRecord {
        epoch: 0,
        ..old.record.clone()
    };
    let files = CopyFiles::create_in(Arc::new(directory.clone()), &blank).unwrap();
    let nothing = State {
        record: blank,
        bitmap: BTreeMap::new(),
        shared: Vec::new(),
    };
    write(&files, &nothing, old, false).unwrap();
    (directory, files)
}

fn open(directory: &MemoryDirectory) -> Opened {
    CopyFiles::open_in(Arc::new(directory.clone()))
        .unwrap()
        .expect("the copy is there")
}

/// Look at what a crash has left.
fn check(update: &Update, opened: &Opened, done: bool, at: &str) {
    let (old, new) = (&update.old, &update.new);
    let name = update.name;
    let is_new = opened.record == new.record;
    assert!(
        is_new || (!done && opened.record == old.record),
        "{name}, {at}: a record that is neither: {:?}",
        opened.record
    );
    assert!(
        opened.shared == new.shared || (!done && opened.shared == old.shared),
        "{name}, {at}: a shared record that is neither: {:?}",
        opened.shared
    );
    assert!(
        opened.shared == new.shared || !is_new || old.record == new.record,
        "{name}, {at}: the record overtook the shared record"
    );
    let there: BTreeMap<u64, u64> = opened.bitmap.iter().copied().collect();
    // Where the record does not change, nothing tells which of two bitmaps holds: what both have must be there.
    let least = |extent: &u64| {
        let word = |state: &State| state.bitmap.get(extent).copied().unwrap_or(0);
        match (old.record == new.record && !done, is_new) {
            (true, _) => word(old) & word(new),
            (false, true) => word(new),
            (false, false) => word(old),
        }
    };
    for extent in old.bitmap.keys().chain(new.bitmap.keys()) {
        let kept = there.get(extent).copied().unwrap_or(0);
        assert_eq!(
            kept & least(extent),
            least(extent),
            "{name}, {at}: extent {extent} lost bits"
        );
    }
    if done {
        assert_eq!(there, new.bitmap, "{name}, {at}");
    }
}

/// Cut the power at every operation of an update; how many states were looked at.
fn crash_everywhere(update: &Update) -> u64 {
    let (whole, files) = holding(&update.old);
    let before = whole.operations();
    write(&files, &update.old, &update.new, update.replace).unwrap();
    let mut states = 0;
    for cut in before..=whole.operations() {
        let (directory, files) = holding(&update.old);
        directory.cut_at(cut);
        let done = write(&files, &update.old, &update.new, update.replace).is_ok();
        assert_eq!(done, cut == whole.operations(), "{}", update.name);
        directory.each_crash(|crashed| {
            states += 1;
            check(
                update,
                &open(crashed),
                done,
                &format!("cut {cut} state {states}"),
            );
            if states % 16 == 0 {
                crash_while_opening(update, crashed, done);
            }
        });
    }
    states
}

/// Opening mends what it found: cut the power there too.
fn crash_while_opening(update: &Update, crashed: &MemoryDirectory, done: bool) {
    let whole = crashed.copied();
    drop(open(&whole));
    for cut in crashed.operations()..whole.operations() {
        let again = crashed.copied();
        again.cut_at(cut);
        assert!(CopyFiles::open_in(Arc::new(again.clone())).is_err());
        let again = again.after_crash(cut);
        check(
            update,
            &open(&again),
            done,
            &format!("opened anew, cut {cut}"),
        );
    }
}

#[test]
fn a_crash_anywhere_in_any_update_leaves_the_old_state_or_the_new_one() {
    let updates = [updates_of_facts(), updates_of_words(), updates_of_bitmaps()];
    let states: u64 = updates.iter().flatten().map(crash_everywhere).sum();
    assert!(states > 10_000, "{states} states only");
}

#[test]
fn a_crash_anywhere_while_a_vdisk_grows_leaves_the_old_size_or_the_new_one() {
    let old = State::alone();
    let new = old
        .clone()
        .with(|state| state.record.size_bytes = SIZE_BYTES * 3);
    let update = Update {
        name: "growing",
        old,
        new,
        replace: false,
    };
    let (whole, files) = holding(&update.old);
    let before = whole.operations();
    files.grow(&update.new.record).unwrap();
    for cut in before..=whole.operations() {
        let (directory, files) = holding(&update.old);
        directory.cut_at(cut);
        let done = files.grow(&update.new.record).is_ok();
        directory.each_crash(|crashed| {
            check(&update, &open(crashed), done, &format!("cut {cut}"));
        });
    }
}
