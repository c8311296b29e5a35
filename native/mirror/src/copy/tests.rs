//! Two nodes with a wire that loses what the test says: commands that were under way when the peer was lost.

mod copies;
mod forsaken;
mod overtaken;
mod power_on;
mod resync;
mod suspects;
mod turns;
mod verify;
mod watched_reads;
mod watches;

use std::collections::VecDeque;

use bytes::Bytes;

use crate::message::{Body, Message};
use crate::report::{CommandError, FactsPair};
use crate::{
    Action, AttachPlan, Change, ChangeKind, Command, CopySpec, DiskDone, DiskId, DiskOp, Facts,
    HostId, HostOp, HostResult, Node, NotReady, Payload, PeerId, RecordChange, Report, Role,
    Serial, SharedRecord, Sync, Update, UpdateKind,
};

const SERIAL: Serial = Serial([6; 16]);
const PEER: PeerId = PeerId(0);
const SIZE_BYTES: usize = 4 << 20;
const NOW_NS: u64 = 1_000_000;
const MASTER: usize = 0;
const SLAVE: usize = 1;

struct Side {
    node: Node,
    disk: Vec<u8>,
    facts: Option<FactsPair>,
    answers: Vec<(HostId, HostResult)>,
    /// Do not carry out what is to be made durable.
    hold_persists: bool,
    held_persists: Vec<DiskId>,
    fail_changes: bool,
    /// Do not carry out changes of the data.
    hold_changes: bool,
    held_changes: Vec<(DiskId, DiskOp)>,
    punched: usize,
    persisted: Vec<Vec<(u64, u64)>>,
    /// How often it was told that what follows from power on is to be done.
    power_ons: usize,
    /// Does not do it.
    sleeps: bool,
    /// How often it was told of a record after the peer had gone on without it.
    absences: usize,
    /// Bytes of the record that each change of it adds.
    grow_bytes: usize,
}

struct Pair {
    sides: [Side; 2],
    wires: [VecDeque<Message>; 2],
    /// The first such message is lost, and everything after it.
    lose: fn(&Body) -> bool,
    cut: bool,
}

