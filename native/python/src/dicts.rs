//! The runtime's values as dicts.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use twindisk_runtime::event::PathOf;
use twindisk_runtime::mirror::report::{ToldFacts, Verified, VerifyState};
use twindisk_runtime::mirror::{CHUNK_BYTES, Role, Sync};
use twindisk_runtime::status::{EngineStatus, PathStatus, PeerStatus, VdiskStatus};
use twindisk_runtime::{AccessState, EngineEvent, VdiskEvent};

type Dict<'py> = PyResult<Bound<'py, PyDict>>;

/// Build a dict from `key: value` pairs.
macro_rules! dict {
    ($py:expr, { $($key:literal: $value:expr),* $(,)? }) => {{
        let dict = PyDict::new($py);
        $(dict.set_item($key, $value)?;)*
        dict
    }};
}

/// `master` or `slave`.
pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::Master => "master",
        Role::Slave => "slave",
    }
}

/// The word of `attach`'s `sync`.
pub fn sync_word(sync: Sync) -> &'static str {
    match sync {
        Sync::None => "none",
        Sync::Source => "source",
        Sync::Target => "target",
        Sync::FullSource => "full-source",
        Sync::FullTarget => "full-target",
    }
}

/// The word of a target port group's state.
fn state_word(state: AccessState) -> &'static str {
    match state {
        AccessState::Optimized => "active/optimized",
        AccessState::NonOptimized => "active/non-optimized",
        AccessState::Transitioning => "transitioning",
        AccessState::Standby => "standby",
        AccessState::Unavailable => "unavailable",
    }
}

/// `CopyFacts` of the stub.
pub fn facts<'py>(py: Python<'py>, told: &ToldFacts) -> Dict<'py> {
    let facts = &told.facts;
    Ok(dict!(py, {
        "current": facts.current,
        "base": facts.base,
        "lineage": facts.lineage.clone(),
        "epoch": facts.epoch,
        "role": role_word(facts.role),
        "inconsistent": facts.inconsistent,
        "ending": facts.ending,
        "active": told.active,
        "dirty": told.dirty,
        "size_bytes": told.size_bytes,
        "unbroken": told.unbroken,
        "seq": told.seq,
    }))
}

fn path_event<'py>(py: Python<'py>, kind: &str, path: &PathOf) -> Dict<'py> {
    Ok(dict!(py, {
        "kind": kind,
        "peer": &path.peer,
        "own": path.own.to_string(),
        "theirs": path.theirs.to_string(),
    }))
}

/// One event; `kind` first.
pub fn event<'py>(py: Python<'py>, event: &EngineEvent) -> Dict<'py> {
    match event {
        EngineEvent::PeerUp(peer) => Ok(dict!(py, { "kind": "peer_up", "peer": peer })),
        EngineEvent::PeerDown { peer, reason } => {
            Ok(dict!(py, { "kind": "peer_down", "peer": peer, "reason": reason }))
        }
        EngineEvent::PeerVersion { peer, theirs, ours } => Ok(dict!(py, {
            "kind": "peer_version",
            "peer": peer,
            "theirs": *theirs,
            "ours": *ours,
        })),
        EngineEvent::PathDown(path) => path_event(py, "path_down", path),
        EngineEvent::PathUp(path) => path_event(py, "path_up", path),
        EngineEvent::LoginRefused {
            initiator,
            target,
            address,
            status,
            unreported,
        } => Ok(dict!(py, {
            "kind": "login_refused",
            "initiator": initiator.as_deref(),
            "target": target.as_deref(),
            "address": address,
            "status": status,
            "unreported": unreported,
        })),
        EngineEvent::Vdisk(name, event) => vdisk_event(py, name, event),
    }
}

fn vdisk_event<'py>(py: Python<'py>, name: &str, event: &VdiskEvent) -> Dict<'py> {
    let dict = dict!(py, { "kind": kind_of(event), "vdisk": name });
    match event {
        VdiskEvent::PeerFacts(pair) => {
            dict.set_item("local", facts(py, &pair.local)?)?;
            dict.set_item("remote", facts(py, &pair.remote)?)?;
        }
        VdiskEvent::Attached { role, sync } => {
            dict.set_item("role", role_word(*role))?;
            dict.set_item("sync", sync_word(*sync))?;
        }
        VdiskEvent::AttachRefused { reason } => dict.set_item("reason", reason)?,
        VdiskEvent::Resynced(role) => dict.set_item("role", role_word(*role))?,
        VdiskEvent::Held { peer_outdated } => dict.set_item("peer_outdated", peer_outdated)?,
        VdiskEvent::Alone { released } => dict.set_item("released", released)?,
        VdiskEvent::DiskFailed { operation, errno } => {
            dict.set_item("operation", operation)?;
            dict.set_item("errno", errno)?;
        }
        VdiskEvent::Verified(found) => dict.update(verified(py, found)?.as_mapping())?,
        VdiskEvent::SessionOpened { initiator, address }
        | VdiskEvent::SessionClosed { initiator, address } => {
            dict.set_item("initiator", initiator)?;
            dict.set_item("address", address)?;
        }
        VdiskEvent::PeerLeft | VdiskEvent::Left | VdiskEvent::Switching | VdiskEvent::NoSpace => {}
    }
    Ok(dict)
}

