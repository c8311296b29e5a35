"""Keep the marks of unbroken copies in step with what the brain decides."""

from __future__ import annotations

import asyncio

from twindisk.brain.model import NodeState, VDiskName
from twindisk.brain.wholeness import is_whole, to_forget, to_remember
from twindisk.errors import EngineError
from twindisk.node.context import Node
from twindisk.node.records import VDisk


def follow(node: Node, before: NodeState) -> None:
    """Set and clear marks after a decision; ``before`` is the state that it was made in."""
    for name in to_forget(before, node.brain):
        vdisk = node.state.vdisk(name)
        if vdisk is not None:
            _clear(node, vdisk)
    for name in to_remember(before, node.brain):
        node.begin(_remember(node, name), f"remember that {name} is unbroken")


def _clear(node: Node, vdisk: VDisk) -> None:
    try:
        node.unbroken.clear(vdisk.serial)
    except OSError as error:
        # It says nothing of a copy in mid-resync, and the brain must go on deciding.
        node.log.warning("an unbroken copy could not be forgotten", vdisk=vdisk.name, problem=str(error))


async def _remember(node: Node, name: VDiskName) -> None:
    """Set the mark if the copy still serves and the engine says that it is unbroken. Without one the copy counts as broken."""
    try:
        facts = await asyncio.to_thread(node.engine.facts, name)
        vdisk = node.state.vdisk(name)
        if facts["unbroken"] and vdisk is not None and is_whole(node.brain, name):
            node.unbroken.set(vdisk.serial, facts["current"])
    except (EngineError, OSError) as error:
        node.log.warning("an unbroken copy is not remembered", vdisk=name, problem=str(error))
