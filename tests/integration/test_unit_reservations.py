"""RESERVE and RELEASE of SPC-2 through both nodes: held by a session, gone with it or with its node, and never without that."""

import asyncio

import pytest

from integration.reservation_client import CONFLICT, GOOD, IGNORE, Port, clear_all
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.promise("P5")]

NEXUS_LOST = (0x29, 0x07)


async def reserve(port: Port) -> str:
    return (await port.run(bytes([0x16, 0, 0, 0, 0, 0])))[0]


async def release(port: Port) -> str:
    return (await port.run(bytes([0x57, *bytes(9)])))[0]


async def log_in(pair: Pair, node: Node, number: int) -> Port:
    """Log in past the first unit attentions, as soon as the node serves."""
    port = await Port.log_in(pair, node, number)
    for _ in range(400):
        if await port.read() in (GOOD, CONFLICT):
            port.attentions.clear()
            return port
        await asyncio.sleep(0.05)
    message = "the node never served"
    raise AssertionError(message)


async def assert_kept_out(*ports: Port) -> None:
    for port in ports:
        seen = [await port.read(), await port.write(), await reserve(port), await port.out(IGNORE, action_key=1)]
        assert seen == [CONFLICT] * 4
        assert await release(port) == GOOD, "which does nothing"


async def test_a_reservation_made_at_one_node_keeps_all_others_out_of_both(pair: Pair) -> None:
    for node in pair.nodes:
        holder = await log_in(pair, node, 1)
        others = [await log_in(pair, other, number) for number, other in enumerate(pair.nodes, 2)]
        assert [await reserve(holder), await reserve(holder)] == [GOOD, GOOD]
        await assert_kept_out(*others)
        assert [await holder.read(), await holder.write()] == [GOOD, GOOD]
        assert await holder.out(IGNORE, action_key=1) == CONFLICT, "persistent reservations are for nobody now"
        assert await release(holder) == GOOD
        for other in others:
            assert [await other.write(), await reserve(other), await release(other)] == [GOOD] * 3
        for port in (holder, *others):
            await port.session.close()


async def test_registrations_at_one_node_keep_reservations_out_of_both(pair: Pair) -> None:
    ports = [await log_in(pair, node, number) for number, node in enumerate(pair.nodes, 1)]
    assert await ports[0].out(IGNORE, action_key=1) == GOOD
    for port in ports:
        assert [await reserve(port), await release(port)] == [CONFLICT, CONFLICT]
    await clear_all(ports[1])
    for port in ports:
        assert [await reserve(port), await release(port)] == [GOOD, GOOD]
        await port.session.close()


async def test_a_reservation_ends_with_its_session_on_both_nodes(pair: Pair) -> None:
    for node in pair.nodes:
        others = [await log_in(pair, other, number) for number, other in enumerate(pair.nodes, 2)]
        holder = await log_in(pair, node, 1)
        assert await reserve(holder) == GOOD
        await assert_kept_out(*others)
        await holder.session.close()
        async with asyncio.timeout(10):
            while await others[0].write() == CONFLICT:
                await asyncio.sleep(0.01)
        for other in others:
            assert [await other.write(), await reserve(other), await release(other)] == [GOOD] * 3
            await other.session.close()


async def test_sessions_at_both_nodes_take_turns(pair: Pair) -> None:
    ports = [await log_in(pair, pair.nodes[number % 2], number) for number in range(1, 5)]
    inside: list[Port] = []

    async def take_turns(port: Port) -> None:
        for _ in range(10):
            while await reserve(port) == CONFLICT:
                await asyncio.sleep(0.001)
            inside.append(port)
            assert inside == [port]
            assert await port.write() == GOOD
            inside.remove(port)
            assert await release(port) == GOOD
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(*(take_turns(port) for port in ports))
    for port in ports:
        await port.session.close()


async def test_the_death_of_the_holders_node_releases_its_reservation_for_good(pair: Pair) -> None:
    for lost in pair.nodes:
        survivor = pair.other(lost)
        holder, other = await log_in(pair, lost, 1), await log_in(pair, survivor, 2)
        assert await reserve(holder) == GOOD
        await assert_kept_out(other)
        await lost.kill()
        assert await other.write() == GOOD, "held until the survivor serves alone, then done"
        assert await reserve(other) == GOOD
        await lost.start()
        await pair.wait_enabled()
        back = await log_in(pair, lost, 1)
        await assert_kept_out(back)
        assert [await other.write(), await release(other), await back.write()] == [GOOD] * 3
        for port in (other, back):
            await port.session.close()


async def test_a_reservation_stands_while_the_other_node_is_dead_and_when_it_is_back(pair: Pair) -> None:
    for lost in pair.nodes:
        survivor = pair.other(lost)
        holder, other = await log_in(pair, survivor, 1), await log_in(pair, survivor, 2)
        assert await reserve(holder) == GOOD
        await lost.kill()
        assert await holder.write() == GOOD
        await assert_kept_out(other)
        await lost.start()
        await pair.wait_enabled()
        back = await log_in(pair, lost, 3)
        await assert_kept_out(other, back)
        assert [await holder.write(), await release(holder), await back.write()] == [GOOD] * 3
        assert holder.attentions.count(NEXUS_LOST) == 0
        for port in (holder, other, back):
            await port.session.close()


async def test_the_death_of_both_nodes_ends_a_reservation(pair: Pair) -> None:
    holder = await log_in(pair, pair.second, 1)
    assert await reserve(holder) == GOOD
    await asyncio.gather(*(node.kill() for node in pair.nodes))
    await asyncio.gather(*(node.start() for node in pair.nodes))
    await pair.wait_enabled()
    for number, node in enumerate(pair.nodes, 1):
        port = await log_in(pair, node, number)
        async with asyncio.timeout(10):
            while await port.write() == CONFLICT:
                await asyncio.sleep(0.05)
        await port.session.close()
