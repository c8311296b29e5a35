//! Whatever comes in: no panic, bounded memory, and the same outcome however the input is cut.

mod initiator;

use bytes::BytesMut;
use initiator::{INITIATOR, IQN, Link, Request, TwoTargets, challenge, login};
use proptest::prelude::*;
use twindisk_iscsi::{
    Connection, Event, PortalConfig, ProtocolError, ScsiResponse, TaskManagementResponse,
};

/// All that a connection lets see.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<String>,
    sent: Vec<u8>,
    error: Option<ProtocolError>,
}

fn config() -> PortalConfig {
    PortalConfig {
        command_window: 4,
        max_recv_data_segment_length: 1024,
        ..PortalConfig::default()
    }
}

/// Feed `input`, cut at `cuts`. Events are answered at the end: an answer's place in the output depends on when it is
/// given, which is the caller's doing and not the input's.
fn run(mut connection: Connection, input: &[u8], cuts: &[usize]) -> Outcome {
    let mut outcome = Outcome {
        events: vec![],
        sent: vec![],
        error: None,
    };
    let mut open = Vec::new();
    let mut buffer = BytesMut::new();
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    for place in places.windows(2) {
        buffer.extend_from_slice(&input[place[0]..place[1]]);
        if outcome.error.is_none() {
            feed(&mut connection, &mut buffer, &mut open, &mut outcome);
        }
    }
    for event in open {
        answer(&mut connection, event);
    }
    outcome.sent.extend(sent(&mut connection));
    outcome
}

/// Let the connection have the buffer; logins are answered at once, other events put into `open`.
fn feed(
    connection: &mut Connection,
    buffer: &mut BytesMut,
    open: &mut Vec<Event>,
    outcome: &mut Outcome,
) {
    loop {
        outcome.error = connection.receive(buffer, &TwoTargets).err();
        outcome.sent.extend(sent(connection));
        assert!(connection.bytes_wanted(buffer) >= 1);
        assert!(buffer.len() < 48 + 1020 + 8192 + 12 || !connection.wants_input());
        let mut accepted = false;
        while let Some(event) = connection.next_event() {
            outcome.events.push(format!("{event:?}"));
            if let Event::SessionRequested(_) = event {
                connection.accept_login(1);
                accepted = true;
            } else {
                open.push(event);
            }
        }
        if outcome.error.is_some() || !accepted {
            return;
        }
    }
}

fn sent(connection: &mut Connection) -> Vec<u8> {
    let chunks = std::iter::from_fn(|| connection.transmit().pop());
    chunks.collect::<Vec<_>>().concat()
}

fn answer(connection: &mut Connection, event: Event) {
    match event {
        Event::Command(command) if command.write => {
            assert_eq!(
                command.data_out.concat().len(),
                command.expected_len as usize
            );
        }
        Event::Command(command) => connection.respond(command.task, ScsiResponse::default()),
        Event::TaskManagement { task, .. } => {
            connection.respond_task_management(task, TaskManagementResponse::Complete);
        }
        Event::SessionRequested(_) | Event::Finished(_) => {}
    }
}

fn logged_in(keys: &str) -> Connection {
    Link::logged_in(config(), keys).connection
}

/// A PDU that is near enough to a proper one to get deep.
fn request() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        6 => prop::sample::select(vec![0x00u8, 0x01, 0x02, 0x04, 0x05, 0x06, 0x10]),
        1 => any::<u8>(),
    ];
    let flags = prop::sample::select(vec![0x80u8, 0xa0, 0x20, 0xc0, 0x81, 0x85, 0x40, 0x00, 0xe0]);
    let tag = || prop_oneof![4 => 0u32..4, 1 => Just(u32::MAX)];
    let len = prop_oneof![Just(0usize), 0usize..64, Just(512), 0usize..1100];
    let additional = prop_oneof![8 => Just(0u8), 1 => 0u8..4];
    (
        opcode,
        any::<bool>(),
        flags,
        tag(),
        tag(),
        0u32..8,
        0u32..3,
        (0u32..3, len, additional),
    )
        .prop_map(
            |(opcode, immediate, flags, itt, ttt, cmd_sn, data_sn, (offset, len, additional))| {
                let first = if immediate { opcode | 0x40 } else { opcode };
                let expected = if opcode & 0x3f == 1 {
                    cmd_sn * 700
                } else {
                    ttt
                };
                let mut wire = Request::new(first, flags)
                    .itt(itt)
                    .at(20, expected)
                    .cmd_sn(cmd_sn)
                    .at(36, data_sn)
                    .at(40, offset * 512)
                    .data(&vec![b'A'; len])
                    .wire(false, false);
                wire[4] = additional;
                let header_end = 48;
                wire.splice(header_end..header_end, vec![0; usize::from(additional) * 4]);
                wire
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn arbitrary_bytes_before_login(input in prop::collection::vec(any::<u8>(), 0..4096)) {
        run(Connection::new(config().into(), challenge(), 0), &input, &[]);
    }

    #[test]
    fn arbitrary_bytes_in_full_feature_phase(input in prop::collection::vec(any::<u8>(), 0..4096)) {
        run(logged_in(""), &input, &[]);
        run(logged_in("HeaderDigest=CRC32C\0DataDigest=CRC32C\0"), &input, &[]);
    }

    #[test]
    fn arbitrary_login_text(text in prop::collection::vec(any::<u8>(), 0..600), flags: u8, named: bool) {
        let mut request = login(flags, &format!("InitiatorName={INITIATOR}\0TargetName={IQN}\0"));
        if !named {
            request.data.clear();
        }
        request.data.extend(&text);
        let input = request.wire(false, false).repeat(2);
        run(Connection::new(config().into(), challenge(), 0), &input, &[]);
    }

    #[test]
    fn the_outcome_does_not_depend_on_how_the_input_is_cut(
        requests in prop::collection::vec(request(), 0..24),
        cuts in prop::collection::vec(any::<usize>(), 0..40),
    ) {
        let keys = "InitialR2T=No\0FirstBurstLength=1024\0MaxBurstLength=1024\0MaxOutstandingR2T=2\0";
        let input = requests.concat();
        let whole = run(logged_in(keys), &input, &[]);
        let cut = run(logged_in(keys), &input, &cuts);
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn answers_may_come_at_any_time(
        steps in prop::collection::vec((request(), any::<prop::sample::Index>(), 0u8..8), 0..60),
    ) {
        let mut connection = logged_in("InitialR2T=No\0FirstBurstLength=1024\0MaxOutstandingR2T=2\0");
        let mut buffer = BytesMut::new();
        let mut open = Vec::new();
        for (request, index, action) in steps {
            buffer.extend_from_slice(&request);
            if connection.receive(&mut buffer, &TwoTargets).is_err() {
                break;
            }
            open.extend(std::iter::from_fn(|| connection.next_event()));
            match action {
                0 => connection.abort_unreported(),
                1..5 if !open.is_empty() => answer(&mut connection, open.remove(index.index(open.len()))),
                _ => {}
            }
            sent(&mut connection);
        }
    }
}
