//! Whether a copy's files can still be trusted. Once failed, failed for good: Linux reports a write-back error once, drops the
//! pages, and a later sync would say all is well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::StoreError;

/// One flag, shared by all that do I/O on a copy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Health(Arc<AtomicBool>);

impl Health {
    /// Refuse if the copy has failed.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.0.load(Ordering::Acquire) {
            Err(StoreError::Failed)
        } else {
            Ok(())
        }
    }

    /// Pass a result on; an error makes the copy count as failed.
    pub(crate) fn must<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if result.is_err() {
            self.0.store(true, Ordering::Release);
        }
        result
    }
}
