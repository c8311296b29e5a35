"""Role switches by the operator."""

import asyncio

import pytest

from integration.register_clients import RegisterClients
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest.mark.promise("P1", "P3", "P4")
async def test_roles_switch_back_and_forth_under_load(pair: Pair) -> None:
    clients = RegisterClients(pair.portals, iqn(pair.vdisk))
    async with asyncio.TaskGroup() as group:
        group.create_task(clients.run_until_stopped())
        for master, asked, role in (
            (pair.second, pair.second, "master"),
            (pair.first, pair.second, "slave"),
            (pair.second, pair.first, "slave"),
        ):
            await asyncio.sleep(0.2)
            await pair.command(asked, "qsync", "-s", pair.vdisk, "-m", role)
            await wait_master(pair, master.name)
        clients.stop()
    assert clients.history.violations() == []
    assert (await compare_when_idle(pair)).first_difference is None


async def wait_master(pair: Pair, name: str) -> None:
    await pair.wait_enabled()
    await pair.wait_for(
        f"Master and Enabled on {name}",
        lambda rows: all(
            row is not None and (row.role, row.status) == ("Master" if node == name else "Slave", "Enabled")
            for node, row in rows.items()
        ),
        20.0,
    )
