"""Which copies have parted from their peer's (split brain), so that the shell remembers it beyond the life of the process. Pure.

A node that forgot would count its copy as the only current one when the peer is down, and serve it before operators have chosen.
"""

from twindisk.brain.model import Fault, NodeState, VDisk, VDiskName
from twindisk.brain.phases import APART, ATTACHED, Phase


def parted(before: NodeState, after: NodeState) -> list[VDiskName]:
    """Return the VDisks of which one decision says anew that their copies have parted: to be durable before anything else is done."""
    return _told(before, after, says=True)


def met(before: NodeState, after: NodeState) -> list[VDiskName]:
    """Return the VDisks of which one decision says anew that their copies have not, or no longer: to be forgotten after all is done."""
    return _told(before, after, says=False)


def _told(before: NodeState, after: NodeState, *, says: bool) -> list[VDiskName]:
    return [
        name
        for name, now in after.vdisks.items()
        if (was := before.vdisks.get(name)) is not now
        and _says(now) is says
        and (was is None or _says(was) is not says)
    ]


def _says(vdisk: VDisk) -> bool | None:
    """Return whether a VDisk's copies have parted; None: its phase does not tell."""
    if vdisk.phase is Phase.INVALID and vdisk.fault is Fault.SPLIT_BRAIN:
        return True
    resolved = vdisk.peer is None or vdisk.phase in ATTACHED or vdisk.phase in APART or vdisk.phase is Phase.SINGLE
    return False if resolved else None
