//! What the core asks for as Python tuples, and a copy's status as a dict.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use twindisk_runtime::mirror::copy::CopyStatus;
use twindisk_runtime::mirror::{
    Action, Change, ChangeKind, DiskOp, Facts, HostResult, LinkLoss, Node, NotReady, Report, Role,
    Serial, frame,
};

use crate::dicts;

fn state_word(state: NotReady) -> &'static str {
    match state {
        NotReady::Transitioning => "transitioning",
        NotReady::Standby => "standby",
        NotReady::Unavailable => "unavailable",
    }
}

fn facts<'py>(py: Python<'py>, facts: &Facts) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("current", facts.current)?;
    dict.set_item("base", facts.base)?;
    dict.set_item("lineage", facts.lineage.clone())?;
    dict.set_item("epoch", facts.epoch)?;
    dict.set_item("role", dicts::role_word(facts.role))?;
    dict.set_item("inconsistent", facts.inconsistent)?;
    dict.set_item("ending", facts.ending)?;
    Ok(dict)
}

/// A copy's status, its facts among it.
pub fn status<'py>(py: Python<'py>, status: &CopyStatus) -> PyResult<Bound<'py, PyDict>> {
    let dict = facts(py, &status.facts)?;
    dict.set_item("mode", status.mode)?;
    dict.set_item("sync", status.sync)?;
    dict.set_item("dirty", status.dirty)?;
    dict.set_item("active", status.active)?;
    dict.set_item("held", status.held)?;
    dict.set_item("tasks", status.tasks)?;
    let verified = status.verified.as_ref();
    let verified = verified.map(|found| dicts::verified(py, found));
    dict.set_item("verify", verified.transpose()?)?;
    dict.set_item("record_version", status.record_version)?;
    dict.set_item("resynced_bytes", status.counters.resynced_bytes)?;
    Ok(dict)
}

/// An action as a tuple whose first member names its kind.
pub fn action<'py>(py: Python<'py>, node: &Node, action: Action) -> PyResult<Bound<'py, PyTuple>> {
    match action {
        Action::Disk { serial, id, op } => disk_action(py, &format!("{serial:?}"), id.0, op),
        Action::Complete {
            serial,
            host,
            result,
        } => {
            let serial = format!("{serial:?}");
            match result {
                HostResult::Data(data) => {
                    let data = PyBytes::new(py, &data.to_contiguous());
                    ("complete", serial, host.0, "data", data).into_pyobject(py)
                }
                HostResult::Allocation(ranges) => {
                    ("complete", serial, host.0, "allocation", ranges).into_pyobject(py)
                }
                HostResult::Done => {
                    ("complete", serial, host.0, "done", py.None()).into_pyobject(py)
                }
                HostResult::Miscompare { offset } => {
                    ("complete", serial, host.0, "miscompare", offset).into_pyobject(py)
                }
                HostResult::Unknown => {
                    ("complete", serial, host.0, "unknown", py.None()).into_pyobject(py)
                }
                HostResult::Overtaken => {
                    ("complete", serial, host.0, "overtaken", py.None()).into_pyobject(py)
                }
                HostResult::NoRoom => {
                    ("complete", serial, host.0, "no-room", py.None()).into_pyobject(py)
                }
                HostResult::NoSpace => {
                    ("complete", serial, host.0, "no-space", py.None()).into_pyobject(py)
                }
                HostResult::NotReady(why) => {
                    ("complete", serial, host.0, "not-ready", state_word(why)).into_pyobject(py)
                }
            }
        }
        Action::Record {
            serial,
            id,
            bytes,
            drain,
            ..
        } => {
            let serial = format!("{serial:?}");
            ("record", serial, id, PyBytes::new(py, &bytes), drain).into_pyobject(py)
        }
        Action::Turn { serial, host } => ("turn", format!("{serial:?}"), host.0).into_pyobject(py),
        Action::Send { peer, message } => {
            let words = format!("{:?}", Brief(&message));
            let (header, payload) = frame::encode(&message);
            let bytes = [&header[..], &payload.to_contiguous()].concat();
            ("send", peer.0, PyBytes::new(py, &bytes), words).into_pyobject(py)
        }
        Action::Report { serial, report } => report_action(py, node, serial, report),
        Action::PeerUp { peer } => ("peer_up", peer.0).into_pyobject(py),
        Action::PeerDown { peer, loss } => {
            let loss = match loss {
                LinkLoss::Closed => "closed",
                LinkLoss::Silent => "silent",
                LinkLoss::Protocol => "protocol",
            };
            ("peer_down", peer.0, loss).into_pyobject(py)
        }
    }
}

