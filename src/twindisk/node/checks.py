"""Mirror checks: what to do, per peer, before this node goes on without it. The brain gets the whole list at each change.

The peer is told by which check this node goes on: when the link comes up, and at each change while it is up. Operators of both
nodes are warned of checks that do not go together, and a witness counts only when both nodes have been told of it.

A peer has one witness at most: another one takes its place in one step. It must be reached when it is added, is tried then, and is
known from then on by the name that it gave.
"""

from __future__ import annotations

import asyncio

from twindisk.api.peer_schemas import CheckTold
from twindisk.brain import events as ev
from twindisk.brain.checks import knows, ruling_rule
from twindisk.brain.model import Check as BrainCheck
from twindisk.brain.model import CheckKind as BrainCheckKind
from twindisk.brain.model import Link, PeerAddress, Rule
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
from twindisk.witness import use

RETRY_S = 1.0
FIRST_RETRY_S = 0.05
"""Before the peer is told again; twice as long each time, until it is RETRY_S."""
_SILENT_TRIES = 8
"""How often telling the peer may fail before it is worth a warning in the log: some 5 s."""
MEET_LIMIT_S = 10.0
"""How long a witness may take to be tried and named."""


async def add(node: Node, peer: str, kind: CheckKind, command: str) -> Check:
    """Add a check behind the peer's others; a witness takes the place of the peer's other one.

    Raises InvalidError(ADDRESS, CHECK, WITNESS), ConflictError(CHECK_EXISTS), ConfigError and WitnessError.
    """
    peer, command = check_address(peer), command.strip()
    if peer == node.config.recv_address:
        raise RefusedError(RefusedProblem.SELF_MIRROR, peer=peer, node=node.config.node_name)
    if (kind in (CheckKind.FENCE, CheckKind.WITNESS)) != bool(command) or "\n" in command:
        raise InvalidError(InvalidProblem.CHECK, kind=kind.value, value=command)
    # Before it is this change's turn: others shall not wait for a witness.
    witness = await _meet(node, peer, command) if kind is CheckKind.WITNESS else ""
    async with node.change():
        return await _add(node, peer, kind, command, witness)


async def _meet(node: Node, peer: str, place: str) -> str:
    name = await use.meet(place, node.config.etc, MEET_LIMIT_S)
    if use.sends_password_openly(place, node.config.etc):
        node.log.warning("the witness's password is sent in clear text: use etcds://", peer=peer, witness=place)
    return name


async def _add(node: Node, peer: str, kind: CheckKind, command: str, witness: str) -> Check:
    if any((check.kind, check.command, check.witness) == (kind, command, witness) for check in node.state.checks(peer)):
        raise ConflictError(ConflictProblem.CHECK_EXISTS, peer=peer, kind=kind.value, node=node.config.node_name)
    with node.state.transaction():
        for check in node.state.checks(peer):
            if kind is check.kind is CheckKind.WITNESS:
                node.state.remove_check(check.id)
        check = node.state.add_check(peer, kind, command, witness)
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
    checks = tuple(
        BrainCheck(BrainCheckKind(check.kind.value), check.command, check.witness) for check in node.state.checks(peer)
    )
    await node.loop.feed(ev.ChecksChanged(PeerAddress(peer), checks))


def tell_peer(node: Node, peer: str) -> None:
    """Begin to tell a peer by which check this node goes on without it; given up when the link is down."""
    node.begin(_tell_peer(node, PeerAddress(peer)), f"tell {peer} the mirror check")


async def _tell_peer(node: Node, address: PeerAddress) -> None:
    async with node.telling.setdefault(address, asyncio.Lock()):
        tries = 0
        while (peer := node.brain.peers.get(address)) is not None and peer.link is Link.UP:
            rule = ruling_rule(peer.checks)
            told = CheckTold(kind=None) if rule is None else CheckTold(kind=CheckKind(rule.kind), witness=rule.witness)
            try:
                await node.peer.tell_check(address, told)
            except TwindiskError as error:
                tries += 1
                say = node.log.warning if tries == _SILENT_TRIES else node.log.debug
                say("the peer was not told the mirror check", peer=address, problem=str(error))
                await asyncio.sleep(min(RETRY_S, FIRST_RETRY_S * 2 ** min(tries - 1, 10)))
            else:
                await node.loop.feed(ev.CheckHeard(address, rule))
                return


async def hear_peer(node: Node, sender: str, told: CheckTold) -> None:
    """Let the brain know by which check a peer goes on.

    Raises RefusedError(CHECK_NOT_TAKEN) while the link is down here, or no VDisk is mirrored with it: the peer must not
    believe that it is known.
    """
    if sender in node.linked:
        rule = None if told.kind is None else Rule(BrainCheckKind(told.kind.value), told.witness)
        address = PeerAddress(sender)
        await node.loop.feed(ev.PeerCheckTold(address, rule))
        peer = node.brain.peers.get(address)
        if peer is not None and knows(peer, rule):
            return
    raise RefusedError(RefusedProblem.CHECK_NOT_TAKEN, peer=sender, node=node.config.node_name)
