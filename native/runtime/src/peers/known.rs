//! Which peers there are: what Python may ask of the engine about them.
//!
//! Rule: a call that fails has changed nothing.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use twindisk_mirror::PeerId;

use super::paths::Path;
use super::{CONNECTIONS_MAX, Mirror, PATHS_MAX, Peer, peer_id};
use crate::engine::Engine;
use crate::error::{EngineError, Kind, Result};
use crate::heartbeat::Heartbeats;
use crate::portal::{Listener, Purpose};

/// A peer that a link is to be kept with.
#[derive(Debug, Clone)]
pub struct PeerSpec {
    /// Its mirror address as its name is written.
    pub name: String,
    /// The same with its port.
    pub address: SocketAddr,
    /// This side connects.
    pub dial: bool,
    /// Further paths: this node's address and the peer's.
    pub further: Vec<(IpAddr, IpAddr)>,
    /// How many connections this side makes over each path.
    pub connections: usize,
}

impl Engine {
    /// Listen for peers: TCP for links, UDP on the same port for heartbeats; on the address and on `further` ones, which need not be there yet. Where
    /// it listens.
    ///
    /// # Errors
    /// `Exists`: it does already. `Io`: the address is not ours or in use.
    pub fn listen_mirror(
        &mut self,
        address: SocketAddr,
        secret: Vec<u8>,
        further: Vec<IpAddr>,
    ) -> Result<SocketAddr> {
        if self.mirror.is_some() {
            return Err(EngineError::new(
                Kind::Exists,
                "the engine listens for peers already",
            ));
        }
        let (bound, place) = self.listen(address, Purpose::Mirror)?;
        let mut places = vec![place];
        let heartbeats = self
            .listen_further(bound, &further, &mut places)
            .and_then(|()| self.start_heartbeats(bound, &further));
        match heartbeats {
            Ok(heartbeats) => {
                self.mirror = Some(Mirror {
                    address: bound,
                    further,
                    secret,
                    heartbeats,
                });
                Ok(bound)
            }
            Err(error) => {
                for place in places {
                    self.endpoints.remove(place);
                }
                Err(error)
            }
        }
    }

    fn listen_further(
        &mut self,
        bound: SocketAddr,
        further: &[IpAddr],
        places: &mut Vec<usize>,
    ) -> Result<()> {
        for &own in further {
            let address = SocketAddr::new(own, bound.port());
            let failed = |error| EngineError::io(&format!("cannot listen on {address}"), &error);
            let listener = Listener::bind_absent(address, Purpose::Mirror).map_err(failed)?;
            places.push(self.keep_listener(listener)?);
        }
        Ok(())
    }

    fn start_heartbeats(&self, bound: SocketAddr, further: &[IpAddr]) -> Result<Heartbeats> {
        let further = further
            .iter()
            .map(|&own| SocketAddr::new(own, bound.port()));
        let addresses: Vec<_> = [bound].into_iter().chain(further).collect();
        let (interval_ns, lease_ns) = (self.settings.heartbeat_ns, self.settings.lease_ns);
        Heartbeats::start(
            &addresses,
            interval_ns,
            lease_ns,
            Arc::clone(&self.turned_ns),
        )
        .map_err(|error| EngineError::io(&format!("cannot receive heartbeats on {bound}"), &error))
    }

