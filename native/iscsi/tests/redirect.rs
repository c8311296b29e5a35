//! A portal that sends initiators elsewhere: RFC 7143 §11.13.5, class 1.

mod initiator;

use initiator::{GUARDED, INITIATOR, IQN, Link, login};
use twindisk_iscsi::{PortalConfig, Redirect};

fn link(permanent: bool) -> Link {
    let address = "10.0.14.100:3260".to_owned();
    Link::new(PortalConfig {
        redirect: Some(Redirect { address, permanent }),
        ..PortalConfig::default()
    })
}

fn names(target: &str) -> String {
    format!("InitiatorName={INITIATOR}\0TargetName={target}\0SessionType=Normal\0")
}

#[test]
fn whoever_wants_a_target_is_told_where_to_go() {
    for (permanent, status) in [(false, 0x0101), (true, 0x0102)] {
        // At once, whatever stage it begins with, and before any secret is asked for.
        for (flags, target) in [(0x87, IQN), (0x81, IQN), (0x81, GUARDED)] {
            let mut link = link(permanent);
            link.send(&login(flags, &names(target)));
            let reply = link.reply();
            assert_eq!((reply.login_status(), reply.header[1] & 0x83), (status, 0));
            assert_eq!(reply.text(), ["TargetAddress=10.0.14.100:3260"]);
            assert_eq!(link.refused_status(), status);
            assert!(!link.connection.wants_input());
        }
    }
}

#[test]
fn a_text_over_several_pdus_is_put_together_first() {
    let mut link = link(false);
    let text = names(IQN);
    link.send(&login(0x44, &text[..20]));
    assert_eq!(link.reply().login_status(), 0);
    link.send(&login(0x87, &text[20..]));
    assert_eq!(link.reply().login_status(), 0x0101);
}

#[test]
fn what_would_be_refused_is_refused_here() {
    for (text, status) in [
        (names("iqn.2006-06.com.quadstor.vdisk.gone"), 0x0203),
        (names("iqn.2006-06.com.quadstor.vdisk.later"), 0x0301),
        (format!("TargetName={IQN}\0"), 0x0207),
        (format!("InitiatorName={INITIATOR}\0"), 0x0207),
    ] {
        let mut link = link(false);
        link.send(&login(0x87, &text));
        let reply = link.reply();
        assert_eq!(reply.login_status(), status);
        assert!(reply.data.is_empty());
    }
}

#[test]
fn discovery_is_served() {
    let mut link = link(false);
    link.send(&login(
        0x87,
        &format!("InitiatorName={INITIATOR}\0SessionType=Discovery\0"),
    ));
    link.accept();
    assert_eq!(link.reply().login_status(), 0);
}
