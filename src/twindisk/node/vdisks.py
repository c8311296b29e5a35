"""VDisks of this node: create, grow, remove, open at start.

Rules:

* Files first, then the database row, then the engine and the brain: a crash in between leaves files that nobody names,
  never a VDisk without files. Files that nobody names are moved aside before a new copy takes their place.
* Sizes are whole logical blocks from 1 MiB to 64 TiB. VDisks are thin: one may be larger than its disk, with a warning.
* A mirrored VDisk is never removed, and its serial never changes; end the mirror first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from twindisk.brain import events as ev
from twindisk.brain.effects import Severity
from twindisk.brain.model import PeerAddress, Role, VDiskName
from twindisk.brain.reports import copy_facts
from twindisk.errors import (
    ConflictError,
    ConflictProblem,
    EngineError,
    EngineInvalidError,
    InvalidError,
    InvalidProblem,
    NotFoundError,
    NotFoundProblem,
    RefusedError,
    RefusedProblem,
)
from twindisk.node import copies, disks, pools, setting_aside
from twindisk.node.context import Node
from twindisk.node.engine_status import sessions_of
from twindisk.node.names import IQN_PREFIX, check_iqn, check_name, check_serial, new_serial
from twindisk.node.parted import is_parted
from twindisk.node.records import AccessMode, VDisk
from twindisk.node.shielded import shielded
from twindisk.node.state import VDISKS_FOLDER
from twindisk.sizes import BLOCK_BYTES, round_to_blocks

SIZE_MIN_BYTES = 1 << 20
SIZE_MAX_BYTES = 64 << 40
BLOCK_SIZES = (512, 4096)
SPACE_MIN_BYTES = 64 << 20
"""A disk with less free space than this gets no new VDisk: not even the metadata of a busy one would fit for long."""


@dataclass(frozen=True, slots=True)
class NewVDisk:
    """What a new VDisk is to be. None: the default (a random serial, the usual IQN, the default pool)."""

    name: str
    size_bytes: int
    pool: str | None = None
    serial: str | None = None
    iqn: str | None = None
    access: AccessMode = AccessMode.ACTIVE_ACTIVE
    block_bytes: int = BLOCK_BYTES


def find(node: Node, name: str) -> VDisk:
    """Return a VDisk. Raises NotFoundError(VDISK)."""
    vdisk = node.state.vdisk(name)
    if vdisk is None:
        raise NotFoundError(NotFoundProblem.VDISK, name=name, node=node.config.node_name)
    return vdisk


async def create(node: Node, new: NewVDisk) -> VDisk:
    """Create a VDisk on its pool's roomiest disk and serve it.

    Raises InvalidError, NotFoundError(POOL), ConflictError(VDISK_EXISTS, IQN_IN_USE, SERIAL_IN_USE),
    RefusedError(POOL_EMPTY, NO_SPACE), EngineError.
    """
    check_name(new.name, "VDisk")
    size_bytes = check_size(new.size_bytes, check_block(new.block_bytes))
    pool = pools.default(node, new.pool)
    serial = check_serial(new.serial) if new.serial else new_serial()
    iqn = check_iqn(new.iqn) if new.iqn else IQN_PREFIX + new.name
    check_free(node, new.name, serial, iqn)
    vdisk = place(node, name=new.name, pool=pool, serial=serial, iqn=iqn, size_bytes=size_bytes, group_tag=1)
    vdisk = replace(vdisk, access=new.access, block_bytes=new.block_bytes)
    await copies.make(node, vdisk, blank=False)
    node.state.add_vdisk(vdisk)
    await open_new(node, vdisk, peer=None)
    node.log.info("VDisk created", vdisk=vdisk.name, pool=pool, size_bytes=size_bytes, serial=serial)
    return vdisk


async def remove(node: Node, name: str, *, force: bool) -> VDisk:
    """Remove a VDisk and its data. Raises RefusedError: VDISK_MIRRORED, SETTING_ASIDE always, VDISK_IN_USE unless forced."""
    vdisk = find(node, name)
    mirror = node.state.mirror(name)
    if mirror is not None:
        raise RefusedError(RefusedProblem.VDISK_MIRRORED, vdisk=name, peer=mirror.peer, node=node.config.node_name)
    setting_aside.check_settled(node, name)
    sessions = sessions_of(await asyncio.to_thread(node.engine.status), name)
    if sessions and not force:
        raise RefusedError(
            RefusedProblem.VDISK_IN_USE,
            vdisk=name,
            sessions=len(sessions),
            initiator=sessions[0].initiator,
            node=node.config.node_name,
        )
    await close_copy(node, vdisk)
    with node.state.transaction():
        node.state.remove_vdisk(name)
        setting_aside.forget(node.state, name)
    await copies.delete(node, vdisk)
    node.log.info("VDisk removed", vdisk=name)
    return vdisk


async def grow(node: Node, name: str, size_bytes: int) -> VDisk:
    """Let a VDisk without mirror grow.

    Raises InvalidError(SHRINK, SIZE_TOO_LARGE), RefusedError(RESIZE_ON_SLAVE, RESIZE_MIRRORED), EngineError.
    """
    vdisk = find(node, name)
    size_bytes = check_size(size_bytes, vdisk.block_bytes)
    if size_bytes < vdisk.size_bytes:
        raise InvalidError(InvalidProblem.SHRINK, vdisk=name, value=size_bytes, size_bytes=vdisk.size_bytes)
    mirror, known = node.state.mirror(name), node.brain_vdisk(name)
    if mirror is not None:
        master = known is not None and known.role is Role.MASTER
        problem = RefusedProblem.RESIZE_MIRRORED if master else RefusedProblem.RESIZE_ON_SLAVE
        raise RefusedError(problem, vdisk=name, peer=mirror.peer, node=node.config.node_name)
    if size_bytes == vdisk.size_bytes:
        return vdisk
    # The files grow before the row does; the note lets a start after a crash in between know which size to expect.
    node.state.set_node_value(_growing(name), str(size_bytes))
    await asyncio.to_thread(node.engine.resize_vdisk, name, size_bytes)
    grown = replace(vdisk, size_bytes=size_bytes)
    _note_grown(node, grown)
    return grown


async def release(node: Node, name: str) -> VDisk:
    """Serve a withheld VDisk again. The operator answers for it that no initiator sees the former peer's copy as well."""
    vdisk = find(node, name)
    if not vdisk.withheld:
        return vdisk
    released = replace(vdisk, withheld=False)
    node.state.change_vdisk(released)
    await close_copy(node, vdisk)
    await open_copy(node, released, peer=None)
    node.log.warning("withheld VDisk released", vdisk=name)
    return released


