"""Initiators on a few hot logical blocks: they read, write, compare and write, and keep everything that they saw.

Rules

* Each client is an initiator port of its own with a path to each node, used in turns; it has one command at a time.
* What every attempt writes is a value of its own (:mod:`integration.register_clients`), since an attempt that was not answered may
  have been carried out too. Once the command was answered on another path, it must not be carried out any more.
* A COMPARE AND WRITE that was answered has read what it expected and written in one step.
"""

import asyncio
import itertools
import math
import random
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from integration.register_clients import BLOCK_BYTES, TORN, block_content, block_value
from torture.evidence import Evidence, Seen
from twindisk.initiator import CheckConditionError, MultipathDisk, SenseKey, Session, SessionOptions

PATIENCE_S = 240.0
"""How long a command may find no path; longer than any fault lasts."""
COMMAND_LIMIT_S = 6.0
COMPARED_BLOCKS_MAX = 4
WRITE_SAME_16 = 0x93


def session_options(name: str, number: int) -> SessionOptions:
    """Return how an initiator port logs in; the same port anew ends its session of before."""
    return SessionOptions(
        initiator=f"iqn.2024-01.invalid.twindisk:{name}{number}", isid_number=number, timeout_s=COMMAND_LIMIT_S
    )


@dataclass(slots=True)
class Registers:
    """``clients`` initiators on ``blocks`` logical blocks from ``first_block`` on."""

    portals: list[str]
    iqn: str
    first_block: int
    blocks: int = 16
    clients: int = 6
    request_blocks_max: int = 8
    pace_s: float = 0.004
    name: str = "hot"
    evidence: Evidence = field(default_factory=Evidence)
    operations: int = 0
    longest_pause_s: float = 0.0
    values: "Iterator[int]" = field(default_factory=lambda: itertools.count(1))
    _stopping: bool = False

    async def run_until_stopped(self, seed: str) -> None:
        """Run the clients until :meth:`stop`; every operation that was begun has ended when this returns."""
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            for client in range(self.clients):
                group.create_task(self._run(client, random.Random(f"{seed}/{self.name}/{client}")))

    def stop(self) -> None:
        self._stopping = True

    async def begin_anew(self) -> None:
        """Forget what was seen, and write every block, so that a new history begins."""
        self.evidence = Evidence()
        async with MultipathDisk(self.portals, self.iqn, deadline_s=PATIENCE_S) as disk:
            for first in range(0, self.blocks, self.request_blocks_max):
                count = min(self.request_blocks_max, self.blocks - first)
                await self._write(disk, "setup", self.first_block + first, count, random.Random(0))

    async def read_all_through(self, portal: str) -> None:
        """Read every block through one path, as part of the history."""
        options = session_options(self.name, 99)
        async with await Session.connect(portal, self.iqn, options) as session:
            began = time.monotonic()
            data = await session.read(self.first_block * BLOCK_BYTES, self.blocks * BLOCK_BYTES)
            self._saw(self.first_block, data, began, "end", portal)

    async def _run(self, client: int, chance: random.Random) -> None:
        order = self.portals if client % 2 else self.portals[::-1]
        who = f"{self.name}{client}"
        options = session_options(self.name, client)
        async with MultipathDisk(order, self.iqn, options=options, deadline_s=PATIENCE_S) as disk:
            while not self._stopping:
                began = time.monotonic()
                length = chance.randint(1, self.request_blocks_max)
                block = self.first_block + chance.randrange(self.blocks - length + 1)
                drawn = chance.random()
                if drawn < 0.4:
                    await self._write(disk, who, block, length, chance)
                elif drawn < 0.65:
                    await self._compare_and_write(disk, who, block, min(length, COMPARED_BLOCKS_MAX))
                else:
                    await self._read(disk, who, block, length)
                self.operations += 1
                self.longest_pause_s = max(self.longest_pause_s, time.monotonic() - began)
                await asyncio.sleep(chance.uniform(0, 2 * self.pace_s))

    async def _read(self, disk: MultipathDisk, who: str, block: int, length: int) -> list[int]:
        began, portal = 0.0, ""

        async def attempt(session: Session) -> bytes:
            nonlocal began, portal
            began, portal = time.monotonic(), session.portal
            return await session.read(block * BLOCK_BYTES, length * BLOCK_BYTES)

        return self._saw(block, await disk.run(attempt), began, who, portal)

    def _saw(self, block: int, data: bytes, began: float, who: str, portal: str) -> list[int]:
        values = [block_value(data[at : at + BLOCK_BYTES]) for at in range(0, len(data), BLOCK_BYTES)]
        self.evidence.add(block, values, Seen(who, "read", portal, began, time.monotonic(), "good"))
        return values

    async def _write(self, disk: MultipathDisk, who: str, block: int, length: int, chance: random.Random) -> None:
        unit_access = chance.random() < 0.1

        async def send(session: Session, values: list[int]) -> None:
            data = b"".join(block_content(value) for value in values)
            await session.write(block * BLOCK_BYTES, data, force_unit_access=unit_access)

        async def send_same(session: Session, values: list[int]) -> None:
            command = struct.pack(">BBQIxx", WRITE_SAME_16, 0, block, length)
            await session.command(command, data_out=block_content(values[0]))

        if chance.random() < 0.15:
            await self._change(disk, who, "same", block, length, send_same)
        else:
            await self._change(disk, who, "write", block, length, send)

    async def _compare_and_write(self, disk: MultipathDisk, who: str, block: int, length: int) -> None:
        expected = await self._read(disk, who, block, length)
        compare = b"".join(block_content(value) for value in expected)

        async def send(session: Session, values: list[int]) -> None:
            await session.compare_and_write(
                block * BLOCK_BYTES, compare, b"".join(block_content(value) for value in values)
            )

        if TORN not in expected:
            await self._change(disk, who, "swap", block, length, send, expected)

    async def _change(
        self,
        disk: MultipathDisk,
        who: str,
        kind: str,
        block: int,
        length: int,
        send: Callable[[Session, list[int]], Awaitable[None]],
        expected: list[int] | None = None,
    ) -> None:
        failed: list[tuple[list[int], Seen]] = []

        async def attempt(session: Session) -> tuple[list[int], Seen]:
            values = [next(self.values)] * length if kind == "same" else list(itertools.islice(self.values, length))
            seen = Seen(who, kind, session.portal, time.monotonic(), math.inf, "no answer", tuple(expected or ()))
            try:
                await send(session, values)
            except CheckConditionError as error:
                seen.outcome = str(error.sense)
                if error.sense.key is not SenseKey.MISCOMPARE:
                    failed.append((values, seen))
                raise
            except BaseException as error:
                seen.outcome = type(error).__name__
                failed.append((values, seen))
                raise
            return values, seen

        ended = math.inf
        try:
            values, seen = await disk.run(attempt)
            ended = seen.ended = time.monotonic()
            seen.outcome = "good"
            self.evidence.add(block, values, seen)
        except CheckConditionError as error:
            if kind != "swap" or error.sense.key not in (SenseKey.MISCOMPARE, SenseKey.HARDWARE_ERROR):
                raise
            # 44/00 of a COMPARE AND WRITE says that nobody knows whether it was done; it is not under way any more.
            ended = time.monotonic()
        finally:
            for values, seen in failed:
                seen.ended = ended
                self.evidence.add(block, values, seen)
