//! Discovery, NOP, Text, Logout and Reject: RFC 7143 §11.10 to §11.19, appendix C.

mod initiator;

use initiator::{INITIATOR, IQN, Link, NO_TAG, Reply, Request, data_out, login, scsi};
use twindisk_iscsi::{Event, Finish, Line, PortalConfig, ProtocolError, SessionKind};

fn normal() -> Link {
    Link::logged_in(PortalConfig::default(), "")
}

fn discovery(keys: &str) -> Link {
    let mut link = Link::new(PortalConfig::default());
    link.send(&login(
        0x87,
        &format!("InitiatorName={INITIATOR}\0SessionType=Discovery\0{keys}"),
    ));
    let request = link.accept();
    assert_eq!(
        (request.kind, request.target),
        (SessionKind::Discovery, None)
    );
    assert!(
        !link
            .reply()
            .text()
            .iter()
            .any(|pair| pair.starts_with("TargetPortalGroupTag"))
    );
    link
}

fn text(itt: u32, cmd_sn: u32, flags: u8, ttt: u32, text: &str) -> Request {
    Request::new(0x04, flags)
        .itt(itt)
        .at(20, ttt)
        .cmd_sn(cmd_sn)
        .data(text.as_bytes())
}

fn reject_reason(reply: &Reply) -> u8 {
    assert_eq!(reply.opcode(), 0x3f);
    assert_eq!(reply.at(16), NO_TAG);
    assert_eq!(reply.data.len(), 48);
    reply.header[2]
}

#[test]
fn send_targets_all_lists_every_target_with_its_portals() {
    let mut link = discovery("");
    link.send(&text(5, 1, 0x80, NO_TAG, "SendTargets=All\0"));
    let reply = link.reply();
    assert_eq!(reply.header[..2], [0x24, 0x80]);
    assert_eq!((reply.at(16), reply.at(20)), (5, NO_TAG));
    assert_eq!((reply.at(24), reply.at(28), reply.at(32)), (1, 2, 129));
    assert_eq!(
        reply.text(),
        [
            &format!("TargetName={IQN}"),
            "TargetAddress=10.0.13.100:3260,1",
            "TargetAddress=10.0.13.101:3260,2",
            "TargetName=iqn.2006-06.com.quadstor.vdisk.M2",
            "TargetAddress=127.0.0.1:3260,2",
        ]
    );
}

#[test]
fn send_targets_of_one_target_and_of_none() {
    let mut link = discovery("");
    link.send(&text(
        1,
        1,
        0x80,
        NO_TAG,
        &format!("SendTargets={}\0", IQN.replace("M1", "M2")),
    ));
    assert_eq!(link.reply().text().len(), 2);
    link.send(&text(
        2,
        2,
        0x80,
        NO_TAG,
        "SendTargets=iqn.2000-01.com.example:none\0",
    ));
    assert!(link.reply().text().is_empty());
    link.send(&text(3, 3, 0x80, NO_TAG, "SendTargets=\0"));
    assert_eq!(link.reply().text(), ["SendTargets=Reject"]);
}

#[test]
fn a_normal_session_learns_of_its_own_target_only() {
    let mut link = normal();
    for (cmd_sn, value) in [(1, ""), (2, "All"), (3, IQN)] {
        link.send(&text(
            cmd_sn,
            cmd_sn,
            0x80,
            NO_TAG,
            &format!("SendTargets={value}\0"),
        ));
        assert_eq!(link.reply().text().len(), 3, "{value}");
    }
    link.send(&text(
        4,
        4,
        0x80,
        NO_TAG,
        "SendTargets=Alle\0SendTargetsPlease=All\0",
    ));
    assert_eq!(
        link.reply().text(),
        ["SendTargets=Reject", "SendTargetsPlease=NotUnderstood"]
    );
}

#[test]
fn a_long_answer_is_fetched_piece_by_piece() {
    let mut link = discovery("");
    link.send(&text(1, 1, 0x80, NO_TAG, "MaxRecvDataSegmentLength=512\0"));
    assert!(link.reply().data.is_empty());
    let keys: String = (0..40)
        .map(|number| format!("X-com.example.key{number}=1\0"))
        .collect();
    link.send(&text(2, 2, 0x80, NO_TAG, &keys));
    let mut collected: Vec<u8> = Vec::new();
    let mut cmd_sn = 3;
    loop {
        let reply = link.reply();
        collected.extend(&reply.data);
        if reply.header[1] == 0x80 {
            assert_eq!(reply.at(20), NO_TAG);
            break;
        }
        assert_eq!((reply.header[1], reply.data.len()), (0x40, 512));
        link.send(&text(2, cmd_sn, 0x80, reply.at(20), ""));
        cmd_sn += 1;
    }
    assert_eq!(
        collected.len(),
        keys.len() + 40 * ("NotUnderstood".len() - 1)
    );
}

