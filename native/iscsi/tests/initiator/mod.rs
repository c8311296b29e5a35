//! A small initiator without I/O, linked to one [`Connection`]: it builds requests, takes answers apart and checks
//! their sequence numbers and digests.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use twindisk_iscsi::{
    Admission, CHALLENGE_RANDOM_BYTES, Challenge, Connection, Credential, Directory, Event, Finish,
    Portal, PortalConfig, ProtocolError, ScsiCommand, Secret, SessionRequest, TargetInfo,
    TargetRecord, TargetRefusal,
};

pub const IQN: &str = "iqn.2006-06.com.quadstor.vdisk.M1";
pub const INITIATOR: &str = "iqn.1994-05.com.redhat:vm12";
pub const NO_TAG: u32 = 0xffff_ffff;

/// A target that asks for CHAP.
pub const GUARDED: &str = "iqn.2006-06.com.quadstor.vdisk.guarded";

/// Who may use [`GUARDED`]: alice and bob; the target can prove itself as `vault`.
pub fn guarded() -> Arc<Admission> {
    let credential = |name: &str, secret: &[u8]| Credential {
        name: name.to_owned(),
        secret: Secret::new(secret).unwrap(),
    };
    Arc::new(Admission {
        initiators: vec![],
        users: vec![
            credential("alice", ALICES_SECRET),
            credential("bob", b"bob's long secret"),
        ],
        own: Some(credential("vault", VAULTS_SECRET)),
    })
}

pub const ALICES_SECRET: &[u8] = b"alice's secret";
pub const VAULTS_SECRET: &[u8] = b"the vault's secret";

/// A challenge that is always the same: identifier 7, bytes 7.
pub fn challenge() -> Challenge {
    Challenge::new([7; CHALLENGE_RANDOM_BYTES])
}

/// Knows M1 in group 2, at two portals, and M2, whose portals are left to the default. Discovery is for [`INITIATOR`].
pub struct TwoTargets;

impl Directory for TwoTargets {
    fn targets(&self, _initiator: &str) -> Vec<TargetRecord> {
        let portal = |address: &str, group_tag| Portal {
            address: address.to_owned(),
            group_tag,
        };
        vec![
            TargetRecord {
                name: IQN.to_owned(),
                group_tag: 2,
                portals: vec![portal("10.0.13.100:3260", 1), portal("10.0.13.101:3260", 2)],
            },
            TargetRecord {
                name: IQN.replace("M1", "M2"),
                group_tag: 2,
                portals: vec![],
            },
        ]
    }

    fn find(&self, target: &str, _initiator: &str) -> Result<TargetInfo, TargetRefusal> {
        if target.eq_ignore_ascii_case(IQN) {
            Ok(TargetInfo {
                name: IQN.to_owned(),
                group_tag: 2,
                admission: Arc::default(),
            })
        } else if target.eq_ignore_ascii_case(GUARDED) {
            Ok(TargetInfo {
                name: GUARDED.to_owned(),
                group_tag: 2,
                admission: guarded(),
            })
        } else if target.ends_with("later") {
            Err(TargetRefusal::Unavailable)
        } else {
            Err(TargetRefusal::NotFound)
        }
    }

    fn discovery(&self) -> Arc<Admission> {
        Arc::new(Admission {
            initiators: vec![INITIATOR.to_owned()],
            ..Admission::default()
        })
    }
}

/// A PDU under construction.
#[derive(Clone)]
pub struct Request {
    pub header: [u8; 48],
    pub data: Vec<u8>,
}

impl Request {
    pub fn new(first: u8, flags: u8) -> Self {
        let mut header = [0; 48];
        header[0] = first;
        header[1] = flags;
        Self {
            header,
            data: vec![],
        }
    }

    pub fn at(mut self, at: usize, value: u32) -> Self {
        self.header[at..at + 4].copy_from_slice(&value.to_be_bytes());
        self
    }

    pub fn byte(mut self, at: usize, value: u8) -> Self {
        self.header[at] = value;
        self
    }

    pub fn data(mut self, data: &[u8]) -> Self {
        self.data = data.to_vec();
        self
    }

    pub fn itt(self, itt: u32) -> Self {
        self.at(16, itt)
    }

    pub fn cmd_sn(self, cmd_sn: u32) -> Self {
        self.at(24, cmd_sn)
    }

    /// The bytes on the wire.
    pub fn wire(&self, header_digest: bool, data_digest: bool) -> Vec<u8> {
        let mut bytes = self.header.to_vec();
        bytes[5..8].copy_from_slice(&u32::try_from(self.data.len()).unwrap().to_be_bytes()[1..]);
        if header_digest {
            bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        }
        let mut segment = self.data.clone();
        segment.resize(segment.len().next_multiple_of(4), 0);
        bytes.extend(&segment);
        if data_digest && !segment.is_empty() {
            bytes.extend(crc32c::crc32c(&segment).to_le_bytes());
        }
        bytes
    }
}

/// A SCSI Command PDU; `flags` are byte 1.
pub fn scsi(itt: u32, cmd_sn: u32, flags: u8, expected_len: u32, cdb: &[u8]) -> Request {
    let mut request = Request::new(0x01, flags)
        .itt(itt)
        .at(20, expected_len)
        .cmd_sn(cmd_sn);
    request.header[32..32 + cdb.len()].copy_from_slice(cdb);
    request
}

