//! Bundles of both sides with connections that are slow, cut and broken.

use std::collections::{BTreeMap, VecDeque};

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::frame;
use crate::ids::Serial;
use crate::message::Body;

const MS: u64 = 1_000_000;
const INTERVAL_NS: u64 = 200 * MS;
const SILENCE_NS: u64 = 2_000 * MS;

/// One direction of one connection: what is on the way, with the time of its arrival.
#[derive(Default)]
struct Wire {
    way: VecDeque<(u64, Preamble, Option<Frame>)>,
    latency_ns: u64,
    /// Nothing arrives until it is mended.
    is_cut: bool,
    confirmed_bytes: u64,
    given_bytes: u64,
}

#[derive(Default)]
struct Wiring {
    wires: BTreeMap<ConnectionId, Wire>,
    now_ns: u64,
}

impl Wires for Wiring {
    fn progress(&mut self, id: ConnectionId) -> Progress {
        let wire = &self.wires[&id];
        let load_bytes = wire.given_bytes - wire.confirmed_bytes;
        Progress {
            load_bytes,
            confirmed_bytes: wire.confirmed_bytes,
            round_trip_ns: 2 * wire.latency_ns,
            arrival_ns: wire.latency_ns + load_bytes * 8,
        }
    }

    fn send(&mut self, over: ConnectionId, preamble: Preamble, frame: Option<Frame>) -> u64 {
        let wire = self.wires.get_mut(&over).expect("an open connection");
        wire.given_bytes += frame.as_ref().map_or(24, sent::len_bytes) as u64;
        let at_ns = self.now_ns + wire.latency_ns;
        wire.way.push_back((at_ns, preamble, frame));
        wire.given_bytes
    }
}

/// Two sides of a link.
struct Pair {
    sides: [Bundle; 2],
    /// What each side has sent.
    wiring: [Wiring; 2],
    got: [Vec<u64>; 2],
    now_ns: u64,
    last_id: ConnectionId,
}

impl Pair {
    fn new(latencies_ms: &[u64]) -> Self {
        let bundle = || Bundle::new(latencies_ms.len() > 1, INTERVAL_NS, SILENCE_NS);
        let mut pair = Self {
            sides: [bundle(), bundle()],
            wiring: Default::default(),
            got: Default::default(),
            now_ns: 0,
            last_id: 0,
        };
        for latency_ms in latencies_ms {
            pair.connect(*latency_ms);
        }
        pair
    }

    fn connect(&mut self, latency_ms: u64) {
        self.last_id += 1;
        for side in 0..2 {
            let wire = Wire {
                latency_ns: latency_ms * MS,
                ..Wire::default()
            };
            self.wiring[side].wires.insert(self.last_id, wire);
            self.sides[side].join(self.last_id, self.now_ns);
        }
    }

    fn send(&mut self, side: usize, id: u64, len_bytes: usize) {
        let message = Message {
            serial: Serial([1; 16]),
            epoch: 1,
            id,
            body: Body::ReadData(bytes::Bytes::from(vec![id as u8; len_bytes]).into()),
        };
        self.sides[side].send(frame::encode(&message), &mut self.wiring[side], self.now_ns);
    }

    fn cut(&mut self, id: ConnectionId, is_cut: bool) {
        for wiring in &mut self.wiring {
            if let Some(wire) = wiring.wires.get_mut(&id) {
                wire.is_cut = is_cut;
            }
        }
    }

    /// A connection breaks with all that is on its way.
    fn break_off(&mut self, id: ConnectionId) -> Result<(), Ended> {
        let mut outcome = Ok(());
        for side in 0..2 {
            if self.wiring[side].wires.remove(&id).is_some() {
                let left = self.sides[side].leave(id, &mut self.wiring[side], self.now_ns);
                outcome = outcome.and(left);
            }
        }
        outcome
    }

