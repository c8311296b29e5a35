//! `twindisk._native.Engine`; the stub carries the documentation.

use std::path::Path;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use twindisk_runtime::mirror::copy::PaceLimits;
use twindisk_runtime::mirror::{AttachPlan, Command};
use twindisk_runtime::{EngineError, Handle, PeerSpec, Redirect, Settings, VdiskSpec, invalid};

use crate::arguments::{
    AdmissionDict, access, address, admission, block, ip, role, serial, state, sync,
};
use crate::dicts;
use crate::errors::{detached, exception};

const MS_NS: u64 = 1_000_000;

/// The engine of one node: iSCSI portals, mirror links and VDisk copies.
#[pyclass(frozen, module = "twindisk._native")]
pub struct Engine {
    handle: Handle,
}

impl Engine {
    fn command(&self, py: Python<'_>, name: String, command: Command) -> PyResult<()> {
        detached(py, || {
            self.handle
                .call(move |engine| engine.command(&name, command))?
        })
    }
}

#[pymethods]
impl Engine {
    #[new]
    #[pyo3(signature = (*, heartbeat_ms = 200, silence_ms = 2000, lease_ms = 2000, memory_limit_bytes = 1 << 30))]
    fn new(
        py: Python<'_>,
        heartbeat_ms: u64,
        silence_ms: u64,
        lease_ms: u64,
        memory_limit_bytes: usize,
    ) -> PyResult<Self> {
        if heartbeat_ms == 0 || silence_ms < heartbeat_ms || lease_ms < heartbeat_ms {
            return Err(exception(
                py,
                invalid("heartbeats must come within the silence and the lease"),
            ));
        }
        let settings = Settings {
            heartbeat_ns: heartbeat_ms.saturating_mul(MS_NS),
            silence_ns: silence_ms.saturating_mul(MS_NS),
            lease_ns: lease_ms.saturating_mul(MS_NS),
            memory_limit_bytes,
        };
        detached(py, || Handle::start(settings)).map(|handle| Self { handle })
    }

    /// Return the eventfd that becomes readable when take_events() has something.
    fn event_fd(&self) -> i32 {
        self.handle.events().fd()
    }

