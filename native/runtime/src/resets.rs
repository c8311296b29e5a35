//! Task management functions that concern all I_T nexuses of a VDisk, on both nodes (SAM-5 §7.5, §7.7): CLEAR TASK SET, LOGICAL UNIT
//! RESET, TARGET RESET.
//!
//! Rules:
//!
//! * Each is a change of the state that both nodes share, so it takes its turn among PERSISTENT RESERVE OUT and others, is durable, and
//!   is done on both nodes before it is answered. While the peer is lost it is held like a write; a VDisk that does not serve
//!   rejects it.
//! * When the change is put in force, each node ends its initiators' commands ([`crate::shared_state`]): those that have not begun are taken
//!   back, those that lack data are dropped, the others are waited for.
//! * Commands of other nexuses end with TASK ABORTED. Those of the asking nexus end unanswered, and only those that came before
//!   the request. A task management request is no command: none ends another one.

use twindisk_iscsi::TaskTag;
use twindisk_mirror::{HostId, HostOp};
use twindisk_scsi::{InForce, NexusId, Response, Sense, Status, UnitFunction};

use crate::engine::Engine;
use crate::plan::Answer;
use crate::request::{Request, Work};
use crate::tasks::LIMIT_NS;

/// What such a request counts among what its initiator's commands hold.
const HELD_BYTES: usize = 512;

/// A request on its way.
#[derive(Debug, PartialEq, Eq)]
pub struct Reset {
    /// What it does.
    pub function: UnitFunction,
    /// Names the change.
    pub tag: u64,
    /// Commands of its nexus that it has taken back.
    pub withdrawn: Vec<TaskTag>,
    /// It is given up then.
    pub until_ns: u64,
}

/// The session that asked for what is put in force.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    request: HostId,
    pub(crate) nexus: NexusId,
    task: TaskTag,
}

impl Asker {
    /// True for a command that came after the request, over the same nexus.
    pub(crate) fn precedes(&self, request: &Request) -> bool {
        self.nexus == request.nexus && self.task.is_before(&request.task)
    }
}

/// True for a command, asked of a VDisk, that a state that was put in force there ends.
pub(crate) fn is_ended(request: &Request, in_force: &InForce, asker: Option<Asker>) -> bool {
    in_force.aborted.contains(&request.nexus)
        || in_force.ends_all && !asker.is_some_and(|asker| asker.precedes(request))
}

impl Engine {
    /// Begin a request that came over the connection at `endpoint`.
    pub(crate) fn begin_reset(
        &mut self,
        endpoint: usize,
        place: usize,
        task: TaskTag,
        function: UnitFunction,
    ) {
        let tag = self.core.tags.fresh();
        let until_ns = self.core.now_ns + LIMIT_NS;
        let serial = self.core.vdisks[place].serial;
        let Some(session) = self.session_mut(endpoint) else {
            return;
        };
        session.begin_command(HELD_BYTES);
        let nexus = session.nexus;
        let withdrawn = Vec::new();
        let id = self.core.requests.insert(Request {
            endpoint,
            nexus,
            task,
            vdisk: place,
            held_bytes: HELD_BYTES,
            todo: Default::default(),
            answer: Answer::default(),
            cdb: [0; 16],
            work: Work::Reset(Reset {
                function,
                tag,
                withdrawn,
                until_ns,
            }),
            background: false,
        });
        let op = HostOp::Turn { tag };
        self.core.node.host(serial, id, op, self.core.now_ns);
    }

    /// The request that made the latest change of the state, if it is one of this node's.
    pub(crate) fn asker(&mut self, place: usize) -> Option<Asker> {
        let serial = self.core.vdisks[place].serial;
        let latest = self.core.node.copy(serial)?.shared_record().latest()?;
        let is_it = |request: &Request| request.vdisk == place && request.work.is_reset(latest);
        let request = self.core.requests.ids(is_it).pop()?;
        let Request { nexus, task, .. } = self.core.requests.get_mut(request)?;
        Some(Asker {
            request,
            nexus: *nexus,
            task: *task,
        })
    }

