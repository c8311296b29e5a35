"""The demo: write through both paths, kill the Master, go on with the other node, bring the first back, check everything.

The last line is ``0 acknowledged writes lost`` and the exit status 0 only if every acknowledged block was read back
through both paths and the copies' files are equal.
"""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twindisk.api.schemas import MirrorView
from twindisk.demo.copies import Comparison, compare
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.place import NodePlace, places, write_configuration
from twindisk.demo.show import Screen
from twindisk.demo.workload import Workload
from twindisk.initiator import MultipathDisk, Session

_WRITING_S: Final = 3.0
_PACE_S: Final = 0.002
_IDLE_LIMIT_S: Final = 10.0
_RESYNC_LIMIT_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo measured. ``lost`` counts blocks per portal that did not hold the last acknowledged content."""

    writes: int
    blocks: int
    lost: dict[str, int]
    comparison: Comparison
    longest_pause_s: float

    @property
    def lost_writes(self) -> int:
        """How many acknowledged writes are lost, on the worse of the two paths."""
        return max(self.lost.values())

    @property
    def good(self) -> bool:
        """Whether nothing was lost, the copies are equal, and there was something to lose."""
        return self.lost_writes == 0 and self.comparison.first_difference is None and self.writes > 0


async def tell(port: int, size: str) -> int:
    """Run the demo in a directory of its own that is removed at the end; return the exit status."""
    screen = Screen()
    with tempfile.TemporaryDirectory(prefix="twindisk-demo-") as directory:
        pair = make_pair(places(Path(directory), port), screen)
        try:
            outcome = await _tell(pair, size, screen)
        finally:
            screen.step("Stop the nodes and remove their files")
            await pair.stop()
    screen.result(
        f"\n{outcome.writes} acknowledged writes to {outcome.blocks} blocks; longest pause {outcome.longest_pause_s:.2f} s"
    )
    screen.result(f"{outcome.lost_writes} acknowledged writes lost")
    return 0 if outcome.good else 1


def make_pair(where: tuple[NodePlace, NodePlace], screen: Screen) -> Pair:
    """Write the nodes' configuration and return the pair, not yet started."""
    write_configuration(where)
    return Pair(Node(where[0]), Node(where[1]), show=screen.command)


async def set_up(pair: Pair, size: str, screen: Screen) -> None:
    """Start the nodes and go through the tutorial until both say Enabled."""
    first, second = (node.place for node in pair.nodes)
    screen.step(f"Start nodes {first.name} and {second.name}")
    await pair.start()
    for node in pair.nodes:
        place = node.place
        screen.note(f"{place.name}: portal {place.portal}, mirror address {place.mirror_address}, pid {node.pid}")
    screen.step("Configure fencing, pool, VDisk and mirror")
    await pair.configure(size)
    await pair.show_tables()


async def _tell(pair: Pair, size: str, screen: Screen) -> Outcome:
    await set_up(pair, size, screen)
    name = iqn(pair.vdisk)
    async with await Session.connect(pair.first.place.portal, name) as session:
        size_bytes = (await session.read_capacity()).size_bytes
    async with MultipathDisk(pair.portals, name) as disk:
        workload = Workload(disk, size_bytes, pace_s=_PACE_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(workload.write_until_stopped())
            await _lose_and_return(pair, workload, screen)
            workload.stop()
        screen.step("Stop writing and flush")
        await disk.flush()
        for path in disk.paths:
            screen.note(f"{path.portal} answered {path.served} commands and failed {path.failures} times")
    return await _check(pair, workload, screen)


async def _lose_and_return(pair: Pair, workload: Workload, screen: Screen) -> None:
    lost, survivor = pair.first, pair.second
    screen.step("Write through both paths, round-robin")
    await asyncio.sleep(_WRITING_S)
    screen.note(f"{workload.writes} writes acknowledged")

    screen.step(f"Kill {lost.name}, the Master, in mid-write: kill -9 {lost.pid}")
    before = workload.writes
    await lost.kill()
    await pair.wait_alone(survivor)
    await pair.show_tables()
    await asyncio.sleep(_WRITING_S)
    screen.note(f"{workload.writes - before} writes acknowledged since, all through {survivor.name}")
    screen.note(f"longest time without an acknowledgement: {workload.pauses.longest_s:.2f} s")

    screen.step(f"Start {lost.name} again: only what changed is copied, new writes go on")
    await lost.start()
    await _watch_resync(pair, screen)
    await pair.show_tables()
    await asyncio.sleep(_WRITING_S / 2)


async def _watch_resync(pair: Pair, screen: Screen) -> None:
    """Show each new state of the mirror, and how far the resync is, until both nodes say Enabled."""
    told = ""

    def reached(mirrors: dict[str, MirrorView | None]) -> bool:
        nonlocal told
        state = ", ".join(f"{name} {_words(mirror)}" for name, mirror in mirrors.items() if mirror is not None)
        if state != told:
            told = state
            screen.note(state)
        return len(mirrors) == len(pair.nodes) and all(one and one.status == "Enabled" for one in mirrors.values())

    await pair.wait_for("Enabled on both", reached, _RESYNC_LIMIT_S)


def _words(mirror: MirrorView) -> str:
    percent = "" if mirror.percent is None else f" {mirror.percent // 10 * 10:.0f}%"
    return f"{mirror.role} / {mirror.status}{percent}"


async def _check(pair: Pair, workload: Workload, screen: Screen) -> Outcome:
    screen.step("Read every acknowledged block through each path, and compare the copies' files")
    lost = {}
    for node in pair.nodes:
        async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
            lost[node.place.portal] = await workload.count_lost(session)
        screen.note(f"{node.name}: {len(workload.acknowledged)} blocks read, {lost[node.place.portal]} wrong")
    comparison = await compare_when_idle(pair)
    if comparison.first_difference is None:
        screen.note(f"the copies are equal ({comparison.compared_bytes >> 20} MiB of data compared)")
    else:
        screen.note(f"the copies differ at byte {comparison.first_difference}")
    return Outcome(
        workload.writes, len(workload.acknowledged), lost, comparison, longest_pause_s=workload.pauses.longest_s
    )


async def compare_when_idle(pair: Pair) -> Comparison:
    """Compare the copies; give the last writes, which the initiator does not wait for on both nodes, time to land."""
    loop = asyncio.get_running_loop()
    end = loop.time() + _IDLE_LIMIT_S
    while True:
        comparison = await asyncio.to_thread(compare, *pair.copy_directories())
        if comparison.first_difference is None or loop.time() > end:
            return comparison
        await asyncio.sleep(0.2)