    /// Take all queued events, oldest first.
    fn take_events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let events = PyList::empty(py);
        for event in self.handle.events().take() {
            events.append(dicts::event(py, &event)?)?;
        }
        Ok(events)
    }

    /// Listen for initiators; return the bound port.
    #[pyo3(signature = (host, port, *, redirect = None, permanent = false))]
    fn open_portal(
        &self,
        py: Python<'_>,
        host: &str,
        port: u16,
        redirect: Option<String>,
        permanent: bool,
    ) -> PyResult<u16> {
        detached(py, || {
            let address = address(host, port)?;
            let redirect = redirect.map(|address| Redirect { address, permanent });
            self.handle
                .call(move |engine| engine.open_portal(address, redirect))?
                .map(|bound| bound.port())
        })
    }

    /// Listen for peers' data links and heartbeats; return the bound port.
    #[pyo3(signature = (host, port, secret, *, further = Vec::new()))]
    fn listen_mirror(
        &self,
        py: Python<'_>,
        host: &str,
        port: u16,
        secret: &[u8],
        further: Vec<String>,
    ) -> PyResult<u16> {
        let secret = secret.to_vec();
        detached(py, || {
            let address = address(host, port)?;
            let further = further
                .iter()
                .map(|own| ip(own))
                .collect::<Result<_, _>>()?;
            self.handle
                .call(move |engine| engine.listen_mirror(address, secret, further))?
                .map(|bound| bound.port())
        })
    }

    /// Begin to keep a link with a peer.
    #[pyo3(signature = (address, port, *, dial, paths = Vec::new(), connections = 1))]
    fn add_peer(
        &self,
        py: Python<'_>,
        address: String,
        port: u16,
        dial: bool,
        paths: Vec<(String, String)>,
        connections: usize,
    ) -> PyResult<()> {
        detached(py, || {
            let further = paths
                .iter()
                .map(|(own, theirs)| Ok((ip(own)?, ip(theirs)?)))
                .collect::<Result<_, EngineError>>()?;
            let spec = PeerSpec {
                address: crate::arguments::address(&address, port)?,
                name: address,
                dial,
                further,
                connections,
            };
            self.handle.call(move |engine| engine.add_peer(spec))?
        })
    }

    /// Close the link and forget the peer.
    fn remove_peer(&self, py: Python<'_>, address: String) -> PyResult<()> {
        detached(py, || {
            self.handle
                .call(move |engine| engine.remove_peer(&address))?
        })
    }

    /// Make the files of a new copy.
    #[pyo3(signature = (directory, *, serial, size_bytes, generation, role, blank))]
    #[allow(clippy::too_many_arguments)]
    fn create_copy(
        &self,
        py: Python<'_>,
        directory: &str,
        serial: &str,
        size_bytes: u64,
        generation: u64,
        role: &str,
        blank: bool,
    ) -> PyResult<()> {
        detached(py, || {
            if !blank && generation == 0 {
                return Err(invalid("a copy that is not blank needs a generation"));
            }
            let generation = if blank { 0 } else { generation };
            let (serial, role) = (
                crate::arguments::serial(serial)?,
                crate::arguments::role(role)?,
            );
            self.handle
                .create_copy(Path::new(directory), serial, size_bytes, generation, role)
        })
    }

    /// Remove the files of a copy that is not open.
    fn delete_copy(&self, py: Python<'_>, directory: &str) -> PyResult<()> {
        detached(py, || self.handle.delete_copy(Path::new(directory)))
    }

    /// Make a copy that is not open that of another VDisk.
    #[pyo3(signature = (directory, *, serial, size_bytes, generation))]
    fn relabel_copy(
        &self,
        py: Python<'_>,
        directory: &str,
        serial: &str,
        size_bytes: u64,
        generation: u64,
    ) -> PyResult<()> {
        detached(py, || {
            let serial = self::serial(serial)?;
            self.handle
                .relabel_copy(Path::new(directory), serial, size_bytes, generation)
        })
    }

    /// Open a copy; initiators see the target, not ready, until a serve command.
    #[pyo3(signature = (name, directory, *, serial, iqn, size_bytes, block_bytes, group_tag, peer, admission = None, unbroken = None))]
    #[allow(clippy::too_many_arguments)]
    fn open_vdisk<'py>(
        &self,
        py: Python<'py>,
        name: String,
        directory: &str,
        serial: &str,
        iqn: String,
        size_bytes: u64,
        block_bytes: u64,
        group_tag: u16,
        peer: Option<String>,
        admission: Option<AdmissionDict>,
        unbroken: Option<u64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let told = detached(py, || {
            let serial = self::serial(serial)?;
            let block = self::block(block_bytes)?;
            let admission = self::admission(admission)?;
            let directory = directory.into();
            self.handle.open_vdisk(VdiskSpec {
                name,
                directory,
                serial,
                iqn,
                size_bytes,
                block,
                group_tag,
                peer,
                admission,
                unbroken,
            })
        })?;
        dicts::facts(py, &told)
    }

    /// Stop serving, end its sessions, close the files.
    fn close_vdisk(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        detached(py, || self.handle.close_vdisk(name))
    }

    /// Set or clear the VDisk's mirror peer; the copy stops serving until told anew.
    #[pyo3(signature = (name, peer, *, group_tag))]
    fn set_peer(
        &self,
        py: Python<'_>,
        name: String,
        peer: Option<String>,
        group_tag: u16,
    ) -> PyResult<()> {
        detached(py, || {
            self.handle
                .call(move |engine| engine.set_peer(&name, peer, group_tag))?
        })
    }

    /// Set how the paths through both nodes are to be used.
    #[pyo3(signature = (name, *, access))]
    fn set_access(&self, py: Python<'_>, name: String, access: &str) -> PyResult<()> {
        detached(py, || {
            let access = self::access(access)?;
            self.handle
                .call(move |engine| engine.set_access(&name, access))?
        })
    }

    /// Set which initiators are let in to a VDisk; return how many sessions ended by it.
    #[pyo3(signature = (name, *, admission))]
    fn set_admission(
        &self,
        py: Python<'_>,
        name: String,
        admission: AdmissionDict,
    ) -> PyResult<usize> {
        detached(py, || {
            let admission = self::admission(Some(admission))?;
            self.handle
                .call(move |engine| engine.set_admission(&name, admission))?
        })
    }

    /// Set who may hold discovery sessions; return how many of them ended by it.
    #[pyo3(signature = (*, admission))]
    fn set_discovery(&self, py: Python<'_>, admission: AdmissionDict) -> PyResult<usize> {
        detached(py, || {
            let admission = self::admission(Some(admission))?;
            self.handle
                .call(move |engine| engine.set_discovery(admission))?
        })
    }

    /// Grow a VDisk.
    fn resize_vdisk(&self, py: Python<'_>, name: String, size_bytes: u64) -> PyResult<()> {
        detached(py, || {
            self.handle
                .call(move |engine| engine.resize_vdisk(&name, size_bytes))?
        })
    }

    /// Return the copy's facts as they are now.
    fn facts<'py>(&self, py: Python<'py>, name: String) -> PyResult<Bound<'py, PyDict>> {
        let told = detached(py, || {
            self.handle.call(move |engine| engine.facts(&name))?
        })?;
        dicts::facts(py, &told)
    }

    /// Return in which chunks the copy may differ from its peer's.
    #[pyo3(signature = (name, *, first_extent, limit))]
    fn suspects(
        &self,
        py: Python<'_>,
        name: String,
        first_extent: u64,
        limit: usize,
    ) -> PyResult<Vec<(u64, u64)>> {
        detached(py, || {
            self.handle
                .call(move |engine| engine.suspects(&name, first_extent, limit))?
        })
    }

    /// Return the hashes of chunks of an open copy.
    fn chunk_hashes<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        chunks: Vec<u64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let hashes = detached(py, || self.handle.chunk_hashes(name, &chunks))?;
        PyList::new(py, hashes.iter().map(|hash| PyBytes::new(py, hash)))
    }

    /// Serve a VDisk that has no mirror.
    fn serve_single(&self, py: Python<'_>, name: String) -> PyResult<()> {
        self.command(py, name, Command::ServeSingle)
    }

    /// Agree to mirror with the peer on the basis of both sides' facts.
    #[pyo3(signature = (name, *, role, sync, epoch, generation, local_seq, remote_seq))]
    #[allow(clippy::too_many_arguments)]
    fn attach(
        &self,
        py: Python<'_>,
        name: String,
        role: &str,
        sync: &str,
        epoch: u64,
        generation: u64,
        local_seq: u64,
        remote_seq: u64,
    ) -> PyResult<()> {
        let parsed = self::role(role).and_then(|role| Ok((role, self::sync(sync)?)));
        let (role, sync) = parsed.map_err(|error| exception(py, error))?;
        let plan = AttachPlan {
            role,
            sync,
            epoch,
            generation,
            local_seq,
            remote_seq,
        };
        self.command(py, name, Command::Attach(plan))
    }

    /// Become Master without the peer.
    #[pyo3(signature = (name, *, generation, epoch, fenced))]
    fn go_alone(
        &self,
        py: Python<'_>,
        name: String,
        generation: u64,
        epoch: u64,
        fenced: bool,
    ) -> PyResult<()> {
        self.command(
            py,
            name,
            Command::GoAlone {
                generation,
                epoch,
                fenced,
            },
        )
    }

    /// Answer held and new I/O with NOT READY.
    #[pyo3(signature = (name, *, state))]
    fn stop_serving(&self, py: Python<'_>, name: String, state: &str) -> PyResult<()> {
        let state = self::state(state).map_err(|error| exception(py, error))?;
        self.command(py, name, Command::StopServing(state))
    }

    /// Hand over cleanly: drain, flush, tell the peer.
    fn leave(&self, py: Python<'_>, name: String) -> PyResult<()> {
        self.command(py, name, Command::Leave)
    }

    /// On an attached Master: drain, swap the durable roles with the peer, exchange facts anew.
    fn switch_roles(&self, py: Python<'_>, name: String) -> PyResult<()> {
        self.command(py, name, Command::SwitchRoles)
    }

    /// On an attached Master in sync: compare both copies.
    #[pyo3(signature = (name, *, repair))]
    fn verify(&self, py: Python<'_>, name: String, repair: Option<&str>) -> PyResult<()> {
        let repair = repair.map(self::role).transpose();
        let repair = repair.map_err(|error| exception(py, error))?;
        self.command(py, name, Command::Verify { repair })
    }

    /// End the verification of a VDisk that is under way.
    fn end_verify(&self, py: Python<'_>, name: String) -> PyResult<()> {
        self.command(py, name, Command::EndVerify)
    }

    /// Set how fast all resyncs and verifications together may go.
    #[pyo3(signature = (*, min_bytes_per_s, max_bytes_per_s, latency_ms))]
    fn set_pace(
        &self,
        py: Python<'_>,
        min_bytes_per_s: u64,
        max_bytes_per_s: Option<u64>,
        latency_ms: u64,
    ) -> PyResult<()> {
        let limits = PaceLimits {
            min_bytes_per_s,
            max_bytes_per_s: max_bytes_per_s.unwrap_or(u64::MAX),
            latency_ns: latency_ms.saturating_mul(1_000_000),
        };
        detached(py, || {
            self.handle.call(move |engine| engine.set_pace(limits))
        })
    }

    /// Return VDisks and peers as they are now.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let status = detached(py, || self.handle.call(|engine| engine.status()))?;
        dicts::status(py, &status)
    }

    /// Close all portals, links and copies; idempotent.
    fn shutdown(&self, py: Python<'_>) {
        py.detach(|| self.handle.shutdown());
    }
}
