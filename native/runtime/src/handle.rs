//! The engine as other threads hold it: calls go in, events come out.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::Waker;
use twindisk_mirror::report::ToldFacts;
use twindisk_mirror::{Facts, Role, Serial};
use twindisk_store::CopyFiles;

use crate::abort::AbortOnPanic;
use crate::control::{VdiskSpec, record_of, store_error};
use crate::engine::{Call, Engine, Settings};
use crate::error::{EngineError, Kind, Result};
use crate::event::EventQueue;

/// How long initiators that were asked to log out get for it.
pub const LOGOUT_LIMIT: Duration = Duration::from_secs(1);

struct Running {
    calls: mpsc::Sender<Call>,
    thread: JoinHandle<()>,
}

/// A running engine. Every method may be called from any thread and blocks until the engine has answered.
pub struct Handle {
    running: Mutex<Option<Running>>,
    waker: Arc<Waker>,
    events: Arc<EventQueue>,
}

impl Handle {
    /// Start an engine.
    ///
    /// # Errors
    /// `Io`: the operating system gives no descriptor or thread.
    pub fn start(settings: Settings) -> Result<Self> {
        let failed = |error| EngineError::io("cannot start the engine", &error);
        let events = Arc::new(EventQueue::new().map_err(failed)?);
        let (calls, receiver) = mpsc::channel();
        let (engine, waker) =
            Engine::new(settings, Arc::clone(&events), receiver).map_err(failed)?;
        let thread = std::thread::Builder::new()
            .name("twindisk-engine".to_owned())
            .spawn(move || {
                let _guard = AbortOnPanic;
                engine.run();
            })
            .map_err(failed)?;
        Ok(Self {
            running: Mutex::new(Some(Running { calls, thread })),
            waker,
            events,
        })
    }

    /// The queue of events.
    #[must_use]
    pub fn events(&self) -> &EventQueue {
        &self.events
    }

    /// Run a closure on the engine's thread and wait for what it returns.
    ///
    /// # Errors
    /// `Closed`: the engine was shut down.
    pub fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T> {
        let (sender, receiver) = mpsc::sync_channel(1);
        let boxed: Call = Box::new(move |engine| {
            // The caller waits for it below.
            let _ = sender.send(call(engine));
        });
        {
            let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
            running
                .as_ref()
                .and_then(|running| running.calls.send(boxed).ok())
                .ok_or_else(EngineError::closed)?;
        }
        self.wake();
        receiver.recv().map_err(|_| EngineError::closed())
    }

    fn wake(&self) {
        // The loop also turns by itself (TICK_NS), so a wake-up that fails only delays.
        let _ = self.waker.wake();
    }

    /// Make the files of a new copy. `generation` 0: it is blank.
    ///
    /// # Errors
    /// `Exists`, `Invalid`, `Io`.
    pub fn create_copy(
        &self,
        directory: &Path,
        serial: Serial,
        size_bytes: u64,
        generation: u64,
        role: Role,
    ) -> Result<()> {
        let record = record_of(serial, size_bytes, &Facts::new(generation, role));
        CopyFiles::create(directory, &record)
            .map(drop)
            .map_err(|error| store_error(&error))
    }

    /// Remove the files of a copy that is not open.
    ///
    /// # Errors
    /// `NotFound`, `Exists` (it is open), `Io`.
    pub fn delete_copy(&self, directory: &Path) -> Result<()> {
        CopyFiles::delete(directory).map_err(|error| store_error(&error))
    }

    /// Make a copy that is not open that of another VDisk, with the same data and nothing else of what it was.
    ///
    /// # Errors
    /// `NotFound`, `Exists` (it is open), `Invalid` (it has another size), `Io`.
    pub fn relabel_copy(
        &self,
        directory: &Path,
        serial: Serial,
        size_bytes: u64,
        generation: u64,
    ) -> Result<()> {
        let record = record_of(serial, size_bytes, &Facts::new(generation, Role::Master));
        CopyFiles::relabel(directory, &record).map_err(|error| store_error(&error))
    }

    /// Open a copy and take it in.
    ///
    /// # Errors
    /// As [`Engine::open_vdisk`], and the store's.
    pub fn open_vdisk(&self, spec: VdiskSpec) -> Result<ToldFacts> {
        let name = spec.name.clone();
        let opened = CopyFiles::open(&spec.directory)
            .map_err(|error| store_error(&error).about_vdisk(&name))?;
        self.call(move |engine| engine.open_vdisk(spec, opened))?
    }

    /// Stop serving a VDisk, end its sessions, make its data durable and close its files.
    ///
    /// # Errors
    /// `NotFound`; `Io`: the last flush failed, and it is closed all the same.
    pub fn close_vdisk(&self, name: &str) -> Result<()> {
        let owned = name.to_owned();
        let files = self.call(move |engine| engine.close_vdisk(&owned))??;
        let flushed = files
            .flush()
            .map_err(|error| store_error(&error).about_vdisk(name));
        let mut files = files;
        // Workers may still be at operations of this copy; the directory is free once the last has let go.
        while let Err(shared) = Arc::try_unwrap(files) {
            files = shared;
            std::thread::sleep(Duration::from_millis(1));
        }
        flushed
    }

    /// Close everything; later calls fail with `Closed`. Idempotent.
    ///
    /// Initiators are asked to log out first and get [`LOGOUT_LIMIT`] for it; those that stay are told that they are dropped.
    pub fn shutdown(&self) {
        self.dismiss_initiators();
        let running = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Running { calls, thread }) = running {
            // If the thread has ended by a panic there is nothing left to stop.
            let _ = calls.send(Box::new(Engine::stop));
            self.wake();
            let _ = thread.join();
        }
    }
}

impl Handle {
    fn dismiss_initiators(&self) {
        let seconds = u16::try_from(LOGOUT_LIMIT.as_secs()).unwrap_or(u16::MAX);
        let asked = self.call(move |engine| engine.ask_to_log_out(seconds));
        let mut left = asked.unwrap_or(0);
        let end = Instant::now() + LOGOUT_LIMIT;
        while left > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
            left = self.call(|engine| engine.sessions()).unwrap_or(0);
        }
        // An engine that was shut down meanwhile has nobody left to dismiss.
        let _ = self.call(Engine::dismiss_all);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// An engine error for an argument that makes no sense.
#[must_use]
pub fn invalid(problem: &str) -> EngineError {
    EngineError::new(Kind::Invalid, problem)
}
