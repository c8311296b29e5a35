//! Authentication at login: RFC 7143 §12.1, with the shapes in which initiators ask for it.

mod initiator;

use initiator::{ALICES_SECRET, GUARDED, INITIATOR, IQN, Link, Request, VAULTS_SECRET, login};
use md5::Md5;
use sha1::Sha1;
use sha2::Sha256;
use sha2::digest::Digest;
use sha3::Sha3_256;
use twindisk_iscsi::PortalConfig;

/// Flags of a login request: stage security, staying or going on to the operational stage or to full feature phase.
const STAY: u8 = 0x00;
const TO_OPERATIONAL: u8 = 0x81;
const TO_FULL: u8 = 0x83;
const REFUSED: u16 = 0x0201;

fn names(target: &str) -> String {
    format!("InitiatorName={INITIATOR}\0TargetName={target}\0SessionType=Normal\0")
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

/// An initiator's own computation, apart from the target's.
fn response(algorithm: &str, id: u8, secret: &[u8], challenge: &[u8]) -> String {
    let message = [&[id], secret, challenge].concat();
    hexadecimal(&match algorithm {
        "5" => Md5::digest(message).to_vec(),
        "6" => Sha1::digest(message).to_vec(),
        "7" => Sha256::digest(message).to_vec(),
        "8" => Sha3_256::digest(message).to_vec(),
        _ => panic!("{algorithm}"),
    })
}

/// The answer to the challenge that every link of these tests is made with.
fn answer(algorithm: &str, secret: &[u8]) -> String {
    response(algorithm, 7, secret, &[7; 32])
}

/// A link that has been sent the challenge.
fn challenged(algorithms: &str) -> Link {
    let mut link = Link::new(PortalConfig::default());
    link.send(&login(
        TO_OPERATIONAL,
        &format!("{}AuthMethod=CHAP,None\0", names(GUARDED)),
    ));
    let reply = link.reply();
    assert_eq!(
        reply.header[1], 0,
        "the security stage is not left before CHAP"
    );
    assert_eq!(reply.text(), ["TargetPortalGroupTag=2", "AuthMethod=CHAP"]);
    link.send(&login(STAY, &format!("CHAP_A={algorithms}\0")));
    link
}

fn refused(mut link: Link, request: &Request) {
    link.send(request);
    assert_eq!(link.reply().login_status(), REFUSED);
    assert_eq!(link.refused_status(), REFUSED);
    assert!(!link.connection.wants_input());
}

#[test]
fn every_algorithm_lets_alice_in_and_the_strongest_common_one_is_used() {
    for (offered, used) in [
        ("5", "5"),
        ("5,6", "6"),
        ("5,6,7", "7"),
        ("8,7,6,5", "8"),
        ("5,8", "8"),
    ] {
        let mut link = challenged(offered);
        let reply = link.reply();
        assert_eq!(
            reply.text(),
            [
                format!("CHAP_A={used}"),
                "CHAP_I=7".to_owned(),
                format!("CHAP_C={}", hexadecimal(&[7; 32])),
            ]
        );
        let right = answer(used, ALICES_SECRET);
        link.send(&login(
            TO_OPERATIONAL,
            &format!("CHAP_N=alice\0CHAP_R={right}\0"),
        ));
        let reply = link.reply();
        assert_eq!((reply.login_status(), reply.header[1]), (0, 0x81));
        assert!(reply.data.is_empty());
        link.send(&login(0x87, ""));
        assert_eq!(link.accept().user.as_deref(), Some("alice"));
        assert_eq!(link.reply().login_status(), 0);
    }
}

#[test]
fn the_operational_stage_may_be_skipped_after_chap() {
    let mut link = challenged("5");
    link.reply();
    let right = answer("5", ALICES_SECRET);
    link.send(&login(TO_FULL, &format!("CHAP_R={right}\0CHAP_N=alice\0")));
    assert_eq!(link.accept().user.as_deref(), Some("alice"));
    assert_eq!(link.reply().header[1], 0x83);
}

#[test]
fn mutual_chap_proves_the_target_too() {
    for (algorithm, their_challenge) in [("5", vec![1; 16]), ("7", vec![2; 1024]), ("8", vec![3])] {
        let mut link = challenged(algorithm);
        link.reply();
        let right = answer(algorithm, ALICES_SECRET);
        let text = format!(
            "CHAP_N=alice\0CHAP_R={right}\0CHAP_I=200\0CHAP_C={}\0",
            hexadecimal(&their_challenge)
        );
        link.send(&login(TO_OPERATIONAL, &text));
        let reply = link.reply();
        assert_eq!((reply.login_status(), reply.header[1]), (0, 0x81));
        let expected = response(algorithm, 200, VAULTS_SECRET, &their_challenge);
        assert_eq!(
            reply.text(),
            ["CHAP_N=vault".to_owned(), format!("CHAP_R={expected}")]
        );
    }
}

#[test]
fn who_does_not_prove_itself_is_refused() {
    let right = answer("5", ALICES_SECRET);
    let good = format!("CHAP_N=alice\0CHAP_R={right}\0");
    let own = hexadecimal(&[7; 32]);
    for text in [
        format!("CHAP_N=alice\0CHAP_R={}\0", answer("5", b"alice's secreT")),
        format!(
            "CHAP_N=mallory\0CHAP_R={}\0",
            answer("5", b"nobody knows it")
        ),
        format!("CHAP_N=bob\0CHAP_R={right}\0"),
        format!("CHAP_N=Alice\0CHAP_R={right}\0"),
        format!("CHAP_N=alice\0CHAP_R={}\0", answer("7", ALICES_SECRET)),
        format!("CHAP_N=alice\0CHAP_R={}\0", &right[..right.len() - 2]),
        format!("CHAP_N=alice\0CHAP_R={right}00\0"),
        "CHAP_N=alice\0CHAP_R=0x\0".to_owned(),
        "CHAP_N=alice\0CHAP_R=\0".to_owned(),
        "CHAP_N=alice\0".to_owned(),
        format!("CHAP_R={right}\0"),
        String::new(),
        // A reflected challenge, under any identifier, and other faults of the initiator's challenge.
        format!("{good}CHAP_I=7\0CHAP_C={own}\0"),
        format!("{good}CHAP_I=8\0CHAP_C={own}\0"),
        format!("{good}CHAP_I=256\0CHAP_C=0x0102\0"),
        format!("{good}CHAP_I=1\0CHAP_C={}\0", hexadecimal(&[1; 1025])),
        format!("{good}CHAP_I=1\0"),
        format!("{good}CHAP_C=0x0102\0"),
        format!("{good}CHAP_A=5\0"),
        format!("{good}AuthMethod=CHAP\0"),
    ] {
        let mut link = challenged("5");
        link.reply();
        let repeated = text.contains("CHAP_A") || text.contains("AuthMethod");
        let request = login(TO_OPERATIONAL, &text);
        if repeated {
            link.send(&request);
            assert_eq!(link.reply().login_status(), 0x0200, "{text}");
        } else {
            refused(link, &request);
        }
    }
}

#[test]
fn nobody_gets_past_the_security_stage_without_chap() {
    let new = || Link::new(PortalConfig::default());
    let none = format!("{}AuthMethod=None\0", names(GUARDED));
    refused(new(), &login(TO_OPERATIONAL, &none));
    refused(new(), &login(TO_OPERATIONAL, &names(GUARDED)));
    // The security stage is skipped.
    refused(new(), &login(0x87, &names(GUARDED)));
    refused(new(), &login(0x04, &names(GUARDED)));
    // The proof comes before the challenge, or the algorithms before the method.
    let early = answer("5", ALICES_SECRET);
    let proof = format!("CHAP_N=alice\0CHAP_R={early}\0");
    refused(
        new(),
        &login(
            TO_OPERATIONAL,
            &format!("{}AuthMethod=CHAP\0{proof}", names(GUARDED)),
        ),
    );
    refused(
        new(),
        &login(STAY, &format!("{}CHAP_A=5\0", names(GUARDED))),
    );
    // No algorithm in common.
    let mut link = challenged("9,10");
    assert_eq!(link.reply().login_status(), REFUSED);
    assert_eq!(link.refused_status(), REFUSED);
    // Leaving with the challenge unanswered.
    let mut link = challenged("5");
    link.reply();
    refused(link, &login(TO_OPERATIONAL, "InitiatorAlias=vm12\0"));
}

#[test]
fn a_target_without_users_asks_for_nothing_and_answers_no_chap() {
    let mut link = Link::new(PortalConfig::default());
    link.send(&login(
        TO_OPERATIONAL,
        &format!("{}AuthMethod=CHAP,None\0", names(IQN)),
    ));
    assert_eq!(link.reply().text()[1], "AuthMethod=None");
    link.send(&login(0x87, ""));
    assert_eq!(link.accept().user, None);

    let mut link = Link::new(PortalConfig::default());
    link.send(&login(
        STAY,
        &format!("{}AuthMethod=CHAP,None\0", names(IQN)),
    ));
    link.reply();
    refused(link, &login(STAY, "CHAP_A=5\0"));
}

#[test]
fn the_keys_of_a_step_may_come_in_parts() {
    let mut link = challenged("5");
    link.reply();
    let right = answer("5", ALICES_SECRET);
    let text = format!("CHAP_N=alice\0CHAP_R={right}\0");
    let (first, second) = text.split_at(20);
    link.send(&login(0x40, first));
    assert_eq!(link.reply().login_status(), 0);
    link.send(&login(TO_OPERATIONAL, second));
    assert_eq!(link.reply().header[1], 0x81);
}

#[test]
fn a_refusal_tells_who_wanted_what() {
    let mut link = Link::new(PortalConfig::default());
    link.send(&login(0x87, &names(GUARDED)));
    let twindisk_iscsi::Event::Finished(twindisk_iscsi::Finish::LoginRefused(refused)) =
        link.connection.next_event().unwrap()
    else {
        panic!("no refusal");
    };
    assert_eq!(refused.initiator.as_deref(), Some(INITIATOR));
    assert_eq!(refused.target.as_deref(), Some(GUARDED));
    let mut link = Link::new(PortalConfig::default());
    link.send(&login(
        0x87,
        &format!("InitiatorName=iqn.\x07bell\0TargetName={GUARDED}\0"),
    ));
    assert_eq!(link.refused_status(), 0x0200);
}
