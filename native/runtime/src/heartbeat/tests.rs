//! Heartbeats between nodes on loopback addresses: over one route and several.

use std::time::Duration;

use super::*;

const KEY: [u8; 32] = [7; 32];
const INTERVAL_NS: u64 = 5_000_000;
const LEASE_NS: u64 = 2_000_000_000;
const PEER: usize = 3;
/// An address for documentation, which no machine has.
const MISSING: &str = "192.0.2.77";

fn socket_addresses(ips: &[&str]) -> Vec<SocketAddr> {
    (ips.iter())
        .map(|ip| SocketAddr::new(ip.parse().unwrap(), 0))
        .collect()
}

/// A node with these addresses and its port.
fn node_that_turned(ips: &[&str], turned_ns: u64) -> (Heartbeats, u16) {
    let turned_ns = Arc::new(turned_ns.into());
    let addresses = socket_addresses(ips);
    let hearts = Heartbeats::start(&addresses, INTERVAL_NS, LEASE_NS, turned_ns).unwrap();
    let port = hearts.shared.sockets[0].socket.local_addr().unwrap().port();
    (hearts, port)
}

fn node(ips: &[&str]) -> (Heartbeats, u16) {
    node_that_turned(ips, boottime_ns())
}

fn route(own: &str, to: &str, port: u16) -> Route {
    Route {
        own: own.parse().unwrap(),
        to: SocketAddr::new(to.parse().unwrap(), port),
    }
}

/// Two nodes with an address each that beat for each other: the dialer's vitals.
fn pair(own: &str, to: &str, turned_ns: u64) -> ([Heartbeats; 2], Arc<Vitals>) {
    let (here, own_port) = node_that_turned(&[own], turned_ns);
    let (there, to_port) = node(&[to]);
    let vitals = Arc::default();
    here.begin(PEER, vec![route(own, to, to_port)], KEY, true, &vitals);
    there.begin(
        0,
        vec![route(to, own, own_port)],
        KEY,
        false,
        &Arc::default(),
    );
    ([here, there], vitals)
}

fn wait_for(what: impl Fn() -> bool) -> bool {
    (0..400).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        what()
    })
}

/// Whether a lease and a promise came and go on being renewed.
fn lives(vitals: &Vitals) -> bool {
    let first_ns = boottime_ns() + LEASE_NS;
    wait_for(|| vitals.serve_until_ns() > first_ns && vitals.promised_until_ns() > first_ns)
}

fn hears_nothing(vitals: &Vitals) -> bool {
    std::thread::sleep(Duration::from_millis(150));
    vitals.last_heard_ns() == 0 && vitals.serve_until_ns() == 0 && vitals.promised_until_ns() == 0
}

