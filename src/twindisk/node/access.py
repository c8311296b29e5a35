"""The access mode of a VDisk: how initiators are to use the paths through its two nodes.

Rules:

* While the copies are attached, a change is durable on both nodes or refused; the peer takes it first.
* A node that serves alone changes its own; a node that does not serve refuses. So there is never more than one node that
  may change it, and that one is Master when the two meet again.
* The Master's word counts: a Slave asks for it after every attach, until it has an answer. When a change may have reached
  the peer and not us, a Master tells the peer its own anew, a Slave asks.
* A node compares, asks and stores in one turn of ``node.change()``, so that no change of the peer's comes in between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from twindisk.api.peer_schemas import AccessChange
from twindisk.brain.model import Role
from twindisk.brain.phases import ATTACHED, Phase
from twindisk.errors import PeerError, PeerProblem, RefusedError, RefusedProblem, TwindiskError
from twindisk.node import vdisks
from twindisk.node.context import Node
from twindisk.node.records import AccessMode, Mirror, VDisk

ASK_LIMIT_S = 5.0
"""How long one question to the peer may take; the node changes nothing else meanwhile."""
RETRY_S = 1.0


async def change(node: Node, name: str, mode: AccessMode) -> VDisk:
    """Change the access mode here and at the peer.

    Raises NotFoundError, RefusedError(ACCESS_CHANGE), PeerError. After PeerError(BAD_ANSWER) the peer may have changed it; the
    nodes agree again as soon as they can talk.
    """
    vdisk, mirror = vdisks.find(node, name), node.state.mirror(name)
    if mirror is None:
        return await store(node, vdisk, mode)
    known = node.brain_vdisk(name)
    if known is not None and known.phase is Phase.ALONE:
        return await store(node, vdisk, mode)
    if known is None or known.phase not in ATTACHED:
        raise refusal(node, vdisk, mirror.peer)
    try:
        await _tell(node, mirror, mode)
    except PeerError as error:
        if error.problem is PeerProblem.BAD_ANSWER:
            settle(node, name)
        raise
    return await store(node, vdisk, mode)


async def store(node: Node, vdisk: VDisk, mode: AccessMode) -> VDisk:
    """Make an access mode durable, then show it to initiators."""
    if vdisk.access is mode:
        return vdisk
    changed = replace(vdisk, access=mode)
    node.state.change_vdisk(changed)
    if vdisk.name not in node.broken:
        await asyncio.to_thread(node.engine.set_access, vdisk.name, access=mode.value)
    node.log.info("access mode changed", vdisk=vdisk.name, access=mode.value)
    return changed


def refusal(node: Node, vdisk: VDisk, peer: str) -> RefusedError:
    """Return why the access mode cannot be changed on this node now."""
    known = node.brain_vdisk(vdisk.name)
    return RefusedError(
        RefusedProblem.ACCESS_CHANGE,
        vdisk=vdisk.name,
        node=node.config.node_name,
        peer=peer,
        phase=Phase.FAILED.value if known is None else known.phase.value,
    )


def settle(node: Node, name: str) -> None:
    """Begin to bring both nodes of an attached VDisk to the Master's access mode."""
    node.begin(_settle(node, name), f"settle the access mode of {name}")


async def _settle(node: Node, name: str) -> None:
    told = False
    while True:
        try:
            async with node.change():
                if await _agree(node, name):
                    return
        except TwindiskError as error:
            if not told:
                node.log.warning("the nodes have not agreed on the access mode yet", vdisk=name, problem=str(error))
                told = True
        await asyncio.sleep(RETRY_S)


async def _agree(node: Node, name: str) -> bool:
    """Return True when there is nothing left to do: agreed, or not attached any more (the next attach begins anew)."""
    vdisk, mirror, known = node.state.vdisk(name), node.state.mirror(name), node.brain_vdisk(name)
    if vdisk is None or mirror is None or known is None or known.phase not in ATTACHED:
        return True
    if known.role is Role.MASTER:
        await _tell(node, mirror, vdisk.access)
        return True
    async with _limit(mirror.peer):
        theirs = await node.peer.vdisk(mirror.peer, mirror.remote)
    if theirs.role != Role.MASTER.value:
        return False
    await store(node, vdisk, theirs.access)
    return True


@asynccontextmanager
async def _limit(peer: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ASK_LIMIT_S):
            yield
    except TimeoutError:
        raise PeerError(PeerProblem.BAD_ANSWER, peer=peer, detail="it took too long") from None


async def _tell(node: Node, mirror: Mirror, mode: AccessMode) -> None:
    async with _limit(mirror.peer):
        await node.peer.change_access(mirror.peer, mirror.remote, AccessChange(access=mode))
