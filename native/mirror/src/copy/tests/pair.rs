//! Two nodes, their disks and the wire between them.

use std::collections::VecDeque;

use super::*;
use crate::copy::no_space::ENOSPC;

pub(super) struct Side {
    pub(super) node: Node,
    pub(super) disk: Vec<u8>,
    pub(super) facts: Option<FactsPair>,
    pub(super) answers: Vec<(HostId, HostResult)>,
    /// Do not carry out what is to be made durable.
    pub(super) hold_persists: bool,
    pub(super) held_persists: Vec<DiskId>,
    pub(super) fail_changes: bool,
    /// No space is left: data can be written only where data are.
    pub(super) full: bool,
    /// How much room is left then.
    pub(super) room_bytes: usize,
    /// Do not carry out changes of the data.
    pub(super) hold_changes: bool,
    pub(super) held_changes: Vec<(DiskId, DiskOp)>,
    pub(super) punched: usize,
    pub(super) persisted: Vec<Vec<(u64, u64)>>,
    /// How often it was told that what follows from power on is to be done.
    pub(super) power_ons: usize,
    /// Does not do it.
    pub(super) sleeps: bool,
    /// How often it was told of a record after the peer had gone on without it.
    pub(super) absences: usize,
    /// Bytes of the record that each change of it adds.
    pub(super) grow_bytes: usize,
}

pub(super) struct Pair {
    pub(super) sides: [Side; 2],
    pub(super) wires: [VecDeque<Message>; 2],
    /// The first such message is lost, and everything after it.
    pub(super) lose: fn(&Body) -> bool,
    pub(super) cut: bool,
}

impl Side {
    pub(super) fn new(role: Role) -> Self {
        let mut node = Node::new(0);
        let spec = CopySpec {
            serial: SERIAL,
            size_bytes: SIZE_BYTES as u64,
            peer: Some(PEER),
            facts: Facts::new(7, role),
            active: vec![],
            bitmap: vec![],
            shared: SharedRecord::default(),
            unbroken: None,
        };
        node.add_copy(spec, 0);
        Self {
            node,
            disk: vec![b'1'; SIZE_BYTES],
            facts: None,
            answers: vec![],
            hold_persists: false,
            held_persists: vec![],
            fail_changes: false,
            full: false,
            room_bytes: 0,
            hold_changes: false,
            held_changes: vec![],
            punched: 0,
            persisted: vec![],
            power_ons: 0,
            sleeps: false,
            absences: 0,
            grow_bytes: 1,
        }
    }

    /// A host's change of the record adds the host's number to it.
    pub(super) fn compute(&mut self, host: HostId) {
        let record = self.node.copy(SERIAL).expect("it is there").shared_record();
        let mut bytes = record.bytes().to_vec();
        bytes.resize(bytes.len() + self.grow_bytes, host.0 as u8);
        let bytes = bytes.into();
        let change = Some(RecordChange { bytes, drain: true });
        self.node.turn_computed(SERIAL, host, change, NOW_NS);
    }

    /// True for data where there are none. As many of them are written all the same as there is room for.
    fn lacks_space(&mut self, change: &Change) -> bool {
        let range = change.offset as usize..(change.offset + change.len_bytes) as usize;
        let there = &mut self.disk[range];
        let (ChangeKind::Write(payload) | ChangeKind::Sparse(payload)) = &change.kind else {
            return false;
        };
        let data = payload.to_contiguous();
        let needed = (data.iter().zip(there.iter()))
            .filter(|(new, old)| **new != 0 && **old == 0)
            .count();
        if needed <= self.room_bytes {
            self.room_bytes -= needed;
            return false;
        }
        for (new, old) in data.iter().zip(there) {
            if *new != 0 && *old == 0 {
                if self.room_bytes == 0 {
                    break;
                }
                self.room_bytes -= 1;
            }
            *old = *new;
        }
        true
    }

