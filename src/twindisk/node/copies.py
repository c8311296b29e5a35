"""The files of copies: made, removed, moved aside.

Rule: files that nobody names may be somebody's data. They are moved out of the way, never removed.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from twindisk.errors import EngineError
from twindisk.node.context import Node
from twindisk.node.names import new_generation
from twindisk.node.records import VDisk

LOST_FOLDER = "lost"


async def make(node: Node, vdisk: VDisk, *, blank: bool) -> None:
    """Make the files of a new copy. ``blank``: it may only become a resync target. Raises EngineError, OSError."""
    _move_aside(node, vdisk)
    await asyncio.to_thread(
        node.engine.create_copy,
        str(vdisk.directory),
        serial=vdisk.serial,
        size_bytes=vdisk.size_bytes,
        generation=0 if blank else new_generation(),
        role="slave" if blank else "master",
        blank=blank,
    )


async def delete(node: Node, vdisk: VDisk) -> None:
    """Remove the files of a copy that is closed; what cannot be removed is logged and moved aside at need."""
    try:
        await asyncio.to_thread(node.engine.delete_copy, str(vdisk.directory))
    except EngineError as error:
        node.log.error("files of a removed VDisk stay", directory=str(vdisk.directory), problem=error.problem)


def _move_aside(node: Node, vdisk: VDisk) -> None:
    """Move files that no VDisk names out of the way; they may be somebody's data, so they are kept."""
    if not vdisk.directory.exists():
        return
    lost: Path = vdisk.directory.parent.parent / LOST_FOLDER
    lost.mkdir(mode=0o700, exist_ok=True)
    target = lost / f"{vdisk.name}-{time.time_ns()}"
    vdisk.directory.rename(target)
    node.log.warning("files without a VDisk moved aside", directory=str(vdisk.directory), to=str(target))
