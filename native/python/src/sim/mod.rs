//! `SimNode`: one node's mirror core and hearts without any I/O, driven from Python by the simulator.
//!
//! Rules:
//! 1. Nothing happens but by a call; every call takes the time. The caller's duties are those of [`Node`].
//! 2. Messages leave and enter as frames, so that the codec takes part in every simulation.
//! 3. As in the engine, the leases that the hearts know are told to the core before anything else in a call.

mod actions;
mod bundle;
mod records;

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use twindisk_runtime::mirror::copy::PaceLimits;
use twindisk_runtime::mirror::heart::Heart;
use twindisk_runtime::mirror::message::Message;
use twindisk_runtime::mirror::{
    Change, ChangeKind, CopySpec, DiskDone, DiskId, HostId, HostOp, Node, PeerId, RecordChange,
    Update, UpdateKind, frame,
};

pub use self::bundle::SimBundle;

use self::records::{command_of, facts_from, get, serial_of, shared_from, wrong};
use crate::dicts;

/// How a simulated disk operation ended: an error number, bytes, extents as 1-tuples, ranges.
#[derive(FromPyObject)]
enum Outcome {
    Failed(i32),
    // Before `Data`: an empty list would be taken for no bytes. No read is empty.
    Extents(Vec<(u64,)>),
    Ranges(Vec<(u64, u64)>),
    Data(Vec<u8>),
}

struct Link {
    /// None while the link is down.
    heart: Option<Heart>,
    promised_until_ns: u64,
    input: BytesMut,
}

/// One node, sans-IO.
#[pyclass(module = "twindisk._native")]
pub struct SimNode {
    node: Node,
    links: BTreeMap<u32, Link>,
    interval_ns: u64,
    lease_ns: u64,
    started_ns: u64,
}

#[pymethods]
impl SimNode {
    /// A node that started at `now_ns`; it must not go on alone before what it may have promised earlier is over.
    #[new]
    fn new(now_ns: u64, interval_ns: u64, lease_ns: u64) -> Self {
        Self {
            node: Node::new(now_ns + Heart::promise_ns(lease_ns)),
            links: BTreeMap::new(),
            interval_ns,
            lease_ns,
            started_ns: now_ns,
        }
    }

    /// Keep leases with a peer.
    fn add_peer(&mut self, peer: u32, now_ns: u64) {
        let promised_until_ns = self.started_ns + self.lease_ns + self.lease_ns / 16;
        self.links.insert(
            peer,
            Link {
                heart: None,
                promised_until_ns,
                input: BytesMut::new(),
            },
        );
        self.node.lease(PeerId(peer), 0, promised_until_ns, now_ns);
    }

    /// Open a copy with the record that its disk holds: its facts, `size_bytes`, `active` (extents) and `bitmap` (words).
    fn add_copy(
        &mut self,
        serial: &str,
        peer: Option<u32>,
        record: &Bound<'_, PyDict>,
        now_ns: u64,
    ) -> PyResult<()> {
        let spec = CopySpec {
            serial: serial_of(serial)?,
            size_bytes: get(record, "size_bytes")?,
            peer: peer.map(PeerId),
            facts: facts_from(record)?,
            active: get(record, "active")?,
            bitmap: get(record, "bitmap")?,
            shared: shared_from(record)?,
            unbroken: get(record, "unbroken")?,
        };
        let serial = spec.serial;
        self.node.add_copy(spec, now_ns);
        if let Some(extents) = record.get_item("log_extents")? {
            self.node.limit_log(serial, extents.extract()?);
        }
        Ok(())
    }

    /// Close a copy; what it was asked for has no answer.
    fn remove_copy(&mut self, serial: &str) -> PyResult<()> {
        self.node.remove_copy(serial_of(serial)?);
        Ok(())
    }

    /// Set how fast resync and verification may go, in bytes per second.
    fn set_pace(&mut self, min_bytes_per_s: u64, max_bytes_per_s: u64, latency_ns: u64) {
        self.node.set_pace(PaceLimits {
            min_bytes_per_s,
            max_bytes_per_s,
            latency_ns,
        });
    }

    /// A host reads.
    fn host_read(
        &mut self,
        serial: &str,
        number: u64,
        offset: u64,
        len_bytes: u32,
        now_ns: u64,
    ) -> PyResult<()> {
        self.host(serial, number, HostOp::Read { offset, len_bytes }, now_ns)
    }

    /// A host writes.
    fn host_write(
        &mut self,
        serial: &str,
        number: u64,
        offset: u64,
        data: &[u8],
        fua: bool,
        now_ns: u64,
    ) -> PyResult<()> {
        let kind = ChangeKind::Write(Bytes::copy_from_slice(data).into());
        let change = Change {
            offset,
            len_bytes: data.len() as u64,
            kind,
        };
        self.host(serial, number, HostOp::Change { change, fua }, now_ns)
    }