#[test]
fn a_request_over_several_pdus_is_put_together() {
    let mut link = discovery("");
    link.send(&text(1, 1, 0x40, NO_TAG, "SendTar"));
    let reply = link.reply();
    assert_eq!((reply.header[1], reply.data.len()), (0, 0));
    link.send(&text(1, 2, 0x80, reply.at(20), "gets=All\0"));
    assert_eq!(link.reply().text().len(), 5);
    link.send(&text(1, 3, 0x80, 77, "SendTargets=All\0"));
    assert_eq!(reject_reason(&link.reply()), 0x09);
}

#[test]
fn a_text_that_is_refused_uses_up_no_number() {
    let mut link = discovery("");
    let much = "X-a=".to_owned() + &"b".repeat(70_000) + "\0";
    for (request, reason) in [
        (text(1, 1, 0x80, 77, "SendTargets=All\0"), 0x09),
        (text(1, 1, 0xc0, NO_TAG, "SendTar"), 0x09),
        (text(1, 1, 0x80, NO_TAG, "SendTargets\0"), 0x04),
        (text(1, 1, 0x80, NO_TAG, &much), 0x0a),
    ] {
        link.send(&request);
        let reply = link.reply();
        assert_eq!(reject_reason(&reply), reason);
        assert_eq!(reply.at(28), 1, "ExpCmdSN");
    }
    link.send(&text(1, 1, 0x80, NO_TAG, "SendTargets=All\0"));
    assert_eq!(link.reply().text().len(), 5);
}

#[test]
fn a_discovery_session_takes_no_commands() {
    let mut link = discovery("");
    link.send(&scsi(1, 1, 0x80, 0, &[0]));
    assert_eq!(reject_reason(&link.reply()), 0x05);
    link.no_event();
}

#[test]
fn nop_out_is_echoed_up_to_the_initiators_limit() {
    let mut link = Link::logged_in(PortalConfig::default(), "MaxRecvDataSegmentLength=512\0");
    let nop = Request::new(0x40, 0x80).itt(9).at(20, NO_TAG).cmd_sn(1);
    link.send(&nop.clone().data(&[7; 600]));
    let reply = link.reply();
    assert_eq!(
        (reply.opcode(), reply.at(16), reply.at(20)),
        (0x20, 9, NO_TAG)
    );
    assert_eq!(reply.data, [7; 512]);
    assert_eq!(reply.at(28), 1, "an immediate request uses up no number");
    link.send(&nop.byte(0, 0).itt(10));
    let reply = link.reply();
    assert_eq!((reply.at(24), reply.at(28), reply.at(32)), (2, 2, 129));
    link.send(
        &Request::new(0x40, 0x80)
            .itt(NO_TAG)
            .at(20, NO_TAG)
            .cmd_sn(2),
    );
    assert!(link.replies().is_empty());
}

#[test]
fn silence_is_met_by_a_ping_and_then_ends_the_connection() {
    let second = 1_000_000_000;
    let mut link = normal();
    link.connection.tick(0, Line::default()).unwrap();
    link.connection.tick(10 * second, Line::default()).unwrap();
    let ping = link.reply();
    assert_eq!((ping.opcode(), ping.at(16)), (0x20, NO_TAG));
    assert_ne!(ping.at(20), NO_TAG);
    assert_eq!(ping.at(24), 1, "StatSN is not used up");
    link.send(
        &Request::new(0x40, 0x80)
            .itt(NO_TAG)
            .at(20, ping.at(20))
            .cmd_sn(1),
    );
    assert!(link.replies().is_empty());
    link.connection.tick(20 * second, Line::default()).unwrap();
    link.connection.tick(30 * second, Line::default()).unwrap();
    assert_eq!(link.reply().at(24), 1);
    assert_eq!(
        link.connection.tick(40 * second, Line::default()),
        Err(ProtocolError::PingTimeout)
    );
}

#[test]
fn logout_ends_the_connection_after_its_answer() {
    for (flags, cid) in [(0x80, 9), (0x81, 0)] {
        let mut link = normal();
        link.send(&scsi(1, 1, 0x80, 0, &[0]));
        let command = link.command();
        link.send(&Request::new(0x46, flags).itt(2).at(20, cid << 16).cmd_sn(2));
        let reply = link.reply();
        assert_eq!(reply.header[..4], [0x26, 0x80, 0, 0]);
        assert_eq!(
            link.connection.next_event(),
            Some(Event::Finished(Finish::LoggedOut))
        );
        assert!(!link.connection.wants_input());
        link.connection
            .respond(command.task, twindisk_iscsi::ScsiResponse::default());
        assert!(link.replies().is_empty());
    }
}

