//! Engines that know each other, on loopback addresses.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use twindisk_runtime::{EngineEvent, Handle, PeerSpec, Settings};

/// An engine with short times.
pub fn engine() -> Handle {
    let settings = Settings {
        heartbeat_ns: 20_000_000,
        silence_ns: 1_000_000_000,
        lease_ns: 1_000_000_000,
        memory_limit_bytes: 1 << 30,
    };
    Handle::start(settings).unwrap()
}

/// Wait for an event that `wanted` makes something of; what comes with it is dropped.
pub fn wait_for<T>(engine: &Handle, wanted: impl Fn(&EngineEvent) -> Option<T>) -> Option<T> {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if let Some(found) = engine.events().take().iter().find_map(&wanted) {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    None
}

/// Made of the news that the peer is up.
pub fn is_peer_up(event: &EngineEvent) -> Option<()> {
    matches!(event, EngineEvent::PeerUp(_)).then_some(())
}

/// Why the peer is lost.
pub fn peer_down_reason(event: &EngineEvent) -> Option<&'static str> {
    match event {
        EngineEvent::PeerDown { reason, .. } => Some(reason),
        _ => None,
    }
}

/// Two engines that know each other; the first dials. Each test has its own network, by its number. `further`: each engine's list of the
/// networks of further paths. `connections`: over each path.
pub fn neighbours(
    network: u8,
    secrets: [&str; 2],
    further: [&[u8]; 2],
    connections: usize,
) -> ([Handle; 2], [String; 2]) {
    let address = |network: u8, at: usize| -> IpAddr {
        let host = 10 + u8::try_from(at).unwrap();
        IpAddr::from([127, 77, network, host])
    };
    let engines = [engine(), engine()];
    let mut port = 0;
    for (at, engine) in engines.iter().enumerate() {
        let main = SocketAddr::new(address(network, at), port);
        let secret: Vec<u8> = secrets[at].into();
        let own = further[at]
            .iter()
            .map(|&network| address(network, at))
            .collect();
        let listen = engine.call(move |engine| engine.listen_mirror(main, secret, own));
        port = listen.unwrap().unwrap().port();
    }
    let names = [0, 1].map(|at| address(network, at).to_string());
    for (at, engine) in engines.iter().enumerate() {
        let ways = further[at].iter();
        let spec = PeerSpec {
            name: names[1 - at].clone(),
            address: SocketAddr::new(address(network, 1 - at), port),
            dial: at == 0,
            further: ways
                .map(|&way| (address(way, at), address(way, 1 - at)))
                .collect(),
            connections,
        };
        engine
            .call(move |engine| engine.add_peer(spec))
            .unwrap()
            .unwrap();
    }
    (engines, names)
}
