//! What Python may ask of the engine, carried out on the engine's thread between two passes.
//!
//! Rule: a call that fails has changed nothing.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use twindisk_iscsi::{Admission, Redirect};
use twindisk_mirror::copy::PaceLimits;
use twindisk_mirror::report::ToldFacts;
use twindisk_mirror::{Command, CommandError, CopySpec, Facts, Role, Serial, SharedRecord};
use twindisk_scsi::{AccessState, BlockSize, Identity, LogicalUnit};
use twindisk_store::{CopyFiles, CopyRecord, Opened};

use crate::access::AccessMode;
use crate::engine::{Endpoint, Engine};
use crate::error::{EngineError, Kind, Result};
use crate::portal::{Listener, Purpose};
use crate::vdisk::{Counters, Vdisk};

/// What a VDisk is opened with.
#[derive(Debug, Clone)]
pub struct VdiskSpec {
    /// Its name.
    pub name: String,
    /// The copy's directory.
    pub directory: PathBuf,
    /// Its serial.
    pub serial: Serial,
    /// Its target's iSCSI name.
    pub iqn: String,
    /// Its size in bytes.
    pub size_bytes: u64,
    /// The length of its logical blocks.
    pub block: BlockSize,
    /// Tag of this node's target port group.
    pub group_tag: u16,
    /// The peer's mirror address; None: not mirrored.
    pub peer: Option<String>,
    /// Which initiators are let in.
    pub admission: Admission,
    /// The generation with which the copy was unbroken when its last process ended, if the machine has not lost power since.
    pub unbroken: Option<u64>,
}

/// Product revision level that initiators see.
const REVISION: [u8; 4] = *b"0001";

impl Engine {
    /// Listen for initiators; where it listens. `redirect`: those who want to log in to a target are sent there.
    ///
    /// # Errors
    /// `Io`: the address is not ours or in use.
    pub fn open_portal(
        &mut self,
        address: SocketAddr,
        redirect: Option<Redirect>,
    ) -> Result<SocketAddr> {
        let (bound, place) = self.listen(address, Purpose::Portal)?;
        if let Endpoint::Listener(listener) = &mut self.endpoints[place].endpoint {
            listener.redirect = redirect;
        }
        Ok(bound)
    }

    pub(crate) fn listen(
        &mut self,
        address: SocketAddr,
        purpose: Purpose,
    ) -> Result<(SocketAddr, usize)> {
        let failed = |error| EngineError::io(&format!("cannot listen on {address}"), &error);
        let listener = Listener::bind(address, purpose).map_err(failed)?;
        let bound = listener.address;
        Ok((bound, self.keep_listener(listener)?))
    }

    /// Have a listener served; its place.
    pub(crate) fn keep_listener(&mut self, listener: Listener) -> Result<usize> {
        let address = listener.address;
        self.keep(Endpoint::Listener(listener))
            .map_err(|error| EngineError::io(&format!("cannot listen on {address}"), &error))
    }

    pub(crate) fn vdisk_place(&self, name: &str) -> Result<usize> {
        self.core
            .place_of(name)
            .ok_or_else(|| EngineError::new(Kind::NotFound, "unknown VDisk").about_vdisk(name))
    }

