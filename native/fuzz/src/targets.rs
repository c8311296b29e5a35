//! The targets that fuzzed initiators meet, and the bytes of PDUs.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use twindisk_iscsi::{
    Admission, CHALLENGE_RANDOM_BYTES, Challenge, Connection, Credential, Directory, PortalConfig,
    Secret, TargetInfo, TargetRecord, TargetRefusal,
};

/// A target that asks for nothing.
pub const OPEN: &str = "iqn.2006-06.com.quadstor.vdisk.M1";
/// A target that asks for CHAP: user `alice`, secret `alice's secret`; it proves itself as `vault`.
pub const GUARDED: &str = "iqn.2006-06.com.quadstor.vdisk.G1";

/// Both targets, open and guarded.
pub struct TwoTargets;

/// Who is let in to the guarded target.
#[must_use]
pub fn guarded() -> Arc<Admission> {
    let credential = |name: &str, secret: &[u8]| Credential {
        name: name.to_owned(),
        secret: Secret::new(secret).expect("the secret is long enough"),
    };
    Arc::new(Admission {
        initiators: Vec::new(),
        users: vec![credential("alice", b"alice's secret")],
        own: Some(credential("vault", b"the vault's secret")),
    })
}

impl Directory for TwoTargets {
    fn targets(&self, _initiator: &str) -> Vec<TargetRecord> {
        let record = |name: &str| TargetRecord {
            name: name.to_owned(),
            group_tag: 1,
            portals: Vec::new(),
        };
        vec![record(OPEN), record(GUARDED)]
    }

    fn find(&self, target: &str, _initiator: &str) -> Result<TargetInfo, TargetRefusal> {
        let admission = match target {
            OPEN => Arc::default(),
            GUARDED => guarded(),
            "iqn.later" => return Err(TargetRefusal::Unavailable),
            _ => return Err(TargetRefusal::NotFound),
        };
        Ok(TargetInfo {
            name: target.to_owned(),
            group_tag: 1,
            admission,
        })
    }

    fn discovery(&self) -> Arc<Admission> {
        Arc::default()
    }
}

/// A connection with small limits, so that they are met early, and a challenge that is always the same.
#[must_use]
pub fn connection() -> Connection {
    let config = PortalConfig {
        command_window: 4,
        max_recv_data_segment_length: 1024,
        max_burst_length: 2048,
        first_burst_length: 1024,
        max_command_data_bytes: 1 << 20,
        ..PortalConfig::default()
    };
    Connection::new(
        Arc::new(config),
        Challenge::new([7; CHALLENGE_RANDOM_BYTES]),
        0,
    )
}

/// A PDU as it is on the wire, without digests; the header's length field is made right.
#[must_use]
pub fn wire(mut header: [u8; 48], data: &[u8]) -> Vec<u8> {
    header[4] = 0;
    let len = u32::try_from(data.len()).unwrap_or(0).to_be_bytes();
    header[5..8].copy_from_slice(&len[1..]);
    let mut bytes = header.to_vec();
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A Login Request.
#[must_use]
pub fn login_request(flags: u8, text: &[u8]) -> Vec<u8> {
    let mut header = [0; 48];
    header[0] = 0x43;
    header[1] = flags;
    header[8] = 0x40;
    header[27] = 1;
    wire(header, text)
}

/// A connection that is logged in to the open target with these keys.
#[must_use]
pub fn logged_in(keys: &str) -> Connection {
    let mut connection = connection();
    let text = format!("InitiatorName=iqn.fuzz\0TargetName={OPEN}\0{keys}");
    let mut input = BytesMut::from(&login_request(0x87, text.as_bytes())[..]);
    connection
        .receive(&mut input, &TwoTargets)
        .expect("the login is right");
    connection.accept_login(1);
    while connection.next_event().is_some() {}
    assert!(
        !sent(&mut connection).is_empty(),
        "the login was not answered"
    );
    connection
}

/// Everything that waits to be sent.
pub fn sent(connection: &mut Connection) -> Vec<Bytes> {
    std::iter::from_fn(|| connection.transmit().pop()).collect()
}

/// Check that what was sent is whole PDUs of a target; how many.
pub fn check_sent(connection: &mut Connection, digests: bool) -> usize {
    let bytes = sent(connection).concat();
    let (mut rest, mut count) = (&bytes[..], 0);
    while !rest.is_empty() {
        let header = &rest[..48];
        assert!(
            matches!(header[0], 0x20..=0x26 | 0x31 | 0x32 | 0x3f),
            "opcode {:02x}",
            header[0]
        );
        let len = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
        let login = header[0] == 0x23;
        let digest = if digests && !login { 4 } else { 0 };
        let segment = len.next_multiple_of(4) + if len > 0 { digest } else { 0 };
        rest = &rest[48 + digest + segment..];
        count += 1;
    }
    count
}
