//! One open VDisk, and the targets as initiators see them.

use std::path::PathBuf;
use std::sync::Arc;

use slab::Slab;
use twindisk_iscsi::{Admission, Directory, TargetInfo, TargetRecord, TargetRefusal};
use twindisk_mirror::Serial;
use twindisk_scsi::{IoRequest, LogicalUnit};
use twindisk_store::CopyFiles;

use crate::access::AccessMode;

/// What initiators did since the VDisk was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands that read.
    pub reads: u64,
    /// Bytes asked for by them.
    pub read_bytes: u64,
    /// Commands that wrote or unmapped.
    pub writes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Commands that flushed.
    pub flushes: u64,
}

impl Counters {
    /// Count a command in.
    pub fn count(&mut self, request: &IoRequest) {
        match request {
            IoRequest::Read { len_bytes, .. } | IoRequest::Verify { len_bytes, .. } => {
                self.reads += 1;
                self.read_bytes += u64::from(*len_bytes);
            }
            IoRequest::Write { len_bytes, .. }
            | IoRequest::WriteAndVerify { len_bytes, .. }
            | IoRequest::CompareAndWrite { len_bytes, .. }
            | IoRequest::OrWrite { len_bytes, .. } => {
                self.writes += 1;
                self.written_bytes += u64::from(*len_bytes);
            }
            IoRequest::WriteSame { len_bytes, .. } => {
                self.writes += 1;
                self.written_bytes += len_bytes;
            }
            IoRequest::Unmap(_) => self.writes += 1,
            IoRequest::LbaStatus(_) => {}
            IoRequest::Flush => self.flushes += 1,
        }
    }
}

/// One open VDisk.
#[derive(Debug)]
pub struct Vdisk {
    /// Its name.
    pub name: String,
    /// Its target's iSCSI name.
    pub iqn: String,
    /// Its serial.
    pub serial: Serial,
    /// The logical unit that initiators see.
    pub unit: LogicalUnit,
    /// The copy on this node.
    pub files: Arc<CopyFiles>,
    /// The copy's directory.
    pub directory: PathBuf,
    /// Tag of this node's target port group.
    pub group_tag: u16,
    /// How both nodes' paths are to be used.
    pub access: AccessMode,
    /// The peer's mirror address; None: not mirrored.
    pub peer: Option<String>,
    /// Which initiators are let in.
    pub admission: Arc<Admission>,
    /// What initiators did.
    pub counters: Counters,
}

/// The VDisks as iSCSI's directory of targets.
#[derive(Debug, Clone, Copy)]
pub struct Targets<'a> {
    /// The open VDisks.
    pub vdisks: &'a Slab<Vdisk>,
    /// Who may hold discovery sessions.
    pub discovery: &'a Arc<Admission>,
}

impl Directory for Targets<'_> {
    fn targets(&self, initiator: &str) -> Vec<TargetRecord> {
        let vdisks = self.vdisks.iter().map(|(_, vdisk)| vdisk);
        let mut vdisks: Vec<_> = vdisks
            .filter(|vdisk| vdisk.admission.names(initiator))
            .collect();
        vdisks.sort_by(|a, b| a.iqn.cmp(&b.iqn));
        vdisks
            .into_iter()
            .map(|vdisk| TargetRecord {
                name: vdisk.iqn.clone(),
                group_tag: vdisk.group_tag,
                portals: Vec::new(),
            })
            .collect()
    }

    fn find(&self, target: &str, initiator: &str) -> Result<TargetInfo, TargetRefusal> {
        let place = place_of_target(self.vdisks, target).ok_or(TargetRefusal::NotFound)?;
        let vdisk = &self.vdisks[place];
        if !vdisk.admission.names(initiator) {
            return Err(TargetRefusal::Forbidden);
        }
        Ok(TargetInfo {
            name: vdisk.iqn.clone(),
            group_tag: vdisk.group_tag,
            admission: Arc::clone(&vdisk.admission),
        })
    }

    fn discovery(&self) -> Arc<Admission> {
        Arc::clone(self.discovery)
    }
}

/// The place of the VDisk with this iSCSI name (compared without regard to case, RFC 7143 §4.2.7.1).
#[must_use]
pub fn place_of_target(vdisks: &Slab<Vdisk>, iqn: &str) -> Option<usize> {
    vdisks
        .iter()
        .find(|(_, vdisk)| vdisk.iqn.eq_ignore_ascii_case(iqn))
        .map(|(place, _)| place)
}