    /// A host writes if what is there is what it compares with.
    #[expect(clippy::too_many_arguments, reason = "called from Python, by position")]
    fn host_compare_and_write(
        &mut self,
        serial: &str,
        number: u64,
        offset: u64,
        compare: &[u8],
        write: &[u8],
        fua: bool,
        now_ns: u64,
    ) -> PyResult<()> {
        if compare.len() != write.len() {
            return Err(wrong("compare and write differ in length"));
        }
        let update = Update {
            offset,
            len_bytes: write.len() as u64,
            kind: UpdateKind::CompareAndWrite {
                compare: Bytes::copy_from_slice(compare).into(),
                write: Bytes::copy_from_slice(write).into(),
            },
        };
        self.host(serial, number, HostOp::Update { update, fua }, now_ns)
    }

    /// A host has one range copied to another, which does not overlap it.
    fn host_copy(
        &mut self,
        serial: &str,
        number: u64,
        source: u64,
        offset: u64,
        len_bytes: u64,
        now_ns: u64,
    ) -> PyResult<()> {
        if source.abs_diff(offset) < len_bytes {
            return Err(wrong("a range is copied over a part of itself"));
        }
        let update = Update {
            offset,
            len_bytes,
            kind: UpdateKind::CopyOf { source },
        };
        self.host(
            serial,
            number,
            HostOp::Update { update, fua: false },
            now_ns,
        )
    }

    /// A host unmaps.
    fn host_unmap(
        &mut self,
        serial: &str,
        number: u64,
        offset: u64,
        len_bytes: u64,
        now_ns: u64,
    ) -> PyResult<()> {
        let change = Change {
            offset,
            len_bytes,
            kind: ChangeKind::Unmap,
        };
        self.host(
            serial,
            number,
            HostOp::Change { change, fua: false },
            now_ns,
        )
    }

    /// A host flushes.
    fn host_flush(&mut self, serial: &str, number: u64, now_ns: u64) -> PyResult<()> {
        self.host(serial, number, HostOp::Flush, now_ns)
    }

    /// A host asks for the shared record.
    fn host_settle(&mut self, serial: &str, number: u64, now_ns: u64) -> PyResult<()> {
        self.host(serial, number, HostOp::Settle, now_ns)
    }

    /// A host wants to change the shared record; `tag` names the change.
    fn host_turn(&mut self, serial: &str, number: u64, tag: u64, now_ns: u64) -> PyResult<()> {
        self.host(serial, number, HostOp::Turn { tag }, now_ns)
    }

    /// What a host's turn came to; None: no change. False: the turn was lost.
    fn turn_computed(
        &mut self,
        serial: &str,
        number: u64,
        data: Option<&[u8]>,
        drain: bool,
        now_ns: u64,
    ) -> PyResult<bool> {
        let change = data.map(|data| RecordChange {
            bytes: Bytes::copy_from_slice(data),
            drain,
        });
        let serial = serial_of(serial)?;
        Ok(self
            .node
            .turn_computed(serial, HostId(number), change, now_ns))
    }

    /// A version of the shared record is in force.
    fn record_taken(&mut self, serial: &str, number: u64, now_ns: u64) -> PyResult<()> {
        self.node.record_taken(serial_of(serial)?, number, now_ns);
        Ok(())
    }

    /// Whether a host's command has not begun.
    fn can_withdraw(&self, serial: &str, number: u64) -> PyResult<bool> {
        Ok(self.node.can_withdraw(serial_of(serial)?, HostId(number)))
    }

