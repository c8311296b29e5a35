"""COMPARE AND WRITE through both nodes: what cluster locks and counters rest on, also while the Master is killed."""

import asyncio
import struct
from dataclasses import dataclass, field
from itertools import count

import pytest

from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import CheckConditionError, InitiatorError, SenseKey, Session, SessionOptions

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

BLOCK_BYTES = 512
OFFSET_BYTES = (4 << 20) - BLOCK_BYTES
MISCOMPARE_OFFSET = 300
OPTIONS = SessionOptions(timeout_s=10)


def block_of(number: int, token: int) -> bytes:
    return struct.pack(">QQ", number, token).ljust(BLOCK_BYTES, b"c")


@dataclass
class Tally:
    """What the initiators were told of each attempt, by the attempt's token."""

    done: dict[int, int] = field(default_factory=dict)  # token: the number it counted to
    refused: set[int] = field(default_factory=set)
    unknown: dict[int, int] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)


class Counter:
    """An initiator that counts by COMPARE AND WRITE, over its first path as long as that serves."""

    tokens = count(1)

    def __init__(self, portals: list[str], target: str, tally: Tally) -> None:
        self._portals = portals
        self._target = target
        self._tally = tally
        self._session: Session | None = None
        self.counted = 0

    async def run(self, until: asyncio.Event) -> None:
        while not until.is_set():
            try:
                if self._session is None:
                    self._session = await Session.connect(self._portals[0], self._target, OPTIONS)
                await self._count(self._session)
            except InitiatorError:
                if self._session is not None:
                    self._session.drop()
                    self._session = None
                self._portals.reverse()
                await asyncio.sleep(0.02)
        if self._session is not None:
            await self._session.close()

    async def _count(self, session: Session) -> None:
        old = await session.read(OFFSET_BYTES, BLOCK_BYTES)
        number, token = struct.unpack_from(">QQ", old)
        self._tally.seen.add(token)
        token = next(self.tokens)
        try:
            await session.compare_and_write(OFFSET_BYTES, old, block_of(number + 1, token))
        except CheckConditionError as error:
            if error.sense.key is SenseKey.MISCOMPARE:
                self._tally.refused.add(token)
                return
            self._tally.unknown[token] = number + 1
            raise
        except InitiatorError:
            self._tally.unknown[token] = number + 1
            raise
        self._tally.done[token] = number + 1
        self.counted += 1


async def read_counter(portal: str, target: str) -> tuple[int, int]:
    async with await Session.connect(portal, target, OPTIONS) as session:
        number, token = struct.unpack_from(">QQ", await session.read(OFFSET_BYTES, BLOCK_BYTES))
        return number, token


@pytest.mark.promise("P3")
async def test_a_miscompare_changes_nothing_and_tells_where(pair: Pair) -> None:
    ones, twos = b"1" * BLOCK_BYTES, b"2" * BLOCK_BYTES
    wrong = ones[:MISCOMPARE_OFFSET] + b"?" + ones[MISCOMPARE_OFFSET + 1 :]
    for portal in pair.portals:
        async with await Session.connect(portal, iqn(pair.vdisk), OPTIONS) as session:
            await session.write(0, ones)
            with pytest.raises(CheckConditionError) as refused:
                await session.compare_and_write(0, wrong, twos)
            sense = refused.value.sense
            assert (sense.key, sense.code, sense.qualifier) == (SenseKey.MISCOMPARE, 0x1D, 0x00)
            assert await session.read(0, BLOCK_BYTES) == ones
            await session.compare_and_write(0, ones, twos)
    for portal in pair.portals:
        async with await Session.connect(portal, iqn(pair.vdisk), OPTIONS) as session:
            assert await session.read(0, BLOCK_BYTES) == twos


@pytest.mark.promise("P1", "P3", "P4")
async def test_a_counter_counted_through_both_nodes_loses_no_update_when_the_master_dies(pair: Pair) -> None:
    target = iqn(pair.vdisk)
    async with await Session.connect(pair.first.place.portal, target, OPTIONS) as session:
        await session.write(OFFSET_BYTES, block_of(0, 0))
    tally, stop = Tally(), asyncio.Event()
    counters = [Counter([*portals], target, tally) for portals in (pair.portals, pair.portals[::-1]) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for counter in counters:
            group.create_task(counter.run(stop))
        await asyncio.sleep(1.0)
        before = len(tally.done)
        await pair.first.kill()
        await pair.wait_alone(pair.second)
        await asyncio.sleep(1.0)
        await pair.first.start()
        await pair.wait_enabled()
        await asyncio.sleep(1.0)
        stop.set()
    number, token = await read_counter(pair.first.place.portal, target)
    assert (number, token) == await read_counter(pair.second.place.portal, target)
    tally.seen.add(token)
    print(f"counted to {number}: {len(tally.done)} done, {len(tally.refused)} refused, {len(tally.unknown)} unknown")
    assert before > 0
    assert all(counter.counted for counter in counters)
    # Each success counted on from a number of its own, and none was undone.
    numbers = [*tally.done.values(), *(tally.unknown[token] for token in tally.unknown.keys() & tally.seen)]
    assert sorted(numbers) == list(range(1, number + 1))
    # What was refused was never there.
    assert tally.seen.isdisjoint(tally.refused)
    assert (await compare_when_idle(pair)).first_difference is None
