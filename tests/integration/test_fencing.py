"""What a node does when it loses its peer, by the mirror check it was given."""

import asyncio
import os
import signal

import pytest

from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, fence_command, iqn
from twindisk.demo.place import NodePlace
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import CheckConditionError, SenseKey, Session, SessionOptions, cdb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SIZE = "0.0625"
BLOCK = 4096
CONTENT = bytes(range(256)) * (BLOCK // 256)


async def write_through(pair: Pair, node: Node, content: bytes) -> None:
    async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
        await session.write(0, content)
        await session.flush()


async def read_through(pair: Pair, node: Node) -> bytes:
    async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
        return await session.read(0, BLOCK)


async def assert_serves_nothing(pair: Pair, node: Node) -> None:
    """Reads and writes get NOT READY, which sends multipath to the other path."""
    options = SessionOptions(timeout_s=15)
    async with await Session.connect(node.place.portal, iqn(pair.vdisk), options) as session:
        for block, data_out, data_in_bytes in (
            (cdb.read_16(0, 8), b"", BLOCK),
            (cdb.write_16(0, 8), bytes(BLOCK), 0),
            (cdb.test_unit_ready(), b"", 0),
        ):
            await session.clear_unit_attentions()
            with pytest.raises(CheckConditionError) as refused:
                await session.command(block, data_out=data_out, data_in_bytes=data_in_bytes)
            assert refused.value.sense.key is SenseKey.NOT_READY
            assert refused.value.sense.code == 0x04


async def wait_role(pair: Pair, node: Node, role: str, status: str) -> None:
    def reached(rows: object) -> bool:
        row = rows.get(node.name) if isinstance(rows, dict) else None
        return row is not None and (row.role, row.status) == (role, status)

    await pair.wait_for(f"{role} and {status} on {node.name}", reached, 30.0)


@pytest.mark.promise("P1", "P2", "P6")
async def test_a_slave_whose_fence_fails_serves_nothing_until_its_peer_is_back(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure(SIZE, fence=lambda _: "exit 1")
    await write_through(pair, pair.first, CONTENT)
    await pair.first.kill()
    await wait_role(pair, pair.second, "Slave", "Disabled")
    await assert_serves_nothing(pair, pair.second)
    assert "Fencing VDisk M1 peer failed. Cannot take over as master" in pair.second.place.output.read_text()
    await pair.first.start()
    await pair.wait_enabled()
    assert [await read_through(pair, node) for node in pair.nodes] == [CONTENT, CONTENT]
    assert (await compare_when_idle(pair)).first_difference is None


@pytest.mark.promise("P2", "P6")
async def test_a_master_whose_fence_fails_becomes_slave_and_serves_nothing(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure(SIZE, fence=lambda _: "exit 1")
    await write_through(pair, pair.second, CONTENT)
    await pair.second.kill()
    await wait_role(pair, pair.first, "Slave", "Disabled")
    await assert_serves_nothing(pair, pair.first)
    await pair.second.start()
    await pair.wait_enabled()
    assert await read_through(pair, pair.first) == CONTENT


@pytest.mark.promise("P2")
async def test_without_a_mirror_check_the_peer_counts_as_alive(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure(SIZE, fence=None)
    await pair.second.kill()
    await wait_role(pair, pair.first, "Slave", "Disabled")
    await assert_serves_nothing(pair, pair.first)


async def test_fence_commands_are_tried_in_turn_until_one_succeeds(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure(SIZE, fence=lambda _: "exit 7")
    peer = pair.first.place
    await pair.command(
        pair.second, "qmirrorcheck", "-a", "-t", "fence", "-r", peer.mirror_address, "-v", fence_command(peer)
    )
    await write_through(pair, pair.first, CONTENT)
    await pair.first.kill()
    await pair.wait_alone(pair.second)
    assert await read_through(pair, pair.second) == CONTENT


@pytest.mark.promise("P1", "P2")
async def test_with_a_manual_check_a_slave_waits_for_the_operator(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure(SIZE, fence=None)
    for node in pair.nodes:
        peer = pair.other(node).place.mirror_address
        await pair.command(node, "qmirrorcheck", "-a", "-t", "manual", "-r", peer)
    await write_through(pair, pair.first, CONTENT)
    await pair.first.kill()
    await wait_role(pair, pair.second, "Slave", "Disabled")
    await assert_serves_nothing(pair, pair.second)
    await pair.command(pair.second, "qsync", "-s", pair.vdisk, "-m", "master")
    await pair.wait_alone(pair.second)
    assert await read_through(pair, pair.second) == CONTENT


@pytest.mark.promise("P1", "P7")
async def test_with_a_manual_check_a_master_goes_on(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure(SIZE, fence=None)
    for node in pair.nodes:
        peer = pair.other(node).place.mirror_address
        await pair.command(node, "qmirrorcheck", "-a", "-t", "manual", "-r", peer)
    await pair.second.kill()
    await pair.wait_alone(pair.first)
    await write_through(pair, pair.first, CONTENT)
    await pair.second.start()
    await pair.wait_enabled()
    assert await read_through(pair, pair.second) == CONTENT


@pytest.mark.promise("P2", "P6")
async def test_a_node_that_was_frozen_serves_nothing_stale_when_it_thaws(bare_pair: Pair) -> None:
    """The second node's fence command lies ("done"), so that nothing but the lease stops the frozen node."""
    pair = bare_pair
    await pair.configure(SIZE, fence=lambda victim: "exit 0" if victim.name == pair.first.name else "exit 1")
    await write_through(pair, pair.first, bytes(BLOCK))
    frozen = pair.first.pid
    assert frozen is not None
    stale = await Session.connect(pair.first.place.portal, iqn(pair.vdisk), SessionOptions(timeout_s=30))
    os.kill(frozen, signal.SIGSTOP)
    try:
        await pair_second_alone(pair)
        await write_through(pair, pair.second, CONTENT)
        reading = asyncio.create_task(stale.read(0, BLOCK))
        await asyncio.sleep(0.2)
    finally:
        os.kill(frozen, signal.SIGCONT)
    (answer,) = await asyncio.gather(reading, return_exceptions=True)
    if isinstance(answer, BaseException):
        assert isinstance(answer, CheckConditionError)
        assert answer.sense.key is SenseKey.NOT_READY
    else:
        assert answer == CONTENT
    stale.drop()
    await pair.wait_enabled()
    assert [await read_through(pair, node) for node in pair.nodes] == [CONTENT, CONTENT]


async def pair_second_alone(pair: Pair) -> None:
    """Wait until the second node says that it is alone (the first one cannot be asked: it is frozen)."""
    async with asyncio.timeout(30):
        while True:
            row = await pair.second.mirror(pair.vdisk)
            if row is not None and (row.role, row.status) == ("Master", "Disabled"):
                return
            await asyncio.sleep(0.1)


def fence_that_leaves_a_mark(victim: NodePlace) -> str:
    return f"touch {victim.root}/fenced; {fence_command(victim)}"


@pytest.mark.promise("P1", "P7")
async def test_a_clean_stop_hands_over_without_fencing(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure(SIZE, fence=fence_that_leaves_a_mark)
    await write_through(pair, pair.second, CONTENT)
    await pair.first.stop()
    await pair.wait_alone(pair.second)
    assert await read_through(pair, pair.second) == CONTENT
    assert not (pair.first.place.root / "fenced").exists()
    await write_through(pair, pair.second, CONTENT[::-1])
    await pair.first.start()
    await pair.wait_enabled()
    assert await read_through(pair, pair.first) == CONTENT[::-1]