/// A Data-Out PDU.
pub fn data_out(
    itt: u32,
    ttt: u32,
    data_sn: u32,
    offset: u32,
    is_final: bool,
    data: &[u8],
) -> Request {
    Request::new(0x05, if is_final { 0x80 } else { 0 })
        .itt(itt)
        .at(20, ttt)
        .at(36, data_sn)
        .at(40, offset)
        .data(data)
}

/// An immediate Task Management PDU.
pub fn task_management(
    itt: u32,
    cmd_sn: u32,
    function: u8,
    referenced: u32,
    ref_cmd_sn: u32,
) -> Request {
    Request::new(0x42, 0x80 | function)
        .itt(itt)
        .at(20, referenced)
        .cmd_sn(cmd_sn)
        .at(32, ref_cmd_sn)
}

/// A Login Request with CSG and NSG in `flags`.
pub fn login(flags: u8, text: &str) -> Request {
    let mut request = Request::new(0x43, flags)
        .itt(0x10)
        .cmd_sn(1)
        .data(text.as_bytes());
    request.header[8..14].copy_from_slice(&[0x40, 1, 2, 3, 0, 1]);
    request
}

/// A received PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub header: [u8; 48],
    pub data: Vec<u8>,
}

impl Reply {
    pub fn opcode(&self) -> u8 {
        self.header[0]
    }

    pub fn at(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.header[at..at + 4].try_into().unwrap())
    }

    pub fn login_status(&self) -> u16 {
        assert_eq!(self.opcode(), 0x23);
        u16::from_be_bytes([self.header[36], self.header[37]])
    }

    pub fn text(&self) -> Vec<String> {
        let text = String::from_utf8(self.data.clone()).unwrap();
        text.split_terminator('\0').map(ToOwned::to_owned).collect()
    }
}

/// The initiator, its connection, and what is between.
pub struct Link {
    pub connection: Connection,
    pub input: BytesMut,
    pub header_digest: bool,
    pub data_digest: bool,
}

impl Link {
    pub fn new(config: PortalConfig) -> Self {
        let connection = Connection::new(Arc::new(config), challenge(), 0);
        Self {
            connection,
            input: BytesMut::new(),
            header_digest: false,
            data_digest: false,
        }
    }

    /// A link that is logged in to M1 with CmdSN 1, after negotiating `keys`.
    pub fn logged_in(config: PortalConfig, keys: &str) -> Self {
        let mut link = Self::new(config);
        let names = format!("InitiatorName={INITIATOR}\0TargetName={IQN}\0SessionType=Normal\0");
        link.send(&login(0x87, &format!("{names}{keys}")));
        link.accept();
        assert_eq!(link.reply().login_status(), 0);
        link.header_digest = keys.contains("HeaderDigest=CRC32C");
        link.data_digest = keys.contains("DataDigest=CRC32C");
        link
    }

    pub fn accept(&mut self) -> SessionRequest {
        let Some(Event::SessionRequested(request)) = self.connection.next_event() else {
            panic!("no session was requested");
        };
        self.connection.accept_login(7);
        self.connection
            .receive(&mut self.input, &TwoTargets)
            .unwrap();
        request
    }

    pub fn try_send(&mut self, request: &Request) -> Result<(), ProtocolError> {
        self.input
            .extend_from_slice(&request.wire(self.header_digest, self.data_digest));
        self.connection.receive(&mut self.input, &TwoTargets)
    }

    pub fn send(&mut self, request: &Request) {
        self.try_send(request).unwrap();
    }

    pub fn command(&mut self) -> ScsiCommand {
        match self.connection.next_event() {
            Some(Event::Command(command)) => command,
            other => panic!("no command but {other:?}"),
        }
    }

    /// The status that the connection's end reports.
    pub fn refused_status(&mut self) -> u16 {
        match self.connection.next_event() {
            Some(Event::Finished(Finish::LoginRefused(refused))) => refused.status,
            other => panic!("no refusal but {other:?}"),
        }
    }

    pub fn no_event(&mut self) {
        assert_eq!(self.connection.next_event(), None);
    }

    /// Take everything that was sent apart.
    pub fn replies(&mut self) -> Vec<Reply> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.connection.transmit().pop() {
            bytes.extend_from_slice(&chunk);
        }
        assert!(self.connection.transmit().is_empty());
        let mut rest = &bytes[..];
        let mut replies = Vec::new();
        while !rest.is_empty() {
            replies.push(self.take_reply(&mut rest));
        }
        replies
    }

    fn take_reply(&self, rest: &mut &[u8]) -> Reply {
        let header: [u8; 48] = rest[..48].try_into().unwrap();
        *rest = &rest[48..];
        let check = |covered: &[u8], rest: &mut &[u8]| {
            assert_eq!(rest[..4], crc32c::crc32c(covered).to_le_bytes());
            *rest = &rest[4..];
        };
        if self.header_digest {
            check(&header, rest);
        }
        let len = u32::from_be_bytes([0, header[5], header[6], header[7]]) as usize;
        let (segment, after) = rest.split_at(len.next_multiple_of(4));
        *rest = after;
        if self.data_digest && len > 0 {
            check(segment, rest);
        }
        Reply {
            header,
            data: segment[..len].to_vec(),
        }
    }

    /// The one PDU that was sent.
    pub fn reply(&mut self) -> Reply {
        let mut replies = self.replies();
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.remove(0)
    }
}

/// `len` bytes that differ by place.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|place| u8::try_from(place % 251).unwrap())
        .collect()
}

/// The pieces of a command's data as one.
pub fn joined(pieces: &[Bytes]) -> Vec<u8> {
    pieces.concat()
}
