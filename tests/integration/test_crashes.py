"""Crashes of both nodes, and crashes while a resync runs."""

import asyncio

import pytest

from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.demo.workload import Workload
from twindisk.initiator import CheckConditionError, MultipathDisk, SenseKey, Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SIZE_BYTES = 256 << 20


async def write_for(workload: Workload, seconds: float) -> None:
    writing = asyncio.create_task(workload.write_until_stopped())
    await asyncio.sleep(seconds)
    workload.stop()
    await writing


async def assert_good(pair: Pair, workload: Workload) -> None:
    for portal in pair.portals:
        async with await Session.connect(portal, iqn(pair.vdisk)) as session:
            assert await workload.count_lost(session) == 0
    assert (await compare_when_idle(pair)).first_difference is None


def open_disk(pair: Pair) -> MultipathDisk:
    return MultipathDisk(pair.portals, iqn(pair.vdisk))


@pytest.mark.promise("P1", "P4", "P8")
async def test_both_nodes_killed_at_once_come_back_equal(pair: Pair) -> None:
    async with open_disk(pair) as disk:
        workload = Workload(disk, SIZE_BYTES)
        writing = asyncio.create_task(workload.write_until_stopped())
        await asyncio.sleep(0.5)
        await asyncio.gather(*(node.kill() for node in pair.nodes))
        await asyncio.gather(*(node.start() for node in pair.nodes))
        await pair.wait_enabled()
        await asyncio.sleep(0.2)
        workload.stop()
        await writing
    await assert_good(pair, workload)


@pytest.mark.promise("P2", "P6")
async def test_one_node_alone_after_both_crashed_waits_for_its_peer(pair: Pair) -> None:
    await asyncio.gather(*(node.kill() for node in pair.nodes))
    await pair.second.start()
    await asyncio.sleep(4.0)  # longer than the time a node gives its peer at start-up
    row = await pair.second.mirror(pair.vdisk)
    assert row is not None
    assert row.status == "Peer wait"
    async with await Session.connect(pair.second.place.portal, iqn(pair.vdisk)) as session:
        with pytest.raises(CheckConditionError) as refused:
            await session.read(0, 512)
    assert refused.value.sense.key is SenseKey.NOT_READY
    await pair.first.start()
    await pair.wait_enabled()


async def lose_and_write(pair: Pair, workload: Workload, lost: Node) -> None:
    """Kill a node and write a good deal, so that its resync takes a while."""
    await lost.kill()
    await pair.wait_alone(pair.other(lost))
    await write_for(workload, 2.0)


@pytest.mark.promise("P1", "P4")
async def test_the_target_of_a_resync_killed_again_catches_up_the_next_time(pair: Pair) -> None:
    async with open_disk(pair) as disk:
        workload = Workload(disk, SIZE_BYTES)
        await lose_and_write(pair, workload, pair.first)
        await pair.first.start()
        await asyncio.sleep(0.15)
        await pair.first.kill()
        await write_for(workload, 0.3)
        await pair.first.start()
        await pair.wait_enabled()
    await assert_good(pair, workload)


@pytest.mark.promise("P1", "P2", "P6")
async def test_the_target_of_a_resync_never_takes_over(pair: Pair) -> None:
    async with open_disk(pair) as disk:
        workload = Workload(disk, SIZE_BYTES)
        await lose_and_write(pair, workload, pair.first)
        await pair.first.start()
        await pair.second.kill()
        await asyncio.sleep(4.0)
        row = await pair.first.mirror(pair.vdisk)
        assert row is not None
        if row.role != "Master":  # else the resync had ended before the kill
            async with await Session.connect(pair.first.place.portal, iqn(pair.vdisk)) as session:
                with pytest.raises(CheckConditionError) as refused:
                    await session.read(0, 512)
            assert refused.value.sense.key is SenseKey.NOT_READY
        await pair.second.start()
        await pair.wait_enabled()
    await assert_good(pair, workload)


@pytest.mark.promise("P1")
async def test_the_survivor_killed_and_restarted_alone_serves_what_it_had(pair: Pair) -> None:
    async with open_disk(pair) as disk:
        workload = Workload(disk, SIZE_BYTES)
        await lose_and_write(pair, workload, pair.first)
        await pair.second.kill()
        await pair.second.start()
        await pair.wait_alone(pair.second)
        async with await Session.connect(pair.second.place.portal, iqn(pair.vdisk)) as session:
            assert await workload.count_lost(session) == 0
        await write_for(workload, 0.3)
        await pair.first.start()
        await pair.wait_enabled()
    await assert_good(pair, workload)
