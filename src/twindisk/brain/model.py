"""What the brain knows: one node, its VDisks and its peers, as frozen values.

Rules:

1. Nothing here is changed in place; a decision returns new values.
2. ``VDisk.facts`` is what this node's copy durably says, as far as the engine reported or was told. Only facts that
   came in one ``PeerFacts`` event are ever compared with the peer's.
3. A fence run exists only while the link to its peer is down (:mod:`twindisk.brain.invariants`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import NewType

from twindisk.brain.phases import Phase

VDiskName = NewType("VDiskName", str)
PeerAddress = NewType("PeerAddress", str)


@unique
class Role(StrEnum):
    """The part a copy plays in its pair."""

    MASTER = "master"
    SLAVE = "slave"
    UNKNOWN = "unknown"
    """Not attached and not sure; counts as Slave in every decision."""


@unique
class Sync(StrEnum):
    """What an attach copies, seen from this node; the values are the engine's."""

    NONE = "none"
    SOURCE = "source"
    TARGET = "target"
    FULL_SOURCE = "full-source"
    FULL_TARGET = "full-target"

    @property
    def receives(self) -> bool:
        """Whether this node's copy is overwritten by the attach."""
        return self in {Sync.TARGET, Sync.FULL_TARGET}

    @property
    def sends(self) -> bool:
        """Whether this node's copy is the one that is copied."""
        return self in {Sync.SOURCE, Sync.FULL_SOURCE}


@unique
class Link(StrEnum):
    """The data link to a peer, as the engine last reported it."""

    UP = "up"
    DOWN = "down"


@unique
class CheckKind(StrEnum):
    """Kinds of mirror checks (``qmirrorcheck -t``)."""

    FENCE = "fence"
    WITNESS = "witness"
    MANUAL = "manual"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Check:
    """One mirror check of a peer."""

    kind: CheckKind
    command: str = ""
    """The fence command, or where the witness is; empty for the other kinds."""
    witness: str = ""
    """What the witness calls itself: the same for whoever reaches the same one, wherever it is looked for; else empty."""


@dataclass(frozen=True, slots=True)
class Rule:
    """By what a node decides when it loses its peer, as far as the peer must know it."""

    kind: CheckKind
    witness: str = ""
    """Which witness, by the name that it calls itself; else empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFacts:
    """What one copy durably knows about itself; the fields are those of ``twindisk._native.CopyFacts``."""

    current: int
    """Generation of the data; 0: the copy is blank."""
    base: int = 0
    """What ``current`` was when this copy went on alone; 0: it is not ahead of the peer."""
    lineage: tuple[int, ...] = ()
    """Generations passed through since ``base``, oldest first, without ``base`` and ``current``."""
    epoch: int = 0
    """Rises with every attach and every time a copy goes on alone."""
    role: Role = Role.SLAVE
    inconsistent: bool = False
    """A resync into this copy has begun and not ended."""
    ending: bool = False
    """The end of a resync out of this copy was offered: the peer may be current again and no longer knows itself behind."""
    active: int = 0
    """Extents in the activity log."""
    dirty: int = 0
    """Chunks in the dirty bitmap."""
    size_bytes: int = 0
    unbroken: bool = False
    """Open without a break since it was last equal to the peer, or Master: it holds every answered change, flushed or not."""
    seq: int = 0
    """Changes with every change of these facts while the daemon runs."""

    @property
    def blank(self) -> bool:
        """Whether the copy holds nothing yet."""
        return self.current == 0

    @property
    def usable(self) -> bool:
        """Whether the copy may be Master at all: it holds data and no resync into it is unfinished."""
        return not self.blank and not self.inconsistent

    @property
    def peer_outdated(self) -> bool:
        """Whether the peer is durably marked as behind this copy and knows it."""
        return self.base != 0 and not self.ending

    @property
    def surely_current(self) -> bool:
        """Whether the copy went on alone and its peer has not caught up: no newer copy can exist."""
        return self.usable and self.peer_outdated


@dataclass(frozen=True, slots=True)
class Offer:
    """Both sides' facts from one exchange over the link."""

    local: CopyFacts
    remote: CopyFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """An attach that the engine was told and has not answered."""

    role: Role
    sync: Sync
    epoch: int
    generation: int
    """A sender's new generation, taken unless its peer is marked outdated already; 0 for the others."""
    offer: Offer
    """The facts the plan was made from."""
    origin: Phase
    """The phase to fall back to when the attach is refused."""


