//! Disk operations: inline what the page cache serves, a few worker threads for what blocks.
//!
//! Rules:
//!
//! * A read is inline only if the kernel has all of it in memory; a write goes to the page cache inline.
//! * Flush, metadata, punching holes, listing extents and cold reads go to a worker; their completions come back through a
//!   queue, and the engine's poll is woken.
//! * Fills and unmaps have a lane of their own and at most [`BULK_WORKERS_MAX`] workers: metadata, flushes and reads never queue
//!   behind them.
//! * Operations are independent: whoever submits them keeps order (the mirror core's range locks do).

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use mio::Waker;
use twindisk_mirror::{
    Change, ChangeKind, DiskDone, DiskId, DiskOp, Payload, Persist, Role, Serial,
};
use twindisk_store::{BitmapChange, CopyFiles, CopyRecord, StoreError};

use crate::abort::AbortOnPanic;
use crate::sparse;

/// Worker threads of an engine.
const WORKERS: usize = 8;
/// Of these, so many may be at fills and unmaps.
const BULK_WORKERS_MAX: usize = 2;
/// Reads up to this length are tried inline, in bytes.
const INLINE_READ_MAX_BYTES: u32 = 1 << 20;
/// Buffer with which a range is filled.
const FILL_BYTES: usize = 256 << 10;
/// Told for a failure that carries no number of its own (an earlier failure, a range outside the copy).
const EIO: i32 = 5;

/// One operation for a worker.
#[derive(Debug)]
pub struct Job {
    /// Whose copy.
    pub serial: Serial,
    /// Names the operation to the mirror core.
    pub id: DiskId,
    /// What to do.
    pub op: DiskOp,
    /// The copy.
    pub files: Arc<CopyFiles>,
}

/// How a worker's operation ended.
#[derive(Debug)]
pub struct JobDone {
    /// Whose copy.
    pub serial: Serial,
    /// Names the operation to the mirror core.
    pub id: DiskId,
    /// The outcome.
    pub done: DiskDone,
    /// What was asked for, for a log.
    pub operation: &'static str,
}

/// What waits for a worker, in two lanes.
struct Lanes<T> {
    first: VecDeque<T>,
    bulk: VecDeque<T>,
    /// Workers that are at a job of the bulk lane.
    at_bulk: usize,
    over: bool,
}

impl<T> Lanes<T> {
    fn push(&mut self, job: T, bulk: bool) {
        if bulk {
            self.bulk.push_back(job);
        } else {
            self.first.push_back(job);
        }
    }

    /// The next job, and whether it is of the bulk lane: [`Lanes::ended`] is to be called at its end then.
    fn take(&mut self) -> Option<(T, bool)> {
        if let Some(job) = self.first.pop_front() {
            return Some((job, false));
        }
        if self.at_bulk == BULK_WORKERS_MAX {
            return None;
        }
        let job = self.bulk.pop_front()?;
        self.at_bulk += 1;
        Some((job, true))
    }

    fn ended(&mut self, bulk: bool) {
        self.at_bulk -= usize::from(bulk);
    }
}

struct Queue {
    lanes: Mutex<Lanes<Job>>,
    wake: Condvar,
}

