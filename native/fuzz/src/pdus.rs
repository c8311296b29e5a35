//! Any bytes, and PDUs that are nearly right, in full feature phase; answered at any time.

use bytes::{Bytes, BytesMut};
use twindisk_iscsi::{Connection, Event, ScsiResponse, TaskManagementResponse};

use crate::input::Input;
use crate::targets::{TwoTargets, check_sent, logged_in, wire};

const KEYS: [&str; 4] = [
    "",
    "InitialR2T=No\0FirstBurstLength=1024\0MaxBurstLength=1024\0MaxOutstandingR2T=2\0",
    "ImmediateData=No\0MaxRecvDataSegmentLength=512\0",
    "HeaderDigest=CRC32C\0DataDigest=CRC32C\0",
];

/// Run an input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mode = input.byte();
    let keys = KEYS[usize::from(mode & 3)];
    let mut connection = logged_in(keys);
    let mut buffer = BytesMut::new();
    let (mut open, mut now_ns) = (Vec::new(), 0);
    while !input.is_empty() {
        if mode & 4 == 0 {
            let pdu = near_pdu(&mut input);
            buffer.extend_from_slice(&pdu);
        } else {
            buffer.extend_from_slice(input.piece(600));
        }
        let failed = connection.receive(&mut buffer, &TwoTargets).is_err();
        open.extend(std::iter::from_fn(|| connection.next_event()));
        let action = input.byte();
        act(&mut connection, action, &mut open, &mut now_ns);
        check_sent(&mut connection, mode & 3 == 3);
        if failed {
            assert!(!connection.wants_input());
            break;
        }
        assert!(buffer.len() < 48 + 1020 + 1024 + 12 || !connection.wants_input());
    }
    for event in open {
        answer(&mut connection, event, true);
    }
    check_sent(&mut connection, mode & 3 == 3);
}

/// A PDU of small numbers, whose length is right.
fn near_pdu(input: &mut Input<'_>) -> Vec<u8> {
    const OPCODES: [u8; 8] = [0x00, 0x01, 0x02, 0x04, 0x05, 0x06, 0x10, 0x03];
    let choice = input.byte();
    let mut header = [0; 48];
    header[0] = OPCODES[usize::from(choice & 7)] | choice & 0x40;
    header[1] = input.byte();
    let [lun, itt, ttt, cmd_sn, stat_sn, data_sn, offset, spare] = input.array();
    header[9] = lun & 1;
    header[19] = itt & 7;
    header[20..24].copy_from_slice(&if ttt & 0x80 == 0 {
        u32::MAX.to_be_bytes()
    } else {
        u32::from(ttt & 0x7f).to_be_bytes()
    });
    if header[0] & 0x3f == 1 {
        header[20..24].copy_from_slice(&(u32::from(ttt) * 64).to_be_bytes());
    }
    header[27] = cmd_sn;
    header[31] = stat_sn;
    header[39] = data_sn & 0x0f;
    header[42..44].copy_from_slice(&(u16::from(offset) * 64).to_be_bytes());
    header[32] = if header[0] & 0x3f == 1 { spare } else { 0 };
    let data = input.piece(1100);
    wire(header, data)
}

fn act(connection: &mut Connection, action: u8, open: &mut Vec<Event>, now_ns: &mut u64) {
    match action & 7 {
        0 => connection.abort_unreported(),
        1 => {
            *now_ns += 1_000_000_000 * u64::from(action >> 3);
            // A connection that is given up for its silence takes no more input; the next call says so.
            let _ = connection.tick(*now_ns, twindisk_iscsi::Line::default());
        }
        2 => connection.request_logout(u16::from(action)),
        3 | 4 if !open.is_empty() => {
            let event = open.remove(usize::from(action >> 3) % open.len());
            answer(connection, event, action & 1 == 0);
        }
        5 => {
            for event in open.drain(..) {
                answer(connection, event, true);
            }
        }
        _ => {}
    }
}

fn answer(connection: &mut Connection, event: Event, good: bool) {
    match event {
        Event::Command(command) => {
            if command.write {
                let len_bytes: usize = command.data_out.iter().map(Bytes::len).sum();
                assert_eq!(len_bytes, command.expected_len as usize);
            }
            let response = if good {
                ScsiResponse {
                    data_in: vec![Bytes::from(vec![0x5a; 700])],
                    ..ScsiResponse::default()
                }
            } else {
                ScsiResponse {
                    status: 2,
                    sense: Bytes::from(vec![0x70; 18]),
                    transfer_len: Some(4096),
                    ..ScsiResponse::default()
                }
            };
            connection.respond(command.task, response);
        }
        Event::TaskManagement { task, .. } => {
            let response = if good {
                TaskManagementResponse::Complete
            } else {
                TaskManagementResponse::NoSuchLun
            };
            connection.respond_task_management(task, response);
        }
        Event::SessionRequested(_) | Event::Finished(_) => {}
    }
}