fn kind_of(event: &VdiskEvent) -> &'static str {
    match event {
        VdiskEvent::PeerFacts(_) => "peer_facts",
        VdiskEvent::Attached { .. } => "attached",
        VdiskEvent::AttachRefused { .. } => "attach_refused",
        VdiskEvent::Resynced(_) => "resynced",
        VdiskEvent::Held { .. } => "held",
        VdiskEvent::Alone { .. } => "alone",
        VdiskEvent::PeerLeft => "peer_left",
        VdiskEvent::Left => "left",
        VdiskEvent::Switching => "switching",
        VdiskEvent::Verified(_) => "verified",
        VdiskEvent::NoSpace => "no_space",
        VdiskEvent::DiskFailed { .. } => "disk_failed",
        VdiskEvent::SessionOpened { .. } => "session_opened",
        VdiskEvent::SessionClosed { .. } => "session_closed",
    }
}

/// What a verification found.
pub fn verified<'py>(py: Python<'py>, found: &Verified) -> Dict<'py> {
    let state = match found.state {
        VerifyState::Running => "running",
        VerifyState::Completed => "completed",
        VerifyState::Cancelled => "cancelled",
        VerifyState::Interrupted => "interrupted",
    };
    Ok(dict!(py, {
        "state": state,
        "repair": found.repair.map(role_word),
        "done_bytes": found.done_bytes,
        "total_bytes": found.total_bytes,
        "compared_bytes": found.compared_bytes,
        "differing_bytes": found.differing_bytes,
        "repaired_bytes": found.repaired_bytes,
        "ranges": found.ranges.clone(),
        "truncated": found.truncated,
    }))
}

/// The whole status: `vdisks` by name, `peers` by mirror address.
pub fn status<'py>(py: Python<'py>, status: &EngineStatus) -> Dict<'py> {
    let (vdisks, peers) = (PyDict::new(py), PyDict::new(py));
    for one in &status.vdisks {
        vdisks.set_item(&one.name, vdisk(py, one)?)?;
    }
    for one in &status.peers {
        peers.set_item(&one.address, peer(py, one)?)?;
    }
    let memory = dict!(py, {
        "held_bytes": status.memory.held_bytes,
        "limit_bytes": status.memory.limit_bytes,
    });
    Ok(dict!(py, { "vdisks": vdisks, "peers": peers, "memory": memory }))
}

fn vdisk<'py>(py: Python<'py>, status: &VdiskStatus) -> Dict<'py> {
    let copy = &status.copy;
    let sessions: Vec<_> = status
        .sessions
        .iter()
        .map(|session| {
            Ok(dict!(py, {
                "initiator": &session.initiator,
                "address": &session.address,
                "held_bytes": session.held_bytes,
            }))
        })
        .collect::<PyResult<_>>()?;
    let counters = dict!(py, {
        "reads": status.counters.reads,
        "read_bytes": status.counters.read_bytes,
        "writes": status.counters.writes,
        "written_bytes": status.counters.written_bytes,
        "flushes": status.counters.flushes,
        "changes": copy.counters.changes,
        "changed_bytes": copy.counters.changed_bytes,
        "resynced_bytes": copy.counters.resynced_bytes,
    });
    let done_chunks = copy.resync_total.saturating_sub(copy.dirty);
    Ok(dict!(py, {
        "mode": copy.mode,
        "role": role_word(copy.facts.role),
        "sync": copy.sync,
        "resync_done": if copy.resync_total == 0 { 0 } else { done_chunks * CHUNK_BYTES },
        "resync_total": copy.resync_total * CHUNK_BYTES,
        "speed_bytes_per_s": copy.speed_bytes_per_s,
        "verify": copy.verified.as_ref().map(|found| verified(py, found)).transpose()?,
        "iqn": &status.iqn,
        "directory": status.directory.display().to_string(),
        "size_bytes": status.size_bytes,
        "peer": status.peer.as_deref(),
        "group_tag": status.group_tag,
        "access": status.access.word(),
        "access_state": state_word(status.own_state),
        "peer_access_state": status.peer_state.map(state_word),
        "sanitize": status.sanitize.map(|(word, _)| word),
        "sanitize_percent": status.sanitize.map(|(_, percent)| percent),
        "held": copy.held,
        "tasks": copy.tasks,
        "facts": facts(py, &status.facts)?,
        "counters": counters,
        "sessions": sessions,
    }))
}

fn peer<'py>(py: Python<'py>, status: &PeerStatus) -> Dict<'py> {
    Ok(dict!(py, {
        "up": status.up,
        "dial": status.dial,
        "serve_until_ns": status.serve_until_ns,
        "promised_until_ns": status.promised_until_ns,
        "last_heard_ns": status.last_heard_ns,
        "sent_bytes": status.sent_bytes,
        "paths": status.paths.iter().map(|one| path(py, one)).collect::<PyResult<Vec<_>>>()?,
    }))
}

fn path<'py>(py: Python<'py>, status: &PathStatus) -> Dict<'py> {
    Ok(dict!(py, {
        "own": status.own.to_string(),
        "theirs": status.theirs.to_string(),
        "up": status.connections > 0,
        "connections": status.connections,
        "sent_bytes": status.sent_bytes,
    }))
}
