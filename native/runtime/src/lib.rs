//! The only crate with sockets, files, threads and a clock: it runs the sans-IO protocols.
//!
//! ```text
//! initiators ── TCP ──> session ─ iscsi ─ scsi ─┐
//!                                               ├─> mirror core ──> disk (inline, or worker threads) ──> store
//! peers ─────── TCP ──> link ──── frames ───────┘
//! peers ─────── UDP ──> heartbeat thread ─ atomics ─> leases
//! ```
//! One thread turns the loop of [`engine`] and owns everything above; docs/decisions/0001-runtime.md says why. Python holds a
//! [`Handle`], whose calls run on that thread between two passes.

mod abort;
pub mod access;
mod actions;
mod admission;
mod admit;
pub mod clock;
pub mod control;
pub mod core;
mod differences;
pub mod disk;
pub mod engine;
pub(crate) mod eraser;
pub mod error;
pub mod event;
mod handle;
pub mod heartbeat;
pub mod logins;
pub mod pace;
mod peers;
pub mod plan;
pub mod portal;
mod quality;
mod remains;
pub mod request;
mod resets;
pub(crate) mod sanitize;
pub mod session;
mod sessions;
pub mod share;
mod shared_state;
pub mod socket;
mod sparse;
pub mod status;
mod tasks;
mod tokens;
pub mod transfer;
mod transfers;
mod upkeep;
pub mod vdisk;

pub use access::AccessMode;
pub use control::VdiskSpec;
pub use engine::{Engine, Settings};
pub use error::{EngineError, Kind};
pub use event::{EngineEvent, EventQueue, VdiskEvent};
pub use handle::{Handle, invalid};
pub use peers::known::PeerSpec;
pub use twindisk_iscsi::{Admission, AdmissionFault, Credential, Redirect, Secret};
pub use twindisk_mirror as mirror;
pub use twindisk_scsi::{AccessState, BlockSize};
