//! One node: its copies, and which peers can be talked to.
//!
//! The caller's duties, in this order for every event: (1) call the method for what happened, with the time; (2) take
//! the actions and carry them out in order; (3) feed the ends of disk operations back. Leases are told by
//! [`Node::lease`] whenever they change; a peer counts as reachable once its link is up *and* its lease holds.

use std::collections::{BTreeMap, HashMap};

use crate::action::{Action, CopySpec, LinkLoss};
use crate::copy::{Copy, PaceLimits, Surroundings};
use crate::ids::{DiskId, HostId, PeerId, Serial};
use crate::message::Message;
use crate::ops::{DiskDone, HostOp, HostResult, NotReady, RecordChange};
use crate::report::{Command, CommandError};

#[derive(Debug, Default)]
struct Link {
    connected: bool,
    /// `PeerUp` was said.
    ready: bool,
    serve_until_ns: u64,
    promised_until_ns: u64,
}

/// One node. See the module's contract.
#[derive(Debug)]
pub struct Node {
    /// A promise given before this process began may hold until then.
    promised_before_ns: u64,
    copies: HashMap<Serial, Copy>,
    links: BTreeMap<PeerId, Link>,
    pace: PaceLimits,
    out: Vec<Action>,
}

impl Node {
    /// A node that has just started. `promised_before_ns`: until when a node that ran here before may have promised its
    /// peers not to go on alone: the start plus the length of a promise.
    #[must_use]
    pub fn new(promised_before_ns: u64) -> Self {
        Self {
            promised_before_ns,
            copies: HashMap::new(),
            links: BTreeMap::new(),
            pace: PaceLimits::default(),
            out: Vec::new(),
        }
    }

    /// Open a copy; it serves nothing until commanded.
    pub fn add_copy(&mut self, spec: CopySpec, now_ns: u64) {
        let serial = spec.serial;
        let mut copy = Copy::new(spec);
        copy.flush_before_facts();
        self.copies.insert(serial, copy);
        self.share_pace();
        self.copy_link_state(serial, now_ns);
    }

    /// Limit a copy's activity log, so that a simulation gets to the end of it.
    pub fn limit_log(&mut self, serial: Serial, extents: usize) {
        if let Some(copy) = self.copies.get_mut(&serial) {
            copy.limit_log(extents);
        }
    }

    /// Set how fast all resyncs and verifications together may go.
    pub fn set_pace(&mut self, limits: PaceLimits) {
        self.pace = limits;
        self.share_pace();
    }

    /// Let the copies that are at it share the limits.
    fn share_pace(&mut self) {
        let shares = self.copies.values().filter(|copy| copy.is_paced()).count() as u64;
        for copy in self.copies.values_mut() {
            copy.limit_pace(self.pace, shares);
        }
    }

    /// Forget a copy; commands in flight are not answered.
    pub fn remove_copy(&mut self, serial: Serial) {
        self.copies.remove(&serial);
    }

    /// Look at a copy.
    #[must_use]
    pub fn copy(&self, serial: Serial) -> Option<&Copy> {
        self.copies.get(&serial)
    }

    /// Why a VDisk serves nothing, or `None` when it serves.
    #[must_use]
    pub fn readiness(&self, serial: Serial) -> Option<NotReady> {
        self.copies
            .get(&serial)
            .map_or(Some(NotReady::Unavailable), Copy::readiness)
    }

    /// The VDisk got a peer or lost it.
    ///
    /// # Errors
    /// [`CommandError::UnknownVdisk`].
    pub fn set_peer(
        &mut self,
        serial: Serial,
        peer: Option<PeerId>,
        now_ns: u64,
    ) -> Result<(), CommandError> {
        let around = self.around(peer, now_ns);
        let copy = self
            .copies
            .get_mut(&serial)
            .ok_or(CommandError::UnknownVdisk)?;
        copy.set_peer(peer, around);
        self.collect(serial, now_ns);
        self.copy_link_state(serial, now_ns);
        Ok(())
    }

    /// The VDisk has grown.
    ///
    /// # Errors
    /// [`CommandError::UnknownVdisk`].
    pub fn set_size(&mut self, serial: Serial, size_bytes: u64) -> Result<(), CommandError> {
        self.copies
            .get_mut(&serial)
            .ok_or(CommandError::UnknownVdisk)?
            .set_size(size_bytes);
        Ok(())
    }

