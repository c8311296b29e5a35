"""Access to a VDisk, the same through both its nodes: how initiators are to use the two paths, and who is let in.

Rules:

* While the copies are attached, a change is durable on both nodes or refused; the peer takes it first.
* A node that serves alone changes its own; a node that does not serve refuses. So there is never more than one node that
  may change it, and that one is Master when the two meet again.
* The Master's word counts: a Slave asks for it after every attach, until it has an answer. When a change may have reached
  the peer and not us, a Master tells the peer its own anew, a Slave asks.
* A node compares, asks and stores in one turn of ``node.change()``, so that no change of the peer's comes in between.
* An attach ends on the two nodes at different moments: a node that is still at it is waited for, not refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

from twindisk.api.peer_schemas import AccessChange
from twindisk.brain.model import Role
from twindisk.brain.phases import ATTACHED, ON_ITS_WAY, Phase
from twindisk.errors import (
    InvalidError,
    InvalidProblem,
    PeerError,
    PeerProblem,
    RefusedError,
    RefusedProblem,
    TwindiskError,
)
from twindisk.node import admission, discovery, vdisks
from twindisk.node.context import Node
from twindisk.node.records import AccessMode, Admission, Mirror, VDisk
from twindisk.sealing import SealError, seal, unseal

ASK_LIMIT_S = 6.0
"""How long one question to the peer may take, which waits there for its turn and for an attach; the node changes nothing else
meanwhile."""
RETRY_S = 1.0
ATTACH_LIMIT_S = 2.0
"""How long an attach or a switch of roles under way is waited for, at each of the two nodes."""
_POLL_S = 0.02


async def change(node: Node, name: str, mode: AccessMode) -> VDisk:
    """Change the access mode here and at the peer; see :func:`edit`."""
    return await edit(node, name, lambda vdisk: replace(vdisk, access=mode))


async def change_admission(node: Node, name: str, change: Callable[[Admission], Admission]) -> VDisk:
    """Change who is let in, here and at the peer; see :func:`edit`. Raises what ``change`` does, too, and InvalidError(CHAP_REUSED)."""

    def changed(vdisk: VDisk) -> VDisk:
        rules = change(vdisk.admission)
        admission.check_apart(vdisk.admission, rules, others(node, name))
        return replace(vdisk, admission=rules)

    return await edit(node, name, changed)


def others(node: Node, name: str) -> list[Admission]:
    """Return who is let in to everything on this node but one VDisk."""
    vdisks_else = (vdisk for vdisk in node.state.vdisks() if vdisk.name != name)
    return [discovery.admission(node), *(vdisk.admission for vdisk in vdisks_else)]


async def edit(node: Node, name: str, how: Callable[[VDisk], VDisk]) -> VDisk:
    """Change access mode or admission here and at the peer. ``how`` changes nothing else of the VDisk.

    Raises NotFoundError, RefusedError(ACCESS_CHANGE), PeerError. After PeerError(BAD_ANSWER) the peer may have changed it; the
    nodes agree again as soon as they can talk.
    """
    vdisk, mirror = vdisks.find(node, name), node.state.mirror(name)
    wanted = how(vdisk)
    if mirror is None:
        return await store(node, vdisk, wanted)
    phase = await settled_phase(node, name)
    if phase is Phase.ALONE:
        return await store(node, vdisk, wanted)
    if phase not in ATTACHED:
        raise refusal(node, vdisk, mirror.peer)
    try:
        await _tell(node, mirror, wanted)
    except PeerError as error:
        if error.problem is PeerProblem.BAD_ANSWER:
            settle(node, name)
        raise
    return await store(node, vdisk, wanted)


async def settled_phase(node: Node, name: str) -> Phase | None:
    """Return the phase of a copy once it neither attaches nor switches roles, or as it is after a while; None if it has none."""
    deadline = asyncio.get_running_loop().time() + ATTACH_LIMIT_S
    while True:
        known = node.brain_vdisk(name)
        if known is None:
            return None
        if known.phase not in ON_ITS_WAY or asyncio.get_running_loop().time() > deadline:
            return known.phase
        await asyncio.sleep(_POLL_S)


async def store(node: Node, vdisk: VDisk, wanted: VDisk) -> VDisk:
    """Make an access mode and an admission durable, then have the engine hold to them."""
    if vdisk == wanted:
        return vdisk
    node.state.change_vdisk(wanted)
    opened = vdisk.name not in node.broken
    if vdisk.access is not wanted.access:
        if opened:
            await asyncio.to_thread(node.engine.set_access, vdisk.name, access=wanted.access.value)
        node.log.info("access mode changed", vdisk=vdisk.name, access=wanted.access.value)
    if vdisk.admission != wanted.admission:
        rules, ended = wanted.admission, 0
        if opened:
            ended = await asyncio.to_thread(node.engine.set_admission, vdisk.name, admission=rules.for_engine())
        node.log.info(
            "admission changed",
            vdisk=vdisk.name,
            initiators=list(rules.initiators) or "everyone",
            users=[user.name for user in rules.users] or "none needed",
            sessions_ended=ended,
        )
    return wanted


def sealed(node: Node, vdisk: VDisk) -> str:
    """Return a VDisk's admission as it goes to the peer. Raises RefusedError(NO_RECV_ADDRESS) without the pair's secret."""
    return seal(_secret(node), vdisk.serial, vdisk.admission.to_json())


def unsealed(node: Node, serial: str, text: str) -> Admission:
    """Return an admission that came from the peer, checked. Raises InvalidError."""
    try:
        return admission.check(Admission.from_json(unseal(_secret(node), serial, text)))
    except (SealError, ValueError, KeyError, TypeError):
        raise InvalidError(InvalidProblem.REQUEST, detail="the admission cannot be read") from None


def _secret(node: Node) -> bytes:
    if node.config.secret is None:
        raise RefusedError(RefusedProblem.NO_RECV_ADDRESS, node=node.config.node_name)
    return node.config.secret


def refusal(node: Node, vdisk: VDisk, peer: str) -> RefusedError:
    """Return why access cannot be changed on this node now."""
    known = node.brain_vdisk(vdisk.name)
    return RefusedError(
        RefusedProblem.ACCESS_CHANGE,
        vdisk=vdisk.name,
        node=node.config.node_name,
        peer=peer,
        phase=Phase.FAILED.value if known is None else known.phase.value,
    )


def settle(node: Node, name: str) -> None:
    """Begin to bring both nodes of an attached VDisk to the Master's access mode and admission."""
    node.begin(_settle(node, name), f"settle the access to {name}")


