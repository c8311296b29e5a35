"""How many bytes a resync sends: what changed, whatever the VDisk's size. Counted on the link, not timed."""

import json
import os
import random
from pathlib import Path

import pytest

from integration.conftest import free_places
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.place import write_configuration
from twindisk.initiator import MultipathDisk

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

SIZE_GIB = "100"
CHANGES_MIB = int(os.environ.get("RESYNC_CHANGES_MIB", "48"))
"""1024 makes the figure in docs/protocols/mirror.md."""
MIB = 1 << 20
EXTENT_BYTES = 4 << 20


async def sent_bytes(node: Node) -> int:
    status = json.loads(await node.run("twindisk", "status", "--json"))
    [peer] = status["peers"]
    return int(peer["sent_bytes"])


@pytest.mark.promise("P8")
async def test_a_resync_sends_what_changed_and_after_a_crash_no_more_than_the_log(tmp_path: Path) -> None:
    where = free_places(tmp_path)
    write_configuration(where)
    pair = Pair(Node(where[0]), Node(where[1]))
    chance = random.Random(8)
    try:
        await pair.start()
        await pair.configure(SIZE_GIB)
        await pair.second.kill()
        await pair.wait_alone(pair.first)
        async with MultipathDisk([pair.first.place.portal], iqn(pair.vdisk)) as disk:
            places = chance.sample(range(100 * 1024), CHANGES_MIB)
            for place in places:
                await disk.write(place * MIB, chance.randbytes(MIB))
        await pair.second.start()
        await pair.wait_enabled(limit_s=300)
        changed = await sent_bytes(pair.first)
        print(f"{CHANGES_MIB} MiB of changes in {SIZE_GIB} GiB: {changed / MIB:.1f} MiB on the link")
        assert CHANGES_MIB * MIB <= changed <= 1.1 * CHANGES_MIB * MIB

        async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk:
            for place in places[:3]:
                await disk.write(place * MIB, chance.randbytes(MIB))
        await pair.second.kill()
        await pair.first.kill()
        await pair.start()
        await pair.wait_enabled()
        compared = max(await sent_bytes(pair.first), await sent_bytes(pair.second))
        print(f"after a crash of both with three extents in the log: {compared / MIB:.2f} MiB on the link")
        assert compared < 4 * EXTENT_BYTES / 10, "equal chunks are only compared"
    finally:
        for node in pair.nodes:
            await node.kill()
            print(f"--- last words of {node.name}\n{node.log_tail()}")
