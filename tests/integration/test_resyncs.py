"""Resyncs of a real pair: several at once, of any size, under reservations, and first copies that were interrupted."""

import json
import random

import pytest

from integration.pacing import pace
from integration.reservation_client import (
    CONFLICT,
    EXCLUSIVE_FOR_REGISTRANTS,
    GOOD,
    PREEMPT_AND_ABORT,
    REGISTER,
    Port,
    hold_for_registrants,
)
from twindisk.api.schemas import MirrorView
from twindisk.demo.node import Node
from twindisk.demo.pair import POOL, Pair, iqn
from twindisk.initiator import MultipathDisk, cdb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.promise("P8")]

MIB = 1 << 20
TIB = 1 << 40
SECTOR = 512
CHUNK_BYTES = 64 << 10
CHANGED_MIB = 16
ODD_SIZES = {
    "small": MIB + SECTOR,
    "extents": 4 * MIB + 333 * SECTOR,
    "huge": 17 * TIB + 5 * SECTOR,
}


def on_nodes_of(pair: Pair, vdisk: str) -> Pair:
    """Return the pair as it is seen with another VDisk."""
    return Pair(pair.first, pair.second, vdisk=vdisk)


async def write(pair: Pair, node: Node, offset: int, data: bytes) -> None:
    async with MultipathDisk([node.place.portal], iqn(pair.vdisk)) as disk:
        for place in range(0, len(data), MIB):
            await disk.write(offset + place, data[place : place + MIB])


async def read(pair: Pair, node: Node, offset: int, length: int) -> bytes:
    async with MultipathDisk([node.place.portal], iqn(pair.vdisk)) as disk:
        return await disk.read(offset, length)


async def until_under_way(pair: Pair, least_percent: float = 0.0) -> float:
    """Wait until a resync is so far; return how far it is, as its source sees it."""

    def reached(rows: dict[str, MirrorView | None]) -> bool:
        row = rows[pair.first.name]
        return row is not None and row.status == "Resyncing" and (row.percent or 0) >= least_percent

    row = (await pair.wait_for("a resync under way", reached, limit_s=60))[pair.first.name]
    assert row is not None
    return row.percent or 0.0


async def sent_bytes(node: Node) -> int:
    [peer] = json.loads(await node.run("twindisk", "status", "--json"))["peers"]
    return int(peer["sent_bytes"])


async def test_resyncs_at_the_same_time_all_get_on(pair: Pair) -> None:
    disks = [pair, await pair.another("F1", "0.0625"), await pair.another("F2", "0.0625")]
    await pair.second.kill()
    for disk in disks:
        await disk.wait_alone(pair.first)
        await write(disk, pair.first, 0, random.randbytes(CHANGED_MIB * MIB))
    await pace(pair.first, 1)
    await pair.second.start()
    before = [await until_under_way(disk) for disk in disks]
    await pace(pair.first, 4)
    gained = [0.0]
    while sum(gained) < 60:
        gained = [await until_under_way(disk) - percent for disk, percent in zip(disks, before, strict=True)]
    print(f"percent gained: {gained}")
    assert min(gained) > sum(gained) / len(gained) / 2, gained
    await pace(pair.first, None)
    for disk in disks:
        await disk.wait_enabled()


