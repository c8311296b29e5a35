//! One node's sessions, by the names that registrations know them by.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::change::{Refusal, Scene, change};
use super::parameters::Parameters;
use super::{Change, InitiatorPort, Nexus, Table};
use crate::cdb::Request;
use crate::logical_unit::NexusId;
use crate::sense::Sense;

/// The sessions' nexuses.
#[derive(Debug, Default)]
pub(crate) struct Nexuses {
    names: BTreeMap<NexusId, Nexus>,
}

impl Nexuses {
    /// Name a session's nexus.
    pub(crate) fn open(&mut self, id: NexusId, nexus: Nexus) {
        self.names.insert(id, nexus);
    }

    /// Forget a session.
    pub(crate) fn close(&mut self, id: NexusId) {
        self.names.remove(&id);
    }

    /// True for a session of this node that stands.
    pub(crate) fn is_open(&self, id: NexusId) -> bool {
        self.names.contains_key(&id)
    }

    /// The nexus of a session.
    pub(crate) fn name(&self, id: NexusId) -> Option<&Nexus> {
        self.names.get(&id)
    }

    /// The sessions of a nexus.
    pub(crate) fn ids_of(&self, nexus: &Nexus) -> impl Iterator<Item = NexusId> {
        let same = move |(id, name): (&NexusId, &Nexus)| (name == nexus).then_some(*id);
        self.names.iter().filter_map(same)
    }

    /// All that are known of an initiator.
    pub(crate) fn of_initiator(&self, port: &InitiatorPort) -> impl Iterator<Item = &Nexus> {
        let same = move |name: &&Nexus| name.initiator.name() == port.name();
        self.names.values().filter(same)
    }

    /// What a PERSISTENT RESERVE OUT makes of a table.
    pub(crate) fn change(
        &self,
        table: &Table,
        id: NexusId,
        cdb: &[u8; 16],
        data_out: &[Bytes],
        targets: &[u16],
    ) -> Result<Change, Refusal> {
        let parameters = Parameters::parse(&Request {
            cdb,
            data_out,
            nexus: id,
            pending: Sense::NONE,
        })?;
        let nexus = self.name(id).ok_or(Refusal::Conflict)?;
        let known: Vec<InitiatorPort> = self
            .names
            .values()
            .map(|one| one.initiator.clone())
            .collect();
        let scene = Scene {
            targets,
            known: &known,
        };
        change(table, nexus, &parameters, &scene)
    }
}
