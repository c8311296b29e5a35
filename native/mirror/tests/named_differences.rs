//! Every place in which the copies may differ is named by something durable, at every moment: scripts of writes, losses and
//! returns, with the operations of both disks and the messages of both wires taken in every order that has up to so many
//! steps out of turn.
//!
//! The copies may differ in an extent while a write to it is under way or not flushed on either disk, or while their contents are
//! different. If both nodes lost power at that moment, only the activity logs and dirty bitmaps that are durable would tell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use twindisk_mirror::message::Message;
use twindisk_mirror::report::FactsPair;
use twindisk_mirror::{
    Action, AttachPlan, Change, ChangeKind, Command, CopySpec, DiskDone, DiskId, DiskOp,
    EXTENT_BYTES, Facts, HostId, HostOp, Node, PeerId, Persist, Report, Role, Serial, SharedRecord,
    Sync,
};

const SERIAL: Serial = Serial([6; 16]);
const PEER: PeerId = PeerId(0);
const EXTENTS: u64 = 4;
const NOW_NS: u64 = 1_000_000;
const MASTER: usize = 0;
const SLAVE: usize = 1;
const STEPS_MAX: usize = 2_000;

/// What happens from outside.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A host of a node writes to an extent.
    Write(usize, u64),
    /// A host of a node flushes.
    Flush(usize),
    /// The link is lost, with all that is on its way.
    Cut,
    /// A node goes on alone.
    Alone(usize),
    /// The link is back.
    Link,
    /// Both attach; node 0 is Master.
    Attach(Sync),
    /// The nodes swap their roles; they attach anew after it.
    Switch,
}

/// What is durable of a copy's metadata.
#[derive(Debug, Clone, Default)]
struct Stored {
    active: BTreeSet<u64>,
    bitmap: BTreeMap<u64, u64>,
    outdated: bool,
}

impl Stored {
    fn after(&self, persist: &Persist) -> Self {
        let mut bitmap = if persist.bitmap_reset {
            BTreeMap::new()
        } else {
            self.bitmap.clone()
        };
        bitmap.extend(persist.bitmap.iter().copied());
        Self {
            active: persist.active.iter().copied().collect(),
            bitmap,
            outdated: persist.facts.base != 0,
        }
    }

    fn names(&self, extent: u64) -> bool {
        let dirty = self.bitmap.get(&extent).is_some_and(|word| *word != 0);
        self.active.contains(&extent) || (self.outdated && dirty)
    }
}

/// One node with its disk.
struct Side {
    node: Node,
    content: [u8; EXTENTS as usize],
    /// Extents of writes that are done and not flushed, with their numbers.
    unflushed: Vec<(u64, u64)>,
    written: u64,
    stored: Stored,
    /// Operations under way, with the number of the last write done before them.
    running: VecDeque<(DiskId, DiskOp, u64)>,
    facts: Option<FactsPair>,
}

impl Side {
    fn new(role: Role, log_extents: usize) -> Self {
        let mut node = Node::new(0);
        let spec = CopySpec {
            unbroken: None,
            serial: SERIAL,
            size_bytes: EXTENTS * EXTENT_BYTES,
            peer: Some(PEER),
            facts: Facts::new(7, role),
            active: vec![],
            bitmap: vec![],
            shared: SharedRecord::default(),
        };
        node.add_copy(spec, 0);
        node.limit_log(SERIAL, log_extents);
        Self {
            node,
            content: [0; EXTENTS as usize],
            unflushed: vec![],
            written: 0,
            stored: Stored::default(),
            running: VecDeque::new(),
            facts: None,
        }
    }

    /// An operation under way ends.
    fn disk_done(&mut self, at: usize) {
        let (id, op, before) = self.running.remove(at).expect("it is under way");
        let done = match op {
            DiskOp::Change(change) => {
                let extent = change.offset / EXTENT_BYTES;
                let ChangeKind::Write(data) = change.kind else {
                    panic!("nothing but writes here")
                };
                if change.offset % EXTENT_BYTES == 0 {
                    self.content[extent as usize] = data.to_contiguous()[0];
                }
                self.written += 1;
                self.unflushed.push((extent, self.written));
                DiskDone::Done
            }
            DiskOp::Flush => {
                self.unflushed.retain(|(_, number)| *number > before);
                DiskDone::Done
            }
            DiskOp::Persist(persist) => {
                self.stored = self.stored.after(&persist);
                DiskDone::Done
            }
            DiskOp::Read { offset, len_bytes } => {
                let mut bytes = vec![0; len_bytes as usize];
                if offset % EXTENT_BYTES == 0 {
                    bytes[..512].fill(self.content[(offset / EXTENT_BYTES) as usize]);
                }
                DiskDone::Data(Bytes::from(bytes).into())
            }
            DiskOp::Allocated | DiskOp::Ranges { .. } => panic!("nobody asks here"),
        };
        self.node.disk_done(SERIAL, id, done, NOW_NS);
    }