#[test]
fn logout_of_another_connection_and_for_recovery_are_declined() {
    let mut link = normal();
    for (flags, cid, response) in [(0x81, 3, 1), (0x82, 0, 2)] {
        link.send(
            &Request::new(0x06, flags)
                .itt(2)
                .at(20, cid << 16)
                .cmd_sn(u32::from(response)),
        );
        assert_eq!(link.reply().header[2], response);
        link.no_event();
    }
    link.send(&Request::new(0x06, 0x83).itt(2).cmd_sn(3));
    let reply = link.reply();
    assert_eq!(reject_reason(&reply), 0x09);
    assert_eq!(reply.at(28), 3, "no number is used up");
}

#[test]
fn the_initiator_can_be_asked_to_log_out() {
    let mut link = normal();
    link.connection.request_logout(5);
    let reply = link.reply();
    assert_eq!(reply.header[..2], [0x32, 0x80]);
    assert_eq!(
        (reply.at(16), reply.header[36], reply.header[43]),
        (NO_TAG, 1, 5)
    );
}

#[test]
fn the_initiator_is_told_that_it_will_be_dropped() {
    let mut link = normal();
    link.connection.announce_drop(2);
    let reply = link.reply();
    assert_eq!(reply.header[..2], [0x32, 0x80]);
    assert_eq!((reply.at(16), reply.header[36]), (NO_TAG, 3));
    assert_eq!(reply.header[40..44], [0, 2, 0, 0]);
    assert!(!link.connection.wants_input());
    link.connection.announce_drop(2);
    assert!(link.replies().is_empty());
}

#[test]
fn unusable_pdus_are_rejected_and_the_session_goes_on() {
    let mut link = normal();
    for (request, reason) in [
        (Request::new(0x10, 0x80).itt(1), 0x03),
        (login(0x87, ""), 0x04),
        (Request::new(0x1c, 0x80), 0x05),
        (scsi(NO_TAG, 1, 0x80, 0, &[0]), 0x09),
        (scsi(1, 1, 0x00, 0, &[0]), 0x09),
        (scsi(1, 1, 0x87, 0, &[0]), 0x09),
        (scsi(1, 1, 0x20, 512, &[0x2a]), 0x04),
        (text(NO_TAG, 1, 0x80, NO_TAG, ""), 0x09),
    ] {
        link.send(&request);
        let reply = link.reply();
        assert_eq!(reject_reason(&reply), reason, "{:02x?}", request.header);
        assert_eq!(reply.data[..5], request.header[..5]);
        link.no_event();
    }
}

#[test]
fn digests_cover_both_directions() {
    let mut link = Link::logged_in(
        PortalConfig::default(),
        "HeaderDigest=CRC32C\0DataDigest=CRC32C\0",
    );
    let nop = Request::new(0x40, 0x80)
        .itt(9)
        .at(20, NO_TAG)
        .cmd_sn(1)
        .data(b"hello");
    link.send(&nop);
    assert_eq!(link.reply().data, b"hello");

    let mut spoilt = nop.wire(true, true);
    spoilt[54] ^= 1;
    link.input.extend_from_slice(&spoilt);
    link.connection
        .receive(&mut link.input, &initiator::TwoTargets)
        .unwrap();
    assert_eq!(reject_reason(&link.reply()), 0x02);

    let mut spoilt = nop.wire(true, true);
    spoilt[20] ^= 1;
    link.input.extend_from_slice(&spoilt);
    let outcome = link
        .connection
        .receive(&mut link.input, &initiator::TwoTargets);
    assert_eq!(outcome, Err(ProtocolError::HeaderDigest));
}

#[test]
fn data_with_a_wrong_digest_fail_their_command() {
    let mut link = Link::logged_in(PortalConfig::default(), "DataDigest=CRC32C\0");
    link.send(&scsi(1, 1, 0xa0, 512, &[0x2a]));
    let r2t = link.reply();
    let mut spoilt = data_out(1, r2t.at(20), 0, 0, true, &[1; 512]).wire(false, true);
    spoilt[48] ^= 1;
    link.input.extend_from_slice(&spoilt);
    link.connection
        .receive(&mut link.input, &initiator::TwoTargets)
        .unwrap();
    let replies = link.replies();
    assert_eq!(reject_reason(&replies[0]), 0x02);
    assert_eq!(replies[1].header[..4], [0x21, 0x80, 0, 2]);
    assert_eq!(replies[1].data[2 + 2], 0x0b);
    assert_eq!(replies[1].data[2 + 12..2 + 14], [0x47, 0x05]);
    link.no_event();
}

#[test]
fn an_initiator_that_does_not_read_gets_no_work_done() {
    let mut link = normal();
    let nop = Request::new(0x40, 0x80)
        .itt(9)
        .at(20, NO_TAG)
        .cmd_sn(1)
        .data(&vec![7; 8192]);
    for _ in 0..1200 {
        link.send(&nop);
    }
    assert!(!link.connection.wants_input());
    assert!(!link.input.is_empty());
    assert!(link.connection.transmit().len_bytes() < 9 << 20);
    link.replies();
    link.connection
        .receive(&mut link.input, &initiator::TwoTargets)
        .unwrap();
    assert!(link.input.is_empty());
}
