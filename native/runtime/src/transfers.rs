//! Third-party copies: looking up what their lists name, and going on from piece to piece.
//!
//! Rules:
//!
//! * A copy reaches another VDisk only if that would let its initiator in as it is, with what it has proven; that, and the reservations
//!   of both VDisks, are looked at before each piece.
//! * What stops a command, also the end of its session, stops a copy after the operation under way: it is answered then, and whoever
//!   waits for its end sees it. Until then it counts among the VDisk's copies, and what it holds for its initiator.

use std::collections::HashMap;

use twindisk_iscsi::ScsiResponse;
use twindisk_mirror::{HostId, HostOp, HostResult, Serial};
use twindisk_scsi::{
    COPIES_MAX, CopyList, CopyName, InForce, NexusId, Offload, Response, Sense, Step,
};

use crate::core::Core;
use crate::engine::Engine;
use crate::request::{Request, Work};
use crate::resets::{Asker, is_ended};
use crate::session::Login;
use crate::transfer::{Copier, HELD_BYTES, Move, Place, Source, Transfer, Use};
use crate::vdisk::Vdisk;

/// What a copy, or a command that makes a token, begins with.
pub(crate) struct Begun {
    /// Its first operation.
    pub(crate) first: HostOp,
    /// What it is about.
    pub(crate) work: Work,
    /// It is to be answered now.
    pub(crate) background: bool,
}

impl Core {
    /// Begin what a command of the VDisk at `place` came to: [`Step::Copy`] or [`Step::Offload`].
    ///
    /// # Errors
    /// The answer to the command.
    pub(crate) fn begin_third_party(
        &mut self,
        place: usize,
        nexus: NexusId,
        login: &Login,
        step: Step,
    ) -> Result<Begun, Response> {
        self.room_for_copy(place)?;
        match step {
            Step::Copy(list) => {
                let transfer = self.begin_copy(place, nexus, login, &list)?;
                Ok(Begun {
                    first: HostOp::Settle,
                    work: Work::Copy(Box::new(transfer)),
                    background: false,
                })
            }
            Step::Offload(Offload::Populate(asked)) => self.begin_populate(place, nexus, asked),
            Step::Offload(Offload::Write(write)) => {
                let transfer = self.begin_token_write(place, nexus, login, &write)?;
                Ok(Begun {
                    first: HostOp::Settle,
                    work: Work::Copy(Box::new(transfer)),
                    background: write.immediate,
                })
            }
            _ => Err(Response::check(Sense::INTERNAL_FAILURE)),
        }
    }

    /// Take a copy in that the VDisk at `place` was asked for.
    ///
    /// # Errors
    /// The answer to the command.
    fn begin_copy(
        &mut self,
        place: usize,
        nexus: NexusId,
        login: &Login,
        list: &CopyList,
    ) -> Result<Transfer, Response> {
        let own = self.vdisks[place].serial;
        let copier = Copier::of(login).ok_or(Response::check(Sense::NOT_REACHABLE))?;
        let found: Vec<_> = list
            .designators()
            .map(|designator| {
                let named = |vdisk: &&Vdisk| vdisk.unit.is_named(designator);
                self.vdisks.iter().map(|(_, vdisk)| vdisk).find(named)
            })
            .map(|vdisk| vdisk.filter(|vdisk| self.reaches(&copier, own, vdisk.serial)))
            .collect();
        let sizes: Vec<_> = (found.iter())
            .map(|vdisk| vdisk.map(|vdisk| vdisk.unit.copy_target()))
            .collect();
        let serials: Vec<_> = (found.iter())
            .map(|vdisk| vdisk.map(|vdisk| vdisk.serial))
            .collect();
        let ranges = list.ranges(&sizes).map_err(Response::check);
        let unit = &mut self.vdisks[place].unit;
        unit.copy_began(nexus, list);
        let ranges = match (ranges, list.identifier) {
            (Err(refused), Some(identifier)) => {
                unit.copy_ended(nexus, CopyName::Short(identifier), &refused);
                return Err(refused);
            }
            (ranges, _) => ranges?,
        };
        let side = |index: usize, offset| {
            let serial = serials[index].expect("a range has units that were found");
            Place { serial, offset }
        };
        let moves = ranges.iter().map(|range| Move {
            source: Source::At(side(range.source, range.source_offset)),
            target: side(range.target, range.target_offset),
            len_bytes: range.len_bytes,
            block_bytes: sizes[range.target].map_or(1, |unit| unit.block_bytes),
            segments: range.segments,
        });
        let moves = moves
            .filter(|one| one.source != Source::At(one.target))
            .collect();
        let name = list.identifier.map(CopyName::Short);
        Ok(Transfer::new(copier, own, name, moves))
    }

