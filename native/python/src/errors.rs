//! The runtime's errors as the exception classes of `twindisk.errors`.

use pyo3::prelude::*;
use twindisk_runtime::{EngineError, Kind};

fn class_of(kind: Kind) -> &'static str {
    match kind {
        Kind::NotFound => "EngineNotFoundError",
        Kind::Exists => "EngineExistsError",
        Kind::Refused => "EngineRefusedError",
        Kind::Invalid => "EngineInvalidError",
        Kind::Io => "EngineIoError",
        Kind::Corrupt => "EngineCorruptError",
        Kind::Closed => "EngineClosedError",
    }
}

/// The exception for an engine error; if its class cannot be imported, the import's own exception.
pub fn exception(py: Python<'_>, error: EngineError) -> PyErr {
    let build = || {
        let class = py
            .import("twindisk.errors")?
            .getattr(class_of(error.kind))?;
        class.call1((error.problem, error.vdisk, error.peer, error.errno))
    };
    build().map_or_else(|failed: PyErr| failed, PyErr::from_value)
}

/// Run a call of the runtime without the GIL; its error becomes an exception.
///
/// # Errors
/// What the call returned.
pub fn detached<T: Send>(
    py: Python<'_>,
    call: impl FnOnce() -> Result<T, EngineError> + Send,
) -> PyResult<T> {
    py.detach(call).map_err(|error| exception(py, error))
}
