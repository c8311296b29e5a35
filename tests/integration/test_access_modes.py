"""Access modes as initiators see them: target port groups through both paths, unit attentions, role switches, take-over."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from integration.register_clients import RegisterClients
from integration.test_roles import wait_master
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import CheckConditionError, SenseKey, Session, SessionOptions
from twindisk.initiator.answers import AccessState

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SUPPORTED = 0x8F
"""T_SUP, U_SUP, S_SUP, AN_SUP, AO_SUP."""
OPTIMIZED, NON_OPTIMIZED, UNAVAILABLE = AccessState.OPTIMIZED, AccessState.NON_OPTIMIZED, AccessState.UNAVAILABLE
BLOCK = bytes(range(256)) * 16


async def set_access(pair: Pair, node: Node, mode: str) -> None:
    await pair.command(node, "twindisk", "vdisk", "set", pair.vdisk, "--access", mode)


async def told_access(pair: Pair, node: Node) -> tuple[str, str]:
    """Return what a node tells its operator: the mode, and the state of its own path."""
    shown = json.loads(await node.run("twindisk", "vdisk", "show", pair.vdisk, "--json"))
    return shown["access"], shown["access_state"]


@asynccontextmanager
async def sessions(pair: Pair, *nodes: Node, each: int = 2) -> AsyncIterator[list[Session]]:
    """Open sessions through nodes; their unit attentions are taken."""
    async with AsyncExitStack() as end:
        opened = []
        for node in nodes * each:
            connecting = Session.connect(node.place.portal, iqn(pair.vdisk), SessionOptions(timeout_s=20))
            opened.append(await end.enter_async_context(await connecting))
        yield opened


async def attentions(session: Session) -> list[tuple[int, int]]:
    """Take the unit attentions of a session, as (code, qualifier)."""
    found: list[tuple[int, int]] = []
    while True:
        try:
            await session.test_unit_ready()
        except CheckConditionError as error:
            sense = error.sense
        else:
            return found
        assert sense.key is SenseKey.UNIT_ATTENTION, str(sense)
        found.append((sense.code, sense.qualifier))


async def states(session: Session) -> tuple[AccessState, ...]:
    """Return the states of both groups as told through one path, vm10's first."""
    groups = await session.target_port_groups()
    assert [(group.tag, group.supported, group.ports) for group in groups] == [
        (1, SUPPORTED, (1,)),
        (2, SUPPORTED, (2,)),
    ]
    return tuple(group.state for group in groups)


async def assert_told_once(opened: list[Session], *expected: AccessState) -> None:
    """Every nexus hears once that states changed, and is told the same."""
    for session in opened:
        assert await attentions(session) == [(0x2A, 0x06)]
        assert await states(session) == expected


@pytest.mark.promise("P5")
async def test_each_mode_is_told_alike_through_both_paths_and_once_to_each_nexus(pair: Pair) -> None:
    async with sessions(pair, *pair.nodes) as opened:
        for session in opened:
            assert (await session.inquiry()).target_port_groups == 1  # implicit
            assert await states(session) == (OPTIMIZED, OPTIMIZED)
        await set_access(pair, pair.second, "active-passive")
        await assert_told_once(opened, OPTIMIZED, NON_OPTIMIZED)
        assert await told_access(pair, pair.first) == ("active-passive", "active/optimized")
        assert await told_access(pair, pair.second) == ("active-passive", "active/non-optimized")
        await set_access(pair, pair.second, "active-passive")
        assert [await attentions(session) for session in opened] == [[]] * len(opened)
        on_slave = opened[1]
        await on_slave.write(0, BLOCK)
        assert await on_slave.read(0, len(BLOCK)) == BLOCK
        await on_slave.flush()
        await set_access(pair, pair.first, "active-active")
        await assert_told_once(opened, OPTIMIZED, OPTIMIZED)


@pytest.mark.promise("P5")
async def test_a_role_switch_swaps_the_states(pair: Pair) -> None:
    async with sessions(pair, *pair.nodes) as opened:
        await pair.command(pair.second, "qsync", "-s", pair.vdisk, "-m", "master")
        await wait_master(pair, pair.second.name)
        assert [await attentions(session) for session in opened] == [[]] * len(opened)
        await set_access(pair, pair.first, "active-passive")
        await assert_told_once(opened, NON_OPTIMIZED, OPTIMIZED)
        await pair.command(pair.first, "qsync", "-s", pair.vdisk, "-m", "master")
        await wait_master(pair, pair.first.name)
        await assert_told_once(opened, OPTIMIZED, NON_OPTIMIZED)
        await set_access(pair, pair.first, "active-active")


@pytest.mark.promise("P1", "P3", "P4")
async def test_modes_are_switched_under_load(pair: Pair) -> None:
    clients = RegisterClients(pair.portals, iqn(pair.vdisk), first_block=4096)  # behind what other tests wrote
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run_until_stopped())
        for turn in range(6):
            await asyncio.sleep(0.1)
            mode = "active-active" if turn % 2 else "active-passive"
            await set_access(pair, pair.nodes[turn % 3 % 2], mode)
        clients.stop()
    assert clients.history.violations() == []
    assert clients.operations > 100
    assert (await compare_when_idle(pair)).first_difference is None
    assert [(await told_access(pair, node))[0] for node in pair.nodes] == ["active-active"] * 2


@pytest.mark.promise("P1", "P5")
async def test_the_survivor_becomes_optimized_and_its_mode_counts(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure("0.0625")
    await set_access(pair, pair.first, "active-passive")
    async with sessions(pair, pair.second) as opened:
        assert await states(opened[0]) == (OPTIMIZED, NON_OPTIMIZED)
        await pair.first.kill()
        await pair.wait_alone(pair.second)
        await assert_told_once(opened, UNAVAILABLE, OPTIMIZED)
        await opened[0].write(0, BLOCK)

        await pair.first.start()
        await pair.wait_enabled()
        await assert_told_once(opened, NON_OPTIMIZED, OPTIMIZED)
        async with sessions(pair, pair.first) as through_first:
            assert await states(through_first[0]) == (NON_OPTIMIZED, OPTIMIZED)
            assert await through_first[0].read(0, len(BLOCK)) == BLOCK

        await pair.first.kill()
        await pair.wait_alone(pair.second)
        await set_access(pair, pair.second, "active-active")
        await pair.first.start()
        await pair.wait_enabled()
        async with asyncio.timeout(5):
            while await told_access(pair, pair.first) != ("active-active", "active/optimized"):
                await asyncio.sleep(0.05)
        async with sessions(pair, *pair.nodes) as both:
            assert [await states(session) for session in both] == [(OPTIMIZED, OPTIMIZED)] * len(both)


@pytest.mark.promise("P5", "P6")
async def test_a_handed_over_disk_is_told_where_it_is_served(bare_pair: Pair) -> None:
    pair = bare_pair
    await pair.configure("0.0625", fence=lambda _: "exit 1")
    await set_access(pair, pair.second, "active-passive")
    await pair.first.stop()
    await pair.wait_alone(pair.second)
    async with sessions(pair, pair.second) as opened:
        assert await states(opened[0]) == (UNAVAILABLE, OPTIMIZED)
    await pair.second.kill()
    await pair.first.start()
    refused = await pair.first.run("twindisk", "vdisk", "set", pair.vdisk, "--access", "active-active", status=1)
    assert "does not serve it now (it is peer-wait)" in refused
    async with sessions(pair, pair.first, each=1) as (session,):
        groups = await session.target_port_groups()
        assert [group.state for group in groups] == [AccessState.TRANSITIONING, OPTIMIZED]
