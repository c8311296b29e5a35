"""What can happen to a node, as the shell reports it to :func:`twindisk.brain.decide`.

Rules:

1. Events of one engine arrive in the order in which the engine queued them.
2. Any event may arrive in any phase; none raises.
3. Events carry facts, never orders to a certain phase.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from twindisk.brain.effects import Timer
from twindisk.brain.model import Check, CopyFacts, PeerAddress, Role, Rule, Sync, VDiskName

# --- from the engine (the names are those of its reports) ---


@unique
class LinkLoss(StrEnum):
    """Why a link counts as lost."""

    RESET = "reset"
    SILENT = "silent"
    REFUSED = "refused"
    PROTOCOL = "protocol"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class PeerUp:
    """The data link is up and authenticated."""

    peer: PeerAddress


@dataclass(frozen=True, slots=True)
class PeerDown:
    """The data link is lost; the copies that were attached over it hold all I/O."""

    peer: PeerAddress
    reason: LinkLoss = LinkLoss.RESET


@dataclass(frozen=True, slots=True)
class PeerFacts:
    """Both sides' facts, exchanged over the link while the VDisk is not attached."""

    vdisk: VDiskName
    local: CopyFacts
    remote: CopyFacts


@dataclass(frozen=True, slots=True)
class Attached:
    """The copies mirror each other from now on."""

    vdisk: VDiskName
    role: Role
    sync: Sync


@dataclass(frozen=True, slots=True)
class AttachRefused:
    """The engines did not agree (stale facts on one side, as a rule); nothing changed."""

    vdisk: VDiskName
    reason: str = ""
    """The engine's word for it; for the log."""


@dataclass(frozen=True, slots=True)
class Resynced:
    """A resync ended: the copies are equal. The source's engine reports it before the target's."""

    vdisk: VDiskName
    role: Role


@dataclass(frozen=True, slots=True)
class Held:
    """An attached copy lost its peer and holds all I/O until told what to do."""

    vdisk: VDiskName
    peer_outdated: bool = False
    """The copy was the source of a resync whose end was not offered yet: the peer knows that it is behind."""


@dataclass(frozen=True, slots=True)
class Alone:
    """``GoAlone`` is done: the peer is durably marked outdated, held I/O goes on."""

    vdisk: VDiskName
    released: int = 0
    """Held commands that go on now."""


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """The peer handed over cleanly: it serves nothing and does not go on alone."""

    vdisk: VDiskName


@dataclass(frozen=True, slots=True)
class Left:
    """Our own ``Leave`` is done."""

    vdisk: VDiskName


@dataclass(frozen=True, slots=True)
class Switching:
    """The roles are swapped durably; the copies attach anew. The old Master's engine reports it first."""

    vdisk: VDiskName


@dataclass(frozen=True, slots=True)
class DiskFailed:
    """The disk under a copy failed."""

    vdisk: VDiskName
    operation: str = ""
    """The operation that failed (``write``, ``flush``, ...); for the log."""
    errno: int = 0


# --- from the shell ---


@dataclass(frozen=True, slots=True)
class VDiskOpened:
    """The engine opened a copy (at start-up, or a new VDisk); it serves nothing yet."""

    vdisk: VDiskName
    peer: PeerAddress | None
    facts: CopyFacts
    withheld: bool = False
    """The peer once ended the mirror of this copy (kept by the shell): it must not be served under the old identity."""
    parted: bool = False
    """The copies had parted when they met last (kept by the shell): this one is not served until they fit, or the mirror ends."""


@dataclass(frozen=True, slots=True)
class VDiskClosed:
    """The engine closed a copy; the VDisk is no more."""

    vdisk: VDiskName


@dataclass(frozen=True, slots=True)
class MirrorConfigured:
    """A VDisk got a peer (the engine's ``set_peer`` is done, it serves nothing until told anew)."""

    vdisk: VDiskName
    peer: PeerAddress
    facts: CopyFacts
    accepting: bool
    """True on the side that receives the data (``qsync -d``): its copy must be blank."""


@dataclass(frozen=True, slots=True)
class MirrorRemoved:
    """The mirror of a VDisk was ended (the engine's ``set_peer(None)`` is done)."""

    vdisk: VDiskName
    facts: CopyFacts
    by_peer: bool = False
    """The operator ended it on the other node."""


@dataclass(frozen=True, slots=True)
class ChecksChanged:
    """The mirror checks of a peer, whole list in order."""

    peer: PeerAddress
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class PeerCheckTold:
    """The peer told which of its mirror checks rules when it loses this node."""

    peer: PeerAddress
    rule: Rule | None
    """None: it has no check."""


@dataclass(frozen=True, slots=True)
class CheckHeard:
    """The peer answered that it knows which of our mirror checks rules when we lose it."""

    peer: PeerAddress
    rule: Rule | None
    """What it was told; it may have changed since."""


@dataclass(frozen=True, slots=True)
class FenceSucceeded:
    """A command of this fence run exited 0: the peer is dead."""

    peer: PeerAddress
    run: int


@dataclass(frozen=True, slots=True)
class FenceFailed:
    """Every command of this fence run failed or ran out of time."""

    peer: PeerAddress
    run: int


@dataclass(frozen=True, slots=True)
class ClaimWon:
    """The witness holds this node's claim: the peer is bound not to go on by one of its own."""

    vdisk: VDiskName
    run: int


@dataclass(frozen=True, slots=True)
class ClaimLost:
    """The witness holds a claim of the peer that this node may not supersede."""

    vdisk: VDiskName
    run: int


@dataclass(frozen=True, slots=True)
class ClaimFailed:
    """The witness did not answer, or not what it should: whether the claim is held there is not known."""

    vdisk: VDiskName
    run: int
    reason: str = ""
    """The shell's word for it; for people."""


@dataclass(frozen=True, slots=True)
class TimerExpired:
    """A timer of ``StartTimer`` is over."""

    timer: Timer


@unique
class Command(StrEnum):
    """Engine commands whose failure the brain must know."""

    SERVE_SINGLE = "serve-single"
    ATTACH = "attach"
    GO_ALONE = "go-alone"
    STOP_SERVING = "stop-serving"
    LEAVE = "leave"
    SWITCH_ROLES = "switch-roles"


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """The engine refused a command (raised): nothing changed in it."""

    vdisk: VDiskName
    command: Command


@dataclass(frozen=True, slots=True)
class SetRole:
    """``qsync -m``: the operator wants this node's copy to be Master or Slave."""

    vdisk: VDiskName
    role: Role
    """MASTER or SLAVE."""
    force: bool = False
    request: int = 0
    """Given back in ``Answer``."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The daemon is to stop: hand over and end."""


EngineEvent = (
    PeerUp
    | PeerDown
    | PeerFacts
    | Attached
    | AttachRefused
    | Resynced
    | Held
    | Alone
    | PeerLeft
    | Left
    | Switching
    | DiskFailed
)
ShellEvent = (
    VDiskOpened
    | VDiskClosed
    | MirrorConfigured
    | MirrorRemoved
    | ChecksChanged
    | PeerCheckTold
    | CheckHeard
    | FenceSucceeded
    | FenceFailed
    | ClaimWon
    | ClaimLost
    | ClaimFailed
    | TimerExpired
    | CommandFailed
    | SetRole
    | Stop
)
Event = EngineEvent | ShellEvent
