//! Login phase: RFC 7143 §6.3, §11.12, §11.13.

mod initiator;

use initiator::{INITIATOR, IQN, Link, Request, login};
use twindisk_iscsi::{Line, LoginRefusal, PortalConfig, ProtocolError, SessionKind};

fn names() -> String {
    format!(
        "InitiatorName={INITIATOR}\0InitiatorAlias=vm12\0TargetName={IQN}\0SessionType=Normal\0"
    )
}

fn link() -> Link {
    Link::new(PortalConfig::default())
}

#[test]
fn both_stages_then_full_feature_phase() {
    let mut link = link();
    link.send(&login(0x81, &format!("{}AuthMethod=CHAP,None\0", names())));
    let reply = link.reply();
    assert_eq!(reply.header[..4], [0x23, 0x81, 0, 0]);
    assert_eq!(reply.text(), ["TargetPortalGroupTag=2", "AuthMethod=None"]);
    let keys = "HeaderDigest=None\0MaxRecvDataSegmentLength=65536\0FirstBurstLength=262144\0\
                MaxBurstLength=16776192\0InitialR2T=No\0ImmediateData=Yes\0MaxOutstandingR2T=1\0X-com.a=1\0";
    link.send(&login(0x87, keys));
    assert!(
        link.replies().is_empty(),
        "no answer before the caller's word"
    );
    let request = link.accept();
    assert_eq!(request.kind, SessionKind::Normal);
    assert_eq!(
        (request.initiator.as_str(), request.target.as_deref()),
        (INITIATOR, Some(IQN))
    );
    assert_eq!(request.initiator_alias.as_deref(), Some("vm12"));
    assert_eq!(
        (request.isid, request.tsih, request.cid, request.group_tag),
        ([0x40, 1, 2, 3, 0, 1], 0, 0, 2)
    );
    let reply = link.reply();
    assert_eq!(reply.header[..2], [0x23, 0x87]);
    assert_eq!(reply.header[8..16], [0x40, 1, 2, 3, 0, 1, 0, 7]);
    assert_eq!((reply.at(24), reply.at(28), reply.at(32)), (1, 1, 128));
    assert_eq!(
        reply.text(),
        [
            "HeaderDigest=None",
            "FirstBurstLength=262144",
            "MaxBurstLength=1048576",
            "InitialR2T=No",
            "ImmediateData=Yes",
            "MaxOutstandingR2T=1",
            "X-com.a=NotUnderstood",
            "MaxRecvDataSegmentLength=262144",
        ]
    );
}

#[test]
fn a_text_over_several_pdus_is_put_together() {
    let mut link = link();
    let text = names();
    let (first, second) = text.split_at(40);
    link.send(&login(0x40, first));
    let reply = link.reply();
    assert_eq!((reply.header[1], reply.data.len()), (0, 0));
    link.send(&login(0x81, second));
    assert_eq!(link.reply().text(), ["TargetPortalGroupTag=2"]);
}

#[test]
fn operational_keys_have_no_place_in_the_security_stage() {
    let mut link = link();
    link.send(&login(0x00, &format!("{}MaxBurstLength=512\0", names())));
    let reply = link.reply();
    assert_eq!(reply.header[1], 0);
    assert_eq!(
        reply.text(),
        ["TargetPortalGroupTag=2", "MaxBurstLength=Reject"]
    );
}

