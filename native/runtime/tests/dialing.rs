//! How links are opened, and opened again, over real sockets on loopback addresses.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is its result")]

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use twindisk_runtime::{Handle, PeerSpec};

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

fn add(engine: &Handle, name: &str, port: u16, dial: bool, further: (&str, &str)) {
    let spec = PeerSpec {
        name: name.to_owned(),
        address: SocketAddr::new(ip(name), port),
        dial,
        further: vec![(ip(further.0), ip(further.1))],
        connections: 1,
    };
    engine
        .call(move |engine| engine.add_peer(spec))
        .unwrap()
        .unwrap();
}

#[test]
fn a_mute_main_path_does_not_keep_the_link_from_coming_up_over_another_one() {
    let mute = TcpListener::bind("127.77.31.11:0").unwrap();
    let port = mute.local_addr().unwrap().port();
    let (first, second) = (engine(), engine());
    // What the dialer takes for the peer's main address is somebody else, who says nothing.
    listen(&second, "127.77.33.11", port, "127.77.32.11");
    listen(&first, "127.77.31.10", port, "127.77.32.10");
    let there = ("127.77.32.11", "127.77.32.10");
    add(&second, "127.77.31.10", port, false, there);
    add(&first, "127.77.31.11", port, true, (there.1, there.0));
    assert!(wait_for(&first, is_peer_up).is_some());
    drop(mute);
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
    let IpAddr::V4(ip) = ip(address) else {
        unreachable!("an IPv4 address")
    };
    let key = format!("{:08X}:", u32::from_le_bytes(ip.octets()));
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let at = table.find(&key).unwrap() + key.len();
    u16::from_str_radix(&table[at..at + 4], 16).unwrap()
}
