"""Which VDisks were last seen to have parted from their peer's copy (:mod:`twindisk.brain.parting`): kept, so that a restart does not forget it.

That copies have parted is durable before anything else is done about it; that they no longer are, after all has been done.
"""

from __future__ import annotations

import sqlite3

from twindisk.brain import parting
from twindisk.brain.model import NodeState
from twindisk.node import gave_way
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
    for name in parting.parted(before, after):
        vdisk = state.vdisk(name)
        if vdisk is None or is_parted(state, vdisk.serial):
            continue
        try:
            with state.transaction():
                state.set_node_value(_key(vdisk.serial), "yes")
                gave_way.forget(state, vdisk.serial)
        except sqlite3.Error as error:
            log.error("a restart may forget that the copies have parted", vdisk=name, problem=str(error))


def follow(node: Node, before: NodeState) -> None:
    """Forget which copies no longer are parted; ``before`` is the state that the decision was made in."""
    for name in parting.met(before, node.brain):
        vdisk = node.state.vdisk(name)
        if vdisk is not None and is_parted(node.state, vdisk.serial):
            forget(node.state, vdisk.serial)


def _key(serial: str) -> str:
    return f"parted:{serial}"
