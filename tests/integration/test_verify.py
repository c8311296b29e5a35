"""Online verification of a real pair: what was changed behind the daemons' backs is found under load, nothing else is."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from integration.pacing import pace
from integration.register_clients import BLOCK_BYTES, RegisterClients
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.demo.workload import Workload
from twindisk.initiator import MultipathDisk

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

WORKLOAD_BYTES = 16 << 20
REGISTERS_AT = (24 << 20) // BLOCK_BYTES - 8
QUIET_AT = 200 << 20
"""Where nobody writes while the verifications run."""
QUIET_BYTES = 1 << 20
SECTOR = 512


@asynccontextmanager
async def writers(pair: Pair) -> AsyncIterator[tuple[RegisterClients, Workload]]:
    """Read and write through both nodes for the length of the block."""
    clients = RegisterClients(pair.portals, iqn(pair.vdisk), first_block=REGISTERS_AT)
    async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk, asyncio.TaskGroup() as group:
        workload = Workload(disk, WORKLOAD_BYTES, writers=4)
        group.create_task(clients.run_until_stopped())
        group.create_task(workload.write_until_stopped())
        yield clients, workload
        clients.stop()
        workload.stop()


def corrupt(directory: Path, offset: int) -> None:
    """Change a byte of a copy behind its daemon's back."""
    with (directory / f"segment-{offset >> 30:08x}").open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 0x40]))


async def verify(node: Node, pair: Pair, *options: str, status: int = 0) -> dict[str, Any]:
    printed = await node.run("twindisk", "mirror", "verify", pair.vdisk, *options, "--json", status=status)
    found: dict[str, Any] = json.loads(printed)
    return found


@pytest.mark.promise("P4")
async def test_what_rots_on_a_disk_is_found_and_repaired_under_load(pair: Pair) -> None:
    content = bytes(range(256)) * (QUIET_BYTES // 256)
    async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk:
        await disk.write(QUIET_AT, content)
    first, second = pair.copy_directories()
    async with writers(pair) as (clients, workload):
        found = await verify(pair.first, pair)
        assert (found["state"], found["differing_bytes"], found["ranges"]) == ("completed", 0, [])
        assert found["compared_bytes"] >= QUIET_BYTES
        for directory, source, range_at in ((second, "master", 3000), (first, "peer", 70_000)):
            corrupt(directory, QUIET_AT + range_at)
            expected = [{"offset_bytes": (QUIET_AT + range_at) // SECTOR * SECTOR, "length_bytes": SECTOR}]
            found = await verify(pair.first, pair, status=1)
            assert found["ranges"] == expected
            found = await verify(pair.first, pair, "--repair", "--from", source)
            assert (found["ranges"], found["repaired_bytes"]) == (expected, SECTOR)
            assert (await verify(pair.first, pair))["differing_bytes"] == 0
        assert workload.writes > 0
        assert clients.operations > 0
    assert clients.history.violations() == []
    assert (await compare_when_idle(pair)).first_difference is None
    async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk:
        assert await disk.read(QUIET_AT, QUIET_BYTES) == content
    kinds = [event["kind"] for event in json.loads(await pair.first.run("twindisk", "events", "--json"))]
    assert kinds.count("verify-differs") == 2
    assert kinds.count("verify-repaired") == 2


async def test_only_the_master_verifies_and_says_where_it_is(pair: Pair) -> None:
    said = await pair.second.run("twindisk", "mirror", "verify", pair.vdisk, status=1)
    assert f"node with the mirror address {pair.first.place.mirror_address}" in said
    said = await pair.first.run("twindisk", "mirror", "verify", pair.vdisk, "--cancel", status=1)
    assert "not being verified" in said


async def test_a_verification_ends_with_its_attach(pair: Pair) -> None:
    async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk:
        for offset in range(0, WORKLOAD_BYTES, 1 << 20):
            await disk.write(offset, bytes(range(256)) * 4096)
    await pace(pair.first, 1)
    asked = asyncio.create_task(verify(pair.first, pair, status=2))
    await until_it_runs(pair)
    await pair.second.kill()
    found = await asked
    assert found["state"] == "interrupted"
    assert found["compared_bytes"] < WORKLOAD_BYTES
    await pace(pair.first, None)
    await pair.second.start()
    await pair.wait_enabled()


async def until_it_runs(pair: Pair) -> None:
    while True:
        seen = json.loads(await pair.first.run("twindisk", "mirror", "show", pair.vdisk, "--json"))
        if seen["verify"] and seen["verify"]["state"] == "running":
            return
        await asyncio.sleep(0.05)
