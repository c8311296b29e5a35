//! A thread of the engine that panics takes the process with it.
//!
//! Half an engine is worse than none: commands would hang, and a peer would see a node that is alive and answers nothing.
//! A process that is gone is what the peer's fencing and the service manager know how to handle.

/// Held by a thread for as long as it runs.
pub(crate) struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The panic's message and place have been written to standard error already.
            std::process::abort();
        }
    }
}
