//! What a connection does by itself, over a real socket and at times of the tests' choice.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream as StdStream};
use std::time::{Duration, Instant};

use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use slab::Slab;
use twindisk_iscsi::Admission;

use super::*;
use crate::share::Account;

const SECOND: u64 = 1_000_000_000;
const NAMES: &str = "InitiatorName=iqn.2026-11.org.example:a\0SessionType=Discovery\0";
/// Far less than what is sent.
const KERNEL_BYTES: usize = 64 << 10;
/// What a NOP-Out brings and has echoed, in bytes.
const ECHO_BYTES: usize = 8192;

/// A Login Request from the operational to the full feature phase.
fn login() -> Vec<u8> {
    let mut request = vec![0; 48];
    request[..2].copy_from_slice(&[0x43, 0x87]);
    request[7] = u8::try_from(NAMES.len()).unwrap();
    request.extend(NAMES.as_bytes());
    request.resize(request.len().next_multiple_of(4), 0);
    request
}

/// Read as far as there is something, and act on it.
fn read(session: &mut Session) {
    let (vdisks, discovery) = (Slab::new(), Arc::new(Admission::default()));
    let targets = Targets {
        vdisks: &vdisks,
        discovery: &discovery,
    };
    session.socket.make_ready();
    while let Read::Data(_) = session.socket.read(1).unwrap() {}
    let input = &mut session.socket.input;
    session.connection.receive(input, &targets).unwrap();
}

/// A discovery session that was opened at 0, and its initiator.
fn logged_in() -> (Session, StdStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, address) = listener.accept().unwrap();
    server.set_nonblocking(true).unwrap();
    let mut session = Session::new(
        TcpStream::from_std(server),
        address,
        NexusId(1),
        Arc::new(PortalConfig::default()),
        Challenge::new([1; twindisk_iscsi::CHALLENGE_RANDOM_BYTES]),
        Share::new(&Account::new(1 << 30)),
        0,
    )
    .unwrap();
    client.write_all(&login()).unwrap();
    let request = wait(|| {
        read(&mut session);
        session.connection.next_event()
    });
    assert!(matches!(request, Event::SessionRequested(_)));
    session.connection.accept_login(1);
    session.flush().unwrap();
    assert_eq!(pdu(&mut client), 0x23);
    (session, client)
}

fn wait<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A NOP-Out with data; `answers`: it answers a question.
fn nop_out(data_bytes: usize, answers: bool) -> Vec<u8> {
    let mut pdu = vec![0; 48 + data_bytes];
    pdu[..2].copy_from_slice(&[0x40, 0x80]);
    let length = u32::try_from(data_bytes).unwrap().to_be_bytes();
    pdu[5..8].copy_from_slice(&length[1..]);
    if answers {
        pdu[16..20].fill(0xff);
    }
    pdu[20..24].fill(0xff);
    pdu
}

/// Take the next PDU; its opcode.
fn pdu(client: &mut StdStream) -> u8 {
    let mut header = [0; 48];
    client.read_exact(&mut header).unwrap();
    let length = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
    let mut data = vec![0; length.next_multiple_of(4)];
    client.read_exact(&mut data).unwrap();
    header[0] & 0x3f
}

/// Ask for a sign of life at `at_ns`, and have the question delivered.
fn ask(session: &mut Session, at_ns: u64) {
    assert!(session.tick(at_ns));
    assert!(session.connection.awaits_sign_of_life());
    session.flush().unwrap();
    wait(|| (session.socket.unacknowledged_bytes() == 0).then_some(()));
}

#[test]
fn whose_bytes_are_not_read_is_not_given_up_and_who_says_nothing_is() {
    let (mut session, mut client) = logged_in();
    read(&mut session);
    assert!(session.tick(SECOND));
    ask(&mut session, 11 * SECOND);
    assert_eq!(pdu(&mut client), 0x20);
    // Its answer, which the share of its initiator keeps from being read.
    client.write_all(&nop_out(0, true)).unwrap();
    session.socket.make_ready();
    for seconds in 12..60 {
        assert!(session.tick(seconds * SECOND), "{seconds}");
        session.flush().unwrap();
        wait(|| (session.socket.unacknowledged_bytes() == 0).then_some(()));
    }
    wait(|| {
        read(&mut session);
        assert!(session.tick(60 * SECOND));
        (!session.connection.awaits_sign_of_life()).then_some(())
    });
    ask(&mut session, 70 * SECOND);
    assert!(session.tick(71 * SECOND));
    assert!(!session.tick(81 * SECOND), "silence with nothing unread");
}

#[test]
fn who_takes_slowly_what_is_sent_is_not_given_up_and_who_takes_nothing_is() {
    let (mut session, mut client) = logged_in();
    read(&mut session);
    assert!(session.tick(SECOND));
    set_socket_recv_buffer_size(&client, KERNEL_BYTES).unwrap();
    set_socket_send_buffer_size(&session.socket.stream, KERNEL_BYTES).unwrap();
    while session.connection.wants_input() {
        client.write_all(&nop_out(ECHO_BYTES, false)).unwrap();
        read(&mut session);
    }
    session.flush().unwrap();
    assert!(!session.is_flushed());
    assert!(session.tick(SECOND));
    assert!(session.tick(11 * SECOND));
    assert!(session.connection.awaits_sign_of_life());
    client.set_nonblocking(true).unwrap();
    let mut taken = vec![0; KERNEL_BYTES];
    for round in 0..5 {
        // As slow as can be: something is taken shortly before each time is over.
        let mut left_bytes = 1 << 20;
        wait(|| {
            session.socket.make_ready();
            session.flush().unwrap();
            let taken_bytes = client.read(&mut taken).unwrap_or(0);
            left_bytes = usize::saturating_sub(left_bytes, taken_bytes);
            (left_bytes == 0).then_some(())
        });
        // Everything that came is read; only what is sent speaks.
        read(&mut session);
        assert!(session.tick((20 + 9 * round) * SECOND), "{round}");
    }
    assert!(session.tick(65 * SECOND));
    // As if there were something that is not read: that does not save who takes nothing.
    session.socket.make_ready();
    let mut now_ns = 65 * SECOND;
    wait(|| {
        now_ns += 11 * SECOND;
        (!session.tick(now_ns)).then_some(())
    });
}

#[test]
fn a_fill_counts_as_what_it_fills() {
    for zeros in [false, true] {
        let request = IoRequest::WriteSame {
            offset_bytes: 512,
            len_bytes: 16 << 20,
            zeros,
        };
        assert_eq!(io_bytes(&request), 16 << 20);
    }
}
