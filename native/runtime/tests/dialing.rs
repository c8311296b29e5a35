//! How links are opened, and opened again, over real sockets on loopback addresses.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is its result")]

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{Shutdown, getpeername, getsockname, shutdown};
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use twindisk_runtime::{EngineEvent, Handle, PeerSpec};

mod neighbours;

use neighbours::{engine, is_peer_up, neighbours, peer_down_reason, wait_for};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn listen(engine: &Handle, address: &str, port: u16, further: &str) {
    let (address, further) = (SocketAddr::new(ip(address), port), vec![ip(further)]);
    let listen =
        engine.call(move |engine| engine.listen_mirror(address, b"secret".to_vec(), further));
    listen.unwrap().unwrap();
}

fn add(
    engine: &Handle,
    name: &str,
    port: u16,
    dial: bool,
    further: (&str, &str),
    connections: usize,
) {
    let spec = PeerSpec {
        name: name.to_owned(),
        address: SocketAddr::new(ip(name), port),
        dial,
        further: vec![(ip(further.0), ip(further.1))],
        connections,
    };
    engine
        .call(move |engine| engine.add_peer(spec))
        .unwrap()
        .unwrap();
}

#[test]
fn a_mute_main_path_does_not_keep_the_link_from_coming_up_over_another_one() {
    for (network, connections) in [(37_u8, 1), (40, 3)] {
        let at = |further: u8, host: u8| format!("127.77.{}.{host}", network + further);
        let mute = TcpListener::bind(SocketAddr::new(ip(&at(0, 11)), 0)).unwrap();
        let port = mute.local_addr().unwrap().port();
        let (first, second) = (engine(), engine());
        // What the dialer takes for the peer's main address is somebody else, who says nothing.
        listen(&second, &at(2, 11), port, &at(1, 11));
        listen(&first, &at(0, 10), port, &at(1, 10));
        let (own, theirs) = (at(1, 10), at(1, 11));
        add(
            &second,
            &at(0, 10),
            port,
            false,
            (&theirs, &own),
            connections,
        );
        add(&first, &at(0, 11), port, true, (&own, &theirs), connections);
        assert!(wait_for(&first, is_peer_up).is_some(), "{connections}");
        drop(mute);
    }
}

#[test]
fn a_link_that_is_lost_is_dialed_again_soon() {
    let ([first, second], names) = neighbours(34, ["secret", "secret"], [&[], &[]], 1);
    assert!(wait_for(&first, is_peer_up).is_some());
    let mut shortest = Duration::MAX;
    for _ in 0..4 {
        let name = names[0].clone();
        let gone = second.call(move |engine| engine.remove_peer(&name));
        gone.unwrap().unwrap();
        let began = Instant::now();
        assert_eq!(wait_for(&first, peer_down_reason), Some("reset"));
        let spec = PeerSpec {
            name: names[0].clone(),
            // Only heartbeats go there, so a peer that is not heard comes up and is lost as silent.
            address: SocketAddr::new(ip(&names[0]), port_of(&names[0])),
            dial: false,
            further: Vec::new(),
            connections: 1,
        };
        let added = second.call(move |engine| engine.add_peer(spec));
        added.unwrap().unwrap();
        assert!(wait_for(&first, is_peer_up).is_some());
        shortest = shortest.min(began.elapsed());
    }
    // Where the link stands without a connection, that one is dialed a second later at the soonest; without a link that is too late.
    assert!(shortest < Duration::from_secs(1), "{shortest:?}");
}

/// The port on which an address receives datagrams, as /proc/net/udp has it.
fn port_of(address: &str) -> u16 {
    let key = hex_of(address);
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let at = table.find(&key).unwrap() + key.len();
    u16::from_str_radix(&table[at..at + 4], 16).unwrap()
}

/// An address as the tables of /proc/net have it, up to its port.
fn hex_of(address: &str) -> String {
    let IpAddr::V4(ip) = ip(address) else {
        unreachable!("an IPv4 address")
    };
    format!("{:08X}:", u32::from_le_bytes(ip.octets()))
}

#[test]
fn a_peer_that_comes_anew_while_its_former_link_stands_is_linked_at_the_first_attempt() {
    let ([first, second], names) = neighbours(35, ["secret", "secret"], [&[], &[]], 1);
    let port = port_of(&names[0]);
    assert!(wait_for(&second, is_peer_up).is_some());
    let held = held_connection(&names[0], &names[1]);
    drop(first);
    // The former connection did not end for the second one, so it takes the link for standing still.
    let anew = engine();
    let (own, spec) = (
        SocketAddr::new(ip(&names[0]), port),
        PeerSpec {
            name: names[1].clone(),
            address: SocketAddr::new(ip(&names[1]), port),
            dial: true,
            further: Vec::new(),
            connections: 1,
        },
    );
    let added = anew.call(move |engine| {
        engine.listen_mirror(own, b"secret".to_vec(), Vec::new())?;
        engine.add_peer(spec)
    });
    added.unwrap().unwrap();
    assert_eq!(wait_for(&second, peer_down_reason), Some("reset"));
    assert!(wait_for(&anew, is_peer_up).is_some());
    assert_eq!(connections_between(&names[1], port, &names[0]), 2);
    drop(held);
}

#[test]
fn a_path_whose_connections_do_not_last_is_told_of() {
    let ([first, _second], _) = neighbours(43, ["secret", "secret"], [&[44], &[44]], 1);
    assert!(wait_for(&first, is_peer_up).is_some());
    let is_told = |event: &EngineEvent| matches!(event, EngineEvent::PathDown(_));
    for _ in 0..10_000 {
        if first.events().take().iter().any(is_told) {
            return;
        }
        let status = first.call(|engine| engine.status()).unwrap();
        if status.peers[0].paths[1].connections > 0 {
            let held = held_connection("127.77.44.10", "127.77.44.11");
            // It may have ended by itself since.
            let _ = shutdown(held, Shutdown::Both);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("operators know nothing of it");
}

/// A second descriptor of this process's connection between two addresses: with it the connection outlives the engine that made it.
fn held_connection(own: &str, theirs: &str) -> OwnedFd {
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    descriptors
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .filter_map(|number| pidfd_getfd(&this, number, PidfdGetfdFlags::empty()).ok())
        .find(|descriptor| {
            let ends = (getsockname(descriptor), getpeername(descriptor));
            let (Ok(from), Ok(Some(to))) = ends else {
                return false;
            };
            let ip_of = |any| Some(SocketAddr::try_from(any).ok()?.ip());
            ip_of(from) == Some(ip(own)) && ip_of(to) == Some(ip(theirs))
        })
        .unwrap()
}

/// How many connections, ended ones too, the kernel knows at a listener from an address.
fn connections_between(listener: &str, port: u16, from: &str) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (listener, from) = (hex_of(listener) + &format!("{port:04X}"), hex_of(from));
    let ends = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        let (own, theirs) = (words.next()?, words.next()?);
        Some(own == listener && theirs.starts_with(&from))
    };
    table
        .lines()
        .filter(|line| ends(line) == Some(true))
        .count()
}
