//! What a node asks of its caller, and how a copy is given to it.

use bytes::Bytes;

use crate::facts::Facts;
use crate::ids::{DiskId, HostId, PeerId, Serial};
use crate::message::Message;
use crate::ops::{DiskOp, HostResult};
use crate::report::Report;
use crate::shared_record::SharedRecord;

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
    /// Put a version of the shared record in force before anything else is done: refuse new commands that it forbids, take
    /// back those of them that are held ([`crate::Node::holds`]), then call [`crate::Node::record_taken`].
    Record {
        /// The VDisk.
        serial: Serial,
        /// To be given back.
        id: u64,
        /// The record's bytes.
        bytes: Bytes,
        /// Let the commands that the change forbids end first; those that are held or wait for a turn are to be taken back.
        drain: bool,
        /// What follows from power on is still to be done, and then [`crate::Node::power_on_done`] to be called: no copy that serves has
        /// served before in its process, or those that have never came to that. Said each time until then.
        power_on: bool,
        /// The peer has gone on without this copy: what the record was in between was never told.
        absent: bool,
    },
    /// It is a host's turn to change the shared record: call [`crate::Node::turn_computed`] at once.
    Turn {
        /// The VDisk.
        serial: Serial,
        /// The command.
        host: HostId,
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
    /// Durable shared record.
    pub shared: SharedRecord,
    /// The generation with which it was unbroken when its last process ended, if the machine has not lost power since.
    pub unbroken: Option<u64>,
}
