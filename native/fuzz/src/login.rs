//! Logins: any text in any stage, with CHAP and without, in parts, and text requests afterwards.

use bytes::BytesMut;
use twindisk_iscsi::{Event, SessionKind};

use crate::input::Input;
use crate::targets::{GUARDED, OPEN, TwoTargets, check_sent, connection, login_request, wire};

/// The right answer of `alice` to the challenge of [`connection`], by MD5.
const RIGHT: &str = "CHAP_N=alice\0CHAP_R=0x7f2db8f8e84ea8f9ba29ebb070f7b59d\0";

/// Run an input.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut connection = connection();
    let mut buffer = BytesMut::new();
    let mut proven = false;
    let mut logged_in = false;
    for _ in 0..16 {
        if input.is_empty() {
            break;
        }
        let flags = input.byte();
        let mut text = beginning(input.byte(), &mut proven);
        text.extend_from_slice(input.piece(2000));
        let request = if logged_in {
            let mut header = [0; 48];
            header[0] = 0x44;
            header[1] = flags;
            header[19] = 9;
            header[20..24].copy_from_slice(&u32::MAX.to_be_bytes());
            header[27] = 1;
            wire(header, &text)
        } else {
            login_request(flags, &text)
        };
        buffer.extend_from_slice(&request);
        let failed = connection.receive(&mut buffer, &TwoTargets).is_err();
        while let Some(event) = connection.next_event() {
            if let Event::SessionRequested(request) = event {
                assert!(
                    request.target.as_deref() != Some(GUARDED)
                        || proven && request.user.as_deref() == Some("alice"),
                    "somebody got in who did not prove himself"
                );
                assert!(request.user.is_none() || request.kind == SessionKind::Normal);
                connection.accept_login(1);
                logged_in = true;
            }
        }
        check_sent(&mut connection, false);
        if failed {
            break;
        }
    }
}

/// What a text begins with, so that the fuzzer gets past the names.
fn beginning(choice: u8, proven: &mut bool) -> Vec<u8> {
    let names = |target: &str| format!("InitiatorName=iqn.fuzz\0TargetName={target}\0");
    match choice & 15 {
        0 => names(OPEN),
        1 => format!("{}AuthMethod=None,CHAP\0", names(GUARDED)),
        2 => "InitiatorName=iqn.fuzz\0SessionType=Discovery\0".to_owned(),
        3 => "CHAP_A=5\0".to_owned(),
        4 => "CHAP_A=8,7,6\0".to_owned(),
        5 => {
            *proven = true;
            RIGHT.to_owned()
        }
        6 => "SendTargets=All\0".to_owned(),
        7 => "CHAP_I=3\0CHAP_C=0x0102030405060708\0".to_owned(),
        8 => {
            *proven = true;
            format!("{RIGHT}CHAP_I=3\0CHAP_C=0b")
        }
        9 => format!("{}AuthMethod=CHAP\0", names(GUARDED)),
        _ => String::new(),
    }
    .into_bytes()
}
