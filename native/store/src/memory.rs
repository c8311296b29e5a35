//! A directory in memory that behaves like a disk with a volatile cache: what was not synced may be lost, kept or torn (per
//! 512-byte sector, in any order) when the power is cut, after a chosen number of changing operations.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::storage::{Directory, File};

const SECTOR_BYTES: u64 = 512;

/// Small random numbers from a seed (xorshift).
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

#[derive(Debug, Clone, Default)]
struct Content {
    sectors: BTreeMap<u64, [u8; SECTOR_BYTES as usize]>,
    length: u64,
}

impl Content {
    fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (at, byte) in (offset..).zip(bytes) {
            let sector = self
                .sectors
                .entry(at / SECTOR_BYTES)
                .or_insert([0; SECTOR_BYTES as usize]);
            sector[(at % SECTOR_BYTES) as usize] = *byte;
        }
        self.length = self.length.max(offset + bytes.len() as u64);
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) {
        buffer.fill(0);
        let end = offset + buffer.len() as u64;
        let numbers = offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES);
        for (number, sector) in self.sectors.range(numbers) {
            let start = number * SECTOR_BYTES;
            let (from, to) = (offset.max(start), end.min(start + SECTOR_BYTES));
            buffer[(from - offset) as usize..(to - offset) as usize]
                .copy_from_slice(&sector[(from - start) as usize..(to - start) as usize]);
        }
    }

    fn zero(&mut self, range: Range<u64>) {
        let touched: Vec<u64> = self
            .sectors
            .range(range.start / SECTOR_BYTES..range.end.div_ceil(SECTOR_BYTES))
            .map(|entry| *entry.0)
            .collect();
        for number in touched {
            let start = number * SECTOR_BYTES;
            if range.start <= start && range.end >= start + SECTOR_BYTES {
                self.sectors.remove(&number);
            } else if let Some(sector) = self.sectors.get_mut(&number) {
                let from = range.start.saturating_sub(start) as usize;
                let to = (range.end - start).min(SECTOR_BYTES) as usize;
                sector[from..to].fill(0);
            }
        }
    }

    fn set_len(&mut self, length: u64) {
        self.zero(length..self.length.max(length));
        self.length = length;
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Write(offset, bytes) => self.write(*offset, bytes),
            Change::Punch(range) => self.zero(range.clone()),
            Change::Length(length) => self.set_len(*length),
        }
    }

    /// Apply a change as a crash may have left it.
    fn apply_torn(&mut self, change: &Change, random: &mut Random) {
        match (change, random.below(3)) {
            (_, 0) => {}
            (Change::Write(offset, bytes), 1) => {
                for (sector, part) in bytes.chunks(SECTOR_BYTES as usize).enumerate() {
                    if random.below(2) == 0 {
                        self.write(offset + sector as u64 * SECTOR_BYTES, part);
                    }
                }
            }
            _ => self.apply(change),
        }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Punch(Range<u64>),
    Length(u64),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    now: Content,
    durable: Content,
    pending: Vec<Change>,
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Clone, Default)]
struct Disk {
    inodes: Vec<Inode>,
    names: Names,
    /// Every state of the names since the last sync, the durable one first.
    past_names: Vec<Names>,
    operations: u64,
    cut_at: Option<u64>,
    failing_syncs: bool,
}

impl Disk {
    /// Count a changing operation; false once the power is cut.
    fn power(&mut self) -> bool {
        self.operations += 1;
        self.cut_at.is_none_or(|cut_at| self.operations <= cut_at)
    }

    fn change_names(&mut self, change: impl FnOnce(&mut Names)) -> io::Result<()> {
        let power = self.power();
        if self.past_names.is_empty() {
            self.past_names.push(self.names.clone());
        }
        if self
            .cut_at
            .is_none_or(|cut_at| self.operations <= cut_at + 1)
        {
            change(&mut self.names);
            self.past_names.push(self.names.clone());
        }
        powered(power)
    }
}

fn powered(power: bool) -> io::Result<()> {
    if power {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(5))
    }
}

/// The directory; clones are handles to the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct MemoryDirectory(Arc<Mutex<Disk>>);