async def _settle(node: Node, name: str) -> None:
    told = False
    while True:
        try:
            async with node.change():
                if await _agree(node, name):
                    return
        except TwindiskError as error:
            if not told:
                node.log.warning("the nodes have not agreed on the access yet", vdisk=name, problem=str(error))
                told = True
        await asyncio.sleep(RETRY_S)


async def _agree(node: Node, name: str) -> bool:
    """Return True when there is nothing left to do: agreed, or not attached any more (the next attach begins anew)."""
    vdisk, mirror, known = node.state.vdisk(name), node.state.mirror(name), node.brain_vdisk(name)
    if vdisk is None or mirror is None or known is None or known.phase not in ATTACHED:
        return True
    if known.role is Role.MASTER:
        await _tell(node, mirror, vdisk)
        return True
    async with _limit(mirror.peer):
        theirs = await node.peer.vdisk(mirror.peer, mirror.remote)
    if theirs.role != Role.MASTER.value:
        return False
    rules = unsealed(node, vdisk.serial, theirs.admission)
    await store(node, vdisk, replace(vdisk, access=theirs.access, admission=rules))
    return True


@asynccontextmanager
async def _limit(peer: str) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(ASK_LIMIT_S):
            yield
    except TimeoutError:
        raise PeerError(PeerProblem.BAD_ANSWER, peer=peer, detail="it took too long") from None


async def _tell(node: Node, mirror: Mirror, vdisk: VDisk) -> None:
    change = AccessChange(access=vdisk.access, admission=sealed(node, vdisk))
    async with _limit(mirror.peer):
        await node.peer.change_access(mirror.peer, mirror.remote, change)
