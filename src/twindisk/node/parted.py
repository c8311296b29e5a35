"""Which VDisks were last seen to have parted from their peer's copy (split brain): kept, so that a restart does not forget it.

A node that forgot would count its copy as the only current one when the peer is down, and serve it before operators have chosen.
That copies have parted is durable before anything else is done about it; that they no longer are, after all has been done.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from twindisk.brain.model import Fault, NodeState, VDisk
from twindisk.brain.phases import APART, ATTACHED, Phase
from twindisk.node.context import Node
from twindisk.node.log import Log
from twindisk.node.state import State


def is_parted(state: State, serial: str) -> bool:
    """Whether a VDisk's copies had parted when this node looked last."""
    return state.node_value(_key(serial)) is not None


def forget(state: State, serial: str) -> None:
    """Forget it: another copy stands under this serial number now."""
    state.set_node_value(_key(serial), None)


def remember(state: State, log: Log, before: NodeState, after: NodeState) -> None:
    """Keep which copies a decision finds parted. A database that takes nothing is told, and hinders no decision."""
    for name in _told(before, after, parted=True):
        vdisk = state.vdisk(name)
        if vdisk is None or is_parted(state, vdisk.serial):
            continue
        try:
            state.set_node_value(_key(vdisk.serial), "yes")
        except sqlite3.Error as error:
            log.error("a restart may forget that the copies have parted", vdisk=name, problem=str(error))


def follow(node: Node, before: NodeState) -> None:
    """Forget which copies no longer are parted; ``before`` is the state that the decision was made in."""
    for name in _told(before, node.brain, parted=False):
        vdisk = node.state.vdisk(name)
        if vdisk is not None and is_parted(node.state, vdisk.serial):
            forget(node.state, vdisk.serial)


def _told(before: NodeState, after: NodeState, *, parted: bool) -> Iterator[str]:
    """Yield the VDisks of which a decision says anew that they have parted, or have not."""
    for name, now in after.vdisks.items():
        was = before.vdisks.get(name)
        if was is not now and _says(now) is parted and (was is None or _says(was) is not parted):
            yield name


def _says(vdisk: VDisk) -> bool | None:
    """Return whether a VDisk's copies have parted; None: its phase does not tell."""
    if vdisk.phase is Phase.INVALID and vdisk.fault is Fault.SPLIT_BRAIN:
        return True
    resolved = vdisk.peer is None or vdisk.phase in ATTACHED or vdisk.phase in APART or vdisk.phase is Phase.SINGLE
    return False if resolved else None


def _key(serial: str) -> str:
    return f"parted:{serial}"
