"""ESXi hosts that beat on a shared volume by COMPARE AND WRITE while either node is killed: no host is ever told a miscompare that is not its own doing.

A false one makes ESXi lose the volume ("ATS miscompare detected between test and set HB images"). What a host does: it compares
its last image and writes the next one; if the answer was lost it sends the same again over its other path; on a miscompare it
reads, and goes on if the disk holds the image that it wrote itself.
"""

import asyncio
import struct
import time
from dataclasses import dataclass, field

import pytest

from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import CheckConditionError, InitiatorError, LoginError, SenseKey, Session, SessionOptions

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.promise("P1", "P3", "P7")]

BLOCK_BYTES = 512
FIRST_BLOCK = 2048
HOSTS = 6
INTERVAL_S = 0.02
UNCERTAIN = frozenset({SenseKey.NOT_READY, SenseKey.ABORTED_COMMAND, SenseKey.HARDWARE_ERROR, SenseKey.UNIT_ATTENTION})


@dataclass
class Host:
    """One host: its heartbeat block, and the paths in its order."""

    pair: Pair
    number: int
    portals: list[str]
    beats: int = 0
    resent: int = 0
    found_done: int = 0
    longest_s: float = 0.0
    _session: Session | None = field(default=None, repr=False)

    @property
    def offset_bytes(self) -> int:
        return (FIRST_BLOCK + self.number) * BLOCK_BYTES

    def image(self, beat: int) -> bytes:
        return struct.pack(">QQ", self.number, beat).ljust(BLOCK_BYTES, b"h") if beat else bytes(BLOCK_BYTES)

    async def beat_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            began = time.monotonic()
            await self._beat()
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            await asyncio.sleep(INTERVAL_S)
        assert await self._read() == self.image(self.beats)
        assert self._session is not None
        await self._session.close()

    async def _beat(self) -> None:
        old, new = self.image(self.beats), self.image(self.beats + 1)
        uncertain = False
        while True:
            try:
                session = await self._path()
                await session.compare_and_write(self.offset_bytes, old, new)
            except CheckConditionError as error:
                if error.sense.key is SenseKey.MISCOMPARE:
                    assert uncertain, f"host {self.number}: a miscompare although every answer came"
                    assert await self._read() == new, f"host {self.number}: somebody else's image"
                    self.found_done += 1
                    break
                if error.sense.key not in UNCERTAIN:
                    raise
                # Only what may have begun may have been carried out; what was not ready was refused before.
                uncertain |= error.sense.key in (SenseKey.ABORTED_COMMAND, SenseKey.HARDWARE_ERROR)
                await self._next_path()
            except LoginError:  # Nothing was sent.
                await self._next_path()
            except InitiatorError:
                uncertain = True
                await self._next_path()
            else:
                break
            self.resent += 1
        self.beats += 1

    async def _read(self) -> bytes:
        while True:
            try:
                return await (await self._path()).read(self.offset_bytes, BLOCK_BYTES)
            except InitiatorError:
                await self._next_path()

    async def _path(self) -> Session:
        if self._session is None:
            options = SessionOptions(initiator=f"iqn.1998-01.com.vmware:esx{self.number}", timeout_s=20)
            self._session = await Session.connect(self.portals[0], iqn(self.pair.vdisk), options)
        return self._session

    async def _next_path(self) -> None:
        if self._session is not None:
            self._session.drop()
            self._session = None
        self.portals.append(self.portals.pop(0))
        await asyncio.sleep(0.02)


async def carry_on_without(pair: Pair, lost: Node, hosts: list[Host]) -> None:
    """Kill a node, see all hosts beat without it, bring it back, and see them beat over both."""
    await lost.kill()
    await pair.wait_alone(pair.other(lost))
    await see_beats(hosts)
    await lost.start()
    await pair.wait_enabled()
    await see_beats(hosts)


async def see_beats(hosts: list[Host]) -> None:
    before = [host.beats for host in hosts]
    while any(host.beats < count + 5 for host, count in zip(hosts, before, strict=True)):
        await asyncio.sleep(0.02)


async def test_heartbeats_go_on_without_a_false_miscompare_when_either_node_is_killed(pair: Pair) -> None:
    async with await Session.connect(pair.portals[0], iqn(pair.vdisk)) as session:
        await session.write(FIRST_BLOCK * BLOCK_BYTES, bytes(HOSTS * BLOCK_BYTES))
    hosts = [Host(pair, number, [*pair.portals][:: 1 if number % 2 else -1]) for number in range(HOSTS)]
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(host.beat_until(stop))
        await see_beats(hosts)
        for lost in pair.nodes:
            await carry_on_without(pair, lost, hosts)
        stop.set()
    for host in hosts:
        print(
            f"{host.number}: {host.beats} beats, {host.resent} resent, {host.found_done} of them were done, longest {host.longest_s:.2f} s"
        )
    assert sum(host.resent for host in hosts) >= HOSTS
