"""What a decision asks the shell to do.

Contract with the shell:

1. Run the effects of one decision in order, before the next event is decided. ``Notify`` and ``Log`` come last: held I/O
   does not wait for words.
2. An engine effect that raises is reported back as ``CommandFailed``, before any other event is decided; the effects after it
   still run.
3. One timer per :class:`Timer` value: ``StartTimer`` replaces it, ``CancelTimer`` of an unknown one does nothing.
4. One fence command per peer at a time: a run starts only after the commands of an older, cancelled run are gone.
   The outcome of a cancelled run may be reported or not; its number keeps it apart. What a cancelled claim has sent may still
   reach the witness.
5. Texts are made from :class:`Message` by :mod:`twindisk.messages`.
"""

from dataclasses import dataclass
from enum import StrEnum, unique

from twindisk.brain.model import PeerAddress, Role, Sync, VDiskName

# --- timers ---


@unique
class TimerKind(StrEnum):
    """What a timer is for; the subject is a VDisk's name or a peer's address."""

    STARTUP_WAIT = "startup-wait"
    """VDisk: the peer had its time to connect."""
    HEAD_START = "head-start"
    """Peer: its time to fence first is over."""
    CLAIM = "claim"
    """VDisk: the Master's time to claim first, or the pause before the witness is asked again, is over."""
    ATTACH_RETRY = "attach-retry"
    """VDisk: try the same facts again."""
    CHECKS_WAIT = "checks-wait"
    """Peer: the link is up, both nodes should know each other's mirror checks."""
    SETTLE = "settle"
    """VDisk: the link is back, the facts should have come."""
    LEAVE_LIMIT = "leave-limit"
    """The node: hand-overs take too long; the subject is empty."""


@dataclass(frozen=True, slots=True)
class Timer:
    """Names one timer."""

    kind: TimerKind
    subject: str = ""


@dataclass(frozen=True, slots=True)
class StartTimer:
    """Report ``TimerExpired(timer)`` after this time."""

    timer: Timer
    after_ms: int


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget a timer."""

    timer: Timer


# --- engine commands (the methods of twindisk._native.Engine) ---


@unique
class NotReady(StrEnum):
    """The answer to I/O that is not served; the values are the engine's ``stop_serving`` states."""

    TRANSITIONING = "transitioning"
    STANDBY = "standby"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class ServeSingle:
    """``serve_single``."""

    vdisk: VDiskName


@dataclass(frozen=True, slots=True, kw_only=True)
class Attach:
    """``attach``; the outcome comes as ``Attached`` or ``AttachRefused``."""

    vdisk: VDiskName
    role: Role
    sync: Sync
    epoch: int
    generation: int
    """A sender's new generation, taken unless its peer is marked outdated already; 0 for the others."""
    local_seq: int
    remote_seq: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GoAlone:
    """``go_alone``; confirmed by ``Alone``."""

    vdisk: VDiskName
    generation: int
    """The copy's new ``current``, taken unless the peer is marked outdated already."""
    epoch: int
    fenced: bool
    """The peer is known to serve nothing: no wait for its lease."""


@dataclass(frozen=True, slots=True)
class StopServing:
    """``stop_serving``."""

    vdisk: VDiskName
    state: NotReady


@dataclass(frozen=True, slots=True)
class Leave:
    """``leave``; confirmed by ``Left``."""

    vdisk: VDiskName


@dataclass(frozen=True, slots=True)
class SwitchRoles:
    """``switch_roles``."""

    vdisk: VDiskName


# --- fencing ---


@dataclass(frozen=True, slots=True)
class RunFence:
    """Run the commands in turn until one exits 0; report ``FenceSucceeded`` or ``FenceFailed`` with the run's number."""

    peer: PeerAddress
    run: int
    commands: tuple[str, ...]
    limit_ms: int
    """Time limit of each command."""


@dataclass(frozen=True, slots=True)
class CancelFence:
    """End the commands of a run; its outcome no longer counts."""

    peer: PeerAddress
    run: int


# --- the witness ---


@dataclass(frozen=True, slots=True, kw_only=True)
class RunClaim:
    """Claim at the witness (:mod:`twindisk.brain.witness`); report ``ClaimWon``, ``ClaimLost`` or ``ClaimFailed`` with the number."""

    vdisk: VDiskName
    peer: PeerAddress
    run: int
    place: str
    """Where the witness is."""
    witness: str
    """What it must call itself."""
    owner: PeerAddress
    """This node."""
    epoch: int
    attached_epoch: int
    limit_ms: int


@dataclass(frozen=True, slots=True)
class CancelClaim:
    """Give up a claim; its outcome no longer counts."""

    vdisk: VDiskName
    run: int


# --- telling people ---


@unique
class Severity(StrEnum):
    """As in the SNMP notifications."""

    INFORMATION = "information"
    WARNING = "warning"
    ERROR = "error"