    /// Take back a command that has not begun, because a state was put in force. Of the asking nexus it is not answered: the request
    /// ends it.
    pub(crate) fn end_unbegun(&mut self, id: HostId, nexus: NexusId, asker: Option<Asker>) {
        let request = self.core.requests.get(id);
        let answered = request.is_some_and(|request| request.background);
        let own = asker.filter(|asker| asker.nexus == nexus && !answered);
        let Some(asker) = own else {
            return self.take_back(id, Response::task_aborted());
        };
        if let Some(task) = self.withdraw(id) {
            self.note_withdrawn(asker, task);
        }
    }

    /// End a command that has begun and is to end, in place of its next step. Of the nexus whose request ends it, it is not answered.
    pub(crate) fn end_early(&mut self, id: HostId, response: Response) {
        let Some(request) = self.core.requests.get_mut(id) else {
            return;
        };
        if !matches!(request.work, Work::Settle { .. }) {
            request.answer.done_so_far();
        }
        let response = request.answer.cut_short(response);
        let (place, nexus) = (request.vdisk, request.nexus);
        let answered = request.background;
        let asker = self.asker(place);
        let asker = asker.filter(|asker| asker.nexus == nexus && !answered);
        let asker = asker.zip(self.core.requests.get(id));
        match asker.filter(|(asker, request)| !asker.precedes(request)) {
            Some((asker, _)) => {
                if let Some(task) = self.forget(id) {
                    self.note_withdrawn(asker, task);
                }
            }
            None => self.answer(id, response),
        }
    }

    /// A request has taken a command of its own nexus back.
    fn note_withdrawn(&mut self, asker: Asker, command: TaskTag) {
        if let Some(request) = self.core.requests.get_mut(asker.request)
            && let Work::Reset(reset) = &mut request.work
        {
            reset.withdrawn.push(command);
        }
    }

    /// End the commands of a VDisk's other sessions that lack data, and with `drop_sessions` these sessions.
    pub(crate) fn end_sessions_commands(
        &mut self,
        place: usize,
        asker: Option<Asker>,
        drop_sessions: bool,
    ) {
        for endpoint in self.sessions_of(place) {
            let Some(session) = self.session_mut(endpoint) else {
                continue;
            };
            if asker.is_none_or(|asker| asker.nexus != session.nexus) {
                session.connection.abort_unreported();
                session.closing |= drop_sessions;
                self.mark_dirty(endpoint);
            }
        }
    }

    /// End the commands that lack data of those sessions of a VDisk that lost their registration by PREEMPT AND ABORT.
    pub(crate) fn end_unreported_of(&mut self, place: usize, aborted: &[NexusId]) {
        if aborted.is_empty() {
            return;
        }
        for endpoint in self.sessions_of(place) {
            if let Some(session) = self.session_mut(endpoint)
                && aborted.contains(&session.nexus)
            {
                session.connection.abort_unreported();
                self.mark_dirty(endpoint);
            }
        }
    }

    /// A request has come to its end.
    pub(crate) fn finish_reset(&mut self, request: &Request, reset: &Reset, status: Status) {
        let done = status == Status::Good;
        let (endpoint, nexus) = (request.endpoint, request.nexus);
        self.answer_tasks(endpoint, nexus, request.task, done, &reset.withdrawn);
        if let Some(session) = self.session_of(endpoint, nexus) {
            session.closing |= done && reset.function == UnitFunction::ColdReset;
        }
    }

    /// A request has waited too long. If its change was made, both nodes carry it through.
    pub(crate) fn give_up_reset(&mut self, id: HostId) {
        let Some(request) = self.core.requests.get_mut(id) else {
            return;
        };
        let serial = self.core.vdisks[request.vdisk].serial;
        self.core.node.cancel(serial, id, self.core.now_ns);
        self.answer(id, Response::check(Sense::INTERNAL_FAILURE));
    }
}
