//! REGISTER, REGISTER AND IGNORE EXISTING KEY, REGISTER AND MOVE (SPC-4 §5.13.7, §5.13.8).

use super::change::{Refusal, Scene};
use super::nexus::{InitiatorPort, Nexus, TransportId};
use super::parameters::{Action, Parameters};
use super::table::{Registration, Table};
use crate::sense::Sense;

impl Table {
    /// Tables 47 and 48 of SPC-4.
    pub(super) fn register(
        &mut self,
        nexus: &Nexus,
        parameters: &Parameters,
        scene: &Scene<'_>,
    ) -> Result<(), Refusal> {
        let known = self.key_of(nexus);
        if parameters.action == Action::Register && known.unwrap_or(0) != parameters.key {
            return Err(Refusal::Conflict);
        }
        if known.is_some() && parameters.others.is_some() {
            return Err(Sense::invalid_parameter(20).into());
        }
        self.aptpl = parameters.aptpl;
        let mut ports = vec![nexus.initiator.clone()];
        if parameters.action_key != 0 {
            for id in parameters.others.iter().flatten() {
                ports.extend(self.ports_of(id, scene)?);
            }
        }
        for initiator in ports {
            let own = [nexus.target];
            let targets = if parameters.all_targets {
                scene.targets
            } else {
                &own
            };
            for &target in targets {
                let initiator = initiator.clone();
                self.set_key(Nexus { initiator, target }, parameters.action_key);
            }
        }
        Ok(())
    }

    /// Register a nexus, change its key, or with key 0 unregister it.
    fn set_key(&mut self, nexus: Nexus, key: u64) {
        let known = self.registrations.iter_mut().find(|one| one.nexus == nexus);
        match known {
            _ if key == 0 => self.unregister(&nexus),
            Some(known) => known.key = key,
            None => self.registrations.push(Registration { nexus, key }),
        }
    }

    /// The ports that a TransportID names; one without ISID names those that are known.
    fn ports_of(&self, id: &TransportId, scene: &Scene<'_>) -> Result<Vec<InitiatorPort>, Refusal> {
        let name = match id {
            TransportId::Port(port) => return Ok(vec![port.clone()]),
            TransportId::Device(name) => name,
        };
        let registered = self.registrations.iter().map(|one| &one.nexus.initiator);
        let mut ports: Vec<_> = registered
            .chain(scene.known)
            .filter(|port| port.name() == name)
            .cloned()
            .collect();
        ports.sort();
        ports.dedup();
        if ports.is_empty() {
            return Err(Sense::invalid_parameter(28).into());
        }
        Ok(ports)
    }

    /// Table 49 of SPC-4: the holder gives its reservation to another nexus.
    pub(super) fn register_and_move(
        &mut self,
        nexus: &Nexus,
        parameters: &Parameters,
        scene: &Scene<'_>,
    ) -> Result<(), Refusal> {
        if self.key_of(nexus) != Some(parameters.key) {
            return Err(Refusal::Conflict);
        }
        let Some(held) = self.reservation.clone() else {
            return Err(Sense::invalid_cdb_field(1, Some(4)).into());
        };
        if held.kind.is_all() || held.holder != *nexus {
            return Err(Refusal::Conflict);
        }
        if parameters.action_key == 0 {
            return Err(Sense::invalid_parameter(8).into());
        }
        let Some((TransportId::Port(initiator), target)) = parameters.moved_to.clone() else {
            return Err(Sense::invalid_parameter(24).into());
        };
        if !scene.targets.contains(&target) {
            return Err(Sense::invalid_parameter(18).into());
        }
        let receiver = Nexus { initiator, target };
        if receiver == *nexus {
            return Err(Sense::invalid_parameter(24).into());
        }
        self.aptpl = parameters.aptpl;
        self.set_key(receiver.clone(), parameters.action_key);
        if let Some(held) = &mut self.reservation {
            held.holder = receiver;
        }
        if parameters.unregister {
            self.unregister(nexus);
        }
        Ok(())
    }
}
