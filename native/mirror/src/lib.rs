//! The mirror core, sans-IO: two copies of a VDisk kept equal by two nodes.
//!
//! Bytes, completions and the time come in, [`Action`]s go out; there is no socket, file, clock or random source in
//! this crate, so that the simulator runs both nodes in one thread from one seed. [`Node`] is the front door: it owns
//! the [`Copy`](copy::Copy) of every VDisk on this node and knows which peers are reachable. What it promises:
//!
//! 1. A host write is answered only once both copies hold it, or once the peer is durably marked outdated.
//! 2. Nothing is served while the copy is not known to be current, or while the peer's lease has run out.
//! 3. Writes that overlap are applied in the same order on both copies: the Master's range locks order them.
//! 4. A change of the shared record is durable and in force on both copies before it is answered.
//! 5. Every place where the copies may differ is named by something durable: activity log or dirty bitmap.

pub mod action;
pub mod activity_log;
pub mod bundle;
pub mod copy;
pub mod dirty_bitmap;
pub mod facts;
pub mod frame;
pub mod handshake;
pub mod heart;
pub mod ids;
pub mod message;
pub mod node;
pub mod ops;
pub mod payload;
pub mod range_locks;
pub mod report;
pub mod shared_record;
pub mod watches;

pub use action::{Action, CopySpec, LinkLoss};
pub use facts::{Facts, Role};
pub use ids::{DiskId, HostId, PeerId, Serial};
pub use node::Node;
pub use ops::{
    Change, ChangeKind, DiskDone, DiskOp, HostOp, HostResult, NotReady, Persist, RecordChange,
    Update, UpdateKind,
};
pub use payload::Payload;
pub use report::{AttachPlan, Command, CommandError, Report, Sync};
pub use shared_record::SharedRecord;
pub use watches::{Watch, WatchState};

/// Bytes of one extent, the unit of the activity log.
pub const EXTENT_BYTES: u64 = 4 << 20;
/// Bytes of one chunk, the unit of the dirty bitmap and of resync: 64 chunks make an extent.
pub const CHUNK_BYTES: u64 = 64 << 10;