@unique
class Message(StrEnum):
    """Every message of the brain; :mod:`twindisk.messages` holds the texts."""

    SWITCHING_TO_MASTER = "switching-to-master"
    PEER_FAILED = "peer-failed"
    MANUAL_MASTER = "manual-master"
    FENCE_FAILED = "fence-failed"
    WENT_ALONE_UNCHECKED = "went-alone-unchecked"
    """Mirror check ``ignore``: went on without knowing whether the peer serves."""
    STOPPED_WITHOUT_CHECKS = "stopped-without-checks"
    AWAITS_OPERATOR = "awaits-operator"
    CHECKS_MAY_PART = "checks-may-part"
    """The pair's mirror checks may let both nodes go on; ``detail`` names them."""
    CHECKS_DIFFER = "checks-differ"
    """The node with the weaker check, or both with two witnesses, would stop; ``detail`` names both checks."""
    CHECKS_NOT_EXCHANGED = "checks-not-exchanged"
    """The nodes cannot tell each other their checks; who loses the peer now stops."""
    STOPPED_WITHOUT_SHARED_WITNESS = "stopped-without-shared-witness"
    STOPPED_WITHOUT_AGREEMENT = "stopped-without-agreement"
    """The peer is not known to know this node's check, or has a stricter one."""
    CLAIM_LOST = "claim-lost"
    WITNESS_UNREACHED = "witness-unreached"
    """``detail``: why. Nothing is served until the witness answers or the peer is back."""
    FORCED_MASTER = "forced-master"
    STARTED_ALONE = "started-alone"
    PEER_CONNECTED = "peer-connected"
    LINK_UP = "link-up"
    LINK_LOST = "link-lost"
    """``detail`` is the :class:`~twindisk.brain.events.LinkLoss`. About a peer, not about one VDisk."""
    PEER_HANDED_OVER = "peer-handed-over"
    HANDED_OVER = "handed-over"
    HAND_OVER_FAILED = "hand-over-failed"
    RESYNC_STARTED = "resync-started"
    RESYNC_ENDED = "resync-ended"
    RESYNC_INTERRUPTED = "resync-interrupted"
    ROLES_SWITCHED = "roles-switched"
    SPLIT_BRAIN = "split-brain"
    COPIES_MISMATCH = "copies-mismatch"
    """``detail`` is the :class:`~twindisk.brain.model.Fault`, any but split brain."""
    DISK_FAILED = "disk-failed"
    """``detail``: operation and errno."""
    GO_ALONE_FAILED = "go-alone-failed"
    TAKEOVER_CONTINUES = "takeover-continues"
    """Held commands go on."""
    ATTACH_REFUSED = "attach-refused"
    COMMAND_FAILED = "command-failed"
    UNEXPECTED_REPORT = "unexpected-report"
    """An engine report that the phase does not expect; ``detail`` names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notify:
    """Tell the operator (SNMP notification and log)."""

    severity: Severity
    message: Message
    vdisk: VDiskName | None = None
    peer: PeerAddress | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Write to the log only."""

    severity: Severity
    message: Message
    vdisk: VDiskName | None = None
    peer: PeerAddress | None = None
    detail: str = ""


# --- operator ---


@unique
class Refusal(StrEnum):
    """Why an operator's request was not carried out."""

    NO_SUCH_VDISK = "no-such-vdisk"
    NOT_MIRRORED = "not-mirrored"
    RESYNC_PENDING = "resync-pending"
    CHECKS_RUNNING = "checks-running"
    """The checks for a lost peer run, or the copies are about to attach."""
    PEER_PRESENT = "peer-present"
    """The link to the peer is up: it must not be taken over against."""
    NEEDS_FORCE = "needs-force"
    """The node cannot know that its copy is current."""
    COPY_INCONSISTENT = "copy-inconsistent"
    INVALID_STATE = "invalid-state"
    DISK_FAILED = "disk-failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer an operator's request."""

    request: int
    refusal: Refusal | None
    """None: done, or begun."""


@dataclass(frozen=True, slots=True)
class AskPeerSwitch:
    """Ask the peer, over REST, to make its copy (the Master) the Slave; hand on its answer as the request's answer."""

    vdisk: VDiskName
    peer: PeerAddress
    request: int


@dataclass(frozen=True, slots=True)
class Shutdown:
    """Every VDisk is handed over or given up: end the daemon."""


EngineEffect = ServeSingle | Attach | GoAlone | StopServing | Leave | SwitchRoles
Effect = (
    EngineEffect
    | RunFence
    | CancelFence
    | RunClaim
    | CancelClaim
    | StartTimer
    | CancelTimer
    | Notify
    | Log
    | Answer
    | AskPeerSwitch
    | Shutdown
)
