//! The target side of iSCSI (RFC 7143) as a state machine without I/O.
//!
//! One [`Connection`] stands for one TCP connection. Bytes go in ([`Connection::receive`]), [`Event`]s come out
//! ([`Connection::next_event`]), answers go in ([`Connection::respond`] and its kin), bytes come out
//! ([`Connection::transmit`]). Time is a parameter ([`Connection::tick`]), and so is what is random ([`Challenge`]); there is no socket, thread or clock here.
//!
//! Rules that hold for the whole crate:
//! 1. `MaxConnections` is 1 and `ErrorRecoveryLevel` is 0: a session is one connection, and what cannot be answered
//!    by a Reject ends the connection.
//! 2. Every length read from the wire is checked against a limit of [`PortalConfig`] before anything is kept for it.
//! 3. Data segments are never copied: they leave as slices of the receive buffer, and come in as slices of the
//!    caller's buffers.
//! 4. After an `Err` of [`Connection::receive`] or [`Connection::tick`] the connection is dead; the caller closes it.

mod admission;
mod authentication;
mod chap;
mod command_window;
mod config;
mod connection;
mod digest;
mod directory;
mod discovery;
mod error;
mod event;
mod keepalive;
mod login;
mod negotiate;
mod outbox;
mod parameters;
mod pdu;
mod session;
mod text;
mod transmit;

pub use admission::{Admission, AdmissionFault, Credential, Secret};
pub use chap::{CHALLENGE_RANDOM_BYTES, Challenge};
pub use config::{PortalConfig, Redirect};
pub use connection::{Connection, TRANSMIT_HIGH_WATER_BYTES};
pub use directory::{Directory, Portal, TargetInfo, TargetRecord, TargetRefusal};
pub use error::ProtocolError;
pub use event::{
    Event, Finish, LoginRefusal, RefusedLogin, ScsiCommand, ScsiResponse, SessionKind,
    SessionRequest, TaskAttribute, TaskFunction, TaskManagementResponse, TaskTag,
};
pub use keepalive::Line;
pub use session::Room;
pub use transmit::TransmitQueue;
