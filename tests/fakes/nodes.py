"""Whole nodes with fake engines, on loopback addresses, in this process."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from fakes.engine import FakeEngine, FakeWorld
from twindisk.brain.phases import Phase
from twindisk.config import NodeConfig, load
from twindisk.node.context import Node
from twindisk.node.log import Log
from twindisk.node.run import RunningNode, running_node

SECRET = "one for both"
ADDRESSES = {"vm10": "127.0.4.10", "vm11": "127.0.4.11"}


def quiet_log(_config: NodeConfig | None = None) -> Log:
    """A logger that says nothing."""
    logger: Log = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[_drop], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    return logger


def _drop(*_: object) -> dict[str, object]:
    raise structlog.DropEvent


def free_port() -> int:
    """A port that is free on every node's address, and that no connection of another test is given: those begin at 32768."""
    for _ in range(100):
        port = random.randrange(10000, 30000)
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for address in ADDRESSES.values():
                probes.enter_context(socket.socket()).bind((address, port))
            return port
    message = "no free port"
    raise RuntimeError(message)


def write_etc(root: Path, name: str, *, control_port: int, recv: str | None = "", secret: str | None = SECRET) -> Path:
    """Write a node's configuration directory; ``recv`` '' is the name's own address."""
    etc = root / name / "etc"
    etc.mkdir(parents=True)
    address = ADDRESSES.get(name, "") if recv == "" else recv
    lines = [f"ControlPort={control_port}", *([f"RecvAddr={address}"] if address else [])]
    (etc / "ndrecv.conf").write_text("\n".join(lines) + "\n")
    (etc / "quadstor.conf").write_text(f"NodeName={name}\nPortal={address or '127.0.0.1'}:3260\n")
    if secret is not None:
        (etc / "secret").touch(mode=0o600)
        (etc / "secret").write_text(secret)
    (root / name / "disk").mkdir()
    return etc


@dataclass
class Cluster:
    """Nodes that share a fake world; each lives until it is stopped or killed, and may start again."""

    root: Path
    world: FakeWorld = field(default_factory=FakeWorld)
    control_port: int = field(default_factory=free_port)
    nodes: dict[str, RunningNode] = field(default_factory=dict)
    engines: dict[str, FakeEngine] = field(default_factory=dict)
    _ends: dict[str, contextlib.AsyncExitStack] = field(default_factory=dict)

    async def start(self, name: str, *, recv: str | None = "", secret: str | None = SECRET) -> Node:
        etc = self.root / name / "etc"
        if not etc.exists():
            write_etc(self.root, name, control_port=self.control_port, recv=recv, secret=secret)
        engine = self.engines[name] = FakeEngine(self.world)
        end = self._ends[name] = contextlib.AsyncExitStack()
        self.nodes[name] = await end.enter_async_context(running_node(load(etc), lambda _: engine, quiet_log))
        return self.nodes[name].node

    async def stop(self, name: str) -> None:
        """Stop cleanly, as SIGTERM does."""
        node = self.nodes.pop(name)
        node.ask_to_stop()
        await asyncio.wait_for(node.shutdown.wait(), 10)
        await self._ends.pop(name).aclose()

    async def kill(self, name: str) -> None:
        """End as kill -9 does: nothing is handed over."""
        self.world.crash(self.engines[name])
        self.nodes.pop(name)
        await self._ends.pop(name).aclose()

    async def close(self) -> None:
        for name in list(self.nodes):
            self.nodes.pop(name)
            await self._ends.pop(name).aclose()


@contextlib.asynccontextmanager
async def cluster(root: Path) -> AsyncIterator[Cluster]:
    """Nodes that are gone at the end of the block."""
    made = Cluster(root)
    try:
        yield made
    finally:
        await made.close()


async def until(condition: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Wait for something to become true."""
    async with asyncio.timeout(limit_s):
        while not condition():
            await asyncio.sleep(0.01)


def phase(node: Node, vdisk: str) -> Phase | None:
    """A VDisk's phase on a node."""
    known = node.brain_vdisk(vdisk)
    return None if known is None else known.phase


@contextlib.contextmanager
def node_in_thread(root: Path, name: str, *, port: int, world: FakeWorld) -> Iterator[RunningNode]:
    """A node in a thread of its own, for tests of what blocks (the commands)."""
    etc = write_etc(root, name, control_port=port)
    up, started, loop = threading.Event(), [], asyncio.new_event_loop()

    async def live() -> None:
        async with running_node(load(etc), lambda _: FakeEngine(world), quiet_log) as node:
            started.append(node)
            up.set()
            await node.shutdown.wait()

    def body() -> None:
        try:
            loop.run_until_complete(live())
        finally:
            loop.close()
            up.set()

    thread = threading.Thread(target=body, name=name)
    thread.start()
    assert up.wait(10)
    assert started, "the node did not start"
    try:
        yield started[0]
    finally:
        loop.call_soon_threadsafe(started[0].ask_to_stop)
        thread.join(15)
        assert not thread.is_alive()