    /// A host's command, inside the VDisk's size; `id` is unused among the VDisk's unanswered commands.
    pub fn host(&mut self, serial: Serial, id: HostId, op: HostOp, now_ns: u64) {
        if let Some((copy, around)) = self.copy_and_around(serial, now_ns) {
            copy.host(id, op, around);
            self.collect(serial, now_ns);
        } else {
            let result = HostResult::NotReady(NotReady::Unavailable);
            self.out.push(Action::Complete {
                serial,
                host: id,
                result,
            });
        }
    }

    /// The session of a command is gone: if it has not begun, it must not begin; what has begun ends unanswered. Its id
    /// stays in use until then.
    pub fn cancel(&mut self, serial: Serial, id: HostId, now_ns: u64) {
        if let Some((copy, around)) = self.copy_and_around(serial, now_ns) {
            copy.cancel(id, around);
            self.collect(serial, now_ns);
        }
    }

    /// True for a command that has not begun: it may be taken back by [`Self::cancel`], and never takes effect then.
    #[must_use]
    pub fn can_withdraw(&self, serial: Serial, id: HostId) -> bool {
        let copy = self.copies.get(&serial);
        copy.is_some_and(|copy| copy.can_withdraw(id))
    }

    /// A watch of a copy is used at this node.
    pub fn watch_used(&mut self, serial: Serial, id: u64, now_ns: u64) {
        if let Some(copy) = self.copies.get_mut(&serial) {
            copy.watch_used(id, now_ns);
        }
    }

    /// End a watch of a copy, on both nodes if the peer can be told.
    pub fn unwatch(&mut self, serial: Serial, id: u64, now_ns: u64) {
        if let Some(copy) = self.copies.get_mut(&serial) {
            copy.unwatch(id);
            self.collect(serial, now_ns);
        }
    }

    /// What the turn of a command came to ([`Action::Turn`]); `None`: the record stays, and the caller answers the command. False:
    /// the turn was lost meanwhile; the command starts afresh.
    pub fn turn_computed(
        &mut self,
        serial: Serial,
        id: HostId,
        change: Option<RecordChange>,
        now_ns: u64,
    ) -> bool {
        let Some((copy, around)) = self.copy_and_around(serial, now_ns) else {
            return false;
        };
        let taken = copy.computed(id, change, around);
        self.collect(serial, now_ns);
        taken
    }

    /// A version of the shared record is in force ([`Action::Record`]), and what it was to drain has ended.
    pub fn record_taken(&mut self, serial: Serial, id: u64, now_ns: u64) {
        if let Some((copy, around)) = self.copy_and_around(serial, now_ns) {
            copy.record_taken(id, around);
            self.collect(serial, now_ns);
        }
    }

    /// What follows from power on is done ([`Action::Record`]).
    pub fn power_on_done(&mut self, serial: Serial) {
        if let Some(copy) = self.copies.get_mut(&serial) {
            copy.power_on_done();
        }
    }

    /// A disk operation ended.
    pub fn disk_done(&mut self, serial: Serial, id: DiskId, done: DiskDone, now_ns: u64) {
        if let Some((copy, around)) = self.copy_and_around(serial, now_ns) {
            copy.disk_done(id, done, around);
            self.collect(serial, now_ns);
        }
    }

    /// A peer's link is connected and authenticated.
    pub fn link_up(&mut self, peer: PeerId, now_ns: u64) {
        self.links.entry(peer).or_default().connected = true;
        self.check_link(peer, now_ns);
    }

    /// A peer's link has ended.
    pub fn link_down(&mut self, peer: PeerId, now_ns: u64) {
        self.lose(peer, LinkLoss::Closed, now_ns);
    }

    /// The leases with a peer, as its heartbeats stand (see [`crate::heart::Heart`]).
    pub fn lease(
        &mut self,
        peer: PeerId,
        serve_until_ns: u64,
        promised_until_ns: u64,
        now_ns: u64,
    ) {
        let link = self.links.entry(peer).or_default();
        link.serve_until_ns = serve_until_ns;
        link.promised_until_ns = link.promised_until_ns.max(promised_until_ns);
        self.check_link(peer, now_ns);
    }

    /// A message from a peer. Messages for VDisks that are not mirrored with that peer are dropped.
    pub fn receive(&mut self, peer: PeerId, message: Message, now_ns: u64) {
        if !self.links.get(&peer).is_some_and(|link| link.connected) {
            return;
        }
        let serial = message.serial;
        let around = self.around(Some(peer), now_ns);
        // Before the lease stands, messages are heard but nothing is served on their strength: see Copy::complete.
        if let Some(copy) = self.copies.get_mut(&serial)
            && copy.peer() == Some(peer)
        {
            copy.receive(message, around);
            self.collect(serial, now_ns);
        }
    }