@pytest.mark.promise("P5")
async def test_reservations_are_held_preempted_and_kept_while_a_resync_runs(pair: Pair) -> None:
    await hold_for_registrants(pair, pair.first, aptpl=False)
    await pair.second.kill()
    await pair.wait_alone(pair.first)
    data = random.randbytes(CHANGED_MIB * MIB)
    one = await Port.log_in(pair, pair.first, 1)
    for place in range(0, len(data), MIB):
        block = cdb.write_16(place // SECTOR, MIB // SECTOR)
        assert (await one.run(block, data_out=data[place : place + MIB]))[0] == GOOD
    await pace(pair.first, 1)
    await pair.second.start()
    await until_under_way(pair)
    two = await Port.log_in(pair, pair.second, 2)
    strangers = [await Port.log_in(pair, node, 9) for node in pair.nodes]

    async def assert_held(keys: list[int], key: int) -> None:
        for stranger in strangers:
            assert (await stranger.keys(), await stranger.held()) == (keys, (EXCLUSIVE_FOR_REGISTRANTS, key))
            assert await stranger.write() == CONFLICT

    await assert_held([1, 2], 1)
    # Through the target of the resync, and back through its source.
    assert await two.out(PREEMPT_AND_ABORT, EXCLUSIVE_FOR_REGISTRANTS, key=2, action_key=1) == GOOD
    await assert_held([2], 2)
    assert await one.write() == CONFLICT
    assert await one.out(REGISTER, action_key=3) == GOOD
    assert await one.out(PREEMPT_AND_ABORT, EXCLUSIVE_FOR_REGISTRANTS, key=3, action_key=2) == GOOD
    await assert_held([3], 3)
    assert await two.write() == CONFLICT
    await until_under_way(pair)
    await pace(pair.first, None)
    await pair.wait_enabled()
    await assert_held([3], 3)
    for port in (one, two, *strangers):
        await port.session.close()
    first, second = pair.copy_directories()
    assert (first / "segment-00000000").read_bytes()[: len(data)] == data
    assert (second / "segment-00000000").read_bytes()[: len(data)] == data


async def test_sizes_that_no_chunk_or_extent_divides_and_beyond_16_tib(pair: Pair) -> None:
    disks = {on_nodes_of(pair, name): size for name, size in ODD_SIZES.items()}
    for disk, size in disks.items():
        await pair.first.run("twindisk", "vdisk", "create", disk.vdisk, str(size), "--pool", POOL)
        await disk.mirror()
    await pair.second.kill()
    written = {}
    for disk, size in disks.items():
        await disk.wait_alone(pair.first)
        # The last sectors of all, and the last of a chunk shortly before.
        length = 3 * SECTOR
        for end in (size, ((size - 1) // CHUNK_BYTES - 1) * CHUNK_BYTES):
            written[disk, end - length] = random.randbytes(length)
        for (of, offset), data in written.items():
            if of is disk:
                await write(disk, pair.first, offset, data)
    before = await sent_bytes(pair.first)
    await pair.second.start()
    for disk in disks:
        await disk.wait_enabled()
    sent = await sent_bytes(pair.first) - before
    print(f"{sent >> 10} KiB sent")
    assert sent < 3 * MIB, "the size costs nothing"
    for (disk, offset), data in written.items():
        assert await read(disk, pair.second, offset, len(data)) == data, (disk.vdisk, offset)
    for disk in disks:
        found = json.loads(await pair.first.run("twindisk", "mirror", "verify", disk.vdisk, "--json"))
        assert (found["state"], found["differing_bytes"]) == ("completed", 0), disk.vdisk


async def test_a_first_copy_that_was_interrupted_sends_nothing_twice(pair: Pair) -> None:
    disk = on_nodes_of(pair, "first")
    await pair.first.run("vdconfig", "-a", "-v", disk.vdisk, "-s", "0.0625", "-g", POOL)
    await write(disk, pair.first, 0, random.randbytes(24 * MIB))
    await pace(pair.first, 4)
    to = pair.second.place.mirror_address
    await pair.first.run("qsync", "-s", disk.vdisk, "-d", disk.vdisk, "-r", to, "-g", POOL)
    await until_under_way(disk, 40)
    await pair.second.kill()
    await disk.wait_alone(pair.first)
    before = await sent_bytes(pair.first)
    await pace(pair.first, None)
    await pair.second.start()
    await disk.wait_enabled()
    sent = await sent_bytes(pair.first) - before
    print(f"{sent / MIB:.1f} MiB sent for the rest")
    assert sent < 16 * MIB
    found = json.loads(await pair.first.run("twindisk", "mirror", "verify", disk.vdisk, "--json"))
    assert (found["state"], found["differing_bytes"]) == ("completed", 0)
