//! Carrying out what the mirror core asks for, until it asks for nothing more.

use twindisk_mirror::{Action, HostId, HostOp, HostResult, Report, Role, Serial};
use twindisk_scsi::{PeerGroup, Response, is_sanitize};

use crate::access::Shown;
use crate::engine::{Endpoint, Engine};
use crate::event::{EngineEvent, VdiskEvent};
use crate::request::{Work, scsi_response};
use crate::sanitize;
use crate::vdisk::Vdisk;

impl Engine {
    /// Carry out all actions, and those that follow from them.
    ///
    /// Of one batch the disk operations come last and what peers are sent is written before them, so that a peer works at
    /// its copy while this node works at its own. The core waits for what it needs in order by itself.
    pub(crate) fn carry_out(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        let mut disk_ops = std::mem::take(&mut self.disk_ops);
        loop {
            self.core.node.take_actions(&mut actions);
            if actions.is_empty() {
                break;
            }
            for action in actions.drain(..) {
                match action {
                    Action::Disk { serial, id, op } => disk_ops.push((serial, id, op)),
                    Action::Complete {
                        serial,
                        host,
                        result,
                    } => self.complete(serial, host, result),
                    Action::Record {
                        serial,
                        id,
                        bytes,
                        drain,
                        power_on,
                        absent,
                    } => {
                        self.record(serial, id, &bytes, drain, absent);
                        if power_on {
                            self.tend_power_on(serial);
                        }
                    }
                    Action::Turn { serial, host } => self.turn(serial, host),
                    Action::Send { peer, message } => self.send(peer, &message),
                    Action::Report { serial, report } => self.report(serial, report),
                    Action::PeerUp { peer } => self.peer_up(peer),
                    Action::PeerDown { peer, loss } => self.peer_down(peer, loss),
                }
            }
            if !disk_ops.is_empty() {
                self.flush_links();
                for (serial, id, op) in disk_ops.drain(..) {
                    self.core.disk(serial, id, op);
                }
            }
        }
        self.actions = actions;
        self.disk_ops = disk_ops;
    }

    fn complete(&mut self, serial: Serial, host: HostId, result: HostResult) {
        if sanitize::is_own(host) {
            return self.sanitize_done(serial, host, &result);
        }
        let Some(request) = self.core.requests.get_mut(host) else {
            return;
        };
        if matches!(request.work, Work::Copy(_)) {
            return self.copied(host, result);
        }
        let goes_on = matches!(request.work, Work::Settle { .. }) || !request.todo.is_empty();
        if result == HostResult::Done && goes_on {
            return self.go_on(serial, host);
        }
        if result == HostResult::Done
            && matches!(request.work, Work::Turn { .. })
            && is_sanitize(&request.cdb)
        {
            return self.keep_sanitize(host);
        }
        if let Work::Reset(reset) = &request.work
            && result == HostResult::Overtaken
        {
            // It ends what is there when it is done; later is as good.
            let op = HostOp::Turn { tag: reset.tag };
            return self.core.node.host(serial, host, op, self.core.now_ns);
        }
        let answer = std::mem::take(&mut request.answer);
        if result == HostResult::Done {
            self.token_made(host);
        }
        self.answer(host, answer.response(result));
    }

    /// A step of a command is done: begin the next one, unless the command is to end.
    fn go_on(&mut self, serial: Serial, host: HostId) {
        if let Some(ending) = self.ending(host) {
            return self.end_early(host, ending);
        }
        let Some(request) = self.core.requests.get_mut(host) else {
            return;
        };
        if matches!(request.work, Work::Settle { .. }) {
            return self.settled(serial, host);
        }
        if let Some(next) = request.todo.pop_front() {
            request.answer.done_so_far();
            self.core.node.host(serial, host, next, self.core.now_ns);
        }
    }

    /// Answer a command that the mirror core knows no more.
    pub(crate) fn answer(&mut self, host: HostId, response: Response) {
        let Some(request) = self.core.requests.remove(host) else {
            return;
        };
        self.copy_is_over(&request, &response);
        if let Some(slot) = self.endpoints.get_mut(request.endpoint)
            && let Some(Vdisk { unit, .. }) = self.core.vdisks.get(request.vdisk)
            && let Endpoint::Session(session) = &mut slot.endpoint
            && session.nexus == request.nexus
        {
            session.end_command(request.held_bytes);
            if let Work::Reset(reset) = &request.work {
                self.finish_reset(&request, reset, response.status);
            } else if !request.background {
                session
                    .connection
                    .respond(request.task, scsi_response(response, unit));
                self.mark_dirty(request.endpoint);
            }
        }
        self.ended(host);
    }

    /// A command has ended: whoever waits for that sees it.
    pub(crate) fn ended(&mut self, host: HostId) {
        if !self.waiters.is_empty() {
            self.waiters_see(host);
        }
        if !self.drains.is_empty() {
            self.drains_see(host);
        }
    }

    fn report(&mut self, serial: Serial, report: Report) {
        let Some(&place) = self.core.places.get(&serial) else {
            return;
        };
        let role = self
            .core
            .node
            .copy(serial)
            .map(|copy| copy.status().facts.role);
        let event = match report {
            Report::PeerFacts(pair) => VdiskEvent::PeerFacts(pair),
            Report::Attached { role, sync } => VdiskEvent::Attached { role, sync },
            Report::AttachRefused => VdiskEvent::AttachRefused {
                reason: "the plans do not match",
            },
            Report::Resynced => match role {
                Some(role) => VdiskEvent::Resynced(role),
                None => return,
            },
            Report::Held { peer_outdated } => VdiskEvent::Held { peer_outdated },
            Report::Alone { released } => VdiskEvent::Alone { released },
            Report::PeerLeft => VdiskEvent::PeerLeft,
            Report::Left => VdiskEvent::Left,
            Report::Switching => VdiskEvent::Switching,
            Report::Verified(found) => VdiskEvent::Verified(found),
            Report::NoSpace => VdiskEvent::NoSpace,
            Report::DiskFailed { operation, errno } => VdiskEvent::DiskFailed { operation, errno },
        };
        self.show_state(place);
        let name = self.core.vdisks[place].name.clone();
        self.events.push(EngineEvent::Vdisk(name, event));
    }

    /// Let initiators see both nodes' states for the VDisk at `place`. Commands that are held count as served: they are
    /// kept in the mirror core, so that an initiator sees a pause and no error.
    pub(crate) fn show_state(&mut self, place: usize) {
        let vdisk = &mut self.core.vdisks[place];
        let Some(copy) = self.core.node.copy(vdisk.serial) else {
            return;
        };
        let before = Shown {
            own: vdisk.unit.access_state(),
            // Who serves when it gets a peer becomes Master.
            peer: vdisk
                .unit
                .peer_group()
                .map_or(Shown::mirroring(vdisk.access, Role::Master).peer, |group| {
                    group.state
                }),
        };
        let shown = before.next(vdisk.access, copy.standing());
        let peer = vdisk.peer.is_some().then(|| PeerGroup {
            group_tag: 3 - vdisk.group_tag.clamp(1, 2),
            state: shown.peer,
        });
        vdisk.unit.set_access(shown.own, peer);
        self.tend_sanitize(place);
    }
}
