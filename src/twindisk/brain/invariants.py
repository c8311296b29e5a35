"""What must hold of a node's state after every decision; for tests, the simulator and anyone who doubts.

Rules that concern two nodes at once (P2) are checked where both can be seen: the simulator and the tests.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique

from twindisk.brain.checks import acts_by, deciding
from twindisk.brain.claiming import claims
from twindisk.brain.fresh import FreshIds
from twindisk.brain.model import CheckKind, Link, NodeState, Role, VDisk
from twindisk.brain.phases import APART, Phase
from twindisk.brain.turn import Turn

_WITHOUT_PEER = frozenset({Phase.SINGLE, Phase.INVALID, Phase.FAILED, Phase.LEFT})
_WHILE_STOPPING = frozenset({Phase.ATTACHING, Phase.IN_SYNC, Phase.SWITCHING, Phase.LEAVING, Phase.LEFT})
_NEEDS_LINK = frozenset({Phase.IN_SYNC, Phase.TARGET, Phase.ATTACHING, Phase.REJOINING, Phase.SWITCHING})


@unique
class Violation(StrEnum):
    """A rule that does not hold."""

    ATTACHMENT = "an attach is under way exactly in ATTACHING and REJOINING"
    FAULT = "a fault is named exactly in INVALID"
    PEERLESS = "a mirrored phase needs a peer, SINGLE has none"
    LINKLESS = "what is attached, or attaches, has a link"
    APART = "who serves alone is Master of a usable copy whose peer is durably outdated"
    DIRECTION = "the source of a resync is Master, its target Slave"
    STOPPED = "a stopped copy is no Master"
    FENCE = "a fence run exists exactly while some VDisk waits for it and the link is down"
    CLAIM = "a claim is under way exactly while a VDisk decides without its peer by a witness that both nodes share"
    AGREED = "a VDisk waits for a decision without its peer only while the nodes agreed on a check"
    STOPPING = "a stopping node begins nothing"


@dataclass(frozen=True, slots=True)
class Broken:
    """One rule that does not hold, and of what."""

    violation: Violation
    subject: str


def broken_invariants(state: NodeState) -> tuple[Broken, ...]:
    """Return every rule that a node's state breaks; empty if none."""
    found = [
        Broken(violation, vdisk.name)
        for vdisk in state.vdisks.values()
        for violation, holds in _vdisk_rules(state, vdisk)
        if not holds
    ]
    turn = Turn(state, 0, FreshIds(b""))
    for address, peer in state.peers.items():
        fences = acts_by(peer) is CheckKind.FENCE and peer.link is Link.DOWN
        if (peer.fence is not None) != (fences and bool(deciding(turn, address))):
            found.append(Broken(Violation.FENCE, address))
    return tuple(found)


def _vdisk_rules(state: NodeState, vdisk: VDisk) -> Iterator[tuple[Violation, bool]]:
    phase, facts = vdisk.phase, vdisk.facts
    peer = state.peers.get(vdisk.peer) if vdisk.peer is not None else None
    yield Violation.ATTACHMENT, (vdisk.attachment is not None) == (phase in {Phase.ATTACHING, Phase.REJOINING})
    yield Violation.FAULT, (vdisk.fault is not None) == (phase is Phase.INVALID)
    yield Violation.PEERLESS, phase in _WITHOUT_PEER if peer is None else phase is not Phase.SINGLE
    yield Violation.LINKLESS, phase not in _NEEDS_LINK or (peer is not None and peer.link is Link.UP)
    if phase in APART:
        yield Violation.APART, vdisk.role is Role.MASTER and facts.surely_current
    if phase in {Phase.SOURCE, Phase.TARGET}:
        yield Violation.DIRECTION, vdisk.role is (Role.MASTER if phase is Phase.SOURCE else Role.SLAVE)
    if phase is Phase.STOPPED:
        yield Violation.STOPPED, vdisk.role is not Role.MASTER
    if phase is Phase.DECIDING and peer is not None and peer.link is Link.DOWN:
        yield Violation.AGREED, acts_by(peer) is not None
    yield Violation.CLAIM, (vdisk.claim is not None) == claims(state, vdisk)
    if state.stopping:
        yield Violation.STOPPING, phase in _WHILE_STOPPING
