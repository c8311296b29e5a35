"""From the engine's reports (dicts, ``kind`` first) to the brain's events.

Rule: a report that is no concern of the brain (sessions, counters) gives None; a malformed one raises ``KeyError`` or
``ValueError``, for the engine and the brain come from one build.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from twindisk.brain import events as ev
from twindisk.brain.model import CopyFacts, PeerAddress, Role, Sync, VDiskName

Report = Mapping[str, Any]


def copy_facts(facts: Report) -> CopyFacts:
    """Return the engine's ``CopyFacts`` dict as the brain's value."""
    return CopyFacts(
        current=facts["current"],
        base=facts["base"],
        lineage=tuple(facts.get("lineage", ())),
        epoch=facts["epoch"],
        role=Role(facts["role"]),
        inconsistent=facts["inconsistent"],
        ending=facts.get("ending", False),
        active=facts["active"],
        dirty=facts["dirty"],
        size_bytes=facts["size_bytes"],
        unbroken=facts.get("unbroken", False),
        seq=facts["seq"],
    )


def _vdisk(report: Report) -> VDiskName:
    return VDiskName(report["vdisk"])


def _peer(report: Report) -> PeerAddress:
    return PeerAddress(report["peer"])


_READERS: Final[dict[str, Callable[[Report], ev.EngineEvent]]] = {
    "peer_up": lambda r: ev.PeerUp(_peer(r)),
    "peer_down": lambda r: ev.PeerDown(_peer(r), ev.LinkLoss(r["reason"])),
    "peer_facts": lambda r: ev.PeerFacts(_vdisk(r), copy_facts(r["local"]), copy_facts(r["remote"])),
    "attached": lambda r: ev.Attached(_vdisk(r), Role(r["role"]), Sync(r["sync"])),
    "attach_refused": lambda r: ev.AttachRefused(_vdisk(r), str(r.get("reason", ""))),
    "resynced": lambda r: ev.Resynced(_vdisk(r), Role(r["role"])),
    "held": lambda r: ev.Held(_vdisk(r), r.get("peer_outdated", False)),
    "alone": lambda r: ev.Alone(_vdisk(r), r["released"]),
    "peer_left": lambda r: ev.PeerLeft(_vdisk(r)),
    "left": lambda r: ev.Left(_vdisk(r)),
    "switching": lambda r: ev.Switching(_vdisk(r)),
    "disk_failed": lambda r: ev.DiskFailed(_vdisk(r), r["operation"], r["errno"]),
}


def event_from_report(report: Report) -> ev.EngineEvent | None:
    """Return the event for an engine report; None if the brain has no use for it."""
    reader = _READERS.get(report["kind"])
    return reader(report) if reader else None
