"""Mirror checks: what to do, per peer, before this node goes on without it. The brain gets the whole list at each change."""

from __future__ import annotations

from twindisk.brain import events as ev
from twindisk.brain.model import Check as BrainCheck
from twindisk.brain.model import CheckKind as BrainCheckKind
from twindisk.brain.model import PeerAddress
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
from twindisk.node.context import Node
from twindisk.node.fence_text import without_secrets
from twindisk.node.names import check_address
from twindisk.node.records import Check, CheckKind


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
