"""What is measured: a pair of nodes with a mirrored and a single VDisk, and tgt beside it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twindisk.demo.node import Node
from twindisk.demo.pair import POOL, Pair, iqn
from twindisk.demo.place import places, write_configuration
from twindisk.demo.workload import Workload
from twindisk.initiator import MultipathDisk

PORT: Final = 33260
NETWORK: Final = "127.77"
_SINGLE: Final = "S1"
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Targets:
    """The iSCSI URLs of Twindisk's three ways."""

    single: str
    master: str
    slave: str


@asynccontextmanager
async def nodes(directory: Path, size_bytes: int) -> AsyncIterator[tuple[Pair, Targets]]:
    """Run a pair with a mirrored VDisk, and a VDisk without a mirror on the first node."""
    where = places(directory, PORT, NETWORK)
    write_configuration(where)
    pair = Pair(Node(where[0]), Node(where[1]))
    size = f"{size_bytes / _GIB:g}"
    try:
        await pair.start()
        await pair.configure(size)
        await pair.first.run("vdconfig", "-a", "-v", _SINGLE, "-s", size, "-g", POOL)
        mirrored = iqn(pair.vdisk)
        yield pair, Targets(where[0].url(iqn(_SINGLE)), where[0].url(mirrored), where[1].url(mirrored))
    finally:
        await pair.stop()


async def memory_of_a_terabyte(directory: Path, seconds: float) -> dict[str, float]:
    """Serve 1 TiB thin and mirrored, write all over it; return each daemon's largest resident size in MiB."""
    async with nodes(directory, 1024 * _GIB) as (pair, _), MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk:
        workload = Workload(disk, 1024 * _GIB, writers=16)
        writing = asyncio.create_task(workload.write_until_stopped())
        await asyncio.sleep(seconds)
        workload.stop()
        await writing
        return {node.name: _largest_resident_mib(node.pid or 0) for node in pair.nodes}


def _largest_resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0
