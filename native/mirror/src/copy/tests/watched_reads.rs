//! Any order of writes, reads, messages, disk operations and losses: what is read under an intact watch, at either node, is what was
//! there when the watch was set.

use proptest::prelude::*;

use super::*;
use crate::{Watch, WatchState};

const BEFORE: u8 = b'1';

/// When something was asked for and when it was answered.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: usize,
    to: Option<usize>,
}

/// What a host waits for.
enum Asked {
    Write(u8),
    Watch,
    /// Under the watch that had been answered when it was asked for.
    Read(Option<u64>),
}

struct Watched {
    id: u64,
    span: Span,
    /// What was read first while it stood.
    held: Option<u8>,
}

/// A pair whose disks and wires do nothing before they are told to.
struct Loose {
    pair: Pair,
    disks: [Vec<(DiskId, DiskOp)>; 2],
    asked: Vec<(usize, u64, Asked)>,
    writes: Vec<(u8, Span)>,
    watch: Option<Watched>,
    now: usize,
    alone: Option<usize>,
    /// Reads that counted.
    checked: usize,
}

impl Loose {
    fn new() -> Self {
        let before = Span {
            from: 0,
            to: Some(0),
        };
        Self {
            pair: Pair::new(),
            disks: Default::default(),
            asked: vec![],
            writes: vec![(BEFORE, before)],
            watch: None,
            now: 1,
            alone: None,
            checked: 0,
        }
    }

    fn ask(&mut self, at: usize, asked: Asked) {
        self.now += 1;
        let id = self.now as u64;
        let op = match &asked {
            Asked::Write(value) => write(*value),
            Asked::Read(_) => read(),
            Asked::Watch => HostOp::Watch(Box::new(Watch {
                id,
                owner: 1,
                timeout_ms: 1000,
                label: Bytes::new(),
                ranges: vec![(0, 1)],
            })),
        };
        let span = Span {
            from: self.now,
            to: None,
        };
        match &asked {
            Asked::Write(value) => self.writes.push((*value, span)),
            Asked::Watch => {
                let held = None;
                self.watch = Some(Watched { id, span, held });
            }
            Asked::Read(_) => {}
        }
        self.asked.push((at, id, asked));
        self.pair.sides[at]
            .node
            .host(SERIAL, HostId(id), op, NOW_NS);
        self.collect();
    }

    /// Carry out what both cores ask for, but for disks and wires.
    fn collect(&mut self) {
        for at in [MASTER, SLAVE, MASTER, SLAVE] {
            let mut actions = vec![];
            self.pair.sides[at].node.take_actions(&mut actions);
            for action in actions {
                match action {
                    Action::Disk { id, op, .. } => self.disks[at].push((id, op)),
                    Action::Complete { host, result, .. } => self.answered(at, host, &result),
                    Action::Send { message, .. } if !self.pair.cut => {
                        self.pair.wires[1 - at].push_back(message);
                    }
                    Action::Record { id, .. } => {
                        self.pair.sides[at].node.record_taken(SERIAL, id, NOW_NS);
                    }
                    Action::Report {
                        report: Report::PeerFacts(facts),
                        ..
                    } => self.pair.sides[at].facts = Some(*facts),
                    _ => {}
                }
            }
        }
    }

    fn answered(&mut self, at: usize, host: HostId, result: &HostResult) {
        let index = (self.asked.iter()).position(|(side, id, _)| (*side, *id) == (at, host.0));
        let (_, _, asked) = self.asked.swap_remove(index.expect("it was asked for"));
        self.now += 1;
        match (asked, result) {
            (Asked::Write(value), HostResult::Done) => {
                let write = self.writes.iter_mut().find(|(of, _)| *of == value);
                write.expect("it was asked for").1.to = Some(self.now);
            }
            (Asked::Watch, HostResult::Done) => {
                if let Some(watch) = &mut self.watch
                    && watch.id == host.0
                {
                    watch.span.to = Some(self.now);
                }
            }
            (Asked::Read(Some(id)), HostResult::Data(data)) => {
                let value = data.to_contiguous()[0];
                let copy = self.pair.sides[at].node.copy(SERIAL).expect("it is open");
                if matches!(copy.watch(id, NOW_NS), WatchState::Intact(_)) {
                    self.check(id, value);
                }
            }
            _ => {}
        }
    }

    /// Such a value was read at a node where the watch stands.
    fn check(&mut self, id: u64, value: u8) {
        let Some(watch) = self.watch.as_mut().filter(|watch| watch.id == id) else {
            return;
        };
        self.checked += 1;
        assert_eq!(*watch.held.get_or_insert(value), value, "not what it was");
        let done = watch.span.to.expect("nobody reads before");
        let span = |of: u8| {
            self.writes
                .iter()
                .find(|(value, _)| *value == of)
                .unwrap()
                .1
        };
        let wrote = span(value);
        assert!(
            wrote.from < done,
            "{value} was written after the watch was set"
        );
        let hidden = self.writes.iter().any(|(_, later)| {
            wrote.to.is_some_and(|to| to < later.from)
                && later.to.is_some_and(|to| to < watch.span.from)
        });
        assert!(
            !hidden,
            "{value} was overwritten before the watch was asked for"
        );
    }

    fn deliver(&mut self, at: usize) {
        if let Some(message) = self.pair.wires[at].pop_front() {
            self.pair.sides[at].node.receive(PEER, message, NOW_NS);
            self.collect();
        }
    }

