"""What the parts of a running node share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from twindisk.brain.model import NodeState, VDiskName
from twindisk.brain.model import VDisk as BrainVDisk
from twindisk.config import NodeConfig
from twindisk.errors import RefusedError, RefusedProblem
from twindisk.node.answers import Answers
from twindisk.node.engine import EnginePort
from twindisk.node.log import Log
from twindisk.node.loop import BrainLoop
from twindisk.node.notices import Notices
from twindisk.node.peer import PeerClient
from twindisk.node.state import State
from twindisk.node.unbroken_marks import UnbrokenMarks
from twindisk.snmp.traps import Traps

PEER_TURN_LIMIT_S = 3.0
"""How long a peer's request waits for ours to end. Two nodes that ask each other at once must not wait for ever."""


class Recv(StrEnum):
    """Whether this node takes part in mirroring; the values are what ``ndconfig`` shows."""

    INITED = "Recv Inited"
    BIND_ERROR = "Recv Bind Error"
    NO_ADDRESS = "Recv Not Configured"
    NO_SECRET = "Recv No Secret"  # noqa: S105 - a word about a secret, not a secret


@dataclass(slots=True)
class Node:
    """One running node."""

    config: NodeConfig
    node_id: str
    """Random, made once per state directory; tells this node's disks from another's."""
    state: State
    engine: EnginePort
    loop: BrainLoop
    answers: Answers
    peer: PeerClient
    notices: Notices
    traps: Traps
    log: Log
    unbroken: UnbrokenMarks
    recv: Recv = Recv.NO_ADDRESS
    linked: set[str] = field(default_factory=set)
    """Peers the engine keeps a link with."""
    unlinked: dict[str, str] = field(default_factory=dict)
    """Peers that there is no link with, and why, where that is known."""
    broken: dict[str, str] = field(default_factory=dict)
    """VDisks whose copy could not be opened, and why."""
    telling: dict[str, asyncio.Lock] = field(default_factory=dict)
    """Held while a peer is told the mirror check: it must not hear the last first."""
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _background: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def brain(self) -> NodeState:
        """What the brain knows."""
        return self.loop.state

    def brain_vdisk(self, name: str) -> BrainVDisk | None:
        """Return what the brain knows about a VDisk; None when its copy is not open."""
        return self.brain.vdisks.get(VDiskName(name))

    def begin(self, work: Coroutine[None, None, None], name: str) -> None:
        """Begin work that nobody waits for; it ends with the node at the latest."""
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def end_background(self) -> None:
        """End all work that was begun."""
        tasks = list(self._background)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def change(self, *, for_peer: bool = False) -> AsyncIterator[None]:
        """Let one change of the configuration happen at a time. Raises RefusedError(BUSY) to a peer that waits long."""
        try:
            await asyncio.wait_for(self._changing.acquire(), PEER_TURN_LIMIT_S if for_peer else None)
        except TimeoutError:
            raise RefusedError(RefusedProblem.BUSY, node=self.config.node_name) from None
        try:
            yield
        finally:
            self._changing.release()
