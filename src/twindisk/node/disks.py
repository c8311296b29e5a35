"""Disks of pools: directories on a filesystem made for them, or block devices formatted and mounted after an explicit yes.

Rules:

* A disk's directory holds ``twindisk-disk.json``, which names the disk and the node that owns it. A directory with
  another owner's marker, or with anything else in it, is refused and left as it is.
* A disk whose marker is missing when the node starts counts as missing: its VDisks fail to open, nothing is created.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twindisk.errors import (
    ConflictError,
    ConflictProblem,
    InvalidError,
    InvalidProblem,
    NotFoundError,
    NotFoundProblem,
    RefusedError,
    RefusedProblem,
)
from twindisk.node import devices
from twindisk.node.context import Node
from twindisk.node.records import Disk
from twindisk.node.state import VDISKS_FOLDER

MARKER = "twindisk-disk.json"
_MARKER_FORMAT = 1
_STAT_BLOCK_BYTES = 512
_HARMLESS = {"lost+found", MARKER}


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """How large and how full a disk's filesystem is, in bytes. All 0 and ``online`` False when the disk is missing."""

    online: bool
    size_bytes: int
    free_bytes: int


def space(disk: Disk) -> DiskSpace:
    """Return how full a disk is."""
    if not (disk.path / MARKER).is_file():
        return DiskSpace(online=False, size_bytes=0, free_bytes=0)
    facts = os.statvfs(disk.path)
    return DiskSpace(
        online=True, size_bytes=facts.f_blocks * facts.f_frsize, free_bytes=facts.f_bavail * facts.f_frsize
    )


def used_bytes(disk: Disk) -> int:
    """Return what this node's files take on a disk, whoever else uses its filesystem. Looks at every file: use a thread."""
    total = 0
    for folder, _, files in os.walk(disk.path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * _STAT_BLOCK_BYTES  # noqa: PTH118 - many files
    return total


def roomiest(node: Node, pool: str) -> Disk:
    """Return the pool's disk with the most free space. Raises RefusedError(POOL_EMPTY) when none is there."""
    spaces = [(space(disk), disk) for disk in node.state.disks(pool)]
    online = [(found.free_bytes, disk.id, disk) for found, disk in spaces if found.online]
    if not online:
        raise RefusedError(RefusedProblem.POOL_EMPTY, pool=pool, node=node.config.node_name)
    return max(online)[2]


async def add(node: Node, path: Path, pool: str, *, confirmed: bool = False) -> Disk:
    """Give a directory or a block device to a pool.

    Raises InvalidError(PATH), NotFoundError(POOL, DEVICE), ConflictError(DISK_EXISTS, DISK_IN_USE,
    DIRECTORY_NOT_EMPTY), RefusedError(FORMAT_NOT_CONFIRMED, DEVICE_FORMAT).
    """
    if not path.is_absolute():
        raise InvalidError(InvalidProblem.PATH, value=str(path))
    if not node.state.has_pool(pool):
        raise NotFoundError(NotFoundProblem.POOL, name=pool, node=node.config.node_name)
    path = await asyncio.to_thread(path.resolve)
    if any(path in (disk.path, Path(disk.device or "/")) for disk in node.state.disks()):
        raise ConflictError(ConflictProblem.DISK_EXISTS, name=str(path), node=node.config.node_name)
    if await asyncio.to_thread(path.is_block_device):
        disk = Disk(_new_id(), pool, _mount_point(node, path), str(path))
        await asyncio.to_thread(devices.format_and_mount, path, disk.path, confirmed=confirmed)
    elif await asyncio.to_thread(path.is_dir):
        disk = Disk(_claim(node, path), pool, path)
    else:
        raise NotFoundError(NotFoundProblem.DEVICE, name=str(path), node=node.config.node_name)
    _write_marker(node, disk)
    node.state.add_disk(disk)
    node.log.info("disk added", disk=disk.id, pool=pool, path=str(path))
    return disk


async def remove(node: Node, name: str) -> Disk:
    """Take a disk (by id, path or device) out of its pool; its directory stays. Raises NotFoundError, ConflictError."""
    disk = find(node, name)
    used = [vdisk.name for vdisk in node.state.vdisks() if vdisk.disk == disk.id]
    if used:
        raise ConflictError(ConflictProblem.DISK_IN_USE, name=name, used_by=", ".join(used), node=node.config.node_name)
    node.state.remove_disk(disk.id)
    (disk.path / MARKER).unlink(missing_ok=True)
    with suppress(OSError):
        (disk.path / VDISKS_FOLDER).rmdir()
    if disk.device is not None:
        await asyncio.to_thread(devices.unmount, disk.path, Path(disk.device))
    node.log.info("disk removed", disk=disk.id, pool=disk.pool, path=str(disk.path))
    return disk


def find(node: Node, name: str) -> Disk:
    """Return a disk by its id, path or device. Raises NotFoundError(DISK)."""
    path = str(Path(name).resolve()) if name.startswith("/") else name
    for disk in node.state.disks():
        if name == disk.id or path in (str(disk.path), disk.device):
            return disk
    raise NotFoundError(NotFoundProblem.DISK, name=name, node=node.config.node_name)


async def mount_all(node: Node) -> None:
    """Mount the block devices of this node's disks; one that fails is logged and counts as missing."""
    for disk in node.state.disks():
        if disk.device is None:
            continue
        try:
            await asyncio.to_thread(devices.mount, Path(disk.device), disk.path)
        except RefusedError as error:
            node.log.error("disk not mounted", disk=disk.id, device=disk.device, detail=error.fields.get("detail"))


def _mount_point(node: Node, device: Path) -> Path:
    return node.config.state_dir / "disks" / f"{device.name}-{uuid.uuid4().hex[:8]}"


def _new_id() -> str:
    return uuid.uuid4().hex


def _claim(node: Node, path: Path) -> str:
    """Return the id of a directory that is ours or empty."""
    marker = _read_marker(path)
    if marker is None:
        strangers = sorted(entry.name for entry in path.iterdir() if entry.name not in _HARMLESS)
        if strangers:
            raise ConflictError(ConflictProblem.DIRECTORY_NOT_EMPTY, name=str(path), found=strangers[0])
        return _new_id()
    if marker.get("node") != node.node_id:
        owner = str(marker.get("node_name", "unknown"))
        raise ConflictError(ConflictProblem.DISK_IN_USE, name=str(path), used_by=f"node {owner}")
    return str(marker["disk"])


def _read_marker(path: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((path / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConflictError(ConflictProblem.DIRECTORY_NOT_EMPTY, name=str(path), found=MARKER) from error
    if not isinstance(marker, dict) or "disk" not in marker:
        raise ConflictError(ConflictProblem.DIRECTORY_NOT_EMPTY, name=str(path), found=MARKER)
    return marker


def _write_marker(node: Node, disk: Disk) -> None:
    """Write the marker so that it is there whole or not at all."""
    marker = {
        "format": _MARKER_FORMAT,
        "disk": disk.id,
        "pool": disk.pool,
        "node": node.node_id,
        "node_name": node.config.node_name,
    }
    (disk.path / VDISKS_FOLDER).mkdir(mode=0o700, exist_ok=True)
    fresh = disk.path / f"{MARKER}.new"
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(marker, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(disk.path / MARKER)
    descriptor = os.open(disk.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
