//! The engine's loop: one thread that owns all sockets and all protocol state.
//!
//! Rules:
//!
//! * A pass: what arrived, bounded per connection; then everything that the mirror core asks for; then one batch of writes per
//!   connection. Nothing in a pass waits for a disk or a peer.
//! * Calls from other threads are closures that run between passes, so no state has a lock.
//! * The loop turns at least every [`TICK_NS`]; the heartbeat thread watches that it does.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mio::{Events, Interest, Poll, Token, Waker};
use slab::Slab;
use twindisk_mirror::heart::Heart;
use twindisk_mirror::{Action, DiskId, DiskOp, Node, Serial};

use crate::admit::Reports;
use crate::clock::boottime_ns;
use crate::core::Core;
use crate::disk::DiskPool;
use crate::eraser::Eraser;
use crate::event::EventQueue;
use crate::pace::Pace;
use crate::peers::connection::Connection;
use crate::peers::{Mirror, Peer};
use crate::portal::{Listener, Purpose};
use crate::remains::Remains;
use crate::request::random_u64;
use crate::session::Session;
use crate::share::{Account, Share};
use crate::shared_state::Drain;
use crate::tasks::Waiter;

/// Time passes for the protocols in steps of this, in nanoseconds.
pub const TICK_NS: u64 = 50_000_000;
const WAKER: Token = Token(usize::MAX);
const EVENTS: usize = 512;

/// Times that the engine is made with.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Time between heartbeats, in nanoseconds.
    pub heartbeat_ns: u64,
    /// A peer not heard for this long is lost, in nanoseconds.
    pub silence_ns: u64,
    /// How long an answered heartbeat lets a node serve, in nanoseconds; the same on both nodes.
    pub lease_ns: u64,
    /// How much memory may be held for initiators, in bytes ([`crate::share`]).
    pub memory_limit_bytes: usize,
}

/// A call from another thread.
pub type Call = Box<dyn FnOnce(&mut Engine) + Send>;

/// What a socket is for.
pub(crate) enum Endpoint {
    Listener(Listener),
    Session(Box<Session>),
    Link(Box<Connection>),
}

/// A socket's place in the loop.
pub(crate) struct Slot {
    pub(crate) endpoint: Endpoint,
    queued: bool,
    dirty: bool,
}

impl Slot {
    /// Have the output of the socket at this place written at the end of this pass.
    pub(crate) fn mark_dirty(&mut self, place: usize, dirty: &mut Vec<usize>) {
        if !std::mem::replace(&mut self.dirty, true) {
            dirty.push(place);
        }
    }
}

/// The engine; lives on its own thread.
pub struct Engine {
    poll: Poll,
    pub(crate) endpoints: Slab<Slot>,
    ready: VecDeque<usize>,
    pub(crate) dirty: Vec<usize>,
    pub(crate) core: Core,
    pub(crate) actions: Vec<Action>,
    pub(crate) disk_ops: Vec<(Serial, DiskId, DiskOp)>,
    pub(crate) waiters: Vec<Waiter>,
    pub(crate) drains: Vec<Drain>,
    pub(crate) erasers: HashMap<Serial, Eraser>,
    pub(crate) last_eraser: u64,
    pub(crate) peers: Slab<Peer>,
    pub(crate) mirror: Option<Mirror>,
    pub(crate) settings: Settings,
    pub(crate) events: Arc<EventQueue>,
    pub(crate) turned_ns: Arc<AtomicU64>,
    pub(crate) last_nexus: u64,
    pub(crate) last_tsih: u16,
    pub(crate) refusals: Reports,
    /// The memory that is held for initiators.
    pub(crate) account: Arc<Account>,
    /// The part of it of all connections that have not logged in.
    pub(crate) strangers: Share,
    pub(crate) remains: Vec<Remains>,
    calls: mpsc::Receiver<Call>,
    pace: Pace,
    next_tick_ns: u64,
    stopping: bool,
}

