"""The words operators know (``qsync -l``): role and status of a mirrored VDisk.

Rule: the first status word that applies is shown, in the order of :class:`Status`.
"""

from enum import StrEnum, unique
from typing import Final

from twindisk.brain.model import Link, NodeState, Role, VDisk
from twindisk.brain.phases import Phase


@unique
class Status(StrEnum):
    """The status column; the values are what is printed."""

    INVALID_STATE = "Invalid state!"
    PEER_WAIT = "Peer wait"
    DISABLED = "Disabled"
    RESYNC_NEEDED = "Resync needed"
    RESYNCING = "Resyncing"
    ENABLED = "Enabled"


_STATUS: Final[dict[Phase, Status]] = {
    Phase.SINGLE: Status.ENABLED,
    Phase.PEER_WAIT: Status.PEER_WAIT,
    Phase.ATTACHING: Status.PEER_WAIT,
    Phase.IN_SYNC: Status.ENABLED,
    Phase.SOURCE: Status.RESYNCING,
    Phase.TARGET: Status.RESYNCING,
    Phase.SWITCHING: Status.PEER_WAIT,
    Phase.DECIDING: Status.DISABLED,
    Phase.GOING_ALONE: Status.DISABLED,
    Phase.ALONE: Status.DISABLED,
    Phase.REJOINING: Status.RESYNC_NEEDED,
    Phase.STOPPED: Status.DISABLED,
    Phase.LEAVING: Status.DISABLED,
    Phase.LEFT: Status.DISABLED,
    Phase.INVALID: Status.INVALID_STATE,
    Phase.FAILED: Status.DISABLED,
}

_ROLE_WORDS: Final[dict[Role, str]] = {Role.MASTER: "Master", Role.SLAVE: "Slave", Role.UNKNOWN: "Unknown"}


def status_of(state: NodeState, vdisk: VDisk) -> Status:
    """Return the status word of a VDisk of this node."""
    if vdisk.phase is Phase.ALONE and vdisk.peer is not None:
        peer = state.peers.get(vdisk.peer)
        if peer is not None and peer.link is Link.UP:
            return Status.RESYNC_NEEDED
    return _STATUS[vdisk.phase]


def role_word(vdisk: VDisk) -> str:
    """Return the role column's word: Master, Slave or Unknown."""
    return _ROLE_WORDS[vdisk.role]