impl Side {
    fn new(role: Role) -> Self {
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
    fn compute(&mut self, host: HostId) {
        let record = self.node.copy(SERIAL).expect("it is there").shared_record();
        let mut bytes = record.bytes().to_vec();
        bytes.resize(bytes.len() + self.grow_bytes, host.0 as u8);
        let bytes = bytes.into();
        let change = Some(RecordChange { bytes, drain: true });
        self.node.turn_computed(SERIAL, host, change, NOW_NS);
    }

    fn disk(&mut self, id: DiskId, op: DiskOp) {
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
            DiskOp::Change(change) => {
                let range = change.offset as usize..(change.offset + change.len_bytes) as usize;
                match change.kind {
                    ChangeKind::Write(payload) => {
                        self.disk[range].copy_from_slice(&payload.to_contiguous());
                    }
                    ChangeKind::Unmap => {
                        self.disk[range].fill(0);
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
    fn new() -> Self {
        Self::of([Side::new(Role::Master), Side::new(Role::Slave)])
    }

    fn of(sides: [Side; 2]) -> Self {
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

    fn act(&mut self, at: usize) -> bool {
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

    fn run(&mut self) {
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

    fn link_up(&mut self) {
        self.cut = false;
        self.lose = |_| false;
        for side in &mut self.sides {
            side.facts = None;
            side.node.lease(PEER, NOW_NS + 1_000_000_000, 0, NOW_NS);
            side.node.link_up(PEER, NOW_NS);
        }
        self.run();
    }

    fn link_down(&mut self) {
        self.cut = true;
        self.wires = Default::default();
        for side in &mut self.sides {
            side.node.link_down(PEER, NOW_NS);
        }
        self.run();
    }

    /// Attach with a Master whose part in the resync is `sync`.
    fn attach(&mut self, master: usize, sync: Sync) {
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

    fn command(&mut self, at: usize, command: Command) {
        let done = self.sides[at].node.command(SERIAL, command, NOW_NS);
        done.expect("the command fits");
    }

    fn go_alone(&mut self, at: usize) {
        let command = Command::GoAlone {
            generation: 55,
            epoch: 50,
            fenced: true,
        };
        self.command(at, command);
        self.run();
    }

    fn stop(&mut self, at: usize) {
        self.command(at, Command::StopServing(NotReady::Standby));
        self.run();
    }

    fn host(&mut self, at: usize, id: u64, op: HostOp) {
        self.sides[at].node.host(SERIAL, HostId(id), op, NOW_NS);
        self.run();
    }

    fn cancel(&mut self, at: usize, id: u64) {
        self.sides[at].node.cancel(SERIAL, HostId(id), NOW_NS);
        self.run();
    }

    fn release_persists(&mut self, at: usize) {
        let side = &mut self.sides[at];
        side.hold_persists = false;
        for id in std::mem::take(&mut side.held_persists) {
            side.node.disk_done(SERIAL, id, DiskDone::Done, NOW_NS);
        }
        self.run();
    }

    fn release_changes(&mut self, at: usize) {
        let side = &mut self.sides[at];
        side.hold_changes = false;
        for (id, op) in std::mem::take(&mut side.held_changes) {
            side.disk(id, op);
        }
        self.run();
    }

    fn answer(&self, at: usize, id: u64) -> Option<&HostResult> {
        let mut answers = self.sides[at].answers.iter();
        answers
            .find(|(host, _)| *host == HostId(id))
            .map(|(_, result)| result)
    }

    /// The Master ends the link when its peer says this.
    fn assert_link_ends(&mut self, body: Body) {
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

    fn disks(&self) -> [char; 2] {
        self.sides.each_ref().map(|side| char::from(side.disk[0]))
    }
}

fn block(byte: u8) -> Payload {
    Bytes::from(vec![byte; 512]).into()
}

fn write(byte: u8) -> HostOp {
    let kind = ChangeKind::Write(block(byte));
    HostOp::Change {
        change: Change {
            offset: 0,
            len_bytes: 512,
            kind,
        },
        fua: false,
    }
}

fn update(kind: UpdateKind, fua: bool) -> HostOp {
    HostOp::Update {
        update: Update {
            offset: 0,
            len_bytes: 512,
            kind,
        },
        fua,
    }
}

fn compare_and_write(compare: u8, write: u8) -> HostOp {
    let (compare, write) = (block(compare), block(write));
    update(UpdateKind::CompareAndWrite { compare, write }, false)
}

fn read() -> HostOp {
    HostOp::Read {
        offset: 0,
        len_bytes: 1,
    }
}

fn byte(byte: u8) -> HostResult {
    HostResult::Data(Bytes::from(vec![byte]).into())
}

#[test]
fn an_update_waits_for_the_changes_that_the_slave_sends_again() {
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Granted);
    pair.host(SLAVE, 1, write(b'F'));
    assert_eq!(pair.disks(), ['F', '1'], "half done");
    pair.host(MASTER, 2, compare_and_write(b'F', b'2'));
    pair.link_down();
    pair.link_up();
    pair.attach(MASTER, Sync::Source);
    assert_eq!(pair.answer(SLAVE, 1), Some(&HostResult::Done));
    assert_eq!(pair.answer(MASTER, 2), Some(&HostResult::Done));
    assert_eq!(pair.disks(), ['2', '2']);
    pair.host(MASTER, 3, compare_and_write(b'F', b'3'));
    let refused = HostResult::Miscompare { offset: 0 };
    assert_eq!(pair.answer(MASTER, 3), Some(&refused));
}

const STANDBY: HostResult = HostResult::NotReady(NotReady::Standby);

#[test]
fn a_comparison_that_may_have_counted_ends_unknown_when_its_node_stops() {
    // Through the Slave: the Master made it, or was asked at least.
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Resolved(_));
    pair.host(SLAVE, 1, compare_and_write(b'1', b'2'));
    assert_eq!(pair.disks(), ['2', '1']);
    pair.link_down();
    pair.stop(SLAVE);
    assert_eq!(pair.answer(SLAVE, 1), Some(&HostResult::Unknown));

    // Through the Master: both have it.
    let mut pair = Pair::new();
    pair.lose = |body| matches!(body, Body::Applied);
    pair.host(MASTER, 1, compare_and_write(b'1', b'2'));
    assert_eq!(pair.disks(), ['2', '2']);
    pair.link_down();
    pair.stop(MASTER);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Unknown));
}

#[test]
fn a_comparison_that_only_lacks_its_flush_ends_unknown_when_its_node_stops() {
    for at in [MASTER, SLAVE] {
        let mut pair = Pair::new();
        pair.lose = |body| matches!(body, Body::Flushed);
        let (compare, write) = (block(b'1'), block(b'2'));
        let op = update(UpdateKind::CompareAndWrite { compare, write }, true);
        pair.host(at, 1, op);
        assert_eq!(pair.disks(), ['2', '2']);
        pair.link_down();
        pair.stop(at);
        assert_eq!(pair.answer(at, 1), Some(&HostResult::Unknown));
    }
}

#[test]
fn a_comparison_ends_unknown_when_its_node_stops_after_its_disk_failed() {
    let mut pair = Pair::new();
    pair.sides[MASTER].fail_changes = true;
    pair.host(MASTER, 1, compare_and_write(b'1', b'2'));
    pair.host(MASTER, 2, compare_and_write(b'2', b'3'));
    assert_eq!(pair.disks(), ['1', '2'], "the Slave has it");
    pair.stop(MASTER);
    assert_eq!(pair.answer(MASTER, 1), Some(&HostResult::Unknown));
    assert_eq!(pair.answer(MASTER, 2), Some(&STANDBY), "never begun");
}

#[test]
fn what_can_be_repeated_ends_not_ready_when_its_node_stops() {
    let or = update(UpdateKind::Or(block(b'2')), false);
    for op in [write(b'2'), or] {
        let mut pair = Pair::new();
        pair.lose = |body| matches!(body, Body::Granted);
        pair.host(SLAVE, 1, op);
        pair.link_down();
        pair.stop(SLAVE);
        assert_eq!(pair.answer(SLAVE, 1), Some(&STANDBY));
    }
}