    /// Take an opened copy in; initiators see the target, not ready. Its facts.
    ///
    /// # Errors
    /// `Exists`: name, serial or iSCSI name is in use. `NotFound`: unknown peer. `Invalid`: the copy is another VDisk's, or has
    /// another size, or the admission makes no sense.
    pub fn open_vdisk(&mut self, spec: VdiskSpec, opened: Opened) -> Result<ToldFacts> {
        let about = |error: EngineError| error.about_vdisk(&spec.name);
        let in_use = self.core.vdisks.iter().any(|(_, known)| {
            known.name == spec.name
                || known.serial == spec.serial
                || known.iqn.eq_ignore_ascii_case(&spec.iqn)
        });
        if in_use {
            return Err(about(EngineError::new(
                Kind::Exists,
                "a VDisk with this name, serial or IQN is open",
            )));
        }
        if opened.record.serial != spec.serial.0 {
            return Err(about(EngineError::new(
                Kind::Invalid,
                "the copy has another serial",
            )));
        }
        if opened.record.size_bytes != spec.size_bytes {
            return Err(about(EngineError::new(
                Kind::Invalid,
                "the copy has another size",
            )));
        }
        crate::admission::check(&spec.admission).map_err(about)?;
        let shared = shared_of(opened.shared).map_err(about)?;
        let peer = self.peer_id_of(spec.peer.as_deref()).map_err(about)?;
        let mut unit = unit_of(&spec).map_err(about)?;
        unit.adopt_state(shared.bytes());
        let place = self.core.vdisks.insert(Vdisk {
            name: spec.name,
            iqn: spec.iqn,
            serial: spec.serial,
            unit,
            files: Arc::new(opened.files),
            directory: spec.directory,
            group_tag: spec.group_tag,
            access: AccessMode::default(),
            peer: spec.peer,
            admission: Arc::new(spec.admission),
            counters: Counters::default(),
        });
        self.core.places.insert(spec.serial, place);
        let (size_bytes, bitmap) = (spec.size_bytes, opened.bitmap);
        let copy = CopySpec {
            serial: spec.serial,
            size_bytes,
            peer,
            facts: facts_of(&opened.record),
            active: opened.record.active,
            bitmap,
            shared,
            unbroken: spec.unbroken,
        };
        self.core.node.add_copy(copy, self.core.now_ns);
        self.show_state(place);
        self.told(place)
    }

    /// Stop serving a VDisk, end its sessions and the logins under way, which may be to it, and give its files back, to be closed when no worker uses them any more.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn close_vdisk(&mut self, name: &str) -> Result<Arc<CopyFiles>> {
        let place = self.vdisk_place(name)?;
        for session in self.sessions_of(place) {
            self.dismiss(session);
        }
        self.end_copies_with(self.core.vdisks[place].serial);
        // They hold the admission of their target: a target of the same name that comes next may let in others.
        self.end_logins_under_way();
        self.drop_upkeep(place);
        let vdisk = self.core.vdisks.remove(place);
        self.core.places.remove(&vdisk.serial);
        self.erasers.remove(&vdisk.serial);
        self.core.node.remove_copy(vdisk.serial);
        // What the copy had still asked for ends here, before a copy with the same serial can be opened.
        self.carry_out();
        Ok(vdisk.files)
    }

    /// Set or clear a VDisk's peer; the copy stops serving until told anew.
    ///
    /// # Errors
    /// `NotFound`: no such VDisk or peer.
    pub fn set_peer(&mut self, name: &str, peer: Option<String>, group_tag: u16) -> Result<()> {
        let place = self.vdisk_place(name)?;
        let id = self
            .peer_id_of(peer.as_deref())
            .map_err(|error| error.about_vdisk(name))?;
        let serial = self.core.vdisks[place].serial;
        self.core
            .node
            .set_peer(serial, id, self.core.now_ns)
            .map_err(|error| refused(error, name))?;
        let vdisk = &mut self.core.vdisks[place];
        vdisk.peer = peer;
        vdisk.group_tag = group_tag;
        vdisk.unit.set_group_tag(group_tag);
        self.show_state(place);
        Ok(())
    }

    /// Set how a VDisk's two paths are to be used; both nodes are to be told the same.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_access(&mut self, name: &str, access: AccessMode) -> Result<()> {
        let place = self.vdisk_place(name)?;
        self.core.vdisks[place].access = access;
        self.show_state(place);
        Ok(())
    }

    /// Grow a VDisk that has no mirror.
    ///
    /// # Errors
    /// `NotFound`; `Invalid`: it would shrink; `Refused`: it is mirrored; `Io`.
    pub fn resize_vdisk(&mut self, name: &str, size_bytes: u64) -> Result<()> {
        let place = self.vdisk_place(name)?;
        let vdisk = &self.core.vdisks[place];
        let about = |kind, problem: &str| Err(EngineError::new(kind, problem).about_vdisk(name));
        match size_bytes {
            _ if vdisk.peer.is_some() => return about(Kind::Refused, "the VDisk is mirrored"),
            _ if vdisk.unit.sanitizing().is_some() => {
                return about(Kind::Refused, "the VDisk is being sanitized");
            }
            same if same == vdisk.files.size_bytes() => return Ok(()),
            less if less < vdisk.files.size_bytes() => {
                return about(Kind::Invalid, "a VDisk never shrinks");
            }
            _ => {}
        }
        let record = record_of(vdisk.serial, size_bytes, &self.told(place)?.facts);
        vdisk
            .files
            .grow(&record)
            .map_err(|error| store_error(&error).about_vdisk(name))?;
        let serial = vdisk.serial;
        self.core
            .node
            .set_size(serial, size_bytes)
            .map_err(|error| refused(error, name))?;
        self.core.vdisks[place]
            .unit
            .set_size_bytes(size_bytes)
            .expect("a larger size has room for a block");
        Ok(())
    }

    /// A copy's facts as they are now.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn facts(&self, name: &str) -> Result<ToldFacts> {
        self.told(self.vdisk_place(name)?)
    }

    fn told(&self, place: usize) -> Result<ToldFacts> {
        let vdisk = &self.core.vdisks[place];
        let unknown = || EngineError::new(Kind::NotFound, "unknown copy").about_vdisk(&vdisk.name);
        self.core
            .node
            .copy(vdisk.serial)
            .map(twindisk_mirror::copy::Copy::told)
            .ok_or_else(unknown)
    }

    /// Set how fast all resyncs and verifications together may go.
    pub fn set_pace(&mut self, limits: PaceLimits) {
        self.core.node.set_pace(limits);
    }

    /// Carry out a decision about a VDisk.
    ///
    /// # Errors
    /// `NotFound`; `Refused`: not in the copy's present state.
    pub fn command(&mut self, name: &str, command: Command) -> Result<()> {
        let place = self.vdisk_place(name)?;
        let serial = self.core.vdisks[place].serial;
        self.core
            .node
            .command(serial, command, self.core.now_ns)
            .map_err(|error| refused(error, name))?;
        self.show_state(place);
        Ok(())
    }
}