    /// A decision for a VDisk.
    ///
    /// # Errors
    /// [`CommandError`]; nothing has changed then.
    pub fn command(
        &mut self,
        serial: Serial,
        command: Command,
        now_ns: u64,
    ) -> Result<(), CommandError> {
        let (copy, around) = self
            .copy_and_around(serial, now_ns)
            .ok_or(CommandError::UnknownVdisk)?;
        let done = copy.command(command, around);
        self.collect(serial, now_ns);
        done
    }

    /// Time passed; to be called every 100 ms or so.
    pub fn tick(&mut self, now_ns: u64) {
        let peers: Vec<_> = self.links.keys().copied().collect();
        for peer in peers {
            self.check_link(peer, now_ns);
        }
        self.share_pace();
        let mut serials: Vec<_> = self.copies.keys().copied().collect();
        serials.sort_unstable();
        for serial in serials {
            if let Some((copy, around)) = self.copy_and_around(serial, now_ns) {
                copy.tick(around);
                self.collect(serial, now_ns);
            }
        }
    }

    /// Take what is to be done, in order.
    pub fn take_actions(&mut self, into: &mut Vec<Action>) {
        into.append(&mut self.out);
    }

    fn around(&self, peer: Option<PeerId>, now_ns: u64) -> Surroundings {
        let link = peer.and_then(|peer| self.links.get(&peer));
        link.map_or(
            Surroundings {
                now_ns,
                promised_until_ns: self.promised_before_ns,
                ..Surroundings::default()
            },
            |link| Surroundings {
                now_ns,
                serve_until_ns: if link.ready { link.serve_until_ns } else { 0 },
                promised_until_ns: link.promised_until_ns.max(self.promised_before_ns),
                link: link.ready,
            },
        )
    }

    fn copy_and_around(
        &mut self,
        serial: Serial,
        now_ns: u64,
    ) -> Option<(&mut Copy, Surroundings)> {
        let peer = self.copies.get(&serial)?.peer();
        let around = self.around(peer, now_ns);
        self.copies.get_mut(&serial).map(|copy| (copy, around))
    }

    fn collect(&mut self, serial: Serial, now_ns: u64) {
        let Some(copy) = self.copies.get_mut(&serial) else {
            return;
        };
        copy.take_actions(&mut self.out);
        let loss = if copy.take_lease_over() {
            LinkLoss::Silent
        } else if copy.take_peer_faulty() {
            LinkLoss::Protocol
        } else {
            return;
        };
        if let Some(peer) = copy.peer() {
            self.lose(peer, loss, now_ns);
        }
    }

    fn copy_link_state(&mut self, serial: Serial, now_ns: u64) {
        if let Some((copy, around)) = self.copy_and_around(serial, now_ns)
            && around.link
        {
            copy.link_ready(around);
            self.collect(serial, now_ns);
        }
    }

    /// Notice that a link has become usable, or that its lease is over.
    fn check_link(&mut self, peer: PeerId, now_ns: u64) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        let holds = link.serve_until_ns > now_ns;
        if link.ready && !holds {
            self.lose(peer, LinkLoss::Silent, now_ns);
        } else if link.connected && !link.ready && holds {
            link.ready = true;
            self.out.push(Action::PeerUp { peer });
            for serial in self.mirrored_with(peer) {
                self.copy_link_state(serial, now_ns);
            }
        }
    }

    fn lose(&mut self, peer: PeerId, loss: LinkLoss, now_ns: u64) {
        let Some(link) = self.links.get_mut(&peer) else {
            return;
        };
        if !std::mem::take(&mut link.connected) {
            return;
        }
        // A link whose peer breaks the rules must end even before it was ready.
        if std::mem::take(&mut link.ready) || loss == LinkLoss::Protocol {
            self.out.push(Action::PeerDown { peer, loss });
        }
        for serial in self.mirrored_with(peer) {
            if let Some((copy, around)) = self.copy_and_around(serial, now_ns) {
                copy.link_down(around);
                self.collect(serial, now_ns);
            }
        }
    }

    fn mirrored_with(&self, peer: PeerId) -> Vec<Serial> {
        let mut serials: Vec<_> = self
            .copies
            .iter()
            .filter(|(_, copy)| copy.peer() == Some(peer))
            .map(|(&serial, _)| serial)
            .collect();
        serials.sort_unstable();
        serials
    }
}