    fn writes_under_way(&self, extent: u64) -> bool {
        self.running.iter().any(|(_, op, _)| {
            matches!(op, DiskOp::Change(change) if change.offset / EXTENT_BYTES == extent)
        })
    }

    /// What may be found of the metadata after a crash now.
    fn found(&self) -> Vec<Stored> {
        let persists = self.running.iter().filter_map(|(_, op, _)| match op {
            DiskOp::Persist(persist) => Some(self.stored.after(persist)),
            _ => None,
        });
        persists.chain([self.stored.clone()]).collect()
    }
}

/// Two nodes, two wires, and what is still to happen.
struct Pair {
    sides: [Side; 2],
    wires: [VecDeque<Message>; 2],
    script: VecDeque<Event>,
    cut: bool,
    hosts: u64,
    value: u8,
    checked: bool,
    /// The steps taken, for whoever has to understand a failure.
    taken: Vec<String>,
}

/// A step that can be taken.
#[derive(Debug, Clone, Copy)]
enum Step {
    Disk(usize, usize),
    Message(usize),
    Script,
}

impl Pair {
    /// In sync, with a script to come.
    fn new(script: &[Event], log_extents: usize) -> Self {
        let mut pair = Self {
            sides: [Role::Master, Role::Slave].map(|role| Side::new(role, log_extents)),
            wires: Default::default(),
            script: VecDeque::from([Event::Link, Event::Attach(Sync::None)]),
            cut: true,
            hosts: 0,
            value: 0,
            checked: false,
            taken: vec![],
        };
        while let Some(step) = pair.steps().first() {
            pair.take(*step);
        }
        pair.script = script.iter().copied().collect();
        pair.taken.clear();
        pair.checked = true;
        pair
    }

    /// What can happen next; first what happens in turn.
    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (at, side) in self.sides.iter().enumerate() {
            steps.extend((0..side.running.len()).map(|number| Step::Disk(at, number)));
            if !self.wires[at].is_empty() {
                steps.push(Step::Message(at));
            }
        }
        if !self.script.is_empty() {
            steps.push(Step::Script);
        }
        steps
    }

    /// False when an event of the script does not fit.
    fn take(&mut self, step: Step) -> bool {
        self.taken.push(match step {
            Step::Disk(at, number) => format!("{at} disk {:?}", self.sides[at].running[number].1),
            Step::Message(at) => format!("{at} hears {:?}", self.wires[at][0].body),
            Step::Script => format!("{:?}", self.script[0]),
        });
        let fits = match step {
            Step::Disk(at, number) => {
                self.sides[at].disk_done(number);
                true
            }
            Step::Message(at) => {
                let message = self.wires[at].pop_front().expect("there is one");
                self.sides[at].node.receive(PEER, message, NOW_NS);
                true
            }
            Step::Script => {
                let event = self.script.pop_front().expect("there is one");
                self.happen(event)
            }
        };
        self.carry_out();
        fits
    }

    fn happen(&mut self, event: Event) -> bool {
        self.hosts += 1;
        let host = HostId(self.hosts);
        match event {
            Event::Write(at, extent) => {
                self.value += 1;
                let kind = ChangeKind::Write(Bytes::from(vec![self.value; 512]).into());
                let change = Change {
                    offset: extent * EXTENT_BYTES,
                    len_bytes: 512,
                    kind,
                };
                let op = HostOp::Change { change, fua: false };
                self.sides[at].node.host(SERIAL, host, op, NOW_NS);
                true
            }
            Event::Flush(at) => {
                self.sides[at]
                    .node
                    .host(SERIAL, host, HostOp::Flush, NOW_NS);
                true
            }
            Event::Cut => {
                self.cut = true;
                self.wires = Default::default();
                for side in &mut self.sides {
                    side.node.link_down(PEER, NOW_NS);
                }
                true
            }
            Event::Alone(at) => {
                let command = Command::GoAlone {
                    generation: 55,
                    epoch: 50,
                    fenced: true,
                };
                self.command(at, command)
            }
            Event::Link => {
                self.cut = false;
                for side in &mut self.sides {
                    side.facts = None;
                    side.node.lease(PEER, NOW_NS + 1_000_000_000, 0, NOW_NS);
                    side.node.link_up(PEER, NOW_NS);
                }
                true
            }
            Event::Attach(sync) => self.attach(sync),
            Event::Switch => self.command(MASTER, Command::SwitchRoles),
        }
    }

    fn command(&mut self, at: usize, command: Command) -> bool {
        let node = &mut self.sides[at].node;
        node.command(SERIAL, command, NOW_NS).is_ok()
    }

    fn attach(&mut self, sync: Sync) -> bool {
        let [Some(master), Some(slave)] = self.sides.each_ref().map(|side| side.facts.clone())
        else {
            return false;
        };
        let epoch = 1 + (master.local.facts.epoch).max(slave.local.facts.epoch);
        let parts = [
            (MASTER, master, Role::Master, sync),
            (SLAVE, slave, Role::Slave, sync.mirrored()),
        ];
        parts.into_iter().all(|(at, facts, role, sync)| {
            let plan = AttachPlan {
                role,
                sync,
                epoch,
                generation: 100 + epoch,
                local_seq: facts.local.seq,
                remote_seq: facts.remote.seq,
            };
            self.command(at, Command::Attach(plan))
        })
    }

    fn carry_out(&mut self) {
        for at in [MASTER, SLAVE] {
            let mut actions = vec![];
            self.sides[at].node.take_actions(&mut actions);
            for action in actions {
                let side = &mut self.sides[at];
                match action {
                    Action::Disk { id, op, .. } => side.running.push_back((id, op, side.written)),
                    Action::Send { message, .. } if !self.cut => {
                        self.wires[1 - at].push_back(message);
                    }
                    Action::Record { id, .. } => {
                        side.node.record_taken(SERIAL, id, NOW_NS);
                        self.carry_out();
                    }
                    Action::Report {
                        report: Report::PeerFacts(facts),
                        ..
                    } => side.facts = Some(*facts),
                    _ => {}
                }
            }
        }
        if self.checked {
            self.check();
        }
    }

    fn check(&self) {
        let [master, slave] = &self.sides;
        for extent in 0..EXTENTS {
            let at = extent as usize;
            let loose = |side: &Side| {
                side.writes_under_way(extent)
                    || (side.unflushed.iter()).any(|(written, _)| *written == extent)
            };
            if !loose(master) && !loose(slave) && master.content[at] == slave.content[at] {
                continue;
            }
            for one in master.found() {
                for other in slave.found() {
                    assert!(
                        one.names(extent) || other.names(extent),
                        "extent {extent} may differ, and nothing durable names it: {one:?} {other:?}\n{}",
                        self.taken.join("\n")
                    );
                }
            }
        }
    }
}