#[test]
fn faults_have_the_standards_statuses() {
    let initiator_only = format!("InitiatorName={INITIATOR}\0");
    for (request, status) in [
        (login(0x87, &format!("TargetName={IQN}\0")), 0x0207),
        (login(0x87, &initiator_only), 0x0207),
        (
            login(
                0x87,
                &format!("{initiator_only}TargetName=iqn.2006-06.com.quadstor.vdisk.none\0"),
            ),
            0x0203,
        ),
        (
            login(
                0x87,
                "InitiatorName=iqn.2026-11.org.example:stranger\0SessionType=Discovery\0",
            ),
            0x0202,
        ),
        (
            login(0x87, &format!("{initiator_only}TargetName=iqn.later\0")),
            0x0301,
        ),
        (
            login(0x87, &format!("{initiator_only}SessionType=Other\0")),
            0x0209,
        ),
        (
            login(0x81, &format!("{}AuthMethod=CHAP\0", names())),
            0x0201,
        ),
        (login(0x87, &names()).byte(3, 1), 0x0205),
        (login(0x87, "no pair\0"), 0x0200),
        (login(0x87, &format!("{0}{0}", names())), 0x0200),
        (login(0xc7, &names()), 0x0200),
        (login(0x85, &names()), 0x0200),
        (login(0x86, &names()), 0x0200),
        (login(0x8f, &names()), 0x0200),
    ] {
        let mut link = link();
        link.send(&request);
        assert_eq!(
            link.reply().login_status(),
            status,
            "{:02x?}",
            request.header
        );
        assert_eq!(link.refused_status(), status);
        assert!(!link.connection.wants_input());
    }
}

#[test]
fn a_login_may_not_change_its_identity_or_go_back() {
    for second in [
        login(0x87, "").itt(0x11),
        login(0x87, "").byte(13, 9),
        login(0x87, "").byte(21, 1),
        login(0x81, ""),
        login(0x87, "InitialR2T=No\0InitiatorAlias=again\0"),
    ] {
        let mut link = link();
        link.send(&login(0x81, &names()));
        assert_eq!(link.reply().login_status(), 0);
        link.send(&second);
        assert_eq!(link.reply().login_status(), 0x0200);
    }
}

#[test]
fn other_pdus_before_login_end_the_connection_and_during_login_refuse_it() {
    let nop_out = Request::new(0x40, 0x80).itt(1);
    assert_eq!(
        link().try_send(&nop_out),
        Err(ProtocolError::NotLogin { opcode: 0 })
    );
    let mut link = link();
    link.send(&login(0x81, &names()));
    link.replies();
    link.send(&nop_out);
    assert_eq!(link.reply().login_status(), 0x020b);
}

#[test]
fn the_caller_may_refuse() {
    for (refusal, status) in [
        (LoginRefusal::TooManyConnections, 0x0206),
        (LoginRefusal::NoSuchSession, 0x020a),
        (LoginRefusal::OutOfResources, 0x0302),
    ] {
        let mut link = link();
        link.send(&login(0x87, &names()));
        link.connection.next_event().unwrap();
        link.connection.reject_login(refusal);
        assert_eq!(link.reply().login_status(), status);
        assert_eq!(link.refused_status(), status);
    }
}

#[test]
fn nothing_is_consumed_while_the_callers_word_is_awaited() {
    let mut link = link();
    link.send(&login(0x87, &names()));
    link.send(
        &Request::new(0x40, 0x80)
            .itt(1)
            .at(20, 0xffff_ffff)
            .cmd_sn(1),
    );
    assert_eq!(link.input.len(), 48);
    link.accept();
    assert!(link.input.is_empty());
    let opcodes: Vec<u8> = link.replies().iter().map(|reply| reply.header[0]).collect();
    assert_eq!(opcodes, [0x23, 0x20]);
}

#[test]
fn segments_and_texts_over_the_limit_are_refused() {
    let mut long = link();
    let mut request = login(0x40, "");
    request.data = vec![b'a'; 8193];
    assert_eq!(
        long.try_send(&request),
        Err(ProtocolError::SegmentTooLong {
            length: 8193,
            limit: 8192
        })
    );

    let mut many = link();
    request.data = vec![b'a'; 8192];
    for _ in 0..8 {
        many.send(&request);
    }
    assert!(many.replies().iter().all(|reply| reply.login_status() == 0));
    many.send(&request);
    assert_eq!(many.reply().login_status(), 0x0302);
}

#[test]
fn a_slow_login_is_ended() {
    let mut link = link();
    assert_eq!(
        link.connection.tick(14_999_999_999, Line::default()),
        Ok(())
    );
    assert_eq!(
        link.connection.tick(15_000_000_000, Line::default()),
        Err(ProtocolError::LoginTimeout)
    );
    assert!(!link.connection.wants_input());
}