/// One end of a peer that the test plays.
fn played(ip: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// The next datagram of a kind, and whence it came.
fn next_of(socket: &UdpSocket, kind: u8) -> (Vec<u8>, SocketAddr) {
    let mut datagram = [0; 64];
    loop {
        let (len_bytes, from) = socket.recv_from(&mut datagram).unwrap();
        if datagram[4] == kind {
            return (datagram[..len_bytes].to_vec(), from);
        }
    }
}

#[test]
fn a_peer_that_answers_gives_a_lease() {
    let (_nodes, vitals) = pair("127.0.2.1", "127.0.2.2", boottime_ns());
    assert!(lives(&vitals));
    assert!(vitals.last_heard_ns() > 0);
}

#[test]
fn a_node_that_hears_itself_has_no_lease() {
    let (here, port) = node(&["127.0.3.1", "127.0.3.2"]);
    for (place, dialer) in [(0, true), (1, false)] {
        let vitals = Arc::default();
        let routes = vec![
            route("127.0.3.1", "127.0.3.1", port),
            route("127.0.3.1", "127.0.3.2", port),
            route("127.0.3.2", "127.0.3.1", port),
        ];
        here.begin(place, routes, KEY, dialer, &vitals);
        assert!(hears_nothing(&vitals));
        here.end(place);
    }
}

#[test]
fn a_loop_that_is_stuck_silences_the_heart() {
    let turned_ns = boottime_ns().saturating_sub(2 * WATCHDOG_NS);
    let ([here, _there], vitals) = pair("127.0.4.1", "127.0.4.2", turned_ns);
    assert!(hears_nothing(&vitals));
    here.shared
        .turned_ns
        .store(boottime_ns(), Ordering::Release);
    assert!(lives(&vitals));
}

#[test]
fn a_new_session_keeps_the_promise_and_loses_the_lease() {
    let ([here, _there], vitals) = pair("127.0.5.1", "127.0.5.2", boottime_ns());
    assert!(lives(&vitals));
    here.end(PEER);
    let promised_ns = vitals.promised_until_ns();
    let to_nobody = route("127.0.5.1", "127.0.5.3", 1);
    here.begin(PEER, vec![to_nobody], [8; 32], true, &vitals);
    assert_eq!(vitals.promised_until_ns(), promised_ns);
    assert_eq!((vitals.serve_until_ns(), vitals.last_heard_ns()), (0, 0));
}

#[test]
fn a_peer_whose_session_ended_is_not_heard_any_more() {
    let ([here, _there], vitals) = pair("127.0.6.1", "127.0.6.2", boottime_ns());
    assert!(lives(&vitals));
    here.end(PEER);
    let heard_ns = vitals.last_heard_ns();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(vitals.last_heard_ns(), heard_ns);
}

#[test]
fn a_second_route_alone_gives_a_lease() {
    let (here, own_port) = node(&["127.0.7.1", "127.0.7.3"]);
    let (there, to_port) = node(&["127.0.7.2", "127.0.7.4"]);
    let vitals: [Arc<Vitals>; 2] = Default::default();
    // Nobody is at .9: neither node reaches the other's first address.
    let routes = vec![
        route("127.0.7.1", "127.0.7.9", to_port),
        route("127.0.7.3", "127.0.7.4", to_port),
    ];
    here.begin(PEER, routes, KEY, true, &vitals[0]);
    let routes = vec![
        route("127.0.7.2", "127.0.7.9", own_port),
        route("127.0.7.4", "127.0.7.3", own_port),
    ];
    there.begin(0, routes, KEY, false, &vitals[1]);
    assert!(lives(&vitals[0]));
    assert!(lives(&vitals[1]));
}

#[test]
fn an_address_that_is_missing_holds_up_no_other_route() {
    let (here, own_port) = node(&["127.0.8.1", MISSING, "127.0.8.3"]);
    let (there, to_port) = node(&["127.0.8.2"]);
    let vitals = Arc::default();
    let routes = vec![
        // This one has no socket at all.
        route("127.0.8.5", "127.0.8.2", to_port),
        route(MISSING, "127.0.8.2", to_port),
        route("127.0.8.3", "127.0.8.2", to_port),
    ];
    here.begin(PEER, routes, KEY, true, &vitals);
    let routes = vec![route("127.0.8.2", "127.0.8.3", own_port)];
    there.begin(0, routes, KEY, false, &Arc::default());
    assert!(lives(&vitals));
}

#[test]
fn the_first_address_must_be_there_and_all_must_be_free() {
    let turned_ns = || Arc::new(boottime_ns().into());
    let start = |addresses: &[SocketAddr]| {
        Heartbeats::start(addresses, INTERVAL_NS, LEASE_NS, turned_ns())
            .err()
            .map(|error| error.kind())
    };
    assert_eq!(start(&[]), Some(io::ErrorKind::InvalidInput));
    assert_eq!(
        start(&socket_addresses(&[MISSING])),
        Some(io::ErrorKind::AddrNotAvailable)
    );
    let (_taken, mut address) = played("127.0.9.2");
    assert_eq!(start(&[address]), Some(io::ErrorKind::AddrInUse));
    let further = address;
    address.set_ip("127.0.9.1".parse().unwrap());
    assert_eq!(start(&[address, further]), Some(io::ErrorKind::AddrInUse));
}

#[test]
fn an_ask_goes_over_all_routes_and_an_answer_over_the_one_it_was_asked_on() {
    let (here, port) = node(&["127.0.10.1", "127.0.10.3"]);
    let ((first, to_first), (second, to_second)) = (played("127.0.10.2"), played("127.0.10.4"));
    let own = ["127.0.10.1", "127.0.10.3"].map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
    let routes = vec![
        Route {
            own: own[0].ip(),
            to: to_first,
        },
        Route {
            own: own[1].ip(),
            to: to_second,
        },
    ];
    let vitals = Arc::default();
    here.begin(PEER, routes, KEY, true, &vitals);
    assert_eq!(next_of(&first, 1).1, own[0]);
    assert_eq!(next_of(&second, 1).1, own[1]);

    let mut peer = Heart::new(KEY, false, 1, LEASE_NS, 0);
    let ask = peer.tick(boottime_ns()).expect("due");
    // From each address of the peer to the other route's of this node: no route is so.
    first.send_to(&ask, own[1]).unwrap();
    second.send_to(&ask, own[0]).unwrap();
    assert!(hears_nothing(&vitals));
    second.send_to(&ask, own[1]).unwrap();
    let (answer, from) = next_of(&second, 4);
    assert_eq!(from, own[1]);
    peer.receive(&answer, boottime_ns());
    assert!(peer.serve_until_ns() > 0);
    assert!(vitals.promised_until_ns() > peer.serve_until_ns());
    first.set_nonblocking(true).unwrap();
    let mut datagram = [0; 64];
    while first.recv_from(&mut datagram).is_ok() {
        assert_eq!(datagram[4], 1, "no answer came here");
    }
}

#[test]
fn two_peers_share_a_socket_and_have_hearts_of_their_own() {
    let (here, port) = node(&["127.0.11.1"]);
    let peers = ["127.0.11.2", "127.0.11.3"].map(|ip| (ip, node(&[ip])));
    let mut vitals = Vec::new();
    for (place, (ip, (hearts, to_port))) in peers.iter().enumerate() {
        let key = [u8::try_from(place).unwrap(); 32];
        vitals.push(Arc::default());
        here.begin(
            place,
            vec![route("127.0.11.1", ip, *to_port)],
            key,
            place == 0,
            &vitals[place],
        );
        let back = vec![route(ip, "127.0.11.1", port)];
        hearts.begin(0, back, key, place != 0, &Arc::default());
    }
    assert!(vitals.iter().all(|vitals| lives(vitals)));
}

#[test]
fn a_turn_takes_a_bounded_number_of_datagrams() {
    let addresses = socket_addresses(&["127.0.12.1"]);
    let shared = Shared::bind(&addresses, Arc::new(boottime_ns().into())).unwrap();
    let bound = &shared.sockets[0];
    let (flood, _) = played("127.0.12.2");
    for _ in 0..TURN_DATAGRAMS + 5 {
        flood
            .send_to(&[0; 64], bound.socket.local_addr().unwrap())
            .unwrap();
    }
    shared.hear(bound);
    let mut datagram = [0; 64];
    let left = std::iter::from_fn(|| bound.socket.recv_from(&mut datagram).ok()).count();
    assert_eq!(left, 5);
}