/// Play a script with the given steps out of turn: (number of the step, which of those that can be taken). How many steps
/// were possible at each moment is returned.
fn play(script: &[Event], log_extents: usize, out_of_turn: &[(usize, usize)]) -> Vec<usize> {
    let mut pair = Pair::new(script, log_extents);
    let mut widths = Vec::new();
    while widths.len() < STEPS_MAX {
        let steps = pair.steps();
        let choice = (out_of_turn.iter()).find(|(at, _)| *at == widths.len());
        let Some(step) = steps.get(choice.map_or(0, |(_, choice)| *choice)) else {
            return widths;
        };
        widths.push(steps.len());
        if !pair.take(*step) {
            return widths;
        }
    }
    panic!("it does not end: {out_of_turn:?}");
}

/// Play a script in every order with up to `left` more steps out of turn, after those given; how many orders.
fn explore(script: &[Event], log_extents: usize, given: &[(usize, usize)], left: usize) -> u64 {
    let widths = play(script, log_extents, given);
    let mut orders = 1;
    if left == 0 {
        return orders;
    }
    let from = given.last().map_or(0, |(at, _)| at + 1);
    for (at, width) in widths.iter().enumerate().skip(from) {
        for choice in 1..*width {
            let next: Vec<_> = given.iter().copied().chain([(at, choice)]).collect();
            orders += explore(script, log_extents, &next, left - 1);
        }
    }
    orders
}

#[test]
fn what_writes_through_both_nodes_leave_is_named_while_the_log_makes_room() {
    let script = [
        Event::Write(MASTER, 0),
        Event::Write(SLAVE, 1),
        Event::Write(MASTER, 2),
        Event::Write(MASTER, 0),
    ];
    assert!(explore(&script, 1, &[], 2) > 200);
}

#[test]
fn what_a_flush_lets_go_is_flushed_on_both() {
    let script = [
        Event::Write(MASTER, 0),
        Event::Flush(SLAVE),
        Event::Flush(MASTER),
        Event::Write(SLAVE, 1),
        Event::Write(MASTER, 2),
    ];
    assert!(explore(&script, 2, &[], 2) > 200);
}

#[test]
fn what_a_master_writes_alone_is_named_until_the_peer_has_it() {
    let script = [
        Event::Write(SLAVE, 0),
        Event::Write(MASTER, 1),
        Event::Cut,
        Event::Alone(MASTER),
        Event::Write(MASTER, 2),
        Event::Link,
        Event::Attach(Sync::Source),
    ];
    assert!(explore(&script, 1, &[], 2) > 200);
}

#[test]
fn what_a_lost_link_left_is_named_until_both_are_equal_again() {
    let script = [
        Event::Write(SLAVE, 0),
        Event::Write(MASTER, 1),
        Event::Cut,
        Event::Link,
        Event::Attach(Sync::Source),
        Event::Write(MASTER, 3),
    ];
    assert!(explore(&script, 2, &[], 2) > 200);
}

#[test]
fn what_was_written_before_a_switch_of_roles_is_named() {
    let script = [
        Event::Write(SLAVE, 0),
        Event::Write(MASTER, 1),
        Event::Switch,
        Event::Write(SLAVE, 2),
    ];
    assert!(explore(&script, 2, &[], 2) > 200);
}
