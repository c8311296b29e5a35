"""Nodes killed with -9 at random moments under concurrent readers and writers through both nodes."""

import asyncio
import random

import pytest

from integration.register_clients import BLOCK_BYTES, RegisterClients
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.demo.workload import Workload
from twindisk.initiator import MultipathDisk, Session

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUNDS = 20
SEED = 20240
WORKLOAD_BYTES = 128 << 20
REGISTERS_AT = (192 << 20) // BLOCK_BYTES - 8  # across a boundary of two extents, out of the workload's way


@pytest.mark.timeout(600)
@pytest.mark.promise("P1", "P3", "P4")
async def test_no_kill_loses_or_reorders_anything(pair: Pair) -> None:
    chance = random.Random(SEED)
    clients = RegisterClients(pair.portals, iqn(pair.vdisk), first_block=REGISTERS_AT, seed=SEED)
    async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk:
        workload = Workload(disk, WORKLOAD_BYTES, writers=4)
        for number in range(ROUNDS):
            victim = chance.choice(pair.nodes)
            before = workload.writes, clients.operations
            async with asyncio.TaskGroup() as group:
                group.create_task(clients.run_until_stopped())
                group.create_task(workload.write_until_stopped())
                await asyncio.sleep(chance.uniform(0.05, 0.6))
                await victim.kill()
                await pair.wait_alone(pair.other(victim))
                await asyncio.sleep(chance.uniform(0.0, 0.3))
                await victim.start()
                await asyncio.sleep(chance.uniform(0.0, 0.5))
                await pair.wait_enabled()
                clients.stop()
                workload.stop()
            print(
                f"round {number}: killed {victim.name}, {workload.writes - before[0]} writes,"
                f" {clients.operations - before[1]} operations, longest pause {workload.pauses.longest_s:.2f} s"
            )
            comparison = await compare_when_idle(pair)
            assert comparison.first_difference is None, f"round {number}"
            for portal in pair.portals:
                await clients.read_all_through(portal)
            assert clients.history.violations() == [], f"round {number}"
            await assert_nothing_lost(pair, workload)


async def assert_nothing_lost(pair: Pair, workload: Workload) -> None:
    for portal in pair.portals:
        async with await Session.connect(portal, iqn(pair.vdisk)) as session:
            assert await workload.count_lost(session) == 0, portal
