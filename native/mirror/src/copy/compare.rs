//! One chunk of a verification: compared, and repaired if the verification is to (see [`super::verify`] for the rules).
//!
//! ```text
//! Master: lock, read ── Compare ──► Slave: lock, read, unlock
//!         unlock ◄── Same, Differs ──
//!         (to repair: again with an exclusive lock, then a change: log ── Apply ──► log, disk; disk ◄── Applied ──; unlock)
//! ```

use super::Copy;
use super::task::{Task, TaskKind};
use crate::CHUNK_BYTES;
use crate::facts::Role;
use crate::message::Body;
use crate::ops::{Change, ChangeKind, DiskDone};
use crate::payload::Payload;

/// In which the ranges that differ are told.
const SECTOR_BYTES: usize = 512;

impl Copy {
    pub(super) fn start_comparison(&mut self, offset: u64) {
        let len_bytes = CHUNK_BYTES.min(self.size_bytes - offset);
        self.pace.took(len_bytes);
        self.compare(offset, len_bytes, false);
    }

    fn compare(&mut self, offset: u64, len_bytes: u64, to_repair: bool) {
        let kind = TaskKind::Compare {
            data: None,
            to_repair,
        };
        let id = self.add_task(offset, len_bytes, kind);
        self.lock(id, to_repair);
    }

    /// Master: the chunk was read; ask whether the Slave has the same.
    pub(super) fn compare_read(&mut self, id: u64, done: DiskDone) {
        let Some(Task {
            offset,
            len_bytes,
            kind: TaskKind::Compare { data, .. },
            ..
        }) = self.tasks.get_mut(&id)
        else {
            return;
        };
        if let DiskDone::Data(bytes) = done {
            let hash = bytes.hash();
            *data = Some(bytes);
            let ask = Body::Compare {
                offset: *offset,
                len_bytes: u32::try_from(*len_bytes).expect("a chunk is 64 KiB at most"),
                hash,
            };
            self.say(id, ask);
        }
    }

    /// Slave: compare a chunk.
    pub(super) fn start_peer_compare(
        &mut self,
        peer_id: u64,
        offset: u64,
        len_bytes: u32,
        hash: [u8; 32],
    ) {
        let kind = TaskKind::PeerCompare { peer_id, hash };
        let id = self.add_task(offset, len_bytes.into(), kind);
        self.lock(id, false);
    }

    /// Slave: the chunk was read.
    pub(super) fn peer_compare_read(&mut self, id: u64, done: DiskDone) {
        let Some(Task {
            kind: TaskKind::PeerCompare { peer_id, hash },
            ..
        }) = self.finish(id)
        else {
            return;
        };
        if let DiskDone::Data(data) = done {
            let same = data.hash() == hash;
            let answer = if same {
                Body::Same
            } else {
                Body::Differs(data)
            };
            self.say(peer_id, answer);
        }
    }

    /// Master: the Slave has the same.
    pub(super) fn compared_same(&mut self, id: u64) {
        if let Some(Task {
            kind: TaskKind::Compare { .. },
            ..
        }) = self.tasks.get(&id)
        {
            self.compared(id);
        }
    }

    /// A chunk is done with.
    fn compared(&mut self, id: u64) {
        if let Some(task) = self.finish(id) {
            self.verification.compared(task.len_bytes, 0);
        }
    }

    /// Master: the Slave has other bytes, these.
    pub(super) fn compared_differs(&mut self, id: u64, theirs: &Payload) {
        let Some(Task {
            offset,
            len_bytes,
            kind: TaskKind::Compare { data, to_repair },
            ..
        }) = self.tasks.get_mut(&id)
        else {
            return;
        };
        let (offset, len_bytes, to_repair) = (*offset, *len_bytes, *to_repair);
        let Some(ours) = data.take() else {
            return;
        };
        if theirs.len_bytes() != len_bytes {
            self.peer_faulty = true;
            return;
        }
        let (ours, theirs) = (ours.to_contiguous(), theirs.to_contiguous());
        let ranges = differing(&ours, &theirs);
        if !to_repair {
            for &(at, len) in &ranges {
                self.verification.differs(offset + at as u64, len as u64);
            }
        }
        let repair = self.verification.repair();
        let Some(repair) = repair.filter(|_| !ranges.is_empty()) else {
            return self.compared(id);
        };
        if !to_repair {
            self.finish(id);
            return self.compare(offset, len_bytes, true);
        }
        let right = if repair == Role::Master { ours } else { theirs };
        let (first, last) = (ranges[0], ranges[ranges.len() - 1]);
        let bytes = Payload::from(right.slice(first.0..last.0 + last.1));
        self.begin_repair(id, offset + first.0 as u64, bytes);
    }

    fn begin_repair(&mut self, id: u64, offset: u64, bytes: Payload) {
        let len_bytes = bytes.len_bytes();
        let kind = if bytes.is_zero() {
            ChangeKind::Unmap
        } else {
            ChangeKind::Write(bytes)
        };
        if let Some(task) = self.tasks.get_mut(&id) {
            task.kind = TaskKind::Repair {
                change: Change {
                    offset,
                    len_bytes,
                    kind,
                },
                local_pending: true,
                peer_pending: true,
            };
            self.begin_change(id);
        }
    }

    /// One of the two copies is repaired.
    pub(super) fn repair_progress(&mut self, id: u64) {
        let Some(Task {
            kind:
                TaskKind::Repair {
                    change,
                    local_pending: false,
                    peer_pending: false,
                },
            len_bytes,
            ..
        }) = self.tasks.get(&id)
        else {
            return;
        };
        let (repaired, compared) = (change.len_bytes, *len_bytes);
        self.end_change(id);
        self.verification.compared(compared, repaired);
    }
}

/// Where two chunks differ, in whole sectors but for the last one of a disk of odd size: (offset, length), merged.
fn differing(ours: &[u8], theirs: &[u8]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    let sectors = ours.chunks(SECTOR_BYTES).zip(theirs.chunks(SECTOR_BYTES));
    for (number, (left, _)) in sectors.enumerate().filter(|(_, (l, r))| l != r) {
        let at = number * SECTOR_BYTES;
        match ranges.last_mut() {
            Some((start, len)) if *start + *len == at => *len += left.len(),
            _ => ranges.push((at, left.len())),
        }
    }
    ranges
}
