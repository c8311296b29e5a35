"""A node never serves reservations that it missed a change of, and loses none that were answered, in whatever order nodes end and start."""

import asyncio

import pytest

from integration.reservation_client import (
    CHECK,
    CLEAR,
    CONFLICT,
    EXCLUSIVE_FOR_REGISTRANTS,
    GOOD,
    IGNORE,
    PREEMPT_AND_ABORT,
    REGISTER,
    Port,
    clear_all,
    hold_for_registrants,
)
from twindisk.api.schemas import MirrorView
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair
from twindisk.initiator import InitiatorError, LoginError, SenseKey, cdb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SIZE_BYTES = 256 << 20
WRITE_EXCLUSIVE = 1
LOOKS = 20


async def take_over(pair: Pair, node: Node) -> None:
    """Have port 3 on a node put port 1 out and hold another reservation."""
    three = await Port.log_in(pair, node, 3)
    assert await three.out(REGISTER, action_key=3) == GOOD
    assert await three.out(PREEMPT_AND_ABORT, WRITE_EXCLUSIVE, key=3, action_key=1) == GOOD
    await three.session.close()


async def assert_held(pair: Pair, keys: list[int], held: tuple[int, int]) -> None:
    """Check on both nodes which keys there are, and who holds what."""
    for node in pair.nodes:
        stranger = await Port.log_in(pair, node, 9)
        assert (await stranger.keys(), await stranger.held()) == (keys, held), node.name
        assert await stranger.write() == CONFLICT
        await stranger.session.close()


async def assert_tells_nothing(pair: Pair, node: Node) -> None:
    """Check for a while that a node that missed something neither serves nor judges anybody's commands."""
    looks = 0
    while looks < LOOKS:
        try:
            port = await Port.log_in(pair, node, 1)
            for _ in range(LOOKS):
                for answer in (await port.read(), await port.write(), await port.out(IGNORE, action_key=5)):
                    assert (answer, port.refused and port.refused[0]) == (CHECK, SenseKey.NOT_READY)
                looks += 1
                await asyncio.sleep(0.05)
            await port.session.close()
        except LoginError:
            looks += 1
            await asyncio.sleep(0.05)
        except InitiatorError:
            continue


@pytest.mark.promise("P5", "P6")
@pytest.mark.parametrize("how", ["killed", "stopped"])
async def test_a_node_that_missed_a_change_does_not_serve_the_reservations_of_before(pair: Pair, how: str) -> None:
    await hold_for_registrants(pair, pair.second, aptpl=False)
    end = {"killed": Node.kill, "stopped": Node.stop}[how]
    await end(pair.second)
    await pair.wait_alone(pair.first)
    await take_over(pair, pair.first)
    await end(pair.first)
    await pair.second.start()
    await assert_tells_nothing(pair, pair.second)
    await pair.first.start()
    await pair.wait_enabled()
    await assert_held(pair, [2, 3], (WRITE_EXCLUSIVE, 3))


@pytest.mark.promise("P5")
async def test_a_switch_of_roles_keeps_the_reservation(pair: Pair) -> None:
    await hold_for_registrants(pair, pair.first, aptpl=False)
    for _ in range(2):
        rows = await pair.rows()
        slave = next(node for node in pair.nodes if (row := rows[node.name]) and row.role == "Slave")
        await slave.run("qsync", "-s", pair.vdisk, "-m", "master")
        await pair.wait_enabled()
        await assert_held(pair, [1, 2], (EXCLUSIVE_FOR_REGISTRANTS, 1))


@pytest.mark.promise("P5")
async def test_no_answered_change_is_lost_when_both_nodes_die_under_a_burst_of_them(pair: Pair) -> None:
    ports = [await Port.log_in(pair, node, number) for number, node in enumerate(pair.nodes, 1)]
    await clear_all(ports[0])
    answered = [0, 0]

    async def register_until_lost(place: int) -> None:
        try:
            while await ports[place].out(IGNORE, action_key=(place + 1) << 32 | answered[place] + 1) == GOOD:
                answered[place] += 1
        except InitiatorError:
            return

    bursts = [asyncio.create_task(register_until_lost(place)) for place in (0, 1)]
    while min(answered) < 20:
        await asyncio.sleep(0.01)
    await asyncio.gather(*(node.kill() for node in pair.nodes))
    await asyncio.gather(*bursts)
    await asyncio.gather(*(node.start() for node in pair.nodes))
    await pair.wait_enabled()
    seen = []
    for node in pair.nodes:
        port = await Port.log_in(pair, node, 9)
        seen.append(sorted(await port.keys()))
        await port.session.close()
    assert seen[0] == seen[1]
    # The one that was under way may have been made or not.
    for place, key in enumerate(seen[0]):
        assert key - ((place + 1) << 32) in (answered[place], answered[place] + 1)


@pytest.mark.promise("P5", "P6")
async def test_a_reservation_survives_the_death_of_either_node_during_a_resync(pair: Pair) -> None:
    await hold_for_registrants(pair, pair.first, aptpl=False)
    for lost in pair.nodes:
        source, target = pair.first, pair.second
        await target.kill()
        await pair.wait_alone(source)
        await write_much(pair)
        await target.start()
        await pair.wait_for("a resync", is_resyncing, limit_s=60)
        await lost.kill()
        await lost.start()
        await pair.wait_enabled()
        await assert_held(pair, [1, 2], (EXCLUSIVE_FOR_REGISTRANTS, 1))
    one = await Port.log_in(pair, pair.first, 1)
    assert await one.out(CLEAR, key=1) == GOOD
    await one.session.close()


def is_resyncing(rows: dict[str, MirrorView | None]) -> bool:
    """Say whether a resync has begun; on a fast machine it may have ended as well."""
    return any(row is not None and row.status in ("Resyncing", "Enabled") for row in rows.values())


async def write_much(pair: Pair) -> None:
    """Write half of the disk, as port 1 does, so that a resync has something to do."""
    one = await Port.log_in(pair, pair.first, 1)
    data = bytes(range(256)) * 4096
    for place in range(0, SIZE_BYTES // 2, len(data)):
        status, _ = await one.run(cdb.write_16(place // 512, len(data) // 512), data_out=data)
        assert status == GOOD
    await one.session.close()