/// What initiators are to see, before it serves.
fn unit_of(spec: &VdiskSpec) -> Result<LogicalUnit> {
    let identity = Identity {
        serial: spec.serial.0,
        revision: REVISION,
    };
    LogicalUnit::new(
        identity,
        spec.size_bytes,
        spec.block,
        spec.group_tag,
        AccessState::Transitioning,
    )
    .map_err(|_| EngineError::new(Kind::Invalid, "the VDisk is smaller than a block"))
}

pub(crate) fn refused(error: CommandError, vdisk: &str) -> EngineError {
    let kind = if error == CommandError::UnknownVdisk {
        Kind::NotFound
    } else {
        Kind::Refused
    };
    EngineError::new(kind, error.to_string()).about_vdisk(vdisk)
}

/// A failure of the store as an engine error.
pub(crate) fn store_error(error: &twindisk_store::StoreError) -> EngineError {
    use twindisk_store::StoreError as E;
    let kind = match error {
        E::Io { .. } | E::Failed => Kind::Io,
        E::InUse { .. } | E::AlreadyExists { .. } => Kind::Exists,
        E::NotACopy { .. } => Kind::NotFound,
        E::BothSlotsCorrupt { .. } | E::UnknownVersion { .. } => Kind::Corrupt,
        E::OutOfBounds { .. } | E::InvalidRecord { .. } => Kind::Invalid,
    };
    let mut built = EngineError::new(kind, error.to_string());
    built.errno = error.errno();
    built
}

/// The record of a copy with these facts and nothing suspect.
pub(crate) fn record_of(serial: Serial, size_bytes: u64, facts: &Facts) -> CopyRecord {
    CopyRecord {
        serial: serial.0,
        size_bytes,
        current: facts.current,
        base: facts.base,
        lineage: facts.lineage.clone(),
        epoch: facts.epoch,
        role: match facts.role {
            Role::Master => twindisk_store::Role::Master,
            Role::Slave => twindisk_store::Role::Slave,
        },
        inconsistent: facts.inconsistent,
        ending: facts.ending,
        active: Vec::new(),
    }
}

fn shared_of(bytes: Vec<u8>) -> Result<SharedRecord> {
    if bytes.is_empty() {
        return Ok(SharedRecord::default());
    }
    let unreadable = || EngineError::new(Kind::Corrupt, "the reservations cannot be read");
    SharedRecord::decode(bytes.into()).ok_or_else(unreadable)
}

fn facts_of(record: &CopyRecord) -> Facts {
    Facts {
        current: record.current,
        base: record.base,
        lineage: record.lineage.clone(),
        epoch: record.epoch,
        role: match record.role {
            twindisk_store::Role::Master => Role::Master,
            twindisk_store::Role::Slave => Role::Slave,
        },
        inconsistent: record.inconsistent,
        ending: record.ending,
    }
}
