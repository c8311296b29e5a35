"""What the node's database holds, one frozen record per row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from twindisk import _native


class CheckKind(StrEnum):
    """The kinds of mirror checks."""

    FENCE = "fence"
    WITNESS = "witness"
    MANUAL = "manual"
    IGNORE = "ignore"


class AccessMode(StrEnum):
    """How initiators are to use the two paths of a mirrored VDisk; the values are the engine's."""

    ACTIVE_ACTIVE = "active-active"
    """Both alike."""
    ACTIVE_PASSIVE = "active-passive"
    """The Master's; the Slave's serves too, but is not preferred."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A CHAP name and its secret, which ``repr`` does not show."""

    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Admission:
    """Which initiators are let in (:mod:`twindisk.node.admission`).

    ``initiators``: iSCSI names in lower case, sorted; empty: every name. ``users``: by name; empty: no authentication.
    ``own``: by which the target proves itself, None: it does not.
    """

    initiators: tuple[str, ...] = ()
    users: tuple[Credential, ...] = ()
    own: Credential | None = None

    def to_json(self) -> str:
        """Return everything, secrets too, for the database and the peer."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return what :meth:`to_json` gave. Raises ValueError, KeyError or TypeError for anything else."""
        kept = json.loads(text)
        users = tuple(Credential(user["name"], user["secret"]) for user in kept["users"])
        own = None if kept["own"] is None else Credential(kept["own"]["name"], kept["own"]["secret"])
        return cls(tuple(kept["initiators"]), users, own)

    def for_engine(self) -> _native.Admission:
        """Return it as the engine takes it."""
        own = None if self.own is None else (self.own.name, self.own.secret)
        users = [(user.name, user.secret) for user in self.users]
        return {"initiators": list(self.initiators), "users": users, "own": own}


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
    copy; it is kept, not served under the identity that the other copy serves. ``access`` and ``admission``: the same on both
    nodes while they mirror (:mod:`twindisk.node.access`). ``block_bytes``: of a logical block, 512 or 4096; never changes.
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
    admission: Admission = Admission()
    block_bytes: int = 512


@dataclass(frozen=True, slots=True)
class Mirror:
    """A VDisk's mirror. ``peer``: mirror address; ``remote``, ``remote_pool``: name and pool at the peer."""

    vdisk: str
    peer: str
    remote: str
    remote_pool: str


@dataclass(frozen=True, slots=True)
class Check:
    """A mirror check for a peer. ``id`` orders them.

    ``command``: a fence check's command, or where a witness is; else empty. ``witness``: what the witness calls itself; else empty.
    """

    id: int
    peer: str
    kind: CheckKind
    command: str
    witness: str = ""


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
