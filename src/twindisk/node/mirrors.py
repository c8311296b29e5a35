"""Mirrors, from the side of the node where the operator works: configure, end, switch roles.

Rules:

* Every check comes before the first change; the peer makes its blank copy first, and the offer is taken back when our
  own part fails.
* Ending a mirror goes on where the operator works, on a copy that is surely current; the peer's copy is kept there,
  withheld. Against that knowledge, or without the peer's consent, only by force.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from twindisk.api.peer_schemas import MirrorEnd, MirrorOffer
from twindisk.brain import events as ev
from twindisk.brain.effects import Refusal
from twindisk.brain.model import PeerAddress, Role, VDiskName
from twindisk.brain.phases import ON_ITS_WAY, Phase
from twindisk.brain.reports import copy_facts
from twindisk.errors import (
    ConflictError,
    ConflictProblem,
    NotFoundError,
    NotFoundProblem,
    PeerError,
    PeerProblem,
    RefusedError,
    RefusedProblem,
    TwindiskError,
)
from twindisk.node import access, links, vdisks
from twindisk.node.context import Node
from twindisk.node.names import check_address, check_name
from twindisk.node.records import Mirror, VDisk

ROLE_LIMIT_S = 10.0
ANSWER_LIMIT_S = 45.0
CONSENT_LIMIT_S = 3.0
"""How long the end of a mirror waits for the peer; the brain hears nothing from the engine meanwhile."""
_ROLE_POLL_S = 0.05
_SURELY_CURRENT = frozenset({Phase.SINGLE, Phase.IN_SYNC, Phase.SOURCE, Phase.ALONE, Phase.REJOINING})
_PEER_MAY_BE_LOST = frozenset({Phase.ALONE})


@dataclass(frozen=True, slots=True)
class NewMirror:
    """What to mirror where. ``remote_pool`` None: the pool of the same name there."""

    vdisk: str
    peer: str
    remote: str
    remote_pool: str | None = None


def find(node: Node, name: str) -> Mirror:
    """Return a VDisk's mirror. Raises NotFoundError(VDISK, MIRROR)."""
    vdisks.find(node, name)
    mirror = node.state.mirror(name)
    if mirror is None:
        raise NotFoundError(NotFoundProblem.MIRROR, name=name, node=node.config.node_name)
    return mirror


async def add(node: Node, new: NewMirror) -> Mirror:
    """Mirror a VDisk with a peer; the whole VDisk is copied there in the background.

    Raises NotFoundError(VDISK), InvalidError, ConflictError(MIRROR_EXISTS),
    RefusedError(SELF_MIRROR, NOT_MIRROR_ADDRESS, NO_RECV_ADDRESS, RECV_BIND, VDISK_FAILED, WITHHELD, NOT_CURRENT), PeerError,
    EngineError.
    """
    vdisk = vdisks.find(node, new.vdisk)
    peer = check_address(new.peer)
    check_name(new.remote, "VDisk")
    own = links.own_address(node)
    if peer == own:
        raise RefusedError(RefusedProblem.SELF_MIRROR, peer=peer, node=node.config.node_name)
    present = node.state.mirror(vdisk.name)
    if present is not None:
        raise ConflictError(
            ConflictProblem.MIRROR_EXISTS, vdisk=vdisk.name, peer=present.peer, node=node.config.node_name
        )
    _check_source(node, vdisk)
    hello = await node.peer.hello(peer)
    if hello.node_id == node.node_id:
        raise RefusedError(RefusedProblem.SELF_MIRROR, peer=peer, node=node.config.node_name)
    if hello.address != peer:
        raise RefusedError(RefusedProblem.NOT_MIRROR_ADDRESS, address=peer, node=hello.node_name, peer=hello.address)
    offer = MirrorOffer(
        vdisk=vdisk.name,
        pool=vdisk.pool,
        remote=new.remote,
        remote_pool=new.remote_pool or vdisk.pool,
        serial=vdisk.serial,
        iqn=vdisk.iqn,
        size_bytes=vdisk.size_bytes,
        block_bytes=vdisk.block_bytes,
        group_tag=3 - vdisk.group_tag,
        access=vdisk.access,
        admission=access.sealed(node, vdisk),
    )
    await node.peer.offer_mirror(peer, offer)
    mirror = Mirror(vdisk.name, peer, offer.remote, offer.remote_pool)
    try:
        await attach(node, vdisk, mirror)
    except BaseException:
        await _take_back(node, mirror, vdisk)
        raise
    node.log.info("mirror added", vdisk=vdisk.name, peer=peer, remote=mirror.remote, remote_pool=mirror.remote_pool)
    return mirror


