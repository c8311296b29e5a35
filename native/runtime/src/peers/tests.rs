//! Links of one engine, pass by pass, with a peer that is played by hand.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream, UdpSocket};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::BytesMut;
use mio::Events;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use twindisk_mirror::handshake::{Handshake, Session};
use twindisk_mirror::heart::Heart;

use super::known::PeerSpec;
use super::*;
use crate::clock::boottime_ns;
use crate::engine::Settings;
use crate::event::EventQueue;

const OWN: &str = "127.77.71.11";
const THEIRS: &str = "127.77.71.10";
const INTERVAL_NS: u64 = 20_000_000;
const LEASE_NS: u64 = 1_000_000_000;

/// An engine that listens for one peer.
struct Listener {
    engine: Engine,
    at: SocketAddr,
    events: Arc<EventQueue>,
    polled: Events,
}

impl Listener {
    fn new() -> Self {
        let settings = Settings {
            heartbeat_ns: INTERVAL_NS,
            silence_ns: LEASE_NS,
            lease_ns: LEASE_NS,
            memory_limit_bytes: 1 << 30,
        };
        let events = Arc::new(EventQueue::new().unwrap());
        let (_, calls) = mpsc::channel();
        let (mut engine, _) = Engine::new(settings, Arc::clone(&events), calls).unwrap();
        let own = SocketAddr::new(OWN.parse().unwrap(), 0);
        let at = engine
            .listen_mirror(own, b"secret".to_vec(), Vec::new())
            .unwrap();
        let spec = PeerSpec {
            name: THEIRS.to_owned(),
            address: SocketAddr::new(THEIRS.parse().unwrap(), at.port()),
            dial: false,
            further: Vec::new(),
            connections: 1,
        };
        engine.add_peer(spec).unwrap();
        Self {
            engine,
            at,
            events,
            polled: Events::with_capacity(16),
        }
    }

    fn pass(&mut self) {
        self.engine.pass(&mut self.polled);
    }

    /// Shake hands up to the last word, which is not said yet.
    fn greet(&mut self, nonce: u8) -> (TcpStream, Vec<u8>, Session) {
        let mut stream = dialed(self.at);
        let (mut handshake, hello) = Handshake::dial(b"secret", [nonce; 32], THEIRS, None);
        stream.write_all(&hello).unwrap();
        let mut input = BytesMut::new();
        loop {
            self.pass();
            let mut bytes = [0; 200];
            if let Ok(got) = stream.read(&mut bytes) {
                input.extend_from_slice(&bytes[..got]);
                if let (finish, Some(session)) = handshake.receive(&mut input).unwrap() {
                    return (stream, finish, session);
                }
            }
        }
    }

    /// Answer heartbeats until the peer counts as up.
    fn come_up(&mut self, key: [u8; 32]) {
        let address = SocketAddr::new(THEIRS.parse().unwrap(), self.at.port());
        let datagrams = UdpSocket::bind(address).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        let mut heart = Heart::new(key, true, INTERVAL_NS, LEASE_NS, 0);
        while !self.engine.peers[0].up {
            self.pass();
            let mut datagram = [0; 64];
            while let Ok((len, _)) = datagrams.recv_from(&mut datagram) {
                if let Some(answer) = heart.receive(&datagram[..len], boottime_ns()) {
                    datagrams.send_to(&answer, self.at).unwrap();
                }
            }
        }
    }
}

/// A connection from the peer's address.
fn dialed(to: SocketAddr) -> TcpStream {
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    let own: IpAddr = THEIRS.parse().unwrap();
    bind(&socket, &SocketAddr::new(own, 0)).unwrap();
    connect(&socket, &to).unwrap();
    let stream = TcpStream::from(socket);
    let limit = Some(Duration::from_millis(20));
    stream.set_read_timeout(limit).unwrap();
    stream
}

fn reasons(events: &EventQueue) -> Vec<&'static str> {
    let reason = |event| match event {
        EngineEvent::PeerDown { reason, .. } => Some(reason),
        _ => None,
    };
    events.take().into_iter().filter_map(reason).collect()
}

#[test]
fn a_new_link_outlives_the_end_of_the_former_one_that_comes_in_the_same_pass() {
    let mut listener = Listener::new();
    let (mut former, finish, session) = listener.greet(1);
    former.write_all(&finish).unwrap();
    listener.come_up(session.key.unwrap());
    let (mut later, finish, session) = listener.greet(2);
    drop(former);
    std::thread::sleep(Duration::from_millis(5));
    later.write_all(&finish).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    listener.pass();
    for _ in 0..5 {
        listener.pass();
    }
    assert_eq!(reasons(&listener.events), ["reset"]);
    let link = listener.engine.peers[0].link.as_ref();
    assert_eq!(link.map(|link| link.id), Some(session.id));
}

#[test]
fn a_last_word_that_comes_late_does_not_end_the_link_that_was_opened_since() {
    let mut listener = Listener::new();
    let (mut orphan, finish, _) = listener.greet(1);
    let (mut later, last_word, session) = listener.greet(2);
    later.write_all(&last_word).unwrap();
    listener.come_up(session.key.unwrap());
    orphan.write_all(&finish).unwrap();
    std::thread::sleep(Duration::from_millis(5));
    for _ in 0..5 {
        listener.pass();
    }
    assert!(reasons(&listener.events).is_empty());
    let link = listener.engine.peers[0].link.as_ref();
    assert_eq!(link.map(|link| link.id), Some(session.id));
    assert!(matches!(orphan.read(&mut [0; 8]), Ok(0)), "it is closed");
}
