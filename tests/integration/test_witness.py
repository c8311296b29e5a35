"""A real pair with an etcd as its witness, each in a network of its own: cut apart, killed, and without the witness."""

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from fakes.witnesses import etcd_server
from torture.wires import Wires, enter_new_network
from twindisk.client import NodeClient
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.place import NodePlace, write_configuration
from twindisk.demo.story import compare_when_idle
from twindisk.demo.workload import Pauses, Workload
from twindisk.initiator import InitiatorError, MultipathDisk, Session, SessionOptions

pytestmark = pytest.mark.timeout(240)

SIZE_GIB = "0.0625"
WORKLOAD_BYTES = 32 << 20
PATIENCE_S = 90.0
Answer = TypeVar("Answer")
QUIET_S = 1.5
"""How long nobody serves while nobody may; the nodes ask the witness more than once meanwhile."""


class NodeInNetwork(Node):
    """A node whose daemon runs in a network namespace."""

    def __init__(self, place: NodePlace, namespace: str) -> None:
        super().__init__(place)
        self._namespace = namespace

    @property
    def start_argv(self) -> list[str]:
        return ["nsenter", f"--net={self._namespace}", *super().start_argv]


def place(root: Path, number: int) -> NodePlace:
    return NodePlace(
        name=f"vm{10 + number}",
        portal_address=f"192.0.2.{10 + number}",
        portal_port=3260,
        mirror_address=f"198.51.100.{10 + number}",
        control_port=9953,
        data_port=9955,
        root=root / f"vm{10 + number}",
    )


def ask(node: Node, question: Callable[[NodeClient], Answer]) -> Answer:
    """Ask a node's daemon over its socket."""
    with NodeClient(node.place.socket_path) as client:
        return question(client)


class Story:
    """The pair, its wires, its witness, and writers that go on all the time."""

    def __init__(self, root: Path, wires: Wires, etcd: int) -> None:
        self.wires = wires
        self.etcd = etcd
        where = (place(root, 0), place(root, 1))
        write_configuration(where)
        nodes = [NodeInNetwork(one, namespace) for one, namespace in zip(where, wires.namespaces, strict=True)]
        self.pair = Pair(nodes[0], nodes[1], show=lambda node, command, output: print(f"{node}# {command}\n{output}"))

    async def configure(self) -> None:
        """Give each node the witness by the address at which it sees it, then mirror a VDisk."""
        for number, node in enumerate(self.pair.nodes):
            peer = self.pair.other(node).place.mirror_address
            url = f"etcd://192.0.2.{1 + number}:2379/twindisk"
            await self.pair.command(node, "qmirrorcheck", "-a", "-t", "witness", "-r", peer, "-v", url)
        await self.pair.configure(SIZE_GIB, fence=None)
        await self.wait_shared()

    async def wait_shared(self) -> None:
        """Wait until both nodes know that they share the witness."""
        for node in self.pair.nodes:
            while not all(check.shared for check in await asyncio.to_thread(ask, node, NodeClient.checks)):
                await asyncio.sleep(0.05)

    async def was_told(self, node: Node, words: str) -> bool:
        """Whether a node's operators were told something."""
        page = await asyncio.to_thread(ask, node, NodeClient.events)
        return any(words in event.text for event in page.events)

    async def phases(self) -> list[str]:
        """Return the phase of the VDisk on each node, and check that no two serve apart."""
        rows = await self.pair.rows()
        phases = [row.phase if (row := rows.get(node.name)) else "-" for node in self.pair.nodes]
        assert not {"alone", "going-alone", "rejoining"} >= set(phases), phases
        return phases

    async def wait_phases(self, *wanted: str) -> Node:
        """Wait until the nodes are in these phases, whichever in which; return the node in the first one."""
        end = time.monotonic() + PATIENCE_S
        while sorted(found := await self.phases()) != sorted(wanted):
            assert time.monotonic() < end, (found, wanted)
            await asyncio.sleep(0.05)
        return self.pair.nodes[found.index(wanted[0])]

    async def serves(self, node: Node) -> bool:
        """Whether a node answers a read."""
        options = SessionOptions(timeout_s=10)
        try:
            async with await Session.connect(node.place.portal, iqn(self.pair.vdisk), options) as session:
                await session.read(0, 4096)
        except InitiatorError:
            return False
        return True

    @contextlib.asynccontextmanager
    async def cut(self) -> AsyncIterator[None]:
        """Let nothing through between the nodes."""
        async with self.wires.mirror.without(0, 1):
            yield


