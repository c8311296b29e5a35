"""The engine's links to peers: one for each peer that some VDisk is mirrored with, none when this node does not mirror."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from twindisk.brain.effects import Severity
from twindisk.errors import EngineError, EngineExistsError, EngineNotFoundError, RefusedError, RefusedProblem
from twindisk.messages import path_text, versions_text
from twindisk.node.context import Node, Recv
from twindisk.node.names import dials

KIND_VERSIONS: Final = "peer-version"
KIND_PATH_DOWN: Final = "path-down"
KIND_PATH_UP: Final = "path-up"


def own_address(node: Node) -> str:
    """Return this node's mirror address. Raises RefusedError when the node takes no part in mirroring."""
    if node.recv is Recv.BIND_ERROR:
        raise RefusedError(RefusedProblem.RECV_BIND, address=node.config.recv_address, node=node.config.node_name)
    if node.recv is not Recv.INITED or node.config.recv_address is None:
        raise RefusedError(RefusedProblem.NO_RECV_ADDRESS, node=node.config.node_name)
    return node.config.recv_address


async def ensure(node: Node, peer: str) -> None:
    """Have the engine keep a link with the peer."""
    if peer in node.linked:
        return
    own = own_address(node)
    with suppress(EngineExistsError):
        await asyncio.to_thread(
            node.engine.add_peer,
            peer,
            node.config.data_port,
            dial=dials(own, peer),
            paths=node.config.paths_to(peer),
            connections=node.config.mirror_connections,
        )
    node.linked.add(peer)


def tell_versions(node: Node, peer: str, theirs: int, ours: int) -> None:
    """Tell operators why there is no link with a peer: it speaks another version of the mirror protocol."""
    text = versions_text(peer, theirs, ours)
    node.unlinked[peer] = text
    node.notices.tell(Severity.ERROR, KIND_VERSIONS, text, {"peer": peer})


def tell_path(node: Node, peer: str, own: str, theirs: str, *, up: bool) -> None:
    """Tell operators that a path to a peer is down while others carry the link, or that it is back."""
    severity, kind = (Severity.INFORMATION, KIND_PATH_UP) if up else (Severity.WARNING, KIND_PATH_DOWN)
    text = path_text(peer, own, theirs, up=up)
    node.notices.tell(severity, kind, text, {"peer": peer, "own": own, "theirs": theirs})


async def drop_unused(node: Node) -> None:
    """Drop the links that no mirror needs any more."""
    needed = {mirror.peer for mirror in node.state.mirrors()}
    for peer in node.linked - needed:
        try:
            await asyncio.to_thread(node.engine.remove_peer, peer)
        except EngineNotFoundError:
            pass
        except EngineError as error:
            node.log.error("link not dropped", peer=peer, problem=error.problem)
            continue
        node.linked.discard(peer)
        node.unlinked.pop(peer, None)