    /// Begin to keep a link with a peer.
    ///
    /// # Errors
    /// `Exists`: it is known. `Invalid`: it is this node, or a path makes no sense. `Refused`: the engine does not listen for peers.
    pub fn add_peer(&mut self, spec: PeerSpec) -> Result<()> {
        let about =
            |kind, problem: &str| Err(EngineError::new(kind, problem).about_peer(&spec.name));
        let Some(mirror) = &self.mirror else {
            return about(Kind::Refused, "the engine does not listen for peers");
        };
        let known = |theirs: IpAddr| {
            let mut paths = self.peers.iter().flat_map(|(_, peer)| &peer.paths);
            paths.any(|path| path.to.ip() == theirs)
        };
        if mirror.address.ip() == spec.address.ip() {
            return about(Kind::Invalid, "the peer is this node");
        }
        if known(spec.address.ip()) {
            return about(Kind::Exists, "the peer is known already");
        }
        if let Some(problem) = problem_of(&spec, mirror) {
            return about(Kind::Invalid, problem);
        }
        if spec.further.iter().any(|&(_, theirs)| known(theirs)) {
            return about(Kind::Exists, "a path leads to an address of another peer");
        }
        let main = [(mirror.address.ip(), spec.address.ip())];
        let dials = if spec.dial { spec.connections } else { 0 };
        let port = spec.address.port();
        let paths = main
            .into_iter()
            .chain(spec.further)
            .map(|(own, theirs)| Path::new(own, SocketAddr::new(theirs, port), dials))
            .collect();
        self.peers.insert(Peer::new(spec.name, spec.dial, paths));
        Ok(())
    }

    /// Close the link with a peer and forget it.
    ///
    /// # Errors
    /// `NotFound`. `Refused`: a VDisk is mirrored with it.
    pub fn remove_peer(&mut self, name: &str) -> Result<()> {
        let place = self.peer_place(name)?;
        if let Some((_, vdisk)) = self
            .core
            .vdisks
            .iter()
            .find(|(_, vdisk)| vdisk.peer.as_deref() == Some(name))
        {
            return Err(
                EngineError::new(Kind::Refused, "the VDisk is mirrored with the peer")
                    .about_vdisk(&vdisk.name)
                    .about_peer(name),
            );
        }
        self.close_link(place, "closed");
        let dials = self.peers[place].paths.iter().flat_map(|path| &path.dials);
        for connection in dials.filter_map(|dial| dial.place).collect::<Vec<_>>() {
            self.close_connection(connection, "closed");
        }
        // What the mirror core has to say about the loss names the peer by its place, so before the place is free.
        self.carry_out();
        self.peers.remove(place);
        Ok(())
    }

    fn peer_place(&self, name: &str) -> Result<usize> {
        let unknown = || EngineError::new(Kind::NotFound, "unknown peer").about_peer(name);
        self.peers
            .iter()
            .find(|(_, peer)| peer.name == name)
            .map(|(place, _)| place)
            .ok_or_else(unknown)
    }

    pub(crate) fn peer_id_of(&self, name: Option<&str>) -> Result<Option<PeerId>> {
        name.map(|name| self.peer_place(name).map(peer_id))
            .transpose()
    }
}

/// Why a peer cannot be kept a link with; None: it can.
fn problem_of(spec: &PeerSpec, mirror: &Mirror) -> Option<&'static str> {
    let own: Vec<_> = [mirror.address.ip()]
        .into_iter()
        .chain(mirror.further.iter().copied())
        .collect();
    let all = || {
        [spec.address.ip()]
            .into_iter()
            .chain(spec.further.iter().map(|path| path.1))
    };
    let is_twice = |theirs: IpAddr| all().filter(|&other| other == theirs).count() > 1;
    if spec.address.port() == 0 {
        Some("a peer has no port 0")
    } else if !(1..=CONNECTIONS_MAX).contains(&spec.connections) {
        Some("a path has 1 to 8 connections")
    } else if spec.further.len() >= PATHS_MAX {
        Some("a peer has at most 3 further paths")
    } else if spec
        .further
        .iter()
        .any(|(from, _)| !mirror.further.contains(from))
    {
        Some("a path begins at an address where the engine does not listen for peers")
    } else if all().any(|theirs| own.contains(&theirs)) {
        Some("a path leads to this node")
    } else if all()
        .any(|theirs| theirs.is_unspecified() || theirs.is_multicast() || is_twice(theirs))
    {
        Some("a path leads nowhere, or where another one leads")
    } else if spec
        .further
        .iter()
        .any(|(from, to)| from.is_ipv4() != to.is_ipv4())
    {
        Some("a path has addresses of two families")
    } else {
        None
    }
}
