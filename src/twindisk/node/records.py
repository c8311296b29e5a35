"""What the node's database holds, one frozen record per row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any


class CheckKind(StrEnum):
    """The kinds of mirror checks."""

    FENCE = "fence"
    MANUAL = "manual"
    IGNORE = "ignore"


class AccessMode(StrEnum):
    """How initiators are to use the two paths of a mirrored VDisk; the values are the engine's."""

    ACTIVE_ACTIVE = "active-active"
    """Both alike."""
    ACTIVE_PASSIVE = "active-passive"
    """The Master's; the Slave's serves too, but is not preferred."""


@dataclass(frozen=True, slots=True)
class Pool:
    """A named set of disks."""

    name: str


@dataclass(frozen=True, slots=True)
class Disk:
    """A directory of one pool. ``device``: the block device mounted there, None for a directory disk."""

    id: str
    pool: str
    path: Path
    device: str | None = None


@dataclass(frozen=True, slots=True)
class VDisk:
    """One VDisk's copy on this node.

    ``pool``: the pool of its disk. ``directory``: where the copy's files lie. ``group_tag``: its target port group and
    portal group tag, 1 where it was created and 2 at the peer. ``withheld``: the peer ended the mirror of this
    copy; it is kept, not served under the identity that the other copy serves. ``access``: the same on both nodes while they
    mirror (:mod:`twindisk.node.access`).
    """

    name: str
    pool: str
    disk: str
    directory: Path
    serial: str
    iqn: str
    size_bytes: int
    group_tag: int
    withheld: bool = False
    access: AccessMode = AccessMode.ACTIVE_ACTIVE


@dataclass(frozen=True, slots=True)
class Mirror:
    """A VDisk's mirror. ``peer``: mirror address; ``remote``, ``remote_pool``: name and pool at the peer."""

    vdisk: str
    peer: str
    remote: str
    remote_pool: str


@dataclass(frozen=True, slots=True)
class Check:
    """A mirror check for a peer. ``id`` orders them; ``command`` is empty unless it is a fence check."""

    id: int
    peer: str
    kind: CheckKind
    command: str


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something an operator is told. ``at_ms``: Unix time. ``severity``: information | warning | error."""

    id: int
    at_ms: int
    severity: str
    kind: str
    text: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventsWanted:
    """Which events. Those with an id above ``after`` and below ``before``, from ``since_ms`` (Unix time) on, of one VDisk."""

    after: int | None = None
    before: int | None = None
    since_ms: int = 0
    vdisk: str | None = None


ALL_EVENTS = EventsWanted()