impl MemoryDirectory {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Changing operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// Cut the power when so many changing operations have been done in all: the next one may or may not reach the disk.
    pub(crate) fn cut_at(&self, operations: u64) {
        self.disk().cut_at = Some(operations);
    }

    /// Let operations work again without a crash: only the process was killed, what it wrote is still in the cache.
    pub(crate) fn restore_power(&self) {
        self.disk().cut_at = None;
    }

    /// Make every sync fail, or work again.
    pub(crate) fn fail_syncs(&self, fail: bool) {
        self.disk().failing_syncs = fail;
    }

    /// Change bytes behind everybody's back, durably.
    pub(crate) fn corrupt(&self, name: &str, offset: u64, bytes: &[u8]) {
        let mut disk = self.disk();
        let number = disk.names[name];
        disk.inodes[number].now.write(offset, bytes);
        disk.inodes[number].durable.write(offset, bytes);
    }

    /// Cut a file's end off, durably.
    pub(crate) fn truncate(&self, name: &str, length: u64) {
        let mut disk = self.disk();
        let number = disk.names[name];
        disk.inodes[number].now.set_len(length);
        disk.inodes[number].durable.set_len(length);
    }

    /// What is there after a power cut; `seed` chooses what of the unsynced is lost, kept or torn.
    pub(crate) fn after_crash(&self, seed: u64) -> Self {
        let mut random = Random::new(seed + 1);
        let mut disk = self.disk().clone();
        for inode in &mut disk.inodes {
            for change in std::mem::take(&mut inode.pending) {
                inode.durable.apply_torn(&change, &mut random);
            }
            inode.now = inode.durable.clone();
        }
        if !disk.past_names.is_empty() {
            let kept = random.below(disk.past_names.len() as u64) as usize;
            disk.names = disk.past_names.swap_remove(kept);
            disk.past_names.clear();
        }
        (disk.cut_at, disk.failing_syncs) = (None, false);
        Self(Arc::new(Mutex::new(disk)))
    }
}

/// The part of a change that reaches the disk whole or not at all: a sector of a write, or another change.
type Piece = (usize, Change);

impl Disk {
    /// What is not synced, in pieces, in the order of the changes.
    fn pieces(&self) -> Vec<Piece> {
        let pending =
            self.inodes.iter().enumerate().flat_map(|(number, inode)| {
                inode.pending.iter().map(move |change| (number, change))
            });
        pending
            .flat_map(|(number, change)| match change {
                Change::Write(offset, bytes) => {
                    let sectors = (*offset..).step_by(SECTOR_BYTES as usize);
                    let parts = sectors.zip(bytes.chunks(SECTOR_BYTES as usize));
                    parts
                        .map(|(at, part)| (number, Change::Write(at, part.to_vec())))
                        .collect()
                }
                other => vec![(number, other.clone())],
            })
            .collect()
    }

    /// What is there after a power cut that kept some of the pieces and one of the states of the names.
    fn crashed(&self, pieces: &[Piece], kept: impl Fn(usize) -> bool, names: &Names) -> Self {
        let inodes = self.inodes.iter().map(|inode| Inode {
            durable: inode.durable.clone(),
            ..Inode::default()
        });
        let mut inodes: Vec<_> = inodes.collect();
        for (_, (number, change)) in pieces.iter().enumerate().filter(|(at, _)| kept(*at)) {
            inodes[*number].durable.apply(change);
        }
        for inode in &mut inodes {
            inode.now = inode.durable.clone();
        }
        Self {
            inodes,
            names: names.clone(),
            ..Self::default()
        }
    }
}

/// Pieces of which all subsets are tried; of more, every beginning and all but any two.
const SUBSETS_MAX: usize = 9;

/// Which pieces a crash may keep, each as a set of their numbers.
fn subsets(count: usize) -> Vec<Vec<bool>> {
    if count <= SUBSETS_MAX {
        let bits = |set: usize| (0..count).map(|at| set >> at & 1 == 1).collect();
        return (0..1 << count).map(bits).collect();
    }
    let prefixes = (0..=count).map(|end| (0..count).map(|at| at < end).collect());
    let pairs = (0..count).flat_map(|one| (one..count).map(move |two| (one, two)));
    let without = pairs.map(|(one, two)| (0..count).map(|at| at != one && at != two).collect());
    prefixes.chain(without).collect()
}

