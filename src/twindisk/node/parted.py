"""Which VDisks were last seen to have parted from their peer's copy (split brain): kept, so that a restart does not forget it.

A node that forgot would count its copy as the only current one when the peer is down, and serve it before operators have chosen.
"""

from __future__ import annotations

from twindisk.brain.model import Fault, NodeState, VDisk
from twindisk.brain.phases import APART, ATTACHED, Phase
from twindisk.node.context import Node
from twindisk.node.state import State


def is_parted(state: State, serial: str) -> bool:
    """Whether a VDisk's copies had parted when this node looked last."""
    return state.node_value(_key(serial)) is not None


def forget(state: State, serial: str) -> None:
    """Forget it: another copy stands under this serial number now."""
    state.set_node_value(_key(serial), None)


def follow(node: Node, before: NodeState) -> None:
    """Keep what a decision says of each VDisk; ``before`` is the state that it was made in."""
    for name, now in node.brain.vdisks.items():
        was = before.vdisks.get(name)
        parted = _says(now)
        if was is now or parted is None or (was is not None and _says(was) is parted):
            continue
        vdisk = node.state.vdisk(name)
        if vdisk is not None and parted is not is_parted(node.state, vdisk.serial):
            if parted:
                node.state.set_node_value(_key(vdisk.serial), "yes")
            else:
                forget(node.state, vdisk.serial)


def _says(vdisk: VDisk) -> bool | None:
    """Return whether a VDisk's copies have parted; None: its phase does not tell."""
    if vdisk.phase is Phase.INVALID and vdisk.fault is Fault.SPLIT_BRAIN:
        return True
    resolved = vdisk.peer is None or vdisk.phase in ATTACHED or vdisk.phase in APART or vdisk.phase is Phase.SINGLE
    return False if resolved else None


def _key(serial: str) -> str:
    return f"parted:{serial}"
