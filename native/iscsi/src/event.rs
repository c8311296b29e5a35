//! What a connection reports and what it is answered.

use bytes::Bytes;

/// Something for the caller to act on. Events come in the order in which they have to be acted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A login is complete but for the caller's word: call [`Connection::accept_login`](crate::Connection::accept_login)
    /// or `reject_login`, then `receive` once more with what is left of the input. No input is consumed before.
    SessionRequested(SessionRequest),
    /// A SCSI command with all its write data. Answer it with [`Connection::respond`](crate::Connection::respond).
    Command(ScsiCommand),
    /// A task management request, to be answered with `respond_task_management`.
    TaskManagement {
        /// Names the request in the answer.
        task: TaskTag,
        /// What to do to which tasks.
        function: TaskFunction,
        /// The LUN field as a big-endian number; 0 for target resets.
        lun: u64,
    },
    /// The connection is over in good order: write out what [`Connection::transmit`](crate::Connection::transmit)
    /// holds, then close it. No further event follows.
    Finished(Finish),
}

/// Why a connection ended in good order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The initiator logged out; all open commands are forgotten.
    LoggedOut,
    /// The login was refused, or sent elsewhere.
    LoginRefused(RefusedLogin),
}

/// A login that was refused: who wanted what, as far as it was said in valid names. Nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLogin {
    /// The status (class in the high byte, RFC 7143 §11.13.5; class 1: sent elsewhere).
    pub status: u16,
    /// InitiatorName.
    pub initiator: Option<String>,
    /// TargetName.
    pub target: Option<String>,
}

/// A login that awaits the caller's word.
///
/// The caller's duties (RFC 7143 §6.3.5, §6.3.6): with `tsih` 0, a session of the same initiator, `isid` and target
/// is reinstated: close the old connection, forget its tasks, then accept with a new TSIH that is not 0. With another
/// `tsih`, refuse by [`LoginRefusal::TooManyConnections`] if it names a session, else by
/// [`LoginRefusal::NoSuchSession`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRequest {
    /// Normal or discovery.
    pub kind: SessionKind,
    /// InitiatorName.
    pub initiator: String,
    /// InitiatorAlias, if it was sent.
    pub initiator_alias: Option<String>,
    /// The CHAP user that it proved to be; None: nothing was asked.
    pub user: Option<String>,
    /// The target's name as the directory has it; None for a discovery session.
    pub target: Option<String>,
    /// The portal group's tag; 0 for a discovery session.
    pub group_tag: u16,
    /// The initiator's part of the session id.
    pub isid: [u8; 6],
    /// The target's part as the initiator sent it: 0 asks for a new session.
    pub tsih: u16,
    /// The connection's id in its session.
    pub cid: u16,
}

/// What a session is for (RFC 7143 §13.21).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// SCSI commands to one target.
    Normal,
    /// SendTargets only.
    Discovery,
}

/// Why the caller refuses a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefusal {
    /// Status 0206h: the session exists and has its one connection.
    TooManyConnections,
    /// Status 020Ah: no session has that TSIH.
    NoSuchSession,
    /// Status 0202h: this initiator may not use the target.
    Forbidden,
    /// Status 0203h: the target has gone meanwhile.
    NotFound,
    /// Status 0301h: not now; the initiator tries again.
    Unavailable,
    /// Status 0302h: too many sessions.
    OutOfResources,
}

/// Names one request of a connection, never reused on it: an answer to a task that was aborted meanwhile finds nothing.
/// The default names none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct TaskTag {
    /// Initiator Task Tag, for logs.
    pub itt: u32,
    /// Counts the requests of the connection.
    pub(crate) serial: u64,
}

impl TaskTag {
    /// True when the request came before another one of the same connection.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        self.serial < other.serial
    }
}

/// A SCSI command, complete with its write data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScsiCommand {
    /// Names the command in the answer.
    pub task: TaskTag,
    /// The LUN field as a big-endian number (SAM-5 §4.7): LUN 0 is 0, LUN 1 is `1 << 48`.
    pub lun: u64,
    /// The CDB, padded with zeros; of a longer one (additional header segment) the first 16 bytes.
    pub cdb: [u8; 16],
    /// Write data in order; together exactly `expected_len` bytes if `write`, else nothing.
    pub data_out: Vec<Bytes>,
    /// Expected Data Transfer Length in bytes: what the initiator has room for (reads) or sent (writes).
    /// It may differ from what the CDB says.
    pub expected_len: u32,
    /// The initiator expects data.
    pub read: bool,
    /// The initiator sent data.
    pub write: bool,
    /// How the command is queued.
    pub attribute: TaskAttribute,
}

/// Task attributes (RFC 7143 §11.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskAttribute {
    /// Untagged: at most one of its kind.
    Untagged,
    /// Any order.
    Simple,
    /// After all earlier, before all later ones.
    Ordered,
    /// Before all others.
    HeadOfQueue,
    /// Auto contingent allegiance.
    Aca,
}

/// The answer to a SCSI command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScsiResponse {
    /// SCSI status, 0 is GOOD (SAM-5 §5.3).
    pub status: u8,
    /// Sense data, at most 252 bytes are sent; empty: none.
    pub sense: Bytes,
    /// Data for the initiator, in order; sent as far as it has room, the rest becomes the residual.
    pub data_in: Vec<Bytes>,
    /// What the command moves according to its CDB, in bytes, for the residual of writes and of failed reads;
    /// None: for reads the length of `data_in`, for writes exactly what was expected.
    pub transfer_len: Option<u64>,
}

/// What a task management request asks for (RFC 7143 §11.5.1).
///
/// Tasks of *this* connection that still collect data are not reported any more after the event. They and the others end when
/// `respond_task_management` is called with [`TaskManagementResponse::Complete`]: what is answered for them later is
/// dropped. Tasks of other connections are the caller's to end (`respond`, `abort_unreported`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskFunction {
    /// End this one task of this connection, which was reported before and is unanswered.
    /// If it is answered before this request is, Complete becomes NoSuchTask by itself.
    AbortTask {
        /// The task.
        referenced: TaskTag,
    },
    /// End all tasks of this I_T nexus at the LUN.
    AbortTaskSet,
    /// End all tasks of all I_T nexuses at the LUN.
    ClearTaskSet,
    /// LOGICAL UNIT RESET.
    LunReset,
    /// Reset all logical units of the target.
    TargetWarmReset,
    /// The same; by RFC 7143 §11.5.1 all sessions of the target end too, this one after its answer.
    TargetColdReset,
}

/// Answers to a task management request (RFC 7143 §11.6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum TaskManagementResponse {
    /// Done.
    Complete = 0,
    /// The task does not exist.
    NoSuchTask = 1,
    /// The LUN does not exist.
    NoSuchLun = 2,
    /// Task allegiance reassignment is not supported.
    NoReassignment = 4,
    /// The function is not supported.
    NotSupported = 5,
    /// The initiator may not.
    Forbidden = 6,
    /// Refused.
    Rejected = 255,
}
