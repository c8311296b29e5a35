"""Real daemons on loopback addresses that no other test run uses, ended by process id whatever happens."""

import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from twindisk.demo.node import Node
from twindisk.demo.pair import POOL, Pair, iqn
from twindisk.demo.place import NodePlace, places, write_configuration

SIZE_GIB = "0.25"


def free_places(root: Path) -> tuple[NodePlace, NodePlace]:
    """Place a pair on loopback addresses and ports where nobody listens."""
    for _ in range(100):
        where = places(root, random.randrange(10000, 30000), f"127.{random.randrange(100, 250)}")
        if all(_is_free(place) for place in where):
            return where
    message = "no free loopback addresses"
    raise RuntimeError(message)


def free_port_pair() -> int:
    """Return a port where a demo, on its own addresses, finds nobody."""
    for _ in range(100):
        port = random.randrange(10000, 30000)
        if all(_is_free(place) for place in places(Path(), port)):
            return port
    message = "no free ports"
    raise RuntimeError(message)


def _is_free(place: NodePlace) -> bool:
    listeners = (
        (place.portal_address, place.portal_port),
        (place.mirror_address, place.control_port),
        (place.mirror_address, place.data_port),
    )
    for address in listeners:
        with socket.socket() as probe:
            try:
                probe.bind(address)
            except OSError:
                return False
    return True


@asynccontextmanager
async def running_pair(root: Path, *, ndrecv: str = "") -> AsyncIterator[Pair]:
    """Start two nodes that know nothing yet (``ndrecv``: more lines for ndrecv.conf); end them and show their last words."""
    where = free_places(root)
    write_configuration(where)
    for place in where:
        with (place.etc / "ndrecv.conf").open("a") as file:
            file.write(ndrecv)
    pair = Pair(
        Node(where[0]), Node(where[1]), show=lambda node, command, output: print(f"{node}# {command}\n{output}")
    )
    try:
        await pair.start()
        yield pair
    finally:
        for node in pair.nodes:
            await node.kill()
            print(f"--- last words of {node.name}\n{node.log_tail()}")


@asynccontextmanager
async def running_node(where: tuple[NodePlace, NodePlace], *, settings: str = "") -> AsyncIterator[Node]:
    """Start the first node of a pair alone (``settings``: more lines for its quadstor.conf); end it and show its last words."""
    write_configuration(where)
    node = Node(where[0])
    with (node.place.etc / "quadstor.conf").open("a") as file:
        file.write(settings)
    try:
        await node.start()
        yield node
    finally:
        await node.kill()
        print(f"--- last words of {node.name}\n{node.log_tail()}")


async def make_pool(node: Node) -> None:
    """Give a node its pool, if it has none."""
    if POOL not in await node.run("spconfig", "-l"):
        await node.run("spconfig", "-a", "-g", POOL)
        await node.run("bdconfig", "-a", "-d", str(node.place.disk), "-g", POOL)


async def make_vdisk(node: Node, name: str, size: str = "0.0625") -> str:
    """Make a VDisk that is not mirrored, ``size`` as vdconfig takes it; return its target's name."""
    await make_pool(node)
    await node.run("vdconfig", "-a", "-v", name, "-s", size, "-g", POOL)
    return iqn(name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """A mirrored pair that is Enabled on both nodes, for all tests of a module."""
    async with running_pair(tmp_path_factory.mktemp("pair")) as pair:
        await pair.configure(SIZE_GIB)
        yield pair


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(pair: Pair) -> Pair:
    """A second VDisk on the nodes of ``pair``."""
    return await pair.another("M2", SIZE_GIB)


@pytest_asyncio.fixture(loop_scope="module")
async def bare_pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Two nodes that run and have nothing configured, for one test."""
    async with running_pair(tmp_path) as pair:
        yield pair


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """One node that runs and has nothing configured, for all tests of a module."""
    async with running_node(free_places(tmp_path_factory.mktemp("node"))) as node:
        yield node
