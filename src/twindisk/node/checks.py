"""Mirror checks: what to do, per peer, before this node goes on without it. The brain gets the whole list at each change.

The peer is told by which kind this node goes on: when the link comes up, and at each change while it is up. Operators of both
nodes are warned of kinds that do not go together.
"""

from __future__ import annotations

import asyncio

from twindisk.api.peer_schemas import CheckTold
from twindisk.brain import events as ev
from twindisk.brain.fencing import ruling_kind
from twindisk.brain.model import Check as BrainCheck
from twindisk.brain.model import CheckKind as BrainCheckKind
from twindisk.brain.model import Link, PeerAddress
from twindisk.errors import (
    ConflictError,
    ConflictProblem,
    InvalidError,
    InvalidProblem,
    NotFoundError,
    NotFoundProblem,
    RefusedError,
    RefusedProblem,
    TwindiskError,
)
from twindisk.node.context import Node
from twindisk.node.fence_text import without_secrets
from twindisk.node.names import check_address
from twindisk.node.records import Check, CheckKind

RETRY_S = 1.0


async def add(node: Node, peer: str, kind: CheckKind, command: str) -> Check:
    """Add a check behind the peer's others. Raises InvalidError(ADDRESS, CHECK), ConflictError(CHECK_EXISTS)."""
    peer, command = check_address(peer), command.strip()
    if peer == node.config.recv_address:
        raise RefusedError(RefusedProblem.SELF_MIRROR, peer=peer, node=node.config.node_name)
    if (kind is CheckKind.FENCE) != bool(command) or "\n" in command:
        raise InvalidError(InvalidProblem.CHECK, kind=kind.value, value=command)
    if any((check.kind, check.command) == (kind, command) for check in node.state.checks(peer)):
        raise ConflictError(ConflictProblem.CHECK_EXISTS, peer=peer, kind=kind.value, node=node.config.node_name)
    check = node.state.add_check(peer, kind, command)
    node.log.info("mirror check added", peer=peer, check=kind.value, command=without_secrets(command) or None)
    await tell_brain(node, peer)
    return check


async def remove(node: Node, peer: str | None, kind: CheckKind | None, command: str | None) -> tuple[Check, ...]:
    """Remove every check that matches; None matches any. Raises NotFoundError(CHECK) when none does."""
    address = None if peer is None else check_address(peer)
    removed = tuple(
        check
        for check in node.state.checks(address)
        if kind in (None, check.kind) and (command is None or command.strip() == check.command)
    )
    if not removed:
        raise NotFoundError(NotFoundProblem.CHECK, name=address or "any peer", node=node.config.node_name)
    with node.state.transaction():
        for check in removed:
            node.state.remove_check(check.id)
    for touched in sorted({check.peer for check in removed}):
        node.log.info("mirror checks removed", peer=touched)
        await tell_brain(node, touched)
    return removed


async def tell_brain(node: Node, peer: str) -> None:
    """Give the brain the peer's checks."""
    checks = tuple(BrainCheck(BrainCheckKind(check.kind.value), check.command) for check in node.state.checks(peer))
    await node.loop.feed(ev.ChecksChanged(PeerAddress(peer), checks))


def tell_peer(node: Node, peer: str) -> None:
    """Begin to tell a peer by which kind of check this node goes on without it; given up when the link is down."""
    node.begin(_tell_peer(node, PeerAddress(peer)), f"tell {peer} the mirror check")


async def _tell_peer(node: Node, address: PeerAddress) -> None:
    while (peer := node.brain.peers.get(address)) is not None and peer.link is Link.UP:
        kind = ruling_kind(peer.checks)
        try:
            await node.peer.tell_check(address, CheckTold(kind=None if kind is None else CheckKind(kind.value)))
        except TwindiskError as error:
            node.log.debug("the peer was not told the mirror check", peer=address, problem=str(error))
            await asyncio.sleep(RETRY_S)
        else:
            return


async def hear_peer(node: Node, sender: str, kind: CheckKind | None) -> None:
    """Let the brain know by which kind of check a peer goes on; nothing when no VDisk is mirrored with it."""
    if sender in node.linked:
        told = None if kind is None else BrainCheckKind(kind.value)
        await node.loop.feed(ev.PeerCheckTold(PeerAddress(sender), told))
