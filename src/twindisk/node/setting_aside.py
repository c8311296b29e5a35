"""Setting a copy aside: it becomes a VDisk of its own that is not served, and a blank copy takes its place in the mirror.

Rules (decision 0013):

* One transaction is the turn: from then on the pair's VDisk has a new copy here, the old one is another VDisk, and a note says that the
  files have still to follow. Before it nothing has changed; after it every start goes on.
* The files follow in this order, each step durable and harmless when repeated: the old directory is renamed, its copy gets the
  new serial, a blank copy is made. Only then the note goes.
* Nothing that a note is about is opened before: not the old data under the pair's identity, and not the blank copy half made.
* Nothing that a note is about is removed, for its files may be those of the other.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import Final

from twindisk.errors import EngineIoError, EngineNotFoundError, RefusedError, RefusedProblem
from twindisk.node import copies, gave_way, parted
from twindisk.node.context import Node
from twindisk.node.names import new_generation
from twindisk.node.records import Mirror, VDisk
from twindisk.node.state import State

NAME_MAX: Final = 64
_NOTE: Final = "setting-aside:"


def lost_name(name: str, at: datetime, taken: frozenset[str]) -> str:
    """Return a name for a copy that is set aside: ``M1-lost-20261123-0701``; ``taken``: names in lower case that it must not have."""
    for number in range(1, len(taken) + 2):
        tail = f"-lost-{at:%Y%m%d-%H%M}" + (f"-{number}" if number > 1 else "")
        found = name[: NAME_MAX - len(tail)] + tail
        if found.lower() not in taken:
            return found
    raise AssertionError("one of more names than are taken is free")


def check_settled(node: Node, name: str) -> None:
    """Raise RefusedError(SETTING_ASIDE) while a VDisk's files may be another's. A note whose disk is gone hinders nothing."""
    for owner, lost in _notes(node).items():
        vdisk = node.state.vdisk(lost)
        there = vdisk is not None and (vdisk.directory.exists() or _former(vdisk, owner).exists())
        if name == lost or (name == owner and there):
            raise RefusedError(RefusedProblem.SETTING_ASIDE, vdisk=owner, lost=lost, node=node.config.node_name)


def forget(state: State, name: str) -> None:
    """Forget the notes of a VDisk that is removed, in the transaction that removes it."""
    state.set_node_value(_NOTE + name, None)
    gave_way.forget_lost(state, name)


def turn(node: Node, old: VDisk, lost: VDisk, fresh: VDisk, mirror: Mirror) -> None:
    """Make a mirrored VDisk two: ``old`` becomes ``lost``, ``fresh`` takes its place. Its copy is closed."""
    state = node.state
    with state.transaction():
        state.remove_mirror(old.name)
        state.remove_vdisk(old.name)
        state.add_vdisk(lost)
        state.add_vdisk(fresh)
        state.add_mirror(mirror)
        state.set_node_value(_NOTE + fresh.name, lost.name)
        parted.forget(state, fresh.serial)
        gave_way.remember(state, fresh.serial, lost.name)


async def finish(node: Node, name: str) -> None:
    """Let the files follow, if a note is about this VDisk. Raises EngineError; to be repeated then."""
    for owner, lost in _notes(node).items():
        if name in (owner, lost):
            await _finish(node, owner, lost)


async def _finish(node: Node, owner: str, lost_: str) -> None:
    fresh, lost = node.state.vdisk(owner), node.state.vdisk(lost_)
    if fresh is None or lost is None:
        raise EngineNotFoundError("a VDisk whose copy is being set aside is gone", owner)
    try:
        await asyncio.to_thread(_rename, _former(lost, owner), lost.directory)
        await asyncio.to_thread(
            node.engine.relabel_copy,
            str(lost.directory),
            serial=lost.serial,
            size_bytes=lost.size_bytes,
            generation=new_generation(),
        )
        await copies.make(node, fresh, blank=True)
    except OSError as error:
        problem = f"its copy cannot be set aside: {error.strerror}"
        raise EngineIoError(problem, owner, None, error.errno) from error
    node.state.set_node_value(_NOTE + owner, None)
    node.log.warning("copy set aside", vdisk=owner, lost=lost_, directory=str(lost.directory))


def _notes(node: Node) -> dict[str, str]:
    """Return all notes: the mirrored VDisk, and what its former copy becomes."""
    return {key.removeprefix(_NOTE): lost for key, lost in node.state.node_values(_NOTE).items()}


def _former(lost: VDisk, owner: str) -> Path:
    """Return where the files lay before."""
    return lost.directory.with_name(owner)


def _rename(old: Path, new: Path) -> None:
    """Rename a directory, durably; done before, it is made sure of. What then lies at the old place is something new."""
    if not new.exists():
        old.rename(new)
    descriptor = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
