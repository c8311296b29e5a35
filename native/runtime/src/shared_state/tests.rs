//! One engine, turned by hand: the test says in which order disk operations end.

use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use twindisk_iscsi::{Admission, TaskTag};
use twindisk_mirror::{Change, ChangeKind, Command, Facts, PeerId, Role, Serial};
use twindisk_scsi::{BlockSize, LogicalUnit, NexusId, Sense, UnitFunction};
use twindisk_store::CopyFiles;

use super::*;
use crate::control::{VdiskSpec, record_of};
use crate::disk::JobDone;
use crate::engine::{Call, Settings};
use crate::eraser::Stage;
use crate::event::{EngineEvent, EventQueue, VdiskEvent};
use crate::plan::Answer;
use crate::request::Request;
use crate::resets::Reset;

const SERIAL: Serial = Serial([0x6e; 16]);
const SIZE_BYTES: u64 = 8 << 20;
const PIECE_BYTES: u64 = 1 << 20;
const WRITE_SAME: [u8; 16] = [0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0];
const OVERWRITE: [u8; 16] = [0x48, 0x81, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
const BLOCK_ERASE: [u8; 16] = [0x48, 0x82, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const MODE_SELECT: [u8; 16] = [0x15, 0x10, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The control mode page with SWP.
const PROTECT: [u8; 16] = [
    0, 0, 0, 0, 0x0a, 0x0a, 0x02, 0x10, 0x08, 0x40, 0, 0, 0, 0, 0, 0,
];
const NOWHERE: usize = usize::MAX;

struct Stand {
    engine: Engine,
    /// Ends of disk operations that the mirror core has not been told of.
    ended: Vec<JobDone>,
    /// Those of them that it is not to be told of yet.
    kept: Vec<JobDone>,
    place: usize,
    _calls: mpsc::Sender<Call>,
    root: tempfile::TempDir,
}

impl Stand {
    /// A VDisk that serves without a mirror.
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let record = record_of(SERIAL, SIZE_BYTES, &Facts::new(7, Role::Master));
        drop(CopyFiles::create(root.path(), &record).unwrap());
        let settings = Settings {
            heartbeat_ns: 1 << 30,
            silence_ns: 1 << 30,
            lease_ns: 1 << 30,
            memory_limit_bytes: 1 << 30,
        };
        let (calls, receiver) = mpsc::channel();
        let events = EventQueue::new().unwrap().into();
        let (engine, _) = Engine::new(settings, events, receiver).unwrap();
        let mut stand = Self {
            engine,
            ended: vec![],
            kept: vec![],
            place: 0,
            _calls: calls,
            root,
        };
        stand.open();
        stand.serve();
        stand.run_until(Stand::serves);
        stand
    }

    fn open(&mut self) {
        let spec = spec(self.root.path());
        let opened = CopyFiles::open(self.root.path()).unwrap();
        self.engine.open_vdisk(spec, opened).unwrap();
        self.place = self.engine.core.places[&SERIAL];
    }

    /// As after a start of the process.
    fn reopen(&mut self) {
        self.run_until(|stand| stand.engine.core.requests.ids(|_| true).is_empty());
        let mut files = self.engine.close_vdisk("M1").unwrap();
        while let Err(shared) = Arc::try_unwrap(files) {
            files = shared;
            std::thread::sleep(Duration::from_millis(1));
        }
        self.open();
    }

    fn serve(&mut self) {
        self.engine.command("M1", Command::ServeSingle).unwrap();
    }

    fn serves(&self) -> bool {
        self.engine.core.node.readiness(SERIAL).is_none()
    }

    /// Take a command in, as a session does.
    fn begin(&mut self, nexus: u64, cdb: [u8; 16], ops: Vec<HostOp>, work: Work) -> HostId {
        let mut todo: std::collections::VecDeque<_> = ops.into();
        let first = todo.pop_front().unwrap();
        let id = self.engine.core.requests.insert(Request {
            endpoint: NOWHERE,
            nexus: NexusId(nexus),
            task: TaskTag::default(),
            vdisk: self.place,
            held_bytes: 0,
            todo,
            answer: Answer::default(),
            cdb,
            work,
            background: false,
        });
        let core = &mut self.engine.core;
        core.node.host(SERIAL, id, first, core.now_ns);
        self.engine.carry_out();
        id
    }

    /// WRITE SAME of pieces of the disk.
    fn write_same(&mut self, nexus: u64, pieces: Range<u64>) -> HostId {
        let fill = |piece| {
            let change = Change {
                offset: piece * PIECE_BYTES,
                len_bytes: PIECE_BYTES,
                kind: ChangeKind::Fill(Bytes::from(vec![b'x'; 512]).into()),
            };
            HostOp::Change { change, fua: false }
        };
        let ops = pieces.map(fill).collect();
        self.begin(nexus, WRITE_SAME, ops, Work::Io)
    }

    /// A command that changes the state.
    fn change(&mut self, cdb: [u8; 16], list: Vec<u8>) -> HostId {
        let data_out = vec![Bytes::from(list)];
        let tag = self.engine.core.tags.fresh();
        self.begin(2, cdb, vec![HostOp::Turn { tag }], Work::Turn { data_out })
    }

    fn reset(&mut self, nexus: u64, function: UnitFunction) -> HostId {
        let tag = self.engine.core.tags.fresh();
        let reset = Reset {
            function,
            tag,
            withdrawn: vec![],
            until_ns: u64::MAX,
        };
        let ops = vec![HostOp::Turn { tag }];
        self.begin(nexus, [0; 16], ops, Work::Reset(reset))
    }

    fn unit(&self) -> &LogicalUnit {
        &self.engine.core.vdisks[self.place].unit
    }

    /// Have a SANITIZE in force; then its session ends, and with it what would drain once more.
    fn leave_behind(&mut self, cdb: [u8; 16], list: Vec<u8>) {
        let sanitize = self.change(cdb, list);
        self.tell("persist");
        assert!(self.unit().sanitizing().is_some());
        let core = &mut self.engine.core;
        core.node.cancel(SERIAL, sanitize, core.now_ns);
        core.requests.remove(sanitize);
    }

    fn is_pending(&self, id: HostId) -> bool {
        self.engine.core.requests.get(id).is_some()
    }

    /// Wait for the end of a disk operation, and keep it back.
    fn wait_for(&mut self, operation: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.ended.iter().any(|job| job.operation == operation) {
            assert!(Instant::now() < end, "no {operation}: {:?}", self.ended);
            match self.engine.core.pool.next_done() {
                Some(job) => self.ended.push(job),
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    /// Keep the end of a disk operation back.
    fn keep(&mut self, operation: &str) {
        self.wait_for(operation);
        let is_one = |job: &JobDone| job.operation == operation;
        let job = self.ended.iter().position(is_one).unwrap();
        self.kept.push(self.ended.swap_remove(job));
    }

    fn let_go(&mut self) {
        self.ended.append(&mut self.kept);
    }

    /// Let the mirror core know of the end of one disk operation.
    fn tell(&mut self, operation: &str) {
        self.wait_for(operation);
        let is_one = |job: &JobDone| job.operation == operation;
        let job = self.ended.iter().position(is_one).unwrap();
        let JobDone { id, done, .. } = self.ended.swap_remove(job);
        let core = &mut self.engine.core;
        core.node.disk_done(SERIAL, id, done, core.now_ns);
        self.engine.carry_out();
    }

    /// Let everything end, until something is so; false: it does not become so.
    fn runs_until(&mut self, wanted: impl Fn(&Self) -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(3);
        loop {
            self.engine.carry_out();
            while let Some(job) = self.engine.core.pool.next_done() {
                self.ended.push(job);
            }
            if wanted(self) {
                return true;
            }
            match self.ended.first().map(|job| job.operation) {
                Some(operation) => self.tell(operation),
                None if Instant::now() > end => return false,
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn run_until(&mut self, wanted: impl Fn(&Self) -> bool) {
        assert!(self.runs_until(wanted), "it stands still");
    }

    /// Lose the peer with all that is under way, and go on alone.
    fn lose_peer(&mut self, peer: u32, generation: u64) {
        let peer = Some(PeerId(peer));
        let now_ns = self.engine.core.now_ns;
        self.engine
            .core
            .node
            .set_peer(SERIAL, peer, now_ns)
            .unwrap();
        let alone = Command::GoAlone {
            generation,
            epoch: generation,
            fenced: true,
        };
        self.engine.command("M1", alone).unwrap();
    }

    fn has_left(&self) -> bool {
        let left = |event: &EngineEvent| matches!(event, EngineEvent::Vdisk(_, VdiskEvent::Left));
        self.engine.events.take().iter().any(left)
    }

    fn pieces_written(&self) -> Vec<u64> {
        let files = &self.engine.core.vdisks[self.place].files;
        let written = |piece: &u64| files.read(piece * PIECE_BYTES, 1).unwrap() == [b'x'];
        (0..SIZE_BYTES / PIECE_BYTES).filter(written).collect()
    }
}

fn spec(directory: &Path) -> VdiskSpec {
    VdiskSpec {
        unbroken: None,
        name: "M1".to_owned(),
        directory: directory.to_owned(),
        serial: SERIAL,
        iqn: "iqn.2006-06.com.quadstor.vdisk.M1".to_owned(),
        size_bytes: SIZE_BYTES,
        block: BlockSize::B512,
        group_tag: 1,
        peer: None,
        admission: Admission::default(),
    }
}

type Ender = fn(&mut Stand) -> HostId;

/// What ends commands under way, and what those get that have more steps to go.
fn enders() -> [(Ender, Response); 3] {
    [
        (
            |stand| stand.reset(2, UnitFunction::Reset),
            Response::task_aborted(),
        ),
        (
            |stand| stand.change(BLOCK_ERASE, vec![]),
            Response::check(Sense::sanitizing(0)),
        ),
        (
            |stand| stand.change(MODE_SELECT, PROTECT.to_vec()),
            Response::check(Sense::WRITE_PROTECTED),
        ),
    ]
}

#[test]
fn a_command_of_several_steps_holds_up_no_hand_over() {
    for (end_all, ending) in enders() {
        let mut stand = Stand::new();
        let write = stand.write_same(1, 0..3);
        stand.wait_for("fill");
        let asked = end_all(&mut stand);
        // In force; the first piece is still under way.
        stand.tell("persist");
        assert!(stand.is_pending(write) && stand.is_pending(asked));
        assert_eq!(stand.engine.ending(write), Some(ending));
        stand.engine.command("M1", Command::Leave).unwrap();
        stand.run_until(Stand::has_left);
        assert_eq!(stand.pieces_written(), [0]);
        assert!(!stand.is_pending(write) && !stand.is_pending(asked));
    }
}

#[test]
fn of_the_nexus_that_resets_a_command_with_steps_to_go_ends_unanswered() {
    for (background, taken_back) in [(false, vec![TaskTag::default()]), (true, vec![])] {
        let mut stand = Stand::new();
        let other = stand.write_same(1, 0..1);
        stand.keep("fill");
        let own = stand.write_same(2, 1..3);
        let request = stand.engine.core.requests.get_mut(own);
        request.unwrap().background = background;
        stand.wait_for("fill");
        let reset = stand.reset(2, UnitFunction::ClearTaskSet);
        stand.tell("persist");
        stand.tell("fill");
        assert!(!stand.is_pending(own));
        let request = stand.engine.core.requests.get(reset).unwrap();
        let Work::Reset(Reset { withdrawn, .. }) = &request.work else {
            panic!("{request:?}");
        };
        assert_eq!(withdrawn, &taken_back);
        stand.let_go();
        stand.run_until(|stand| !stand.is_pending(reset));
        assert!(!stand.is_pending(other));
        assert_eq!(stand.pieces_written(), [0, 1]);
    }
}

#[test]
fn nothing_of_before_is_written_after_a_sanitize_that_its_asker_has_left() {
    let mut stand = Stand::new();
    stand.lose_peer(1, 8);
    stand.run_until(Stand::serves);
    let write = stand.write_same(1, 0..3);
    // Its extent is in the activity log.
    stand.tell("persist");
    stand.wait_for("fill");
    stand.leave_behind(BLOCK_ERASE, vec![]);
    stand.lose_peer(2, 9);
    stand.run_until(|stand| stand.serves() && stand.unit().sanitizing().is_none());
    assert_eq!(stand.pieces_written(), []);
    assert!(!stand.is_pending(write));
}

#[test]
fn a_sanitize_changes_nothing_before_what_has_begun_has_ended_even_if_its_asker_is_gone() {
    let mut stand = Stand::new();
    stand.lose_peer(1, 8);
    stand.run_until(Stand::serves);
    let write = stand.write_same(1, 5..6);
    stand.tell("persist");
    stand.wait_for("fill");
    stand.leave_behind(OVERWRITE, vec![1, 0, 0, 1, b'y']);
    stand.lose_peer(2, 9);
    // What was under way when the peer was lost; it begins anew.
    stand.tell("fill");
    let has_ended = |job: &JobDone| job.operation == "fill";
    stand.run_until(|stand| stand.ended.iter().any(has_ended));
    stand.keep("fill");
    stand.run_until(|stand| {
        stand
            .engine
            .drains
            .iter()
            .any(|drain| drain.record.is_some())
    });
    assert_eq!(stand.engine.erasers[&SERIAL].stage, Stage::Claiming);
    assert!(stand.is_pending(write));
    stand.let_go();
    stand.run_until(|stand| stand.unit().sanitizing().is_none());
    assert_eq!(stand.pieces_written(), []);
}

#[test]
fn what_a_session_that_was_closed_has_begun_is_waited_for() {
    let mut stand = Stand::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let portal = listener.local_addr().unwrap();
    let _initiator = TcpStream::connect(portal).unwrap();
    let (stream, from) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = mio::net::TcpStream::from_std(stream);
    stand.engine.open_session(stream, from, portal, None);
    let sessions = stand.engine.endpoints.iter();
    let place = sessions.map(|(place, _)| place).last().unwrap();
    let nexus = stand.engine.session_mut(place).unwrap().nexus;
    let write = stand.write_same(nexus.0, 0..2);
    stand.keep("fill");
    stand.engine.close_session(place);
    assert!(!stand.is_pending(write), "nobody waits for its answer");
    let reset = stand.reset(2, UnitFunction::ClearTaskSet);
    assert!(!stand.runs_until(|stand| !stand.is_pending(reset)));
    stand.let_go();
    stand.run_until(|stand| !stand.is_pending(reset));
    assert_eq!(stand.pieces_written(), [0], "its second step is not begun");
}

/// A caching mode page as MODE SELECT (6) sends it.
fn caching(wce: u8) -> Vec<u8> {
    let mut list = vec![0; 24];
    list[4..7].copy_from_slice(&[0x08, 0x12, wce]);
    list
}

/// MODE SELECT (6) of such a page; `flags`: 0x11 saves it too.
fn select(flags: u8) -> [u8; 16] {
    let mut cdb = MODE_SELECT;
    (cdb[1], cdb[4]) = (flags, 24);
    cdb
}

#[test]
fn a_reset_to_saved_write_through_is_answered_after_a_flush() {
    let mut stand = Stand::new();
    for (flags, wce) in [(0x11, 0x00), (0x10, 0x04)] {
        let asked = stand.change(select(flags), caching(wce));
        stand.run_until(|stand| !stand.is_pending(asked));
    }
    assert!(!stand.unit().writes_through());
    let reset = stand.reset(3, UnitFunction::Reset);
    stand.run_until(|stand| stand.unit().writes_through());
    stand.wait_for("flush");
    assert!(stand.is_pending(reset));
    stand.run_until(|stand| !stand.is_pending(reset));
}

#[test]
fn whoever_asks_for_write_through_again_is_answered_after_a_flush_too() {
    let mut stand = Stand::new();
    let [first, second] = [1, 2].map(|_| {
        let asked = stand.change(select(0x10), caching(0x00));
        let is_flush = |job: &JobDone| job.operation == "flush";
        stand.run_until(|stand| stand.ended.iter().any(is_flush));
        stand.keep("flush");
        assert!(stand.is_pending(asked));
        asked
    });
    stand.let_go();
    stand.run_until(|stand| !stand.is_pending(first) && !stand.is_pending(second));
}

#[test]
fn saved_values_become_current_after_a_start_also_if_serving_is_interrupted_before() {
    let mut stand = Stand::new();
    stand.change(select(0x10), caching(0x00));
    stand.reopen();
    assert!(stand.unit().writes_through());
    stand.serve();
    stand.engine.command("M1", Command::Leave).unwrap();
    stand.run_until(Stand::has_left);
    assert!(stand.unit().writes_through());
    stand.serve();
    stand.run_until(|stand| !stand.unit().writes_through());
}

#[test]
fn what_initiators_change_after_the_other_node_has_made_saved_values_current_stays() {
    let mut stand = Stand::new();
    stand.change(select(0x10), caching(0x00));
    stand.reopen();
    stand.serve();
    // It has its turn before what follows from power on.
    let asked = stand.change(MODE_SELECT, PROTECT.to_vec());
    stand.engine.core.node.power_on_done(SERIAL);
    let idle = |stand: &Stand| stand.engine.core.requests.ids(|_| true).is_empty();
    stand.run_until(|stand| !stand.is_pending(asked) && idle(stand));
    assert!(stand.unit().writes_through() && stand.unit().is_write_protected());
}