    fn finish_disk_op(&mut self, at: usize, choice: usize) {
        if !self.disks[at].is_empty() {
            let (id, op) = self.disks[at].remove(choice % self.disks[at].len());
            self.pair.sides[at].disk(id, op);
            self.collect();
        }
    }

    /// Let everything end that can.
    fn settle(&mut self) {
        while self.disks.iter().any(|ops| !ops.is_empty())
            || self.pair.wires.iter().any(|wire| !wire.is_empty())
        {
            for at in [MASTER, SLAVE] {
                self.deliver(at);
                self.finish_disk_op(at, 0);
            }
        }
    }

    /// Lose the link; one of the two goes on.
    fn lose(&mut self, survivor: usize) {
        self.pair.cut = true;
        self.pair.wires = Default::default();
        for side in &mut self.pair.sides {
            side.node.link_down(PEER, NOW_NS);
        }
        self.collect();
        let command = Command::GoAlone {
            generation: 1000 + self.now as u64,
            epoch: 1000 + self.now as u64,
            fenced: true,
        };
        let node = &mut self.pair.sides[survivor].node;
        let done = node.command(SERIAL, command, NOW_NS);
        done.expect("a copy in sync may go on alone");
        self.alone = Some(survivor);
        self.collect();
    }

    /// Both are back, and the one that went on is the source.
    fn meet(&mut self, source: usize) {
        self.settle();
        self.pair.cut = false;
        for side in &mut self.pair.sides {
            side.facts = None;
            side.node.lease(PEER, NOW_NS + 1_000_000_000, 0, NOW_NS);
            side.node.link_up(PEER, NOW_NS);
        }
        self.collect();
        self.settle();
        let facts = self.pair.sides.each_ref().map(|side| side.facts.clone());
        let facts = facts.map(|facts| facts.expect("facts were exchanged"));
        let epochs = [&facts[0].local, &facts[0].remote].map(|told| told.facts.epoch);
        for at in [MASTER, SLAVE] {
            let (role, sync) = if at == source {
                (Role::Master, Sync::Source)
            } else {
                (Role::Slave, Sync::Target)
            };
            let plan = AttachPlan {
                role,
                sync,
                epoch: 1 + epochs[0].max(epochs[1]),
                generation: 2000 + self.now as u64,
                local_seq: facts[at].local.seq,
                remote_seq: facts[at].remote.seq,
            };
            let node = &mut self.pair.sides[at].node;
            let done = node.command(SERIAL, Command::Attach(plan), NOW_NS);
            done.expect("the plans fit");
        }
        self.alone = None;
        self.collect();
    }

    fn step(&mut self, choice: u8) {
        let (at, more) = (usize::from(choice & 1), usize::from(choice >> 5));
        match choice >> 1 & 15 {
            0 if self.writes.len() < 200 => {
                let value = u8::try_from(self.writes.len()).expect("there are few") + BEFORE;
                self.ask(at, Asked::Write(value));
            }
            1 if self
                .watch
                .as_ref()
                .is_none_or(|watch| watch.held.is_some() || more > 4) =>
            {
                self.ask(at, Asked::Watch);
            }
            2..=4 => {
                let set = self.watch.as_ref().filter(|watch| watch.span.to.is_some());
                let id = set.map(|watch| watch.id);
                self.ask(at, Asked::Read(id));
            }
            5..=9 => self.deliver(at),
            10..=13 => self.finish_disk_op(at, more),
            14 if more == 0 && self.alone.is_none() => {
                self.settle();
                self.lose(at);
            }
            14 if more == 1 && self.alone.is_none() && self.is_in_sync() => self.lose(at),
            15 if more < 3 => {
                if let Some(source) = self.alone {
                    self.meet(source);
                }
            }
            _ => {}
        }
    }

    fn is_in_sync(&self) -> bool {
        self.pair.sides.iter().all(|side| {
            let status = side.node.copy(SERIAL).expect("it is open").status();
            !status.facts.inconsistent && !status.facts.peer_outdated()
        })
    }
}

fn run(choices: &[u8]) -> usize {
    let mut loose = Loose::new();
    for choice in choices {
        loose.step(*choice);
    }
    loose.settle();
    loose.checked
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn what_is_read_under_an_intact_watch_is_what_was_there(
        choices in prop::collection::vec(any::<u8>(), 50..400)
    ) {
        run(&choices);
    }
}

#[test]
fn the_reads_that_the_property_is_about_do_happen() {
    // A sequence without an end of numbers that look random.
    let mut state = 1_u32;
    let choices = std::iter::from_fn(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Some((state >> 24) as u8)
    });
    let choices: Vec<_> = choices.take(40_000).collect();
    let checked: usize = choices.chunks(400).map(run).sum();
    assert!(checked > 100, "{checked}");
}

#[test]
fn a_watch_that_is_set_while_a_change_is_on_its_way_to_the_slave_is_of_one_moment() {
    // Once such a watch stood at both nodes while one of them had the change already: found by the property above.
    const WRITE_AT_SLAVE: u8 = 33;
    const WATCH_AT_MASTER: u8 = 226;
    const READ_AT_SLAVE: u8 = 37;
    const READ_AT_MASTER: u8 = 4;
    let found = [
        &[
            WRITE_AT_SLAVE,
            236,
            24,
            WATCH_AT_MASTER,
            45,
            25,
            10,
            13,
            204,
        ][..],
        &[READ_AT_SLAVE, 10, 23, 54, 45, 23, 138],
        &[READ_AT_MASTER, READ_AT_MASTER, READ_AT_MASTER, 122],
    ];
    run(&found.concat());
}