    /// Whether a VDisk may be asked for another copy.
    ///
    /// # Errors
    /// BUSY.
    fn room_for_copy(&self, place: usize) -> Result<(), Response> {
        let is_copy = |request: &Request| {
            let copies = matches!(request.work, Work::Copy(_) | Work::Populate(_));
            copies && request.vdisk == place
        };
        if self.requests.ids(is_copy).len() < COPIES_MAX {
            Ok(())
        } else {
            Err(Response::busy())
        }
    }

    /// True when an initiator that is let in to `own` would be let in to another VDisk without proving anything anew.
    fn reaches(&self, copier: &Copier, own: Serial, other: Serial) -> bool {
        let (Some(own), Some(other)) = (self.vdisk(own), self.vdisk(other)) else {
            return false;
        };
        own.serial == other.serial
            || (other.admission).keeps(&copier.initiator, copier.user.as_deref(), &own.admission)
    }

    /// Why the next piece of a copy must not be begun.
    fn copy_forbidden(&self, request: &Request, transfer: &Transfer) -> Option<Response> {
        if let Some(stopped) = &transfer.stopped {
            return Some(stopped.clone());
        }
        let own = self.vdisk(transfer.own())?;
        if let Some(sense) = own.unit.sanitize_bars(&request.cdb) {
            return Some(Response::check(sense));
        }
        if let Some(refusal) = own.unit.refusal(request.nexus, &request.cdb) {
            return Some(refusal);
        }
        if let Some((serial, watch)) = transfer.relies_on()
            && let Err(sense) = self.watched(serial, watch)
        {
            return Some(Response::check(sense));
        }
        transfer.uses().find_map(|(serial, purpose)| {
            let unit = &self.vdisk(serial)?.unit;
            if purpose == Use::Token {
                return unit.token_barred().map(Response::check);
            }
            let write = purpose == Use::Write;
            if !self.reaches(&transfer.copier, transfer.own(), serial) {
                return Some(Response::check(Sense::NOT_REACHABLE));
            }
            if serial == transfer.own() {
                return (write && unit.is_write_protected())
                    .then(|| Response::check(Sense::WRITE_PROTECTED));
            }
            unit.forbids_copy(&transfer.copier.port, write)
                .then(|| Response::check(Sense::OTHER_UNIT_FAILED))
        })
    }

    /// The next operation of a copy and its VDisk; an error, or none any more: the answer.
    fn next_of_copy(&mut self, host: HostId) -> Result<(Serial, HostOp), Response> {
        let gone = || Response::check(Sense::INTERNAL_FAILURE);
        let request = self.requests.get(host).ok_or_else(gone)?;
        let Work::Copy(transfer) = &request.work else {
            return Err(gone());
        };
        if let Some(refused) = self.copy_forbidden(request, transfer) {
            return Err(refused);
        }
        let request = self.requests.get_mut(host).ok_or_else(gone)?;
        let Work::Copy(transfer) = &mut request.work else {
            return Err(gone());
        };
        if let Some((serial, watch)) = transfer.relies_on() {
            self.node.watch_used(serial, watch, self.now_ns);
        }
        let (vdisks, places) = (&self.vdisks, &self.places);
        let writes_through = |serial| {
            let vdisk = places.get(&serial).and_then(|place| vdisks.get(*place));
            vdisk.is_some_and(|vdisk| vdisk.unit.writes_through())
        };
        transfer.next_op(writes_through).ok_or(Response::good())
    }
}

impl Copier {
    pub(crate) fn of(login: &Login) -> Option<Self> {
        Some(Self {
            initiator: login.initiator.clone(),
            user: login.user.clone(),
            port: twindisk_scsi::InitiatorPort::new(&login.initiator, login.isid)?,
        })
    }
}