fn report_action<'py>(
    py: Python<'py>,
    node: &Node,
    serial: Serial,
    report: Report,
) -> PyResult<Bound<'py, PyTuple>> {
    let dict = PyDict::new(py);
    let kind = match report {
        Report::PeerFacts(pair) => {
            dict.set_item("local", dicts::facts(py, &pair.local)?)?;
            dict.set_item("remote", dicts::facts(py, &pair.remote)?)?;
            "peer_facts"
        }
        Report::Attached { role, sync } => {
            dict.set_item("role", dicts::role_word(role))?;
            dict.set_item("sync", dicts::sync_word(sync))?;
            "attached"
        }
        Report::AttachRefused => "attach_refused",
        Report::Resynced => {
            let role = node
                .copy(serial)
                .map_or(Role::Slave, |copy| copy.status().facts.role);
            dict.set_item("role", dicts::role_word(role))?;
            "resynced"
        }
        Report::Held { peer_outdated } => {
            dict.set_item("peer_outdated", peer_outdated)?;
            "held"
        }
        Report::Alone { released } => {
            dict.set_item("released", released)?;
            "alone"
        }
        Report::PeerLeft => "peer_left",
        Report::Left => "left",
        Report::Switching => "switching",
        Report::Verified(found) => {
            dict.update(dicts::verified(py, &found)?.as_mapping())?;
            "verified"
        }
        Report::NoSpace => "no_space",
        Report::DiskFailed { operation, errno } => {
            dict.set_item("operation", operation)?;
            dict.set_item("errno", errno)?;
            "disk_failed"
        }
    };
    dict.set_item("kind", kind)?;
    ("report", format!("{serial:?}"), dict).into_pyobject(py)
}

fn disk_action<'py>(
    py: Python<'py>,
    serial: &str,
    id: u64,
    op: DiskOp,
) -> PyResult<Bound<'py, PyTuple>> {
    match op {
        DiskOp::Read { offset, len_bytes } => {
            ("disk", serial, id, "read", offset, len_bytes).into_pyobject(py)
        }
        DiskOp::Change(Change {
            offset,
            len_bytes,
            kind,
        }) => match kind {
            ChangeKind::Write(data) => {
                let data = PyBytes::new(py, &data.to_contiguous());
                ("disk", serial, id, "write", offset, data).into_pyobject(py)
            }
            ChangeKind::Sparse(data) => {
                let data = PyBytes::new(py, &data.to_contiguous());
                ("disk", serial, id, "sparse", offset, data).into_pyobject(py)
            }
            ChangeKind::Fill(block) => {
                let block = block.to_contiguous();
                let times = usize::try_from(len_bytes).unwrap_or(usize::MAX) / block.len();
                let data = PyBytes::new(py, &block.repeat(times));
                ("disk", serial, id, "write", offset, data).into_pyobject(py)
            }
            ChangeKind::Unmap => ("disk", serial, id, "unmap", offset, len_bytes).into_pyobject(py),
        },
        DiskOp::Flush => ("disk", serial, id, "flush").into_pyobject(py),
        DiskOp::Persist(persist) => {
            let facts = facts(py, &persist.facts)?;
            let (active, reset, bitmap) = (persist.active, persist.bitmap_reset, persist.bitmap);
            let shared = persist
                .shared
                .map(|shared| PyBytes::new(py, &shared.encode()));
            (
                "disk", serial, id, "persist", facts, active, reset, bitmap, shared,
            )
                .into_pyobject(py)
        }
        DiskOp::Ranges { offset, len_bytes } => {
            ("disk", serial, id, "ranges", offset, len_bytes).into_pyobject(py)
        }
        DiskOp::Allocated => ("disk", serial, id, "allocated").into_pyobject(py),
    }
}

/// A message without its bytes, for traces.
struct Brief<'a>(&'a twindisk_runtime::mirror::message::Message);

impl std::fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use twindisk_runtime::mirror::message::Body;
        let message = self.0;
        match &message.body {
            Body::Apply(change) => write!(f, "Apply {}+{}", change.offset, change.len_bytes)?,
            Body::Request(change) => write!(f, "Request {}+{}", change.offset, change.len_bytes)?,
            Body::Ask(update) => write!(f, "Ask {}+{}", update.offset, update.len_bytes)?,
            Body::Resolved(change) => write!(f, "Resolved {}+{}", change.offset, change.len_bytes)?,
            Body::ReadData(data) => write!(f, "ReadData {}", data.len_bytes())?,
            Body::ChunkHash { offset, .. } => write!(f, "ChunkHash {offset}")?,
            Body::ChunkData { offset, .. } => write!(f, "ChunkData {offset}")?,
            Body::Compare { offset, .. } => write!(f, "Compare {offset}")?,
            Body::Differs(data) => write!(f, "Differs {}", data.len_bytes())?,
            body => write!(f, "{body:?}")?,
        }
        write!(f, " #{} e{}", message.id, message.epoch)
    }
}