    /// The shared record's bytes.
    fn shared<'py>(&self, py: Python<'py>, serial: &str) -> PyResult<Bound<'py, PyBytes>> {
        let copy = self.node.copy(serial_of(serial)?);
        let record = copy.ok_or_else(|| wrong("unknown VDisk"))?.shared_record();
        Ok(PyBytes::new(py, record.bytes()))
    }

    /// A host's session is gone.
    fn cancel(&mut self, serial: &str, number: u64, now_ns: u64) -> PyResult<()> {
        self.node.cancel(serial_of(serial)?, HostId(number), now_ns);
        Ok(())
    }

    /// A disk operation ended: None, bytes, a list of extents as 1-tuples or of ranges, or an error number.
    fn disk_done(
        &mut self,
        serial: &str,
        number: u64,
        outcome: Option<Outcome>,
        now_ns: u64,
    ) -> PyResult<()> {
        let done = match outcome {
            None => DiskDone::Done,
            Some(Outcome::Failed(errno)) => DiskDone::Failed(errno),
            Some(Outcome::Data(data)) => DiskDone::Data(Bytes::from(data).into()),
            Some(Outcome::Ranges(ranges)) => DiskDone::Ranges(ranges),
            Some(Outcome::Extents(extents)) => {
                DiskDone::Extents(extents.into_iter().map(|(extent,)| extent).collect())
            }
        };
        self.renew(now_ns);
        self.node
            .disk_done(serial_of(serial)?, DiskId(number), done, now_ns);
        Ok(())
    }

    /// A link with a peer is open, which this node dialed, or not; `key` is its session's.
    fn link_up(&mut self, peer: u32, key: [u8; 32], dial: bool, now_ns: u64) -> PyResult<()> {
        self.end_heart(peer);
        let (interval_ns, lease_ns) = (self.interval_ns, self.lease_ns);
        let link = self
            .links
            .get_mut(&peer)
            .ok_or_else(|| wrong("unknown peer"))?;
        link.heart = Some(Heart::new(
            key,
            dial,
            interval_ns,
            lease_ns,
            link.promised_until_ns,
        ));
        link.input = BytesMut::new();
        self.renew(now_ns);
        self.node.link_up(PeerId(peer), now_ns);
        Ok(())
    }

    /// The link with a peer ended.
    fn link_down(&mut self, peer: u32, now_ns: u64) {
        self.renew(now_ns);
        self.end_heart(peer);
        self.node.link_down(PeerId(peer), now_ns);
    }

    /// Bytes came over the link.
    fn receive(&mut self, peer: u32, data: &[u8], now_ns: u64) -> PyResult<()> {
        let link = self
            .links
            .get_mut(&peer)
            .ok_or_else(|| wrong("unknown peer"))?;
        link.input.extend_from_slice(data);
        let mut messages = Vec::new();
        while let Some(message) =
            frame::decode(&mut link.input).map_err(|error| wrong(&error.to_string()))?
        {
            messages.push(message);
        }
        for message in messages {
            self.take(peer, message, now_ns);
        }
        Ok(())
    }

    /// A heartbeat came; the answer to be sent, if any.
    fn beat<'py>(
        &mut self,
        py: Python<'py>,
        peer: u32,
        datagram: &[u8],
        now_ns: u64,
    ) -> Option<Bound<'py, PyBytes>> {
        let heart = self.links.get_mut(&peer)?.heart.as_mut()?;
        let answer = heart.receive(datagram, now_ns);
        self.renew(now_ns);
        answer.map(|answer| PyBytes::new(py, &answer))
    }

    /// Time passed; heartbeats to be sent, with their peers.
    fn tick<'py>(&mut self, py: Python<'py>, now_ns: u64) -> Vec<(u32, Bound<'py, PyBytes>)> {
        let beats = self.links.iter_mut().filter_map(|(&peer, link)| {
            let beat = link.heart.as_mut()?.tick(now_ns)?;
            Some((peer, PyBytes::new(py, &beat)))
        });
        let beats = beats.collect();
        self.renew(now_ns);
        self.node.tick(now_ns);
        beats
    }

    /// When a peer was last heard over the present link, in nanoseconds; None: never.
    fn last_heard(&self, peer: u32) -> Option<u64> {
        self.links.get(&peer)?.heart.as_ref()?.last_heard_ns()
    }

    /// A decision; the reason of a refusal, None when it was taken.
    fn command(
        &mut self,
        serial: &str,
        name: &str,
        args: &Bound<'_, PyDict>,
        now_ns: u64,
    ) -> PyResult<Option<String>> {
        let command = command_of(name, args)?;
        self.renew(now_ns);
        let done = self.node.command(serial_of(serial)?, command, now_ns);
        Ok(done.err().map(|error| error.to_string()))
    }

    /// A copy as it is now.
    fn status<'py>(&self, py: Python<'py>, serial: &str) -> PyResult<Bound<'py, PyDict>> {
        let copy = self.node.copy(serial_of(serial)?);
        actions::status(py, &copy.ok_or_else(|| wrong("unknown VDisk"))?.status())
    }

    /// A copy's facts as a peer is told them.
    fn facts<'py>(&self, py: Python<'py>, serial: &str) -> PyResult<Bound<'py, PyDict>> {
        let copy = self.node.copy(serial_of(serial)?);
        dicts::facts(py, &copy.ok_or_else(|| wrong("unknown VDisk"))?.told())
    }

    /// What is to be done, in order, as tuples whose first member names the kind.
    fn take_actions<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        let mut actions = Vec::new();
        self.node.take_actions(&mut actions);
        actions
            .into_iter()
            .map(|action| actions::action(py, &self.node, action))
            .collect()
    }
}

impl SimNode {
    /// A message came over a link.
    fn take(&mut self, peer: u32, message: Message, now_ns: u64) {
        self.renew(now_ns);
        self.node.receive(PeerId(peer), message, now_ns);
    }

    fn host(&mut self, serial: &str, number: u64, op: HostOp, now_ns: u64) -> PyResult<()> {
        self.renew(now_ns);
        self.node
            .host(serial_of(serial)?, HostId(number), op, now_ns);
        Ok(())
    }

    /// Tell the core how the leases stand.
    fn renew(&mut self, now_ns: u64) {
        for (&peer, link) in &mut self.links {
            if let Some(heart) = &link.heart {
                link.promised_until_ns = link.promised_until_ns.max(heart.promised_until_ns());
                self.node.lease(
                    PeerId(peer),
                    heart.serve_until_ns(),
                    link.promised_until_ns,
                    now_ns,
                );
            }
        }
    }

    fn end_heart(&mut self, peer: u32) {
        if let Some(link) = self.links.get_mut(&peer)
            && let Some(heart) = link.heart.take()
        {
            link.promised_until_ns = link.promised_until_ns.max(heart.promised_until_ns());
        }
    }
}