async def attach(node: Node, vdisk: VDisk, mirror: Mirror) -> None:
    """Make the local half of a new mirror: link, engine, database, brain. Undone when a step fails."""
    await links.ensure(node, mirror.peer)
    node.state.add_mirror(mirror)
    try:
        with node.loop.hold_reports():
            await asyncio.to_thread(node.engine.set_peer, vdisk.name, mirror.peer, group_tag=vdisk.group_tag)
            facts = copy_facts(await asyncio.to_thread(node.engine.facts, vdisk.name))
            name, peer = VDiskName(vdisk.name), PeerAddress(mirror.peer)
            await node.loop.feed(ev.MirrorConfigured(name, peer, facts, accepting=False))
    except BaseException:
        node.state.remove_mirror(vdisk.name)
        await links.drop_unused(node)
        raise


async def remove(node: Node, name: str, *, force: bool) -> Mirror:
    """End a VDisk's mirror; this node goes on with its copy, the peer keeps its own, withheld.

    If the peer has ended it before, this node's copy is withheld.

    Raises NotFoundError, RefusedError(NOT_CURRENT) and PeerError unless ``force``.
    """
    mirror, vdisk = find(node, name), vdisks.find(node, name)
    # The brain must not hear that the peer's copy left before it hears why: it judges by the phase of now.
    with node.loop.hold_reports():
        await _remove(node, vdisk, mirror, force=force)
    await links.drop_unused(node)
    node.log.info("mirror ended", vdisk=name, peer=mirror.peer)
    return mirror


async def _remove(node: Node, vdisk: VDisk, mirror: Mirror, *, force: bool) -> None:
    known, name = node.brain_vdisk(vdisk.name), vdisk.name
    phase = None if known is None else known.phase
    if phase not in _SURELY_CURRENT and not force:
        if await _ended_by_peer(node, mirror):
            node.log.warning("mirror ended, as its peer had done before", vdisk=name, peer=mirror.peer)
            await detach(node, vdisk, by_peer=True)
            return
        raise RefusedError(
            RefusedProblem.NOT_CURRENT,
            vdisk=name,
            peer=mirror.peer,
            phase=None if phase is None else phase.value,
            node=node.config.node_name,
        )
    try:
        async with asyncio.timeout(CONSENT_LIMIT_S):
            await node.peer.end_mirror(mirror.peer, mirror.remote, MirrorEnd(serial=vdisk.serial))
    except TimeoutError:
        if not (force or phase in _PEER_MAY_BE_LOST):
            raise PeerError(PeerProblem.BAD_ANSWER, peer=mirror.peer, detail="it took too long") from None
    except TwindiskError as error:
        if not (_says_gone(error) or force or phase in _PEER_MAY_BE_LOST):
            raise
        node.log.warning("mirror ended without the peer", vdisk=name, peer=mirror.peer, problem=str(error))
    await detach(node, vdisk, by_peer=False)


async def _ended_by_peer(node: Node, mirror: Mirror) -> bool:
    """Ask the peer whether it has ended the mirror meanwhile; a peer that gives no answer has not."""
    try:
        async with asyncio.timeout(CONSENT_LIMIT_S):
            await node.peer.vdisk(mirror.peer, mirror.remote)
    except TimeoutError:
        return False
    except TwindiskError as error:
        return _says_gone(error)
    return False


