//! What is under way in a copy: one task per command, message or chunk that touches the data.

use super::no_space::Asker;
use crate::dirty_bitmap::DirtyBitmap;
use crate::ids::HostId;
use crate::ops::{Change, Update};
use crate::payload::Payload;
use crate::watches::Watch;

/// One task; its id is its lock's and, where it asks the peer, its message's.
#[derive(Debug)]
pub struct Task {
    /// First byte it touches.
    pub offset: u64,
    /// Bytes it touches.
    pub len_bytes: u64,
    /// When it began, in nanoseconds.
    pub began_ns: u64,
    /// What it is.
    pub kind: TaskKind,
}

/// The kinds of tasks and how far each has come.
#[derive(Debug)]
pub enum TaskKind {
    /// A host reads from this copy.
    HostRead { host: HostId },
    /// A host asks which parts of a range hold data.
    HostAllocation { host: HostId },
    /// Target: a host reads what only the Master has; no lock here.
    HostReadAfar { host: HostId },
    /// A host's change on a copy that orders it itself: single, alone, or Master.
    HostChange {
        host: HostId,
        change: Change,
        fua: bool,
        local_pending: bool,
        peer_pending: bool,
        /// This copy, or the peer's, has no space for it.
        local_short: bool,
        peer_short: bool,
    },
    /// Master: a change for which there was no space: the Slave is to hold what this copy holds.
    Undo { asker: Asker },
    /// Slave: a host's change; asks the Master first (`granted`), then is applied here.
    HostRequest {
        host: HostId,
        change: Change,
        fua: bool,
        granted: bool,
        /// No space for it here, though the Master has made it.
        short: bool,
    },
    /// A host's update on a copy that orders it itself: its range is read; becomes a `HostChange`.
    HostUpdate {
        host: HostId,
        update: Update,
        fua: bool,
    },
    /// Slave: a host's update; asks the Master, `resolved`: what it said; becomes a `HostRequest`.
    HostAsk {
        host: HostId,
        fua: bool,
        resolved: Option<Change>,
    },
    /// Master: the Slave's update: its range is read; becomes a `PeerRequest`.
    PeerUpdate { peer_id: u64, update: Update },
    /// Master: the Slave's request; locked until the Slave says unlock.
    PeerRequest {
        peer_id: u64,
        change: Change,
        /// Made here: the Slave was told so.
        granted: bool,
    },
    /// Slave: the Master's change.
    PeerApply { peer_id: u64, change: Change },
    /// Master: a read that the Slave cannot do itself.
    PeerRead { peer_id: u64 },
    /// A host changes the shared record; `computing`: its caller was asked for the change.
    HostTurn {
        host: HostId,
        tag: u64,
        computing: bool,
    },
    /// Master: a host of the Slave's changes the shared record.
    PeerTurn { peer_id: u64 },
    /// A host watches ranges; the peer is to do so too.
    HostWatch { host: HostId, watch: Box<Watch> },
    /// Master: the Slave's host watches ranges; locked until the Slave says unlock.
    PeerWatch { peer_id: u64, watch: Box<Watch> },
    /// Make answered changes durable on every copy that counts; for a host or for the activity log.
    Flush {
        host: Option<HostId>,
        barrier: bool,
        local_pending: bool,
        peer_pending: bool,
    },
    /// The peer wants this copy flushed.
    PeerFlush { peer_id: u64 },
    /// Source: one chunk on its way.
    Chunk { chunk: u64, data: Option<Payload> },
    /// Target: compare a chunk.
    PeerHash { peer_id: u64, hash: [u8; 32] },
    /// Target: take a chunk.
    PeerChunk { peer_id: u64, data: Payload },
    /// Master, verifying: what holds data in a stretch, on both copies; no lock.
    List {
        chunks: DirtyBitmap,
        local_pending: bool,
        peer_pending: bool,
    },
    /// Slave: what holds data in a stretch; no lock.
    PeerList { peer_id: u64 },
    /// Master, verifying: compare a chunk; `data`: what is there, once it was read.
    Compare {
        data: Option<Payload>,
        to_repair: bool,
    },
    /// Slave: compare a chunk.
    PeerCompare { peer_id: u64, hash: [u8; 32] },
    /// Master, verifying: make both copies of a chunk equal.
    Repair {
        change: Change,
        local_pending: bool,
        peer_pending: bool,
    },
}

impl TaskKind {
    /// What it asks of the disk, for reports of its failure.
    pub fn name(&self) -> &'static str {
        match self {
            Self::HostRead { .. } | Self::HostReadAfar { .. } | Self::PeerRead { .. } => "read",
            Self::HostAllocation { .. } => "list allocated ranges",
            Self::HostChange { .. } | Self::HostRequest { .. } => "write",
            Self::HostUpdate { .. } | Self::HostAsk { .. } | Self::PeerUpdate { .. } => "update",
            Self::PeerRequest { .. } | Self::PeerApply { .. } | Self::Undo { .. } => "mirror write",
            Self::Flush { .. } | Self::PeerFlush { .. } => "flush",
            Self::HostTurn { .. } | Self::PeerTurn { .. } => "record",
            Self::HostWatch { .. } | Self::PeerWatch { .. } => "watch",
            Self::Chunk { .. } | Self::PeerHash { .. } => "resync read",
            Self::PeerChunk { .. } => "resync write",
            Self::List { .. } | Self::PeerList { .. } => "list allocated ranges",
            Self::Compare { .. } | Self::PeerCompare { .. } => "verify read",
            Self::Repair { .. } => "repair",
        }
    }

    /// The host that waits for it.
    pub fn host(&self) -> Option<HostId> {
        match self {
            Self::HostRead { host }
            | Self::HostAllocation { host }
            | Self::HostReadAfar { host }
            | Self::HostChange { host, .. }
            | Self::HostUpdate { host, .. }
            | Self::HostAsk { host, .. }
            | Self::HostRequest { host, .. }
            | Self::HostTurn { host, .. }
            | Self::Undo {
                asker: Asker::Host(host),
            }
            | Self::HostWatch { host, .. } => Some(*host),
            Self::Flush { host, .. } => *host,
            _ => None,
        }
    }

    /// True for what a host of either node waits for until it ends, and for nobody's decision.
    pub fn is_host_io(&self) -> bool {
        matches!(
            self,
            Self::HostRead { .. }
                | Self::HostReadAfar { .. }
                | Self::HostChange { .. }
                | Self::HostRequest { .. }
                | Self::PeerRequest { .. }
                | Self::PeerRead { .. }
                | Self::Undo { .. }
        )
    }

    /// True for what is nobody's but a verification's, and changes nothing.
    pub fn only_compares(&self) -> bool {
        matches!(self, Self::Compare { .. } | Self::List { .. })
    }

    /// True for a change of this copy, waiting or under way.
    pub fn is_change(&self) -> bool {
        matches!(
            self,
            Self::HostChange { .. }
                | Self::HostRequest { .. }
                | Self::PeerRequest { .. }
                | Self::PeerApply { .. }
                | Self::Undo { .. }
                | Self::Repair { .. }
        )
    }
}
