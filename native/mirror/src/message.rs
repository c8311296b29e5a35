//! What two copies of a VDisk say to each other (docs/protocols/mirror.md).

use bytes::Bytes;

use crate::facts::Role;
use crate::ids::Serial;
use crate::ops::{Change, Update};
use crate::payload::Payload;
use crate::report::{Sync, ToldFacts};
use crate::shared_record::SharedRecord;
use crate::watches::Watch;

/// One message between the two copies of a VDisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The VDisk.
    pub serial: Serial,
    /// Epoch of the attach it belongs to; messages of another epoch are dropped. 0 before an attach.
    pub epoch: u64,
    /// Names the exchange: an answer carries its question's id.
    pub id: u64,
    /// What is said.
    pub body: Body,
}

/// The terms of an attach, as one side offers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// The sender's role.
    pub role: Role,
    /// The sender's direction.
    pub sync: Sync,
    /// Sequence number of the sender's facts that its plan was made from.
    pub local_seq: u64,
    /// Sequence number of the receiver's facts that the sender's plan was made from.
    pub remote_seq: u64,
}

/// What is said. `M`: by the Master, `S`: by the Slave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Facts of a copy that is not attached.
    Facts(Box<ToldFacts>),
    /// Words (extent, chunk bits) in which the sender may differ; before `AttachReady` (S) or `AttachGo` (M).
    DirtyWords(Vec<(u64, u64)>),
    /// S: my side of the plan is durable.
    AttachReady(Terms),
    /// M: so is mine; from here on we mirror.
    AttachGo(Terms),
    /// The terms do not match mine.
    AttachRefused,
    /// S: I have sent the changes that I held; begin what is new.
    Resumed,

    /// M: apply this change.
    Apply(Change),
    /// S: applied.
    Applied,
    /// S: no space here for what I was to apply; my range is locked, apply something else there. M: your host's change or update is not made,
    /// one of us has no space for it; nothing is locked.
    NoSpace,
    /// Slave: there is no space here for a change of its own that the Master has granted; to be granted again.
    Short,
    /// M: I have made what you have no space for: give your copy up.
    GiveUp,
    /// S: my host asks for this change.
    Request(Change),
    /// S: my host asks for this update.
    Ask(Update),
    /// M: your update is this change; it comes before `Granted`.
    Resolved(Change),
    /// M: your update is none; nothing is changed, nothing is locked.
    Refused {
        /// Offset in the range of the first byte that differs.
        offset: u64,
    },
    /// M: applied here and locked; your turn.
    Granted,
    /// S: applied, or watched, here too; unlock.
    Unlock,
    /// S: read for me, I am not up to date there.
    Read {
        /// First byte.
        offset: u64,
        /// Length in bytes.
        len_bytes: u32,
    },
    /// M: the bytes asked for.
    ReadData(Payload),
    /// Make your copy durable.
    Flush,
    /// It is.
    Flushed,
    /// M: these extents enter the activity log.
    ActiveAdd(Vec<u64>),
    /// M: these extents leave it, both copies are flushed.
    ActiveRemove(Vec<u64>),

    /// M: is your chunk the same as mine?
    ChunkHash {
        /// First byte of the chunk.
        offset: u64,
        /// Length in bytes.
        len_bytes: u32,
        /// BLAKE3 of the Master's bytes.
        hash: [u8; 32],
    },
    /// S: it is.
    ChunkSame,
    /// S: it is not.
    ChunkDiffers,
    /// M: then take these bytes.
    ChunkData {
        /// First byte of the chunk.
        offset: u64,
        /// The Master's bytes.
        data: Payload,
    },
    /// S: taken.
    ChunkTaken,
    /// M: nothing is left to copy; settle on this generation.
    ResyncEnd {
        /// The Master's generation.
        generation: u64,
    },
    /// S: settled, durably.
    ResyncEnded,

    /// M: where do you hold data?
    List {
        /// First byte, at the beginning of an extent.
        offset: u64,
        /// How many extents from there.
        extents: u32,
    },
    /// S: there, as words (extent, chunk bits).
    Listed(Vec<(u64, u64)>),
    /// M: we are in sync; do you hold what I hold there?
    Compare {
        /// First byte of the chunk.
        offset: u64,
        /// Length in bytes.
        len_bytes: u32,
        /// BLAKE3 of the Master's bytes.
        hash: [u8; 32],
    },
    /// S: I do.
    Same,
    /// S: no, but this.
    Differs(Payload),

    /// I serve nothing any more; go on without me.
    Leave,
    /// I have seen that you left.
    LeaveSeen,
    /// M: I am Slave from here on, durably; be the Master as of this epoch.
    Switch {
        /// The new epoch.
        epoch: u64,
    },

    /// The shared record as I hold it (S), as both are to hold it (M); before `AttachReady` and `AttachGo`.
    RecordIs {
        /// The record.
        record: SharedRecord,
        /// What follows from power on was done since the sender's process began.
        power_on_done: bool,
    },
    /// S: I want to change the record.
    RecordAsk,
    /// M: it is your turn.
    RecordTurn,
    /// S: this is what it becomes.
    RecordUpdate {
        /// Names the change.
        tag: u64,
        /// What it forbids is to end before it is answered.
        drain: bool,
        /// The record's new bytes.
        bytes: Bytes,
    },
    /// S: I need no turn any more.
    RecordPass,
    /// M: make this version durable and put it in force.
    RecordApply {
        /// The version.
        record: SharedRecord,
        /// What it forbids is to end first.
        drain: bool,
    },
    /// S: done.
    RecordApplied,
    /// M: your change is in force on both nodes.
    RecordDone,

    /// My host watches these ranges. S: lock them, and watch them too.
    Watch(Box<Watch>),
    /// So do I. M: and they are locked until you say unlock.
    Watched,
    /// Nobody watches them any more.
    Unwatch {
        /// The watch.
        id: u64,
    },
}
