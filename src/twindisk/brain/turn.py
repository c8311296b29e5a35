"""One decision in the making: the state so far, the effects so far, and the one door for moves between phases.

A turn lives inside one call of ``decide`` and is never seen outside; the values in it are frozen. Rules:

1. A VDisk's phase changes only in :meth:`Turn.enter`, which checks the move against the table and drops what belongs to
   the old phase (attachment, fault).
2. Whoever enters PEER_WAIT with a copy that is surely current gets the start-up wait; no caller arms it.
3. Timers that are no longer wanted may still expire: whoever handles one looks at the phase again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from twindisk.brain.effects import (
    Effect,
    Leave,
    Log,
    Message,
    Notify,
    NotReady,
    Severity,
    StartTimer,
    StopServing,
    Timer,
    TimerKind,
)
from twindisk.brain.fresh import FreshIds
from twindisk.brain.model import Fault, Link, NodeState, Peer, PeerAddress, Role, VDisk, VDiskName
from twindisk.brain.phases import INITIAL, IllegalTransition, Phase, check_transition

_HAS_ATTACHMENT = frozenset({Phase.ATTACHING, Phase.REJOINING})


@dataclass(slots=True)
class Turn:
    """The working values of one decision."""

    state: NodeState
    now_ns: int
    fresh: FreshIds
    effects: list[Effect] = field(default_factory=list)

    # --- looking ---

    def vdisk(self, name: VDiskName) -> VDisk | None:
        """Return a VDisk as it is now; None if there is none."""
        return self.state.vdisks.get(name)

    def mirrored(self, name: VDiskName) -> VDisk | None:
        """Return a VDisk that has a peer; None if there is none."""
        vdisk = self.vdisk(name)
        return vdisk if vdisk is not None and vdisk.peer is not None else None

    def peer(self, address: PeerAddress) -> Peer:
        """Return a peer; one never heard of is down and has no checks."""
        return self.state.peers.get(address) or Peer(address=address)

    def link_up(self, vdisk: VDisk) -> bool:
        """Whether the link to a VDisk's peer is up."""
        return vdisk.peer is not None and self.peer(vdisk.peer).link is Link.UP

    def with_peer(self, address: PeerAddress) -> Iterator[VDisk]:
        """Yield the VDisks mirrored with a peer, by name, each as it is when its turn comes."""
        for name in sorted(self.state.vdisks):
            vdisk = self.state.vdisks[name]
            if vdisk.peer == address:
                yield vdisk

    # --- changing ---

    def put(self, vdisk: VDisk) -> VDisk:
        """Store a VDisk whose phase has not changed; return it."""
        before = self.state.vdisks.get(vdisk.name)
        if before is not None and before.phase is not vdisk.phase:
            raise IllegalTransition(vdisk.name, before.phase, vdisk.phase)
        self._store(vdisk)
        return vdisk

    def put_peer(self, peer: Peer) -> None:
        """Store a peer."""
        self.state = replace(self.state, peers={**self.state.peers, peer.address: peer})

    def admit(self, vdisk: VDisk) -> VDisk:
        """Store a VDisk whose copy was just opened, in one of the initial phases; return it."""
        if vdisk.phase not in INITIAL:
            raise IllegalTransition(vdisk.name, vdisk.phase, vdisk.phase)
        self._store(vdisk)
        self._arm(vdisk)
        return vdisk

    def remove(self, name: VDiskName) -> None:
        """Forget a VDisk."""
        self.state = replace(self.state, vdisks={key: value for key, value in self.state.vdisks.items() if key != name})

    def enter(self, vdisk: VDisk, phase: Phase) -> VDisk:
        """Move a VDisk to another phase; raise :class:`IllegalTransition` if the table does not name the move."""
        check_transition(vdisk.name, vdisk.phase, phase)
        facts = vdisk.facts
        if vdisk.attachment is not None and phase not in _HAS_ATTACHMENT:
            # The engine may have made the attach's epoch durable without completing it.
            facts = replace(facts, epoch=max(facts.epoch, vdisk.attachment.epoch))
        moved = replace(
            vdisk,
            facts=facts,
            phase=phase,
            since_ns=self.now_ns,
            attachment=vdisk.attachment if phase in _HAS_ATTACHMENT else None,
            fault=vdisk.fault if phase is Phase.INVALID else None,
        )
        self._store(moved)
        self._arm(moved)
        return moved

    def _store(self, vdisk: VDisk) -> None:
        self.state = replace(self.state, vdisks={**self.state.vdisks, vdisk.name: vdisk})

    def _arm(self, vdisk: VDisk) -> None:
        if vdisk.phase is Phase.PEER_WAIT and vdisk.facts.surely_current:
            self.start_timer(TimerKind.STARTUP_WAIT, vdisk.name, self.state.settings.startup_wait_ms)

    # --- moves that several rules share ---

    def serve_nothing(self, vdisk: VDisk, phase: Phase, answer: NotReady, role: Role = Role.UNKNOWN) -> VDisk:
        """Move a VDisk to a phase that serves nothing and tell the engine so."""
        moved = self.enter(replace(vdisk, role=role), phase)
        self.emit(StopServing(vdisk.name, answer))
        return moved

    def hand_over(self, vdisk: VDisk, phase: Phase) -> None:
        """Move an attached VDisk to LEAVING or FAILED and tell the engine to hand it over."""
        self.enter(vdisk, phase)
        self.emit(Leave(vdisk.name))

    def invalidate(self, vdisk: VDisk, fault: Fault) -> VDisk:
        """Move a VDisk to INVALID for a reason; a change of reason is stored too. A stopping node just leaves."""
        if self.state.stopping:
            return self.serve_nothing(vdisk, Phase.LEFT, NotReady.UNAVAILABLE)
        faulty = replace(vdisk, fault=fault)
        if vdisk.phase is Phase.INVALID:
            return self.put(faulty)
        return self.serve_nothing(faulty, Phase.INVALID, NotReady.UNAVAILABLE)

    # --- asking and telling ---

    def emit(self, effect: Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def start_timer(self, kind: TimerKind, subject: str, after_ms: int) -> None:
        """Start or restart a timer."""
        self.emit(StartTimer(Timer(kind, subject), after_ms))

    def notify(self, severity: Severity, message: Message, vdisk: VDisk, detail: str = "") -> None:
        """Tell the operator about a VDisk."""
        self.emit(Notify(severity=severity, message=message, vdisk=vdisk.name, peer=vdisk.peer, detail=detail))

    def warn(self, message: Message, vdisk: VDisk, detail: str = "") -> None:
        """Tell the operator, as a warning."""
        self.notify(Severity.WARNING, message, vdisk, detail)

    def notify_of_peer(self, severity: Severity, message: Message, peer: PeerAddress, detail: str = "") -> None:
        """Tell the operator about a peer."""
        self.emit(Notify(severity=severity, message=message, peer=peer, detail=detail))

    def log(self, severity: Severity, message: Message, vdisk: VDisk, detail: str = "") -> None:
        """Write to the log about a VDisk."""
        self.emit(Log(severity=severity, message=message, vdisk=vdisk.name, peer=vdisk.peer, detail=detail))

    def unexpected(self, vdisk: VDisk, report: str) -> None:
        """Log an engine report that the phase does not expect."""
        self.log(Severity.WARNING, Message.UNEXPECTED_REPORT, vdisk, f"{report} {vdisk.phase}")
