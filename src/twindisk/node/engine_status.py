"""What the engine's ``status()`` says, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Session:
    """An initiator's session with a VDisk."""

    initiator: str
    address: str
    held_bytes: int
    """The memory that is held for it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a resync is. ``total_bytes`` 0: none runs, or there was nothing to copy."""

    done_bytes: int
    total_bytes: int

    @property
    def percent(self) -> float:
        """Return 0 to 100."""
        return 100.0 if self.total_bytes == 0 else min(100.0, 100 * self.done_bytes / self.total_bytes)


def sessions_of(status: Mapping[str, Any], vdisk: str) -> tuple[Session, ...]:
    """Return the sessions with a VDisk."""
    found = status.get("vdisks", {}).get(vdisk, {}).get("sessions", ())
    return tuple(
        Session(str(session["initiator"]), str(session["address"]), int(session["held_bytes"])) for session in found
    )


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory that is held for all initiators together, and how much it may be."""

    held_bytes: int
    limit_bytes: int


def memory_of(status: Mapping[str, Any]) -> Memory:
    """Return the memory that is held for initiators."""
    found = status["memory"]
    return Memory(int(found["held_bytes"]), int(found["limit_bytes"]))


def access_state_of(status: Mapping[str, Any], vdisk: str) -> str | None:
    """Return the state that initiators see of this node's path to a VDisk; None when its copy is not open."""
    found = status.get("vdisks", {}).get(vdisk, {}).get("access_state")
    return None if found is None else str(found)


def sanitize_of(status: Mapping[str, Any], vdisk: str) -> tuple[Literal["running", "failed"], int] | None:
    """Return how the latest sanitize operation of a VDisk stands (running or failed) and its percentage; None: neither."""
    found = status.get("vdisks", {}).get(vdisk, {})
    word = found.get("sanitize")
    if word is None:
        return None
    return "running" if word == "running" else "failed", int(found["sanitize_percent"])


def verify_of(status: Mapping[str, Any], vdisk: str) -> Mapping[str, Any]:
    """Return the latest verification of a VDisk on this node (``Verified`` of ``_native.pyi``); empty: there was none."""
    found: Mapping[str, Any] | None = status.get("vdisks", {}).get(vdisk, {}).get("verify")
    return found or {}


def speed_of(status: Mapping[str, Any], vdisk: str) -> int:
    """Return how many bytes a second a resync or verification looked at lately; 0: none."""
    return int(status.get("vdisks", {}).get(vdisk, {}).get("speed_bytes_per_s", 0))


def sent_bytes_of(status: Mapping[str, Any], peer: str) -> int:
    """Return how many bytes were sent to a peer over the present link."""
    return int(status.get("peers", {}).get(peer, {}).get("sent_bytes", 0))


@dataclass(frozen=True, slots=True)
class PathSeen:
    """A path to a peer. ``connections``: how many are open."""

    own: str
    theirs: str
    up: bool
    connections: int
    sent_bytes: int


def paths_of(status: Mapping[str, Any], peer: str) -> tuple[PathSeen, ...]:
    """Return the paths to a peer, the main one first; none when the engine keeps no link with it."""
    found = status.get("peers", {}).get(peer, {}).get("paths", ())
    return tuple(
        PathSeen(
            str(path["own"]),
            str(path["theirs"]),
            bool(path["up"]),
            int(path["connections"]),
            int(path["sent_bytes"]),
        )
        for path in found
    )


def seconds_left(left_bytes: int, bytes_per_s: int) -> int | None:
    """Return how long the rest takes at this speed, rounded up; None: nobody knows."""
    return None if bytes_per_s <= 0 else -(-left_bytes // bytes_per_s)


def progress_of(status: Mapping[str, Any], vdisk: str) -> Progress:
    """Return how far a VDisk's resync is."""
    found = status.get("vdisks", {}).get(vdisk, {})
    return Progress(int(found.get("resync_done", 0)), int(found.get("resync_total", 0)))
