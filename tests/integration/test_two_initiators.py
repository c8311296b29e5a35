"""What libiscsi's suite cannot do: one initiator per node, each meeting what the other one does."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.reservation_client import CHECK, GOOD, Port
from twindisk.demo.pair import Pair
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import SenseKey, cdb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

BLOCK_BYTES = 512
LBA = 4096
AT_ONCE = 4
MISCOMPARE = (SenseKey.MISCOMPARE, 0x1D, 0x00)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ports(pair: Pair) -> AsyncIterator[tuple[Port, Port]]:
    """An initiator on each node."""
    one, two = await Port.log_in(pair, pair.first, 1), await Port.log_in(pair, pair.second, 2)
    yield one, two
    for port in (one, two):
        await port.session.close()


def image(word: str, blocks: int = 1) -> bytes:
    return word.encode().ljust(BLOCK_BYTES, b".") * blocks


async def write(port: Port, data: bytes, lba: int = LBA) -> None:
    assert (await port.run(cdb.write_16(lba, len(data) // BLOCK_BYTES), data_out=data))[0] == GOOD


async def read(port: Port, blocks: int = 1, lba: int = LBA) -> bytes:
    status, data = await port.run(cdb.read_16(lba, blocks), data_in_bytes=blocks * BLOCK_BYTES)
    assert status == GOOD
    return data


async def compare_and_write(port: Port, old: bytes, new: bytes) -> str:
    return (await port.run(cdb.compare_and_write(LBA, len(new) // BLOCK_BYTES), data_out=old + new))[0]


@pytest.mark.promise("P3")
async def test_of_all_that_compare_and_write_the_same_at_once_one_wins(ports: tuple[Port, Port]) -> None:
    old = image("round 0")
    await write(ports[0], old)
    won = dict.fromkeys(ports, 0)
    for number in range(60):
        # By turns the one or the other sends first.
        contenders = (ports if number % 2 else ports[::-1]) * AT_ONCE
        images = [image(f"round {number} contender {place}") for place in range(len(contenders))]
        answers = await asyncio.gather(
            *(compare_and_write(port, old, new) for port, new in zip(contenders, images, strict=True))
        )
        assert sorted(answers) == [CHECK] * (len(contenders) - 1) + [GOOD], number
        assert {port.refused for port in ports} == {MISCOMPARE}
        winner = answers.index(GOOD)
        won[contenders[winner]] += 1
        old = images[winner]
        assert [await read(port) for port in ports] == [old, old]
    assert all(won.values())


@pytest.mark.promise("P3")
async def test_a_comparison_is_not_torn_by_writes_at_the_other_node(ports: tuple[Port, Port]) -> None:
    one, two = ports
    blocks = 16
    seen = set()
    for number in range(100):
        comparer, writer = (one, two) if number % 2 else (two, one)
        old, swapped, written = (image(f"{word} {number}", blocks) for word in ("old", "swapped", "written"))
        await write(writer, old)
        answer, _ = await asyncio.gather(compare_and_write(comparer, old, swapped), write(writer, written))
        # Either order: the write lands on what was swapped, or the comparison meets what was written.
        assert await read(comparer, blocks) == await read(writer, blocks) == written
        assert answer == GOOD or comparer.refused == MISCOMPARE
        seen.add(answer)
    print(f"seen: {seen}")


@pytest.mark.promise("P3", "P4")
async def test_bits_that_both_set_at_once_are_all_set(pair: Pair, ports: tuple[Port, Port]) -> None:
    """ORWRITE: one initiator per node sets bits of the same blocks, none is lost."""
    await write(ports[0], bytes(BLOCK_BYTES))

    async def set_bits(port: Port, mask: int) -> None:
        for place in range(0, BLOCK_BYTES, 4):
            data = bytes(place) + bytes([mask] * 4) + bytes(BLOCK_BYTES - place - 4)
            block = bytes([0x8B, 0, *LBA.to_bytes(8), *(1).to_bytes(4), 0, 0])
            assert (await port.run(block, data_out=data))[0] == GOOD

    await asyncio.gather(set_bits(ports[0], 0x0F), set_bits(ports[1], 0xF0))
    assert [await read(port) for port in ports] == [b"\xff" * BLOCK_BYTES] * 2
    assert (await compare_when_idle(pair)).first_difference is None