def check_block(block_bytes: int) -> int:
    """Return the bytes of a logical block. Raises InvalidError(BLOCK_SIZE)."""
    if block_bytes not in BLOCK_SIZES:
        raise InvalidError(InvalidProblem.BLOCK_SIZE, value=block_bytes)
    return block_bytes


def check_size(size_bytes: int, block_bytes: int) -> int:
    """Return the size in whole blocks. Raises InvalidError(SIZE_TOO_SMALL, SIZE_TOO_LARGE)."""
    if size_bytes < SIZE_MIN_BYTES:
        raise InvalidError(InvalidProblem.SIZE_TOO_SMALL, value=size_bytes, least=SIZE_MIN_BYTES)
    if size_bytes > SIZE_MAX_BYTES:
        raise InvalidError(InvalidProblem.SIZE_TOO_LARGE, value=size_bytes, most=SIZE_MAX_BYTES)
    return round_to_blocks(size_bytes, block_bytes)


def check_free(node: Node, name: str, serial: str, iqn: str) -> None:
    """Raise ConflictError unless name, serial and IQN are all free on this node. iSCSI names have no case."""
    for other in node.state.vdisks():
        if other.name.lower() == name.lower():
            raise ConflictError(ConflictProblem.VDISK_EXISTS, name=name, node=node.config.node_name)
        if other.iqn.lower() == iqn.lower():
            raise ConflictError(ConflictProblem.IQN_IN_USE, name=iqn, vdisk=other.name, node=node.config.node_name)
        if other.serial == serial:
            raise ConflictError(
                ConflictProblem.SERIAL_IN_USE, name=serial, vdisk=other.name, node=node.config.node_name
            )


def place(node: Node, *, name: str, pool: str, serial: str, iqn: str, size_bytes: int, group_tag: int) -> VDisk:
    """Choose where a new copy lies. Raises RefusedError(POOL_EMPTY, NO_SPACE)."""
    disk = disks.roomiest(node, pool)
    free_bytes = disks.space(disk).free_bytes
    if free_bytes < SPACE_MIN_BYTES:
        raise RefusedError(RefusedProblem.NO_SPACE, pool=pool, free_bytes=free_bytes, node=node.config.node_name)
    if size_bytes > free_bytes:
        node.log.warning("VDisk is larger than its disk's free space", vdisk=name, pool=pool, free_bytes=free_bytes)
    directory = disk.path / VDISKS_FOLDER / name
    return VDisk(name, pool, disk.id, directory, serial, iqn, size_bytes, group_tag)


