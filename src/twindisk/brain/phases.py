"""The phases of one VDisk on one node, the table of legal moves between them, and the one door all moves pass.

Rules:

1. Every change of phase goes through :func:`check_transition` (called by :meth:`twindisk.brain.turn.Turn.enter`).
   A move that :data:`TRANSITIONS` does not name raises :class:`IllegalTransition`: it is a fault of the brain itself,
   never of an event, and nothing of that turn takes effect.
2. What a phase allows is data here (:data:`SERVING`, :data:`ATTACHED`, ...), so that no rule elsewhere keeps its own list.
3. A phase from which a node may go on without its peer is listed in :data:`MAY_GO_ALONE`; no other path leads to ALONE.
"""

from enum import StrEnum, unique
from typing import Final


@unique
class Phase(StrEnum):
    """Where one VDisk stands on this node."""

    SINGLE = "single"
    """No mirror; served."""
    PEER_WAIT = "peer-wait"
    """Mirrored, not sure to be current: serves nothing and waits for the peer's facts."""
    ATTACHING = "attaching"
    """Told the engine to attach; the outcome is not known yet; serves nothing new."""
    IN_SYNC = "in-sync"
    """Attached, both copies equal."""
    SOURCE = "source"
    """Attached as Master; the peer is durably outdated and being brought up to date."""
    TARGET = "target"
    """Attached as Slave; this copy is being brought up to date and can never take over."""
    SWITCHING = "switching"
    """Roles are being swapped, or were swapped and the copies attach anew; neither node counts as Master."""
    DECIDING = "deciding"
    """Was in sync, lost the peer: I/O is held while the checks run, the operator is asked, or the peer's facts come."""
    GOING_ALONE = "going-alone"
    """Told the engine to go on alone; it has not confirmed yet."""
    ALONE = "alone"
    """Serves as Master; the peer is durably marked outdated."""
    REJOINING = "rejoining"
    """ALONE, still serving, and told the engine to attach as the source."""
    STOPPED = "stopped"
    """The checks forbade to go on: Slave, serves nothing until the peer is back."""
    LEAVING = "leaving"
    """Handing over because this node stops."""
    LEFT = "left"
    """Handed over, or nothing to hand over: serves nothing until the daemon ends."""
    INVALID = "invalid"
    """Split brain, unrelated or unusable copy: serves nothing until an operator acts."""
    FAILED = "failed"
    """The disk under the copy failed: serves nothing."""


P = Phase

# Ends that any phase may take: the node stops, the disk fails, the mirror is ended or the copy turns out unusable.
_ENDS: Final = frozenset({P.SINGLE, P.FAILED, P.LEFT, P.INVALID})

TRANSITIONS: Final[dict[Phase, frozenset[Phase]]] = {
    P.SINGLE: frozenset({P.PEER_WAIT, P.GOING_ALONE, P.FAILED, P.LEFT, P.INVALID}),
    P.PEER_WAIT: _ENDS | {P.ATTACHING, P.GOING_ALONE},
    P.ATTACHING: _ENDS | {P.IN_SYNC, P.SOURCE, P.TARGET, P.PEER_WAIT, P.STOPPED, P.DECIDING, P.SWITCHING},
    P.IN_SYNC: _ENDS | {P.DECIDING, P.GOING_ALONE, P.SWITCHING, P.LEAVING},
    P.SOURCE: _ENDS | {P.IN_SYNC, P.DECIDING, P.GOING_ALONE, P.LEAVING},
    P.TARGET: _ENDS | {P.IN_SYNC, P.PEER_WAIT, P.LEAVING},
    P.SWITCHING: _ENDS | {P.ATTACHING, P.DECIDING, P.GOING_ALONE, P.IN_SYNC},
    P.DECIDING: _ENDS | {P.ATTACHING, P.GOING_ALONE, P.STOPPED},
    P.GOING_ALONE: _ENDS | {P.ALONE, P.STOPPED},
    P.ALONE: _ENDS | {P.REJOINING, P.IN_SYNC, P.SOURCE},
    P.REJOINING: _ENDS | {P.ALONE, P.IN_SYNC, P.SOURCE},
    P.STOPPED: _ENDS | {P.ATTACHING, P.GOING_ALONE},
    P.LEAVING: frozenset({P.LEFT}),
    P.LEFT: frozenset(),
    P.INVALID: frozenset({P.SINGLE, P.PEER_WAIT, P.ATTACHING, P.FAILED, P.LEFT}),
    P.FAILED: frozenset({P.LEFT}),
}

SERVING: Final = frozenset(
    {P.SINGLE, P.IN_SYNC, P.SOURCE, P.TARGET, P.GOING_ALONE, P.ALONE, P.REJOINING, P.SWITCHING, P.LEAVING}
)
"""Phases in which the engine may answer I/O (in the last ones while it drains)."""

ATTACHED: Final = frozenset({P.IN_SYNC, P.SOURCE, P.TARGET})
"""Phases in which both copies are connected and take writes together."""

APART: Final = frozenset({P.GOING_ALONE, P.ALONE, P.REJOINING})
"""Phases of a node that serves, or is about to, without its peer. P2: at most one node of a pair is in them."""

ON_ITS_WAY: Final = frozenset({P.ATTACHING, P.SWITCHING})
"""Phases in which the copies are about to be attached, as far as this node knows."""

AWAITS_FACTS: Final = frozenset({P.PEER_WAIT, P.STOPPED, P.DECIDING, P.SWITCHING, P.INVALID, P.ALONE})
"""Phases in which the peer's facts lead to an attach."""

INITIAL: Final = frozenset({P.SINGLE, P.PEER_WAIT, P.INVALID, P.LEFT})
"""Phases in which a VDisk may begin when its copy is opened."""

MAY_GO_ALONE: Final = frozenset(phase for phase, targets in TRANSITIONS.items() if P.GOING_ALONE in targets)
"""Phases from which a rule may tell the engine to go on alone."""


class IllegalTransition(AssertionError):  # noqa: N818 - named for what happened, like the transition it reports
    """A rule of the brain asked for a move that :data:`TRANSITIONS` does not name."""

    def __init__(self, vdisk: str, before: Phase, after: Phase) -> None:
        """Record the VDisk and the move that was refused."""
        super().__init__(vdisk, before, after)
        self.vdisk = vdisk
        self.before = before
        self.after = after


def check_transition(vdisk: str, before: Phase, after: Phase) -> None:
    """Raise :class:`IllegalTransition` unless the table names the move."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(vdisk, before, after)
