"""Taking part in mirroring: the addresses, the peer's REST door, the links, and what to do while the address is missing.

Rules:

* Without mirror address or secret the node does not mirror, and says so. With an address that cannot be bound it goes on
  without mirroring (``Recv Bind Error``) and tries again; VDisks with a mirror wait for their peer meanwhile.
* The addresses of further paths are listened on whether they are there or not: one that is missing keeps nobody from mirroring.
* Links are made before the copies that need them are opened: the engine opens no copy for a peer it does not know.
"""

from __future__ import annotations

import asyncio
import socket

from twindisk.brain import events as ev
from twindisk.brain.model import VDiskName
from twindisk.errors import EngineError
from twindisk.node import links, vdisks
from twindisk.node.context import Node, Recv
from twindisk.node.web import WebServer

RETRY_S = 5.0
_BACKLOG = 64
_IP_FREEBIND = (socket.IPPROTO_IP, 15)
_IPV6_FREEBIND = (socket.IPPROTO_IPV6, 78)
"""Of Linux; the socket module does not name them."""


class Mirroring:
    """A node's part in mirroring. ``web``: makes the server for the peer's requests from bound sockets."""

    def __init__(self, node: Node, server: WebServer) -> None:
        self._node = node
        self._server = server
        self._listening_engine = False

    async def begin(self) -> None:
        """Bind the mirror address and make the links to all peers; note how that went."""
        self._node.recv = await self._begin()

    async def _begin(self) -> Recv:
        node = self._node
        if node.config.recv_address is None:
            return Recv.NO_ADDRESS
        if node.config.secret is None:
            node.log.error("no mirroring: the pair's secret is missing", file=str(node.config.etc / "secret"))
            return Recv.NO_SECRET
        if not await self._bind(node.config.recv_address, node.config.secret):
            return Recv.BIND_ERROR
        node.recv = Recv.INITED
        for peer in sorted({mirror.peer for mirror in node.state.mirrors()}):
            try:
                await links.ensure(node, peer)
            except EngineError as error:
                node.log.error("no link to the peer", peer=peer, problem=error.problem)
        return Recv.INITED

    async def retry(self) -> None:
        """Try again until the mirror address is bound, then give the waiting VDisks their peers."""
        while self._node.recv is Recv.BIND_ERROR:
            await asyncio.sleep(RETRY_S)
            async with self._node.change():
                recv = await self._begin()
                if recv is Recv.INITED:
                    await self._reopen()
                self._node.recv = recv

    async def _bind(self, address: str, secret: bytes) -> bool:
        node = self._node
        try:
            if not self._listening_engine:
                further = node.config.further_addresses
                await asyncio.to_thread(
                    node.engine.listen_mirror, address, node.config.data_port, secret, further=further
                )
                self._listening_engine = True
            self._server.start(_listen(address, node.config.control_port), *self._listen_further())
        except (EngineError, OSError) as error:
            problem = error.problem if isinstance(error, EngineError) else str(error)
            node.log.error("the mirror address cannot be bound", address=address, problem=problem)
            return False
        node.log.info("mirroring on", address=address, control_port=node.config.control_port)
        return True

    def _listen_further(self) -> list[socket.socket]:
        """Listen for the peer's requests over the further paths."""
        listeners, port = [], self._node.config.control_port
        for address in self._node.config.further_addresses:
            try:
                listeners.append(_listen(address, port, absent=True))
            except OSError as error:
                self._node.log.error("no requests over a further path", address=address, problem=str(error))
        return listeners

    async def _reopen(self) -> None:
        """Open anew the copies that were opened without their peer."""
        node = self._node
        for mirror in node.state.mirrors():
            vdisk = node.state.vdisk(mirror.vdisk)
            if vdisk is None:
                continue
            if vdisk.name not in node.broken:
                with node.loop.hold_reports():
                    await asyncio.to_thread(node.engine.close_vdisk, vdisk.name)
                    await node.loop.feed(ev.VDiskClosed(VDiskName(vdisk.name)))
            await vdisks.open_known(node, vdisk)


def _listen(address: str, port: int, *, absent: bool = False) -> socket.socket:
    """Listen on an address of this node; ``absent``: also on one that no interface has yet."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if absent:
            listener.setsockopt(*(_IPV6_FREEBIND if family == socket.AF_INET6 else _IP_FREEBIND), 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