    pub(super) fn disk(&mut self, id: DiskId, op: DiskOp) {
        let done = match op {
            DiskOp::Persist(_) if self.hold_persists => {
                self.held_persists.push(id);
                return;
            }
            DiskOp::Read { offset, len_bytes } => {
                let range = offset as usize..offset as usize + len_bytes as usize;
                DiskDone::Data(Bytes::copy_from_slice(&self.disk[range]).into())
            }
            DiskOp::Change(_) if self.hold_changes => {
                self.held_changes.push((id, op));
                return;
            }
            DiskOp::Change(_) if self.fail_changes => DiskDone::Failed(5),
            DiskOp::Change(change) if self.full && self.lacks_space(&change) => {
                DiskDone::Failed(ENOSPC)
            }
            DiskOp::Change(change) => {
                let range = change.offset as usize..(change.offset + change.len_bytes) as usize;
                match change.kind {
                    ChangeKind::Write(payload) => {
                        self.disk[range].copy_from_slice(&payload.to_contiguous());
                    }
                    ChangeKind::Sparse(payload) => {
                        let data = payload.to_contiguous();
                        let there = &mut self.disk[range];
                        let both = there.iter().zip(data.iter());
                        let freed = both.filter(|(old, new)| **old != 0 && **new == 0);
                        self.room_bytes += freed.count();
                        there.copy_from_slice(&data);
                    }
                    ChangeKind::Unmap => {
                        let there = &mut self.disk[range];
                        if self.full {
                            self.room_bytes += there.iter().filter(|byte| **byte != 0).count();
                        }
                        there.fill(0);
                        self.punched += 1;
                    }
                    ChangeKind::Fill(_) => panic!("no fills here"),
                }
                DiskDone::Done
            }
            DiskOp::Allocated => DiskDone::Extents(vec![]),
            DiskOp::Ranges { offset, len_bytes } => DiskDone::Ranges(vec![(offset, len_bytes)]),
            DiskOp::Persist(persist) => {
                self.persisted.push(persist.bitmap);
                DiskDone::Done
            }
            DiskOp::Flush => DiskDone::Done,
        };
        self.node.disk_done(SERIAL, id, done, NOW_NS);
    }
}

impl Pair {
    /// In sync.
    pub(super) fn new() -> Self {
        Self::of([Side::new(Role::Master), Side::new(Role::Slave)])
    }

    pub(super) fn of(sides: [Side; 2]) -> Self {
        let mut pair = Self {
            sides,
            wires: Default::default(),
            lose: |_| false,
            cut: false,
        };
        pair.link_up();
        pair.attach(MASTER, Sync::None);
        pair
    }

    pub(super) fn act(&mut self, at: usize) -> bool {
        let mut actions = vec![];
        self.sides[at].node.take_actions(&mut actions);
        let any = !actions.is_empty();
        for action in actions {
            match action {
                Action::Disk { id, op, .. } => self.sides[at].disk(id, op),
                Action::Complete { host, result, .. } => {
                    self.sides[at].answers.push((host, result));
                }
                Action::Send { message, .. } => {
                    self.cut |= (self.lose)(&message.body);
                    if !self.cut {
                        self.wires[1 - at].push_back(message);
                    }
                }
                Action::Turn { host, .. } => self.sides[at].compute(host),
                Action::Record {
                    id,
                    power_on,
                    absent,
                    ..
                } => {
                    self.sides[at].power_ons += usize::from(power_on);
                    if power_on && !self.sides[at].sleeps {
                        self.sides[at].node.power_on_done(SERIAL);
                    }
                    self.sides[at].absences += usize::from(absent);
                    self.sides[at].node.record_taken(SERIAL, id, NOW_NS);
                }
                Action::Report {
                    report: Report::PeerFacts(facts),
                    ..
                } => self.sides[at].facts = Some(*facts),
                _ => {}
            }
        }
        any
    }

    pub(super) fn run(&mut self) {
        loop {
            let mut any = self.act(MASTER) | self.act(SLAVE);
            for at in [MASTER, SLAVE] {
                if let Some(message) = self.wires[at].pop_front() {
                    any = true;
                    self.sides[at].node.receive(PEER, message, NOW_NS);
                }
            }
            if !any {
                return;
            }
        }
    }

