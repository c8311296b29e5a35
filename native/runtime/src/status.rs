//! The engine as an operator sees it: VDisks, sessions and peers at one moment.

use std::path::PathBuf;

use twindisk_mirror::copy::CopyStatus;
use twindisk_mirror::report::ToldFacts;
use twindisk_scsi::AccessState;

use crate::access::AccessMode;
use crate::engine::{Endpoint, Engine};
pub use crate::peers::paths::PathStatus;
use crate::vdisk::Counters;

/// One session of a VDisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionStatus {
    /// The initiator's iSCSI name.
    pub initiator: String,
    /// Where it connects from, `host:port`.
    pub address: String,
    /// The memory that is held for it, in bytes.
    pub held_bytes: usize,
}

/// The memory that is held for initiators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStatus {
    /// What is held, in bytes.
    pub held_bytes: usize,
    /// What may be held.
    pub limit_bytes: usize,
}

/// One open VDisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VdiskStatus {
    /// Its name.
    pub name: String,
    /// Its target's iSCSI name.
    pub iqn: String,
    /// The copy's directory.
    pub directory: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The peer's mirror address.
    pub peer: Option<String>,
    /// Tag of this node's target port group.
    pub group_tag: u16,
    /// How both nodes' paths are to be used.
    pub access: AccessMode,
    /// The state that initiators see of this node's target port group.
    pub own_state: AccessState,
    /// The same of the peer's; None: not mirrored.
    pub peer_state: Option<AccessState>,
    /// How the latest sanitize operation stands, and how many hundredths are done; None: none runs and none failed.
    pub sanitize: Option<(&'static str, u8)>,
    /// The copy's mode, resync and counters.
    pub copy: CopyStatus,
    /// The facts as told.
    pub facts: ToldFacts,
    /// What initiators did through this node.
    pub counters: Counters,
    /// Who is logged in.
    pub sessions: Vec<SessionStatus>,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Its mirror address.
    pub address: String,
    /// Link and lease stand.
    pub up: bool,
    /// This side connects.
    pub dial: bool,
    /// Until when this node may serve what it mirrors with it, in nanoseconds of CLOCK_BOOTTIME; 0: no lease yet.
    pub serve_until_ns: u64,
    /// Until when this node has promised not to go on alone.
    pub promised_until_ns: u64,
    /// When it was last heard; 0: never in this session.
    pub last_heard_ns: u64,
    /// Bytes of the messages for it over the present link; 0: there is none.
    pub sent_bytes: u64,
    /// The paths to it, the main one first.
    pub paths: Vec<PathStatus>,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineStatus {
    /// The open VDisks.
    pub vdisks: Vec<VdiskStatus>,
    /// The known peers.
    pub peers: Vec<PeerStatus>,
    /// The memory that is held for initiators.
    pub memory: MemoryStatus,
}

impl Engine {
    /// The engine as it is now.
    #[must_use]
    pub fn status(&self) -> EngineStatus {
        let vdisks = self.core.vdisks.iter().filter_map(|(place, vdisk)| {
            let copy = self.core.node.copy(vdisk.serial)?;
            Some(VdiskStatus {
                name: vdisk.name.clone(),
                iqn: vdisk.iqn.clone(),
                directory: vdisk.directory.clone(),
                size_bytes: vdisk.files.size_bytes(),
                peer: vdisk.peer.clone(),
                group_tag: vdisk.group_tag,
                access: vdisk.access,
                own_state: vdisk.unit.access_state(),
                peer_state: vdisk.unit.peer_group().map(|group| group.state),
                sanitize: vdisk.unit.sanitize_stands(),
                copy: copy.status(),
                facts: copy.told(),
                counters: vdisk.counters,
                sessions: self
                    .sessions_of(place)
                    .into_iter()
                    .filter_map(|at| self.session_status(at))
                    .collect(),
            })
        });
        let peers = self.peers.iter().map(|(place, peer)| PeerStatus {
            address: peer.name.clone(),
            up: peer.up,
            dial: peer.dial,
            serve_until_ns: peer.vitals.serve_until_ns(),
            promised_until_ns: peer.vitals.promised_until_ns(),
            last_heard_ns: peer.vitals.last_heard_ns(),
            sent_bytes: peer.link.as_ref().map_or(0, |link| link.sent_bytes),
            paths: self.path_status(place),
        });
        EngineStatus {
            vdisks: vdisks.collect(),
            peers: peers.collect(),
            memory: MemoryStatus {
                held_bytes: self.account.held_bytes(),
                limit_bytes: self.account.limit_bytes(),
            },
        }
    }

    fn session_status(&self, place: usize) -> Option<SessionStatus> {
        match &self.endpoints.get(place)?.endpoint {
            Endpoint::Session(session) => {
                let initiator = session.login.as_ref()?.initiator.clone();
                Some(SessionStatus {
                    initiator,
                    address: session.address.to_string(),
                    held_bytes: session.share.own_bytes(),
                })
            }
            _ => None,
        }
    }
}