impl Engine {
    /// An operation of a copy has ended.
    pub(crate) fn copied(&mut self, host: HostId, result: HostResult) {
        let Some(request) = self.core.requests.get_mut(host) else {
            return;
        };
        let Work::Copy(transfer) = &mut request.work else {
            return;
        };
        let ended = transfer.ended(result);
        if let Some(name) = transfer.name {
            let (nexus, progress) = (request.nexus, transfer.progress);
            let unit = &mut self.core.vdisks[request.vdisk].unit;
            unit.copy_advanced(nexus, name, progress);
        }
        match ended.and_then(|()| self.core.next_of_copy(host)) {
            Ok((serial, op)) => self.core.node.host(serial, host, op, self.core.now_ns),
            Err(response) => self.answer(host, response),
        }
    }

    /// Take a copy in that waited until the reservations were known; its first operation.
    ///
    /// # Errors
    /// The answer to the command.
    pub(crate) fn begin_settled_copy(
        &mut self,
        host: HostId,
        step: Step,
    ) -> Result<HostOp, Response> {
        let gone = || Response::check(Sense::INTERNAL_FAILURE);
        let (place, nexus, login) = self.hold_for_copy(host).ok_or_else(gone)?;
        let begun = self.core.begin_third_party(place, nexus, &login, step)?;
        let request = self.core.requests.get_mut(host).ok_or_else(gone)?;
        request.work = begun.work;
        request.background = begun.background;
        let (endpoint, task) = (request.endpoint, request.task);
        if begun.background
            && let Some(session) = self.session_of(endpoint, nexus)
        {
            session.connection.respond(task, ScsiResponse::default());
            self.mark_dirty(endpoint);
        }
        Ok(begun.first)
    }

    /// A command that is under way becomes a copy: it holds more memory. Who sent it, and to which VDisk.
    fn hold_for_copy(&mut self, host: HostId) -> Option<(usize, NexusId, Login)> {
        let request = self.core.requests.get(host)?;
        let (place, nexus, endpoint) = (request.vdisk, request.nexus, request.endpoint);
        let session = self.session_of(endpoint, nexus)?;
        session.hold_more(HELD_BYTES);
        let login = session.login.clone()?;
        self.core.requests.get_mut(host)?.held_bytes += HELD_BYTES;
        Some((place, nexus, login))
    }

    /// True for a copy whose operation has begun and can only be waited for.
    pub(crate) fn copy_is_at_work(&self, host: HostId) -> bool {
        let request = self.core.requests.get(host);
        let at = request.and_then(Request::copies_at);
        at.is_some_and(|serial| !self.core.node.can_withdraw(serial, host))
    }

    /// Stop those of these commands that are copies, with this answer.
    pub(crate) fn stop_copies(&mut self, hosts: &[HostId], response: &Response) {
        for host in hosts {
            if let Some(request) = self.core.requests.get_mut(*host)
                && let Work::Copy(transfer) = &mut request.work
            {
                transfer.stopped.get_or_insert_with(|| response.clone());
            }
        }
    }

    /// Another state of `serial` is in force: end or stop the copies that it forbids, also those that other VDisks were asked for.
    /// Those that are at work are added to `left`.
    pub(crate) fn stop_copies_at(
        &mut self,
        serial: Serial,
        in_force: &InForce,
        asker: Option<Asker>,
        left: &mut HashMap<HostId, Response>,
    ) {
        for host in self
            .core
            .requests
            .ids(|request| request.copies_with(serial))
        {
            let Some(request) = self.core.requests.get(host) else {
                continue;
            };
            let Work::Copy(transfer) = &request.work else {
                continue;
            };
            let at = transfer.at();
            let is_own = transfer.own() == serial;
            let refused = if in_force.absent || is_own && is_ended(request, in_force, asker) {
                Some(Response::task_aborted())
            } else {
                self.core.copy_forbidden(request, transfer)
            };
            let Some(refused) = refused else {
                continue;
            };
            if self.core.node.can_withdraw(at, host) {
                self.core.node.cancel(at, host, self.core.now_ns);
                self.answer(host, refused);
                left.remove(&host);
            } else {
                self.stop_copies(&[host], &refused);
                left.entry(host).or_insert(refused);
            }
        }
    }

    /// A VDisk is about to be closed: end the copies of others that have to do with it.
    pub(crate) fn end_copies_with(&mut self, serial: Serial) {
        for host in self
            .core
            .requests
            .ids(|request| request.copies_with(serial))
        {
            if let Some(at) = self.core.requests.get(host).and_then(Request::copies_at) {
                self.core.node.cancel(at, host, self.core.now_ns);
            }
            self.answer(host, Response::check(Sense::NOT_REACHABLE));
        }
    }
}
