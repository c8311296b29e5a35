//! The one crate that knows Python: the module `twindisk._native`.
//!
//! Rules:
//!
//! * Nothing is decided here: arguments become the runtime's types, its answers become dicts, its errors Python's exceptions.
//! * Every call that may wait releases the GIL ([`errors::detached`]).

mod arguments;
mod dicts;
mod engine;
mod errors;
mod sim;

use pyo3::prelude::*;

/// The native core of Twindisk; `src/twindisk/_native.pyi` is its documentation.
#[pymodule(gil_used = true)]
#[pyo3(name = "_native")]
mod native {
    /// The version of the native core, the same as the package's.
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    #[pymodule_export]
    use crate::engine::Engine;
    #[pymodule_export]
    use crate::sim::{SimBundle, SimNode};
}