async def open_copy(node: Node, vdisk: VDisk, *, peer: str | None) -> None:
    """Open a copy and tell the brain. Raises EngineError.

    A mirrored copy whose peer the engine does not keep a link with (the mirror address is not bound) is opened without it
    and kept from the brain: it serves nothing, as in ``Peer wait``, until :mod:`mirroring` opens it anew.
    """
    waits = peer is not None and peer not in node.linked
    with node.loop.hold_reports():
        facts = await asyncio.to_thread(
            node.engine.open_vdisk,
            vdisk.name,
            str(vdisk.directory),
            serial=vdisk.serial,
            iqn=vdisk.iqn,
            size_bytes=vdisk.size_bytes,
            block_bytes=vdisk.block_bytes,
            group_tag=vdisk.group_tag,
            peer=None if waits else peer,
            admission=vdisk.admission.for_engine(),
            unbroken=node.unbroken.generation(vdisk.serial),
        )
        await asyncio.to_thread(node.engine.set_access, vdisk.name, access=vdisk.access.value)
        node.broken.pop(vdisk.name, None)
        if waits:
            node.log.warning("VDisk waits: no mirroring on this node", vdisk=vdisk.name, peer=peer)
            return
        parted = is_parted(node.state, vdisk.serial)
        name, address = VDiskName(vdisk.name), None if peer is None else PeerAddress(peer)
        await node.loop.feed(ev.VDiskOpened(name, address, copy_facts(facts), vdisk.withheld, parted))


async def open_known(node: Node, vdisk: VDisk) -> None:
    """Open a VDisk when the node starts. One that cannot be opened is noted as broken and serves nothing; the others do.

    What had begun to be set aside is finished before.
    """
    mirror = node.state.mirror(vdisk.name)
    peer = None if mirror is None else mirror.peer
    pending = node.state.node_value(_growing(vdisk.name))
    try:
        await setting_aside.finish(node, vdisk.name)
        if pending is not None and await _opens_grown(node, replace(vdisk, size_bytes=int(pending)), peer):
            return
        await open_copy(node, vdisk, peer=peer)
    except EngineError as error:
        node.broken[vdisk.name] = error.problem
        fields = {"vdisk": vdisk.name, "directory": str(vdisk.directory), "errno": error.errno}
        text = f"VDisk {vdisk.name} could not be opened: {error.problem}"
        node.notices.tell(Severity.ERROR, "vdisk-not-opened", text, fields)


async def _opens_grown(node: Node, grown: VDisk, peer: str | None) -> bool:
    """Open a VDisk whose growth a crash cut short; return False when its files have not grown yet."""
    try:
        await open_copy(node, grown, peer=peer)
    except EngineInvalidError:
        return False
    _note_grown(node, grown)
    return True


async def open_new(node: Node, vdisk: VDisk, *, peer: str | None) -> None:
    """Open a VDisk that was just made; when that fails it is unmade. Raises EngineError."""
    try:
        await open_copy(node, vdisk, peer=peer)
    except EngineError:
        with node.state.transaction():
            node.state.remove_mirror(vdisk.name)
            node.state.remove_vdisk(vdisk.name)
        await copies.delete(node, vdisk)
        raise


async def close_copy(node: Node, vdisk: VDisk) -> None:
    """Close a copy and tell the brain; nothing when it is broken and so was never open."""
    if node.broken.pop(vdisk.name, None) is not None:
        return
    await shielded(_close(node, vdisk))


async def _close(node: Node, vdisk: VDisk) -> None:
    with node.loop.hold_reports():
        await asyncio.to_thread(node.engine.close_vdisk, vdisk.name)
        await node.loop.feed(ev.VDiskClosed(VDiskName(vdisk.name)))


def _growing(name: str) -> str:
    """Return the key of the node value that says to which size a VDisk is about to grow."""
    return f"growing:{name}"


def _note_grown(node: Node, grown: VDisk) -> None:
    with node.state.transaction():
        node.state.change_vdisk(grown)
        node.state.set_node_value(_growing(grown.name), None)
    node.log.info("VDisk grew", vdisk=grown.name, size_bytes=grown.size_bytes)