def _says_gone(error: TwindiskError) -> bool:
    """Whether it is the peer's own word that it has no such mirror."""
    gone = (NotFoundProblem.PEER_MIRROR.value, NotFoundProblem.VDISK.value)
    return isinstance(error, PeerError) and error.fields.get("told") in gone


async def detach(node: Node, vdisk: VDisk, *, by_peer: bool) -> None:
    """Undo the local half of a mirror. ``by_peer``: the peer goes on with its copy, ours is withheld from now on."""
    # Withheld first: a crash before the brain has decided must not leave two copies that are both served.
    with node.state.transaction():
        node.state.remove_mirror(vdisk.name)
        node.state.change_vdisk(replace(vdisk, withheld=True))
    if vdisk.name not in node.broken:
        with node.loop.hold_reports():
            await asyncio.to_thread(node.engine.set_peer, vdisk.name, None, group_tag=vdisk.group_tag)
            facts = copy_facts(await asyncio.to_thread(node.engine.facts, vdisk.name))
            await node.loop.feed(ev.MirrorRemoved(VDiskName(vdisk.name), facts, by_peer=by_peer))
        known = node.brain_vdisk(vdisk.name)
        if known is not None and known.phase is Phase.SINGLE:
            node.state.change_vdisk(replace(vdisk, withheld=False))


async def set_role(node: Node, name: str, role: Role, *, force: bool) -> None:
    """Switch roles; returns when the copy has its role, and is attached anew if it was attached.

    Raises NotFoundError, RefusedError(ROLE_CHANGE, RESYNC_PENDING, and after a while ROLE_NOT_REACHED), PeerError.
    """
    mirror = find(node, name)
    refusal = await ask_brain(node, name, role, force=force)
    if refusal is not None:
        problem = RefusedProblem.RESYNC_PENDING if refusal is Refusal.RESYNC_PENDING else RefusedProblem.ROLE_CHANGE
        raise RefusedError(
            problem, vdisk=name, role=role.value, reason=refusal.value, peer=mirror.peer, node=node.config.node_name
        )
    deadline = asyncio.get_running_loop().time() + ROLE_LIMIT_S
    while (known := node.brain_vdisk(name)) is None or known.role is not role or known.phase in ON_ITS_WAY:
        if asyncio.get_running_loop().time() > deadline:
            seen = "unknown" if known is None else known.phase.value
            raise RefusedError(
                RefusedProblem.ROLE_NOT_REACHED, vdisk=name, role=role.value, phase=seen, node=node.config.node_name
            )
        await asyncio.sleep(_ROLE_POLL_S)


async def ask_brain(node: Node, name: str, role: Role, *, force: bool) -> Refusal | None:
    """Ask the brain for a role; return its refusal."""
    number, answer = node.answers.open()
    node.loop.post(ev.SetRole(VDiskName(name), role, force, number))
    try:
        return await asyncio.wait_for(answer, ANSWER_LIMIT_S)
    except TimeoutError:
        raise RefusedError(RefusedProblem.BUSY, node=node.config.node_name) from None


def _check_source(node: Node, vdisk: VDisk) -> None:
    """Raise RefusedError unless the copy is served and so may be copied to a peer."""
    where = {"vdisk": vdisk.name, "node": node.config.node_name}
    if vdisk.name in node.broken:
        raise RefusedError(RefusedProblem.VDISK_FAILED, detail=node.broken[vdisk.name], **where)
    if vdisk.withheld:
        raise RefusedError(RefusedProblem.WITHHELD, **where)
    known = node.brain_vdisk(vdisk.name)
    if known is None or known.phase is not Phase.SINGLE:
        raise RefusedError(
            RefusedProblem.VDISK_FAILED, detail="unknown" if known is None else known.phase.value, **where
        )


async def _take_back(node: Node, mirror: Mirror, vdisk: VDisk) -> None:
    try:
        await node.peer.end_mirror(mirror.peer, mirror.remote, MirrorEnd(serial=vdisk.serial, discard=True))
    except TwindiskError as error:
        node.log.error(
            "the peer keeps a copy of a mirror that was not made",
            vdisk=vdisk.name,
            peer=mirror.peer,
            problem=str(error),
        )