    /// Let what is due at one side arrive.
    fn arrive(&mut self, side: usize) {
        for id in self.wiring[1 - side]
            .wires
            .keys()
            .copied()
            .collect::<Vec<_>>()
        {
            loop {
                let wire = self.wiring[1 - side].wires.get_mut(&id).expect("listed");
                let due = wire.way.front().is_some_and(|first| first.0 <= self.now_ns);
                if wire.is_cut || !due {
                    break;
                }
                let (_, preamble, frame) = wire.way.pop_front().expect("due");
                wire.confirmed_bytes += frame.as_ref().map_or(24, sent::len_bytes) as u64;
                let frame = frame.map(|frame| {
                    let len_bytes = sent::len_bytes(&frame);
                    let mut bytes = BytesMut::from(&frame.0[..]);
                    bytes.extend_from_slice(&frame.1.to_contiguous());
                    let message = frame::decode(&mut bytes).expect("sound").expect("whole");
                    (message, len_bytes)
                });
                let mut in_order = Vec::new();
                self.sides[side].heard(id, self.now_ns);
                self.sides[side]
                    .receive(
                        preamble,
                        frame,
                        &mut self.wiring[side],
                        self.now_ns,
                        &mut in_order,
                    )
                    .expect("not too early");
                self.got[side].extend(in_order.iter().map(|message| message.id));
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now_ns += MS;
            for side in 0..2 {
                self.wiring[side].now_ns = self.now_ns;
                self.arrive(side);
            }
            if self.now_ns % (50 * MS) == 0 {
                for side in 0..2 {
                    let silent = self.sides[side].tick(&mut self.wiring[side], self.now_ns);
                    if let Some(id) = silent {
                        self.break_off(id).expect("never the last one");
                    }
                }
            }
        }
    }

    /// How many milliseconds pass until a side has got so many messages.
    fn until_got(&mut self, side: usize, count: usize) -> u64 {
        (0..10_000)
            .find(|_| {
                let done = self.got[side].len() >= count;
                if !done {
                    self.pass(1);
                }
                done
            })
            .expect("all arrive")
    }

    fn assert_in_order(&self) {
        for got in &self.got {
            assert!(got.windows(2).all(|two| two[0] < two[1]), "{got:?}");
        }
    }
}

#[test]
fn one_connection_keeps_nothing_and_ends_with_it() {
    let mut pair = Pair::new(&[1]);
    for id in 1..=100 {
        pair.send(0, id, 1 << 20);
    }
    pair.pass(2);
    assert_eq!(pair.got[1].len(), 100);
    pair.send(0, 101, 10);
    assert_eq!(pair.break_off(1), Err(Ended));
}

#[test]
fn several_connections_share_the_work() {
    let mut pair = Pair::new(&[1, 1]);
    for id in 1..=20 {
        pair.send(0, id, 1 << 20);
    }
    let given = pair.wiring[0]
        .wires
        .values()
        .map(|wire| wire.given_bytes >> 20);
    assert_eq!(given.collect::<Vec<_>>(), [10, 10]);
    pair.pass(2);
    assert_eq!(pair.got[1], (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_distant_path_does_not_slow_down_a_near_one() {
    let mut pair = Pair::new(&[500, 1]);
    for id in 1..=50 {
        pair.send(0, id, 4096);
        pair.pass(2);
        assert_eq!(pair.got[1].len() as u64, id);
    }
}

#[test]
fn a_connection_that_breaks_loses_nothing() {
    let mut pair = Pair::new(&[5, 5]);
    for id in 1..=20 {
        pair.send(0, id, 100_000);
    }
    pair.break_off(1).expect("there is another one");
    pair.pass(10);
    assert_eq!(pair.got[1], (1..=20).collect::<Vec<_>>());
}

#[test]
fn what_the_other_machine_has_is_not_sent_again_for_want_of_an_acknowledgement() {
    let mut pair = Pair::new(&[1, 1]);
    pair.send(0, 1, 100_000);
    let over = (pair.wiring[0].wires.iter())
        .find(|(_, wire)| wire.given_bytes > 0)
        .map(|(&id, _)| id)
        .expect("given to one of them");
    let wire = pair.wiring[0].wires.get_mut(&over).expect("it stands");
    wire.confirmed_bytes = wire.given_bytes;
    let given = |pair: &Pair| -> u64 {
        let wires = pair.wiring[0].wires.values();
        wires.map(|wire| wire.given_bytes).sum()
    };
    for _ in 0..20 {
        pair.now_ns += 50 * MS;
        pair.sides[0].tick(&mut pair.wiring[0], pair.now_ns);
    }
    assert!(given(&pair) < 101_000, "{}", given(&pair));
    // What the other machine has may be lost with its connection all the same.
    pair.break_off(over).expect("there is another one");
    assert!(given(&pair) > 100_000);
    pair.pass(10);
    assert_eq!(pair.got[1], [1]);
}

#[test]
fn what_is_stuck_in_a_path_that_is_cut_goes_over_the_other_one_soon() {
    let mut pair = Pair::new(&[1, 1]);
    pair.cut(1, true);
    for id in 1..=4 {
        pair.send(0, id, 4096);
    }
    assert!(pair.until_got(1, 4) <= 250);
    for id in 5..=50 {
        pair.send(0, id, 4096);
        assert!(pair.until_got(1, id as usize) <= 2);
    }
    // It comes back before it counts as silent, and has its share again.
    pair.cut(1, false);
    pair.pass(100);
    let before = pair.wiring[0].wires[&1].given_bytes;
    for id in 51..=60 {
        pair.send(0, id, 4096);
    }
    assert!(pair.wiring[0].wires[&1].given_bytes > before);
    pair.pass(10);
    assert_eq!(pair.got[1].len(), 60);
    pair.assert_in_order();
}

#[test]
fn a_frame_that_is_late_goes_over_a_quicker_connection_too() {
    let mut pair = Pair::new(&[1, 1]);
    pair.send(0, 1, 4096);
    let over = usize::from(pair.wiring[0].wires[&1].way.is_empty());
    // It trickles: bytes are confirmed all the time, the frame is not there for long.
    let wire = pair.wiring[0].wires.get_mut(&(over + 1)).expect("open");
    wire.way[0].0 = 5_000 * MS;
    for id in 2..=10 {
        pair.send(0, id, 10);
        pair.wiring[0]
            .wires
            .get_mut(&(over + 1))
            .expect("open")
            .confirmed_bytes += 1;
    }
    assert!(pair.until_got(1, 1) <= 350);
}

#[test]
fn a_silent_connection_ends_but_not_the_last_one() {
    let mut pair = Pair::new(&[1, 1]);
    pair.pass(5_000);
    assert_eq!(
        pair.sides[0].connections().count(),
        2,
        "both say something now and then"
    );
    pair.cut(2, true);
    pair.pass(1_700);
    assert_eq!(pair.sides[0].connections().count(), 2);
    pair.pass(600);
    assert_eq!(pair.sides[0].connections().collect::<Vec<_>>(), [1]);
    pair.cut(1, true);
    pair.pass(10_000);
    assert_eq!(pair.sides[0].connections().count(), 1);
}

#[test]
fn no_more_than_the_window_is_under_way() {
    let mut pair = Pair::new(&[1, 1]);
    for wire in 1..=2 {
        pair.cut(wire, true);
    }
    for id in 1..=200 {
        pair.send(0, id, 1 << 20);
    }
    let given: u64 = pair.wiring[0]
        .wires
        .values()
        .map(|wire| wire.given_bytes)
        .sum();
    assert!((64 << 20..66 << 20).contains(&given), "{given}");
    for wire in 1..=2 {
        pair.cut(wire, false);
    }
    assert!(pair.until_got(1, 200) < 100);
    assert_eq!(pair.got[1], (1..=200).collect::<Vec<_>>());
}

#[test]
fn all_that_arrived_is_acknowledged_soon() {
    for latencies_ms in [&[1][..], &[1, 1]] {
        let mut pair = Pair::new(latencies_ms);
        pair.send(0, 1, 10);
        pair.pass(60);
        assert_eq!(pair.sides[0].sent.first(), None);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(usize, usize),
    Pass(u64),
    Cut(usize),
    Mend(usize),
    Break(usize),
    Connect(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_usize..2, 1_usize..300_000).prop_map(|(side, len)| Step::Send(side, len)),
        4 => (1_u64..400).prop_map(Step::Pass),
        1 => (0_usize..4).prop_map(Step::Cut),
        2 => (0_usize..4).prop_map(Step::Mend),
        1 => (0_usize..4).prop_map(Step::Break),
        1 => (1_u64..60).prop_map(Step::Connect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_happens_to_connections_all_arrives_once_and_in_order(steps in prop::collection::vec(step(), 1..60)) {
        let mut pair = Pair::new(&[1, 20]);
        let mut sent = [0_u64; 2];
        for step in steps {
            let ids: Vec<_> = pair.sides[0].connections().collect();
            let pick = |at: usize| ids[at % ids.len()];
            match step {
                Step::Send(side, len_bytes) => {
                    sent[side] += 1;
                    pair.send(side, sent[side], len_bytes);
                }
                Step::Pass(ms) => pair.pass(ms),
                Step::Cut(at) => pair.cut(pick(at), true),
                Step::Mend(at) => pair.cut(pick(at), false),
                Step::Break(at) if ids.len() > 1 => pair.break_off(pick(at)).expect("there are others"),
                Step::Break(_) => {}
                Step::Connect(latency_ms) => pair.connect(latency_ms),
            }
        }
        for id in pair.sides[0].connections().collect::<Vec<_>>() {
            pair.cut(id, false);
        }
        pair.pass(3_000);
        for (side, sent) in sent.into_iter().enumerate() {
            prop_assert_eq!(&pair.got[1 - side], &(1..=sent).collect::<Vec<_>>());
            prop_assert!(pair.sides[side].sent.first().is_none());
        }
    }
}
