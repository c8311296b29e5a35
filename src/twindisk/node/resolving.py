"""Resolving a split brain: one copy goes on, the other is set aside (:mod:`twindisk.node.setting_aside`).

Rules:

* The node whose copy gives way does everything, wherever the operator works. The other one only says that it is split as well and keeps its
  copy; by the blank copy that it then meets its brain knows that it goes on.
* The node that gives way asks for that word under its own turn of changes, and the other one gives it under its own. So of two
  orders to opposite effect at most one is carried out: after it the other node is no longer split.
* Only a split brain that both nodes know of is resolved; neither serves then. An order that was carried out may be repeated
  until the copies are apart again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from twindisk.api.peer_schemas import GiveWay
from twindisk.brain.effects import Severity
from twindisk.brain.model import Fault
from twindisk.brain.phases import ATTACHED, Phase
from twindisk.errors import InvalidError, InvalidProblem, RefusedError, RefusedProblem
from twindisk.node import gave_way, mirror_accept, mirrors, setting_aside, vdisks
from twindisk.node.context import Node
from twindisk.node.names import IQN_PREFIX, new_serial
from twindisk.node.records import AccessMode, Mirror, VDisk
from twindisk.node.shielded import shielded


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of the copy that gave way: a VDisk ``lost`` on node ``node``."""

    lost: str
    node: str


async def resolve(node: Node, name: str, survivor: str) -> Resolved:
    """Have one copy of a split VDisk go on and the other one set aside. ``survivor``: a node's name or mirror address.

    Raises NotFoundError(VDISK, MIRROR), InvalidError(SURVIVOR), RefusedError(NOT_SPLIT, NO_SPACE, POOL_EMPTY, SET_ASIDE_FAILED, BUSY),
    PeerError, EngineError.
    """
    mirror, vdisk = mirrors.find(node, name), vdisks.find(node, name)
    if not await _is_here(node, mirror, survivor):
        async with node.change():
            return await give_way(node, name)
    given = await node.peer.give_way(mirror.peer, mirror.remote, GiveWay(serial=vdisk.serial))
    return Resolved(given.lost, given.node)


async def _is_here(node: Node, mirror: Mirror, survivor: str) -> bool:
    """Return whether the survivor is this node. Raises InvalidError(SURVIVOR) if it is neither or both."""
    own, peer = {node.config.node_name, node.config.recv_address}, {mirror.peer}
    if survivor not in {node.config.recv_address, mirror.peer}:
        peer.add((await node.peer.hello(mirror.peer)).node_name)
    if (survivor in own) is (survivor in peer):
        raise InvalidError(InvalidProblem.SURVIVOR, value=survivor, address=node.config.recv_address, peer=mirror.peer)
    return survivor in own


async def give_way(node: Node, name: str) -> Resolved:
    """Set our copy aside and have a blank one in its place filled from the peer. Under ``node.change()``."""
    return await shielded(_give_way(node, name))


async def _give_way(node: Node, name: str) -> Resolved:
    mirror, vdisk = mirrors.find(node, name), vdisks.find(node, name)
    if _is_split(node, name):
        aside, fresh = await _plan(node, vdisk)
        await node.peer.survive(mirror.peer, mirror.remote, GiveWay(serial=vdisk.serial))
        await _turn(node, vdisk, aside, fresh, mirror)
        lost = aside.name
        to_open = [name, lost]
    else:
        before = gave_way.lost_of(node.state, vdisk.serial)
        if before is None or _is_apart(node, name):
            raise _not_split(node, vdisk, mirror)
        lost = before
        to_open = [each for each in (name, lost) if each in node.broken]
    for each in to_open:
        await vdisks.open_known(node, vdisks.find(node, each))
    if name in node.broken:
        raise RefusedError(
            RefusedProblem.SET_ASIDE_FAILED, vdisk=name, detail=node.broken[name], node=node.config.node_name
        )
    return Resolved(lost, node.config.node_name)


def survive(node: Node, sender: str, name: str, ask: GiveWay) -> None:
    """Say that our copy is the one that goes on. Under ``node.change()``. Raises NotFoundError, RefusedError(NOT_SPLIT)."""
    vdisk, mirror = mirror_accept.mirrored_with(node, sender, name, ask.serial), mirrors.find(node, name)
    if not _is_split(node, name):
        raise _not_split(node, vdisk, mirror)
    node.log.warning("this copy goes on, the peer's gives way", vdisk=name, peer=sender)


async def _plan(node: Node, old: VDisk) -> tuple[VDisk, VDisk]:
    """Return what our copy becomes, and what takes its place. Raises RefusedError(VDISK_FAILED, NO_SPACE, POOL_EMPTY), ConflictError."""
    try:
        beside = await asyncio.to_thread(_names_in, old.directory.parent)
    except OSError as error:
        detail = error.strerror or str(error)
        raise RefusedError(
            RefusedProblem.VDISK_FAILED, vdisk=old.name, node=node.config.node_name, detail=detail
        ) from error
    taken = frozenset(beside | {vdisk.name.lower() for vdisk in node.state.vdisks()})
    name = setting_aside.lost_name(old.name, datetime.now(UTC), taken)
    lost = replace(
        old,
        name=name,
        directory=old.directory.with_name(name),
        serial=new_serial(),
        iqn=IQN_PREFIX + name,
        group_tag=1,
        withheld=True,
        access=AccessMode.ACTIVE_ACTIVE,
    )
    vdisks.check_free(node, lost.name, lost.serial, lost.iqn)
    where = vdisks.place(
        node,
        name=old.name,
        pool=old.pool,
        serial=old.serial,
        iqn=old.iqn,
        size_bytes=old.size_bytes,
        group_tag=old.group_tag,
    )
    return lost, replace(where, access=old.access, admission=old.admission, block_bytes=old.block_bytes)


def _names_in(directory: Path) -> set[str]:
    return {path.name.lower() for path in directory.iterdir()}


async def _turn(node: Node, old: VDisk, lost: VDisk, fresh: VDisk, mirror: Mirror) -> None:
    """Make the VDisk two."""
    try:
        await vdisks.close_copy(node, old)
        setting_aside.turn(node, old, lost, fresh, mirror)
    except BaseException:
        await vdisks.open_known(node, old)
        raise
    text = f"VDisk {old.name} split brain resolved: the copy of this node is now VDisk {lost.name}, not served, and is made anew from peer {mirror.peer}"
    node.notices.tell(
        Severity.WARNING, "split-brain-resolved", text, {"vdisk": old.name, "peer": mirror.peer, "lost": lost.name}
    )


def _is_split(node: Node, name: str) -> bool:
    known = node.brain_vdisk(name)
    return known is not None and known.phase is Phase.INVALID and known.fault is Fault.SPLIT_BRAIN


def _is_apart(node: Node, name: str) -> bool:
    """Whether a copy that gave way once, and was made anew since, may now hold what no other copy does."""
    known = node.brain_vdisk(name)
    return known is not None and known.phase not in ATTACHED and known.facts.usable


def _not_split(node: Node, vdisk: VDisk, mirror: Mirror) -> RefusedError:
    known = node.brain_vdisk(vdisk.name)
    phase = "not open" if known is None else known.fault.value if known.fault else known.phase.value
    return RefusedError(
        RefusedProblem.NOT_SPLIT, vdisk=vdisk.name, phase=phase, peer=mirror.peer, node=node.config.node_name
    )