    pub(super) fn link_up(&mut self) {
        self.cut = false;
        self.lose = |_| false;
        for side in &mut self.sides {
            side.facts = None;
            side.node.lease(PEER, NOW_NS + 1_000_000_000, 0, NOW_NS);
            side.node.link_up(PEER, NOW_NS);
        }
        self.run();
    }

    pub(super) fn link_down(&mut self) {
        self.cut = true;
        self.wires = Default::default();
        for side in &mut self.sides {
            side.node.link_down(PEER, NOW_NS);
        }
        self.run();
    }

    /// Attach with a Master whose part in the resync is `sync`.
    pub(super) fn attach(&mut self, master: usize, sync: Sync) {
        let facts = self
            .sides
            .each_ref()
            .map(|side| side.facts.clone().expect("facts were exchanged"));
        let epoch = 1 + facts[0].local.facts.epoch.max(facts[0].remote.facts.epoch);
        for at in [MASTER, SLAVE] {
            let plan = AttachPlan {
                role: if at == master {
                    Role::Master
                } else {
                    Role::Slave
                },
                sync: if at == master { sync } else { sync.mirrored() },
                epoch,
                generation: 100 + epoch,
                local_seq: facts[at].local.seq,
                remote_seq: facts[at].remote.seq,
            };
            self.command(at, Command::Attach(plan));
        }
        self.run();
    }

    pub(super) fn command(&mut self, at: usize, command: Command) {
        let done = self.sides[at].node.command(SERIAL, command, NOW_NS);
        done.expect("the command fits");
    }

    pub(super) fn go_alone(&mut self, at: usize) {
        let command = Command::GoAlone {
            generation: 55,
            epoch: 50,
            fenced: true,
        };
        self.command(at, command);
        self.run();
    }

    pub(super) fn stop(&mut self, at: usize) {
        self.command(at, Command::StopServing(NotReady::Standby));
        self.run();
    }

    pub(super) fn host(&mut self, at: usize, id: u64, op: HostOp) {
        self.sides[at].node.host(SERIAL, HostId(id), op, NOW_NS);
        self.run();
    }

    pub(super) fn cancel(&mut self, at: usize, id: u64) {
        self.sides[at].node.cancel(SERIAL, HostId(id), NOW_NS);
        self.run();
    }

    pub(super) fn release_persists(&mut self, at: usize) {
        let side = &mut self.sides[at];
        side.hold_persists = false;
        for id in std::mem::take(&mut side.held_persists) {
            side.node.disk_done(SERIAL, id, DiskDone::Done, NOW_NS);
        }
        self.run();
    }

    pub(super) fn release_changes(&mut self, at: usize) {
        let side = &mut self.sides[at];
        side.hold_changes = false;
        for (id, op) in std::mem::take(&mut side.held_changes) {
            side.disk(id, op);
        }
        self.run();
    }

    pub(super) fn answer(&self, at: usize, id: u64) -> Option<&HostResult> {
        let mut answers = self.sides[at].answers.iter();
        answers
            .find(|(host, _)| *host == HostId(id))
            .map(|(_, result)| result)
    }

    /// The Master ends the link when its peer says this.
    pub(super) fn assert_link_ends(&mut self, body: Body) {
        let node = &mut self.sides[MASTER].node;
        let message = Message {
            serial: SERIAL,
            epoch: node.copy(SERIAL).unwrap().facts.epoch,
            id: 9,
            body,
        };
        let mut actions = vec![];
        node.receive(PEER, message, NOW_NS);
        node.take_actions(&mut actions);
        assert!(
            (actions.iter()).any(|action| matches!(action, Action::PeerDown { .. })),
            "{actions:?}"
        );
    }

    pub(super) fn disks(&self) -> [char; 2] {
        self.sides.each_ref().map(|side| char::from(side.disk[0]))
    }
}