impl MemoryDirectory {
    /// Another directory that holds the same.
    pub(crate) fn copied(&self) -> Self {
        Self(Arc::new(Mutex::new(self.disk().clone())))
    }

    /// Call with every state that a power cut now may leave: each 512-byte sector that was not synced kept or lost by itself, each
    /// state of the names since their last sync.
    pub(crate) fn each_crash(&self, mut look: impl FnMut(&Self)) {
        let disk = self.disk().clone();
        let pieces = disk.pieces();
        let mut names = disk.past_names.clone();
        if names.is_empty() {
            names.push(disk.names.clone());
        }
        for names in &names {
            for kept in subsets(pieces.len()) {
                let crashed = disk.crashed(&pieces, |at| kept[at], names);
                look(&Self(Arc::new(Mutex::new(crashed))));
            }
        }
    }
}

impl Directory for MemoryDirectory {
    fn open(&self, name: &str, create: bool) -> io::Result<Option<Arc<dyn File>>> {
        let mut disk = self.disk();
        if !disk.names.contains_key(name) {
            if !create {
                return Ok(None);
            }
            let number = disk.inodes.len();
            disk.inodes.push(Inode::default());
            disk.change_names(|names| _ = names.insert(name.to_owned(), number))?;
        }
        let number = disk.names[name];
        Ok(Some(Arc::new(MemoryFile {
            directory: self.clone(),
            number,
        })))
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.disk().names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk().change_names(|names| {
            let number = names.remove(from).unwrap();
            names.insert(to.to_owned(), number);
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk().change_names(|names| _ = names.remove(name))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.disk();
        let works = disk.power() && !disk.failing_syncs;
        if works {
            disk.past_names.clear();
        }
        powered(works)
    }
}

#[derive(Debug)]
struct MemoryFile {
    directory: MemoryDirectory,
    number: usize,
}

impl MemoryFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut disk = self.directory.disk();
        let power = disk.power();
        let last = disk
            .cut_at
            .is_none_or(|cut_at| disk.operations <= cut_at + 1);
        if last {
            let inode = &mut disk.inodes[self.number];
            inode.now.apply(&change);
            inode.pending.push(change);
        }
        powered(power)
    }
}

impl File for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let disk = self.directory.disk();
        let content = &disk.inodes[self.number].now;
        let count = (buffer.len() as u64).min(content.length.saturating_sub(offset)) as usize;
        content.read(offset, &mut buffer[..count]);
        Ok(count)
    }

    fn read_cached_at(&self, _buffer: &mut [u8], _offset: u64) -> io::Result<Option<usize>> {
        Ok(None)
    }

    fn write_at(&self, chunks: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let bytes: Vec<u8> = chunks
            .iter()
            .flat_map(|chunk| chunk.iter().copied())
            .collect();
        let count = bytes.len();
        self.change(Change::Write(offset, bytes)).map(|()| count)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.change(Change::Punch(offset..offset + length))
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.directory.disk();
        let works = disk.power() && !disk.failing_syncs;
        if works {
            let inode = &mut disk.inodes[self.number];
            inode.pending.clear();
            inode.durable = inode.now.clone();
        }
        powered(works)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.directory.disk().inodes[self.number].now.length)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::Length(length))
    }

    fn reserve(&self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn next_data(&self, from: u64) -> io::Result<Option<Range<u64>>> {
        let disk = self.directory.disk();
        let found = disk.inodes[self.number]
            .now
            .sectors
            .range(from / SECTOR_BYTES..)
            .next();
        Ok(found.map(|(number, _)| (number * SECTOR_BYTES).max(from)..(number + 1) * SECTOR_BYTES))
    }

    fn allocated_bytes(&self) -> io::Result<u64> {
        Ok(self.directory.disk().inodes[self.number].now.sectors.len() as u64 * SECTOR_BYTES)
    }
}