async def moves_on(workload: Workload) -> None:
    """Wait until writers were answered again and again."""
    goal, end = workload.writes + 20, time.monotonic() + PATIENCE_S
    while workload.writes < goal:
        assert time.monotonic() < end, "the initiator's writes are not answered"
        await asyncio.sleep(0.02)


async def cut_apart(story: Story, workload: Workload) -> None:
    async with story.cut():
        winner = await story.wait_phases("alone", "stopped")
        loser = story.pair.other(winner)
        await moves_on(workload)
        assert not await story.serves(loser)
        assert await story.was_told(loser, "the witness let the peer go on")
    await story.pair.wait_enabled(PATIENCE_S)
    await story.wait_shared()


async def killed(story: Story, workload: Workload) -> None:
    rows = await story.pair.rows()
    master = next(node for node in story.pair.nodes if (row := rows[node.name]) and row.role == "Master")
    await master.kill()
    await story.pair.wait_alone(story.pair.other(master), PATIENCE_S)
    await moves_on(workload)
    await master.start()
    await story.pair.wait_enabled(PATIENCE_S)
    await story.wait_shared()


async def without_the_witness(story: Story, workload: Workload) -> None:
    os.kill(story.etcd, signal.SIGSTOP)
    try:
        await moves_on(workload)  # the nodes see each other: nothing changes
        async with story.cut():
            for node in story.pair.nodes:
                while not await story.was_told(node, "the witness cannot be asked"):
                    await asyncio.sleep(0.1)
            end = time.monotonic() + QUIET_S
            while time.monotonic() < end:
                assert await story.phases() == ["deciding", "deciding"]
                assert not any([await story.serves(node) for node in story.pair.nodes])
            os.kill(story.etcd, signal.SIGCONT)
            await story.wait_phases("alone", "stopped")
            await moves_on(workload)
        await story.pair.wait_enabled(PATIENCE_S)
    finally:
        os.kill(story.etcd, signal.SIGCONT)


async def tell(story: Story) -> None:
    """Go through it all, with writers on both paths."""
    await story.configure()
    pair = story.pair
    options = SessionOptions(timeout_s=5.0)
    async with MultipathDisk(pair.portals, iqn(pair.vdisk), options=options, deadline_s=PATIENCE_S) as disk:
        workload = Workload(disk, WORKLOAD_BYTES, writers=4, pace_s=0.005)
        async with asyncio.TaskGroup() as group:
            group.create_task(workload.write_until_stopped())
            for part in (cut_apart, killed, without_the_witness):
                await moves_on(workload)
                workload.pauses = Pauses()
                await part(story, workload)
                print(f"{part.__name__}: longest pause {workload.pauses.longest_s:.1f} s")
            await moves_on(workload)
            workload.stop()
        comparison = await compare_when_idle(pair)
        assert comparison.first_difference is None
        for node in pair.nodes:
            async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
                assert await workload.count_lost(session) == 0


async def run(root: Path, own: str) -> None:
    wires = Wires.lay(own)
    with etcd_server(root, client=("0.0.0.0", 2379)) as etcd:  # noqa: S104 - in a network of its own
        story = Story(root, wires, etcd.pid)
        try:
            await story.pair.start()
            await tell(story)
        finally:
            for node in story.pair.nodes:
                await node.kill()
                print(f"--- last words of {node.name}\n{node.log_tail()}")


@pytest.mark.promise("P1", "P2", "P4", "P6", "P7")
def test_of_two_nodes_that_lost_each_other_the_witness_lets_one_go_on(tmp_path: Path) -> None:
    wrong: list[BaseException] = []

    def body() -> None:
        # The thread, and what it starts, leave the machine's network; the other tests stay in it.
        try:
            asyncio.run(run(tmp_path, enter_new_network()))
        except BaseException as error:  # noqa: BLE001 - the test tells it
            wrong.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if wrong:
        raise wrong[0]
