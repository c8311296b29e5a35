"""Reservations outlive nodes: killed, stopped, resynced; and changes at both nodes at once."""

import asyncio

import pytest

from integration.reservation_client import (
    CLEAR,
    CONFLICT,
    GOOD,
    IGNORE,
    PREEMPT_AND_ABORT,
    REGISTER,
    RESERVE,
    Port,
    clear_all,
    hold_for_registrants,
)
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.workload import Workload
from twindisk.initiator import MultipathDisk

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SIZE_BYTES = 256 << 20


async def assert_held(pair: Pair, *nodes: Node) -> None:
    """Check on each node that the reservation stands and a stranger is kept out."""
    for node in nodes:
        stranger = await Port.log_in(pair, node, 3)
        assert (await stranger.keys(), await stranger.held()) == ([1, 2], (6, 1)), node.name
        assert (await stranger.read(), await stranger.write()) == (CONFLICT, CONFLICT)
        await stranger.session.close()


@pytest.mark.promise("P5")
@pytest.mark.parametrize("victim", ["master", "slave"])
async def test_a_reservation_survives_the_death_of_a_node(pair: Pair, victim: str) -> None:
    for holder in pair.nodes:
        await hold_for_registrants(pair, holder, aptpl=True)
        rows = await pair.rows()
        roles = {name: row.role for name, row in rows.items() if row is not None}
        lost = next(node for node in pair.nodes if roles[node.name].lower() == victim)
        await lost.kill()
        survivor = pair.other(lost)
        await assert_held(pair, survivor)
        await lost.start()
        await pair.wait_enabled()
        await assert_held(pair, *pair.nodes)


@pytest.mark.promise("P5")
async def test_a_reservation_survives_the_death_of_both_nodes(pair: Pair) -> None:
    await hold_for_registrants(pair, pair.second, aptpl=True)
    await asyncio.gather(*(node.kill() for node in pair.nodes))
    await asyncio.gather(*(node.start() for node in pair.nodes))
    await pair.wait_enabled()
    await assert_held(pair, *pair.nodes)


@pytest.mark.promise("P5")
async def test_a_reservation_survives_a_clean_stop_of_both_nodes(pair: Pair) -> None:
    await hold_for_registrants(pair, pair.first, aptpl=True)
    await pair.second.stop()
    await assert_held(pair, pair.first)
    await pair.first.stop()
    await asyncio.gather(*(node.start() for node in pair.nodes))
    await pair.wait_enabled()
    await assert_held(pair, *pair.nodes)


@pytest.mark.promise("P5")
async def test_what_changes_while_a_node_is_away_holds_there_when_it_is_back(pair: Pair) -> None:
    await hold_for_registrants(pair, pair.first, aptpl=True)
    await pair.second.kill()
    await pair.wait_alone(pair.first)
    three = await Port.log_in(pair, pair.first, 3)
    assert await three.out(REGISTER, action_key=3) == GOOD
    assert await three.out(PREEMPT_AND_ABORT, 5, key=3, action_key=1) == GOOD
    await pair.second.start()
    await pair.wait_enabled()
    two = await Port.log_in(pair, pair.second, 2)
    assert (await two.keys(), await two.held()) == ([2, 3], (5, 3))
    for port in (two, three):
        await port.session.close()


@pytest.mark.promise("P5", "P4")
async def test_reservations_hold_and_change_during_a_resync(pair: Pair) -> None:
    cleaner = await Port.log_in(pair, pair.first, 9)
    await clear_all(cleaner)
    await cleaner.session.close()
    async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk:
        workload = Workload(disk, SIZE_BYTES)
        await pair.second.kill()
        await pair.wait_alone(pair.first)
        writing = asyncio.create_task(workload.write_until_stopped())
        await asyncio.sleep(2.0)
        workload.stop()
        await writing
    await pair.second.start()
    two = await log_in_when_served(pair, pair.second, 2)
    one = await Port.log_in(pair, pair.first, 1)
    for number in range(1, 20):
        assert await two.out(IGNORE, action_key=number) == GOOD
        assert await one.out(IGNORE, action_key=100 + number) == GOOD
        assert sorted(await one.keys()) == sorted(await two.keys()) == [number, 100 + number]
    assert await two.out(RESERVE, 3, key=19) == GOOD
    assert await one.write() == CONFLICT
    await pair.wait_enabled()
    assert await one.write() == CONFLICT
    assert await two.out(CLEAR, key=19) == GOOD
    for port in (one, two):
        await port.session.close()


async def log_in_when_served(pair: Pair, node: Node, number: int) -> Port:
    """Log in at a node that has just started, and wait until it answers."""
    port = await Port.log_in(pair, node, number)
    for _ in range(200):
        if await port.read() == GOOD:
            return port
        await asyncio.sleep(0.05)
    message = "the node never served"
    raise AssertionError(message)


@pytest.mark.promise("P5")
async def test_changes_at_both_nodes_at_once_all_come_about(pair: Pair) -> None:
    ports = [await Port.log_in(pair, pair.nodes[number % 2], number) for number in range(1, 7)]
    await clear_all(ports[0])

    async def many(port: Port, number: int) -> None:
        for turn in range(30):
            assert await port.out(IGNORE, action_key=number * 1000 + turn) == GOOD

    async with asyncio.timeout(60):
        await asyncio.gather(*(many(port, number) for number, port in enumerate(ports, 1)))
    for port in ports:
        assert sorted(await port.keys()) == [number * 1000 + 29 for number in range(1, 7)]
    await clear_all(ports[0])
    for port in ports:
        await port.session.close()


@pytest.mark.promise("P5")
async def test_changes_under_way_when_a_node_dies_are_made_once_or_not_at_all(pair: Pair) -> None:
    survivor, lost = pair.first, pair.second
    port = await Port.log_in(pair, survivor, 1)
    await clear_all(port)

    async def register_until_killed() -> int:
        done = 0
        async with asyncio.timeout(30):
            while lost.pid is not None or done < 50:
                assert await port.out(IGNORE, action_key=done + 1) == GOOD
                done += 1
        return done

    changing = asyncio.create_task(register_until_killed())
    await asyncio.sleep(0.3)
    await lost.kill()
    done = await changing
    assert await port.keys() == [done]
    await lost.start()
    await pair.wait_enabled()
    other = await Port.log_in(pair, lost, 2)
    assert await other.keys() == [done]
    await clear_all(port)
    for one in (port, other):
        await one.session.close()
