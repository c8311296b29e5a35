//! One node's side of the reservations: the table in force, and the sessions that it concerns.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::change::{Refusal, Scene, change};
use super::conflicts::{Class, class, forbids};
use super::parameters::Parameters;
use super::{Change, InitiatorPort, Nexus, Table};
use crate::cdb::Request;
use crate::logical_unit::NexusId;
use crate::sense::Sense;

/// The table in force and the sessions' nexuses.
#[derive(Debug, Default)]
pub(crate) struct Nexuses {
    table: Table,
    /// The table that should be in force cannot be read.
    unreadable: bool,
    names: BTreeMap<NexusId, Nexus>,
}

impl Nexuses {
    /// The table in force.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// Put a table in force; the one before.
    pub(crate) fn set_table(&mut self, table: Table) -> Table {
        self.unreadable = false;
        std::mem::replace(&mut self.table, table)
    }

    /// Whatever is in force cannot be read: forbid everything that a reservation could forbid.
    pub(crate) fn set_unreadable(&mut self) {
        self.unreadable = true;
    }

    /// Name a session's nexus.
    pub(crate) fn open(&mut self, id: NexusId, nexus: Nexus) {
        self.names.insert(id, nexus);
    }

    /// Forget a session.
    pub(crate) fn close(&mut self, id: NexusId) {
        self.names.remove(&id);
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

    /// True when the reservation in force forbids the command.
    pub(crate) fn forbid(&self, id: NexusId, cdb: &[u8; 16]) -> bool {
        if self.unreadable {
            return class(cdb) != Some(Class::Free);
        }
        self.table.reservation.is_some() && forbids(&self.table, self.name(id), cdb)
    }

    /// What a PERSISTENT RESERVE OUT comes to.
    pub(crate) fn change(
        &self,
        id: NexusId,
        cdb: &[u8; 16],
        data_out: &[Bytes],
        targets: &[u16],
    ) -> Result<Change, Refusal> {
        if self.unreadable {
            return Err(Sense::INTERNAL_FAILURE.into());
        }
        let parameters = Parameters::parse(&Request {
            cdb,
            data_out,
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
        change(&self.table, nexus, &parameters, &scene)
    }
}
