//! What a node asks of its caller, and how a copy is given to it.

use crate::facts::Facts;
use crate::ids::{DiskId, HostId, PeerId, Serial};
use crate::message::Message;
use crate::ops::{DiskOp, HostResult};
use crate::report::Report;

/// What the caller has to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Do a disk operation and tell how it ended.
    Disk {
        /// The VDisk.
        serial: Serial,
        /// To be given back with its end.
        id: DiskId,
        /// The operation.
        op: DiskOp,
    },
    /// Answer a host.
    Complete {
        /// The VDisk.
        serial: Serial,
        /// The command.
        host: HostId,
        /// The answer.
        result: HostResult,
    },
    /// Send to a peer, in order.
    Send {
        /// The peer.
        peer: PeerId,
        /// The message.
        message: Message,
    },
    /// Tell whoever decides.
    Report {
        /// The VDisk.
        serial: Serial,
        /// What happened.
        report: Report,
    },
    /// The peer can be talked to: link and lease stand.
    PeerUp {
        /// The peer.
        peer: PeerId,
    },
    /// The peer is lost; close its link if it is still open. Said only after `PeerUp`.
    PeerDown {
        /// The peer.
        peer: PeerId,
        /// Why.
        loss: LinkLoss,
    },
}

/// Why a peer counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkLoss {
    /// The connection ended.
    Closed,
    /// No heartbeat was answered in time: our lease is over.
    Silent,
    /// The peer said what no sound peer says.
    Protocol,
}

/// A copy as it was found on disk.
#[derive(Debug, Clone)]
pub struct CopySpec {
    /// The VDisk.
    pub serial: Serial,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// Its peer, if mirrored.
    pub peer: Option<PeerId>,
    /// Durable facts.
    pub facts: Facts,
    /// Durable activity log.
    pub active: Vec<u64>,
    /// Durable dirty bitmap: (extent, word).
    pub bitmap: Vec<(u64, u64)>,
}