impl Engine {
    /// Make an engine whose calls come from `calls`; the waker is to be used after each.
    ///
    /// # Errors
    /// The operating system gives no descriptor or thread.
    pub fn new(
        settings: Settings,
        events: Arc<EventQueue>,
        calls: mpsc::Receiver<Call>,
    ) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let pool = DiskPool::start(&waker)?;
        let account = Account::new(settings.memory_limit_bytes);
        let engine = Self {
            poll,
            endpoints: Slab::new(),
            ready: VecDeque::new(),
            dirty: Vec::new(),
            core: Core::new(
                Node::new(boottime_ns() + Heart::promise_ns(settings.lease_ns)),
                pool,
            ),
            actions: Vec::new(),
            disk_ops: Vec::new(),
            waiters: Vec::new(),
            drains: Vec::new(),
            erasers: HashMap::new(),
            last_eraser: 0,
            peers: Slab::new(),
            mirror: None,
            settings,
            events,
            turned_ns: Arc::new(AtomicU64::new(boottime_ns())),
            // Room for sessions without end before the numbers are used up.
            last_nexus: random_u64() >> 1,
            last_tsih: 0,
            refusals: Reports::default(),
            strangers: Share::new(&account),
            account,
            remains: Vec::new(),
            calls,
            pace: Pace::default(),
            next_tick_ns: 0,
            stopping: false,
        };
        Ok((engine, waker))
    }

    /// Turn until told to stop.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.stopping {
            self.pass(&mut events);
        }
    }

    /// Wait for something to do, and do all there is.
    pub(crate) fn pass(&mut self, events: &mut Events) {
        self.wait(events);
        self.core.now_ns = boottime_ns();
        self.turned_ns.store(self.core.now_ns, Ordering::Release);
        for event in &*events {
            self.note(event);
        }
        // Before calls, so that nothing of a copy that was closed is told to one that is opened.
        self.core.take_disk_done();
        self.take_calls();
        self.renew_leases();
        for _ in 0..self.ready.len() {
            if let Some(place) = self.ready.pop_front() {
                self.serve(place);
            }
        }
        if self.core.now_ns >= self.next_tick_ns {
            self.next_tick_ns = self.core.now_ns + TICK_NS;
            self.tick();
        }
        self.carry_out();
        while !self.flush_dirty() {
            self.carry_out();
        }
    }

    /// Leave the loop after this pass.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Wait for events: not at all when work is left, watching for a short while, sleeping at last.
    fn wait(&mut self, events: &mut Events) {
        let began_ns = boottime_ns();
        if !self.ready.is_empty() {
            return self.poll_once(events, Duration::ZERO);
        }
        let window_ns = self.pace.window_ns(began_ns);
        let mut now_ns = began_ns;
        while now_ns - began_ns < window_ns {
            self.poll_once(events, Duration::ZERO);
            if !events.is_empty() {
                self.pace.arrived(now_ns - began_ns);
                return;
            }
            let before_ns = boottime_ns();
            std::thread::yield_now();
            now_ns = boottime_ns();
            self.pace.yielded(before_ns, now_ns);
            if self.pace.window_ns(now_ns) == 0 {
                break;
            }
        }
        self.poll_once(
            events,
            Duration::from_nanos(self.next_tick_ns.saturating_sub(now_ns).clamp(1, TICK_NS)),
        );
        self.pace.arrived(boottime_ns() - began_ns);
    }

    fn poll_once(&mut self, events: &mut Events, timeout: Duration) {
        if let Err(error) = self.poll.poll(events, Some(timeout)) {
            debug_assert_eq!(error.kind(), io::ErrorKind::Interrupted, "{error}");
            events.clear();
        }
    }

    fn note(&mut self, event: &mio::event::Event) {
        let place = event.token().0;
        let Some(slot) = self.endpoints.get_mut(place) else {
            return;
        };
        match &mut slot.endpoint {
            Endpoint::Listener(_) => {}
            Endpoint::Session(session) => session.socket.note(event),
            Endpoint::Link(link) => link.socket.note(event),
        }
        self.schedule(place);
        self.mark_dirty(place);
    }

    fn take_calls(&mut self) {
        while let Ok(call) = self.calls.try_recv() {
            call(self);
        }
    }

    fn serve(&mut self, place: usize) {
        let Some(slot) = self.endpoints.get_mut(place) else {
            return;
        };
        slot.queued = false;
        match &slot.endpoint {
            Endpoint::Listener(_) => self.accept(place),
            Endpoint::Session(_) => self.serve_session(place),
            Endpoint::Link(_) => self.serve_link(place),
        }
    }

    fn accept(&mut self, place: usize) {
        loop {
            let Endpoint::Listener(listener) = &self.endpoints[place].endpoint else {
                return;
            };
            let Some((stream, from)) = listener.accept() else {
                return;
            };
            match listener.purpose {
                Purpose::Portal => {
                    let (portal, redirect) = (listener.address, listener.redirect.clone());
                    self.open_session(stream, from, portal, redirect);
                }
                Purpose::Mirror => self.accept_link(stream),
            }
        }
    }

    fn tick(&mut self) {
        self.core.node.tick(self.core.now_ns);
        self.tick_listeners();
        self.tick_sessions();
        self.tick_remains();
        self.tick_tasks();
        self.tick_peers();
        self.tick_sanitize();
    }

    /// Try to accept anew: what waited while descriptors were out brings no event of its own.
    fn tick_listeners(&mut self) {
        let is_listener = |slot: &Slot| matches!(slot.endpoint, Endpoint::Listener(_));
        let listeners = self.endpoints.iter().filter(|(_, slot)| is_listener(slot));
        for place in listeners.map(|(place, _)| place).collect::<Vec<_>>() {
            self.schedule(place);
        }
    }

    /// Watch a socket and keep it; its place.
    ///
    /// # Errors
    /// The operating system refuses to watch it.
    pub(crate) fn keep(&mut self, mut endpoint: Endpoint) -> io::Result<usize> {
        let entry = self.endpoints.vacant_entry();
        let place = entry.key();
        let both = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        match &mut endpoint {
            Endpoint::Listener(listener) => {
                registry.register(&mut listener.listener, Token(place), Interest::READABLE)
            }
            Endpoint::Session(session) => {
                registry.register(&mut session.socket.stream, Token(place), both)
            }
            Endpoint::Link(link) => registry.register(&mut link.socket.stream, Token(place), both),
        }?;
        entry.insert(Slot {
            endpoint,
            queued: false,
            dirty: false,
        });
        self.schedule(place);
        Ok(place)
    }

    /// Have a socket served in this pass or the next.
    pub(crate) fn schedule(&mut self, place: usize) {
        if let Some(slot) = self.endpoints.get_mut(place)
            && !slot.queued
        {
            slot.queued = true;
            self.ready.push_back(place);
        }
    }

    /// Have a socket's output written at the end of this pass.
    pub(crate) fn mark_dirty(&mut self, place: usize) {
        if let Some(slot) = self.endpoints.get_mut(place) {
            slot.mark_dirty(place, &mut self.dirty);
        }
    }

    /// Write what waits. False: a connection to a peer broke, and there is more to carry out.
    fn flush_dirty(&mut self) -> bool {
        let mut is_whole = true;
        let mut dirty = std::mem::take(&mut self.dirty);
        for place in dirty.drain(..) {
            let Some(slot) = self.endpoints.get_mut(place) else {
                continue;
            };
            slot.dirty = false;
            match &slot.endpoint {
                Endpoint::Listener(_) => {}
                Endpoint::Session(_) => self.flush_session(place),
                Endpoint::Link(_) => is_whole &= self.flush_link(place),
            }
        }
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
        is_whole
    }
}