impl Queue {
    fn new() -> Self {
        let lanes = Lanes {
            first: VecDeque::new(),
            bulk: VecDeque::new(),
            at_bulk: 0,
            over: false,
        };
        Self {
            lanes: Mutex::new(lanes),
            wake: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes<Job>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job is done; one that waited for its place goes to a worker that sleeps, for this one may take another job first.
    fn ended(&self, bulk: bool) {
        if bulk {
            self.lock().ended(bulk);
            self.wake.notify_one();
        }
    }

    fn next(&self) -> Option<(Job, bool)> {
        let mut lanes = self.lock();
        loop {
            if let Some(job) = lanes.take() {
                return Some(job);
            }
            // What is left in the bulk lane is for the workers that are at it.
            if lanes.over {
                return None;
            }
            lanes = self
                .wake
                .wait(lanes)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The worker threads of one engine. Dropping it lets them finish what is queued and waits for them.
pub struct DiskPool {
    queue: Arc<Queue>,
    done: mpsc::Receiver<JobDone>,
    threads: Vec<JoinHandle<()>>,
}

impl DiskPool {
    /// Start the workers; `waker` wakes the engine's poll for each completion.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(waker: &Arc<Waker>) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new());
        let (sender, done) = mpsc::channel();
        let mut threads = Vec::new();
        for number in 0..WORKERS {
            let (queue, sender, waker) = (Arc::clone(&queue), sender.clone(), Arc::clone(waker));
            let work = move || {
                let _guard = AbortOnPanic;
                while let Some((job, bulk)) = queue.next() {
                    let operation = name_of(&job.op);
                    let done = perform(&job.files, job.serial, job.op);
                    queue.ended(bulk);
                    if sender
                        .send(JobDone {
                            serial: job.serial,
                            id: job.id,
                            done,
                            operation,
                        })
                        .is_err()
                    {
                        return;
                    }
                    // Only now: whoever closes the copy and waits for its files knows that all its ends are in the queue.
                    drop(job.files);
                    // The engine also looks at the queue on its timer, so a wake-up that fails only delays.
                    let _ = waker.wake();
                }
            };
            threads.push(
                std::thread::Builder::new()
                    .name(format!("twindisk-disk{number}"))
                    .spawn(work)?,
            );
        }
        Ok(Self {
            queue,
            done,
            threads,
        })
    }

    /// Give a job to the workers.
    pub fn submit(&self, job: Job) {
        let bulk = is_bulk(&job.op);
        self.queue.lock().push(job, bulk);
        self.queue.wake.notify_one();
    }

    /// The next finished job.
    #[must_use]
    pub fn next_done(&self) -> Option<JobDone> {
        self.done.try_recv().ok()
    }
}

impl Drop for DiskPool {
    fn drop(&mut self) {
        self.queue.lock().over = true;
        self.queue.wake.notify_all();
        for thread in self.threads.drain(..) {
            // A worker that panicked has nothing left to finish.
            let _ = thread.join();
        }
    }
}

/// True for what takes long, and what nothing else of a VDisk should have to wait for.
fn is_bulk(op: &DiskOp) -> bool {
    matches!(
        op,
        DiskOp::Change(Change {
            kind: ChangeKind::Fill(_) | ChangeKind::Unmap,
            ..
        })
    )
}

/// Do an operation now if that does not block; else give it back for a worker.
///
/// # Errors
/// The operation itself, untouched: it would block.
pub fn perform_inline(files: &CopyFiles, serial: Serial, op: DiskOp) -> Result<DiskDone, DiskOp> {
    match op {
        DiskOp::Read { offset, len_bytes } if len_bytes <= INLINE_READ_MAX_BYTES => {
            match files.try_read_cached(offset, len_bytes as usize) {
                Ok(Some(data)) => Ok(DiskDone::Data(Bytes::from(data).into())),
                Ok(None) => Err(op),
                Err(error) => Ok(failed(&error)),
            }
        }
        DiskOp::Change(Change {
            kind: ChangeKind::Write(_),
            ..
        }) => Ok(perform(files, serial, op)),
        _ => Err(op),
    }
}

/// Do an operation, however long it takes.
#[must_use]
pub fn perform(files: &CopyFiles, serial: Serial, op: DiskOp) -> DiskDone {
    let outcome = match op {
        DiskOp::Read { offset, len_bytes } => files
            .read(offset, len_bytes as usize)
            .map(|data| DiskDone::Data(Bytes::from(data).into())),
        DiskOp::Change(change) => match change.kind {
            ChangeKind::Write(payload) => {
                write(files, change.offset, &payload).map(|()| DiskDone::Done)
            }
            ChangeKind::Sparse(payload) => {
                sparse::write(files, change.offset, &payload.to_contiguous())
                    .map(|()| DiskDone::Done)
            }
            ChangeKind::Fill(block) => {
                fill(files, change.offset, change.len_bytes, &block).map(|()| DiskDone::Done)
            }
            ChangeKind::Unmap => files
                .punch(change.offset, change.len_bytes)
                .map(|()| DiskDone::Done),
        },
        DiskOp::Flush => files.flush().map(|()| DiskDone::Done),
        DiskOp::Persist(persist) => store(files, serial, *persist).map(|()| DiskDone::Done),
        DiskOp::Allocated => files.allocated_extents().map(DiskDone::Extents),
        DiskOp::Ranges { offset, len_bytes } => {
            files.data_ranges(offset, len_bytes).map(DiskDone::Ranges)
        }
    };
    outcome.unwrap_or_else(|error| failed(&error))
}

fn write(files: &CopyFiles, offset: u64, payload: &Payload) -> Result<(), StoreError> {
    match write_all(files, offset, payload) {
        Err(error) if sparse::is_for_want_of_space(&error) => {
            sparse::write(files, offset, &payload.to_contiguous())
        }
        outcome => outcome,
    }
}

fn write_all(files: &CopyFiles, offset: u64, payload: &Payload) -> Result<(), StoreError> {
    match payload.pieces() {
        [one] => files.write(offset, &[IoSlice::new(one)]),
        many => files.write(
            offset,
            &many
                .iter()
                .map(|piece| IoSlice::new(piece))
                .collect::<Vec<_>>(),
        ),
    }
}

/// Write the block again and again.
fn fill(files: &CopyFiles, offset: u64, len_bytes: u64, block: &Payload) -> Result<(), StoreError> {
    let block = block.to_contiguous();
    let many = block.repeat((FILL_BYTES / block.len()).max(1));
    let mut done = 0;
    while done < len_bytes {
        let part = len_bytes.saturating_sub(done).min(many.len() as u64);
        let part = usize::try_from(part).expect("it is no more than a buffer is long");
        files.write(offset + done, &[IoSlice::new(&many[..part])])?;
        done += part as u64;
    }
    Ok(())
}

fn store(files: &CopyFiles, serial: Serial, persist: Persist) -> Result<(), StoreError> {
    let change = if persist.bitmap_reset {
        BitmapChange::Replace(&persist.bitmap)
    } else {
        BitmapChange::Words(&persist.bitmap)
    };
    // First, so that facts that rest on the record are never found without it.
    if let Some(shared) = persist.shared {
        files.persist_shared(&shared.encode())?;
    }
    let facts = persist.facts;
    let record = CopyRecord {
        serial: serial.0,
        size_bytes: files.size_bytes(),
        current: facts.current,
        base: facts.base,
        lineage: facts.lineage,
        epoch: facts.epoch,
        role: match facts.role {
            Role::Master => twindisk_store::Role::Master,
            Role::Slave => twindisk_store::Role::Slave,
        },
        inconsistent: facts.inconsistent,
        ending: facts.ending,
        active: persist.active,
    };
    files.persist(&record, change)
}

fn failed(error: &StoreError) -> DiskDone {
    DiskDone::Failed(error.errno().unwrap_or(EIO))
}

/// The word that a log uses for an operation.
#[must_use]
pub fn name_of(op: &DiskOp) -> &'static str {
    match op {
        DiskOp::Read { .. } => "read",
        DiskOp::Change(Change {
            kind: ChangeKind::Write(_) | ChangeKind::Sparse(_),
            ..
        }) => "write",
        DiskOp::Change(Change {
            kind: ChangeKind::Unmap,
            ..
        }) => "unmap",
        DiskOp::Change(Change {
            kind: ChangeKind::Fill(_),
            ..
        }) => "fill",
        DiskOp::Flush => "flush",
        DiskOp::Persist(_) => "persist",
        DiskOp::Allocated => "allocated",
        DiskOp::Ranges { .. } => "ranges",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_jobs_leave_workers_to_the_others() {
        let mut lanes = Lanes {
            first: VecDeque::new(),
            bulk: VecDeque::new(),
            at_bulk: 0,
            over: false,
        };
        for job in 0..=BULK_WORKERS_MAX {
            lanes.push(job, true);
        }
        lanes.push(100, false);
        assert_eq!(lanes.take(), Some((100, false)), "it does not queue");
        for job in 0..BULK_WORKERS_MAX {
            assert_eq!(lanes.take(), Some((job, true)));
        }
        assert_eq!(lanes.take(), None, "the others stay free");
        lanes.push(101, false);
        assert_eq!(lanes.take(), Some((101, false)));
        lanes.ended(false);
        assert_eq!(lanes.take(), None);
        lanes.ended(true);
        assert_eq!(lanes.take(), Some((BULK_WORKERS_MAX, true)));
    }
}
