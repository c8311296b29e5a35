//! Links over several paths, over real sockets on loopback addresses.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is its result")]

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use twindisk_runtime::event::PathOf;
use twindisk_runtime::{EngineEvent, Handle, Kind, PeerSpec};

mod neighbours;

use neighbours::{engine, is_peer_up, neighbours, peer_down_reason, wait_for};

const SECRETS: [&str; 2] = ["secret", "secret"];

/// How many connections each path of the only peer has.
fn connections(engine: &Handle) -> Vec<usize> {
    let status = engine.call(|engine| engine.status()).unwrap();
    let paths = status.peers[0].paths.iter();
    paths.map(|path| path.connections).collect()
}

fn wait_until(what: impl Fn() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn path_down(event: &EngineEvent) -> Option<PathOf> {
    match event {
        EngineEvent::PathDown(path) => Some(path.clone()),
        _ => None,
    }
}

#[test]
fn a_link_has_connections_over_all_paths() {
    let (engines, _) = neighbours(20, SECRETS, [&[21, 22], &[21, 22]], 2);
    for engine in &engines {
        assert!(wait_for(engine, is_peer_up).is_some());
    }
    for engine in &engines {
        assert!(wait_until(|| connections(engine) == [2, 2, 2]));
    }
    // All of them are in use for as long as nothing is to be said, too: none counts as silent.
    std::thread::sleep(Duration::from_millis(2500));
    for engine in &engines {
        assert_eq!(connections(engine), [2, 2, 2]);
        assert!(engine.events().take().is_empty());
    }
    let [first, second] = engines;
    second.shutdown();
    assert_eq!(wait_for(&first, peer_down_reason), Some("reset"));
    assert_eq!(connections(&first), [0, 0, 0]);
}

#[test]
fn a_path_that_only_one_side_knows_is_told_of_and_the_link_stands() {
    let ([first, second], names) = neighbours(23, SECRETS, [&[24], &[]], 1);
    assert!(wait_for(&second, is_peer_up).is_some());
    let told = wait_for(&first, path_down).expect("it is told");
    let ends = [[127, 77, 24, 10], [127, 77, 24, 11]].map(IpAddr::from);
    assert_eq!(
        (told.peer, [told.own, told.theirs]),
        (names[1].clone(), ends)
    );
    assert_eq!(connections(&first), [1, 0]);
    assert_eq!(connections(&second), [1]);
    assert!(second.events().take().is_empty());
}

#[test]
fn paths_that_make_no_sense_are_refused() {
    let engine = engine();
    let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
    let main = SocketAddr::new(ip("127.77.25.10"), 0);
    let own = vec![ip("127.77.26.10"), ip("127.77.27.10")];
    let listen = engine.call(move |engine| engine.listen_mirror(main, b"secret".to_vec(), own));
    let port = listen.unwrap().unwrap().port();
    let spec = |further: &[(&str, &str)], connections| PeerSpec {
        name: "127.77.25.11".to_owned(),
        address: SocketAddr::new(ip("127.77.25.11"), port),
        dial: true,
        further: further
            .iter()
            .map(|(own, theirs)| (ip(own), ip(theirs)))
            .collect(),
        connections,
    };
    let good = ("127.77.26.10", "127.77.26.11");
    let many = [
        good,
        ("127.77.26.10", "127.77.26.12"),
        ("127.77.26.10", "127.77.26.13"),
        ("127.77.26.10", "127.77.26.14"),
    ];
    let wrong = [
        spec(&[good, good], 1),
        spec(&many, 1),
        spec(&[("127.77.28.10", "127.77.28.11")], 1),
        spec(&[("127.77.26.10", "127.77.27.10")], 1),
        spec(&[("127.77.26.10", "127.77.25.10")], 1),
        spec(&[("127.77.26.10", "127.77.25.11")], 1),
        spec(&[("127.77.26.10", "0.0.0.0")], 1),
        spec(&[("127.77.26.10", "224.0.0.1")], 1),
        spec(&[("127.77.26.10", "::1")], 1),
        spec(&[good], 0),
        spec(&[good], 9),
    ];
    for spec in wrong {
        let about = format!("{spec:?}");
        let added = engine.call(move |engine| engine.add_peer(spec)).unwrap();
        assert_eq!(added.unwrap_err().kind, Kind::Invalid, "{about}");
    }
    let right = spec(&[good], 8);
    engine
        .call(move |engine| engine.add_peer(right))
        .unwrap()
        .unwrap();
    let mut other = spec(&[("127.77.27.10", "127.77.26.11")], 1);
    (other.name, other.address) = (
        "127.77.25.12".to_owned(),
        SocketAddr::new(ip("127.77.25.12"), port),
    );
    let added = engine.call(move |engine| engine.add_peer(other)).unwrap();
    assert_eq!(added.unwrap_err().kind, Kind::Exists);
}