@unique
class Fault(StrEnum):
    """Why a VDisk is INVALID."""

    SPLIT_BRAIN = "split-brain"
    """Both copies went on alone from the same past."""
    UNRELATED = "unrelated"
    """The copies have no common past that their generations show."""
    NO_GOOD_COPY = "no-good-copy"
    """Neither copy is usable: blank or in mid-resync."""
    SIZE_DIFFERS = "size-differs"
    UNUSABLE = "unusable"
    """No mirror, and the copy is blank or in mid-resync."""
    WITHHELD = "withheld"
    """The peer ended the mirror: this copy is kept, but not served under the same identity."""
    NOT_BLANK = "not-blank"
    """Accepted as the receiving side of a new mirror, but it holds data of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VDisk:
    """One VDisk on this node."""

    name: VDiskName
    peer: PeerAddress | None
    """None: no mirror."""
    phase: Phase
    role: Role
    facts: CopyFacts
    since_ns: int
    """When the phase was entered."""
    offer: Offer | None = None
    """The newest exchange of facts since the copy was last attached and the link last came up; None: none yet."""
    attachment: Attachment | None = None
    """Set in ATTACHING and REJOINING only."""
    fault: Fault | None = None
    """Set in INVALID only."""
    attached_epoch: int = 0
    """Epoch of the last attach that the engine confirmed since the copy was opened; 0: none."""
    claim: "ClaimRun | None" = None
    """None: nothing is asked of a witness."""


@unique
class ClaimStage(StrEnum):
    """Where a claim at the witness stands."""

    HEAD_START = "head-start"
    """Leaving the Master time to claim first."""
    RUNNING = "running"
    PAUSED = "paused"
    """The witness was not reached; it is asked again."""


@dataclass(frozen=True, slots=True)
class ClaimRun:
    """One VDisk's attempts to be the one that goes on, since it lost its peer."""

    number: int
    """Tells the outcome of one attempt from that of another; counts up per peer, with the fence runs."""
    stage: ClaimStage
    told: bool = False
    """Operators know that the witness is not reached."""


@unique
class FenceStage(StrEnum):
    """Where a fence run stands."""

    HEAD_START = "head-start"
    """Leaving the other node time to fence first."""
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class FenceRun:
    """One attempt to fence a peer, shared by all VDisks that wait for it."""

    number: int
    """Tells the results of one run from those of another; counts up per peer."""
    stage: FenceStage


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One peer node."""

    address: PeerAddress
    link: Link = Link.DOWN
    checks: tuple[Check, ...] = ()
    fence: FenceRun | None = None
    """None: no fence run wanted."""
    runs: int = 0
    """Fence runs and claims begun so far."""
    their_rule: Rule | None = None
    """What rules there when it loses this node, as it told last; None: no check, or not told yet."""
    told: bool = False
    """The peer told what rules there since this node was started."""
    heard: bool = False
    """The peer said that it knows what rules here, and that has not changed since. A later life of the peer forgets it, and then
    does not go on itself until it is told again."""
    waited: bool = False
    """The exchange of checks had its time, since the link came up or another check ruled here, and did not end: copies attach without it."""
    warned_of: tuple[Rule, Rule] | None = None
    """The ruling checks, ours and theirs, that operators were warned of last; None: those of now are safe."""

    @property
    def exchanged(self) -> bool:
        """Whether both nodes told each other by which check they act."""
        return self.told and self.heard

    @property
    def may_attach(self) -> bool:
        """Whether the checks are exchanged, or had their time for it."""
        return self.exchanged or self.waited


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Time limits of a node's decisions, in milliseconds."""

    startup_wait_ms: int = 3_000
    """How long a copy that is surely current waits for its peer before it goes on alone."""
    head_start_ms: int = 500
    """How long a Slave waits before it fences, or claims."""
    fence_limit_ms: int = 30_000
    """Time limit of each fence command."""
    witness_limit_ms: int = 2_000
    """Time limit of each attempt to claim at the witness."""
    witness_retry_ms: int = 1_000
    """Pause before a witness that was not reached is asked again."""
    leave_limit_ms: int = 10_000
    """How long a stopping node waits for its hand-overs."""
    attach_retry_ms: int = 1_000
    """Pause before the same facts are tried again after a refused attach."""
    checks_wait_ms: int = 2_000
    """How long copies wait with the attach until both nodes know each other's checks."""
    settle_ms: int = 5_000
    """How long I/O stays held for a peer whose link is back but whose facts do not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """Everything the brain of one node knows."""

    address: PeerAddress
    """This node's own mirror address; breaks ties in the pair plan."""
    settings: Settings = field(default_factory=Settings)
    vdisks: Mapping[VDiskName, VDisk] = field(default_factory=dict)
    peers: Mapping[PeerAddress, Peer] = field(default_factory=dict)
    stopping: bool = False
    """The operator told the daemon to stop."""
    shut_down: bool = False
    """``Shutdown`` was issued."""
