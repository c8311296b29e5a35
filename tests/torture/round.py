"""One round: load, faults, healing, and the check of everything that was seen."""

import asyncio
import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from torture.faults import Faults
from torture.plan import draw
from torture.registers import PATIENCE_S, Registers, session_options
from torture.reservations import Cluster
from torture.timeline import Timeline
from torture.wrong import Wrong
from twindisk.demo.pair import NotReachedError, Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.demo.workload import Workload
from twindisk.initiator import MultipathDisk, Session

HEALED_LIMIT_S = 90.0
"""How long a healed pair may take until both nodes say Enabled; measured on idle machines it is seconds."""
PROGRESS_LIMIT_S = 30.0
WORKLOAD_BYTES = 64 << 20
WORKLOAD_PACE_S = 0.01
WORKLOAD_WRITERS = 4
_EXTENT_BOUNDARY = (192 << 20) // 512
_CHUNK_BOUNDARY = (224 << 20) // 512


@dataclass(slots=True)
class Load:
    """The initiators of a run: two areas of hot blocks, writers over a larger one, a cluster with reservations on ``second``."""

    pair: Pair
    second: Pair
    seed: str
    timeline: Timeline
    areas: tuple[Registers, ...] = field(init=False)
    workload: Workload = field(init=False)
    disk: MultipathDisk = field(init=False)
    cluster: Cluster = field(init=False)

    def __post_init__(self) -> None:
        portals, name = self.pair.portals, iqn(self.pair.vdisk)
        self.areas = (
            Registers(portals, name, first_block=_EXTENT_BOUNDARY - 8),
            Registers(
                portals,
                name,
                first_block=_CHUNK_BOUNDARY - 40,
                blocks=80,
                clients=3,
                request_blocks_max=40,
                name="wide",
            ),
        )
        self.cluster = Cluster(portals, iqn(self.second.vdisk), lambda text: self.timeline.note("cluster", text))
        options = session_options("large", 0)
        self.disk = MultipathDisk(portals, name, options=options, deadline_s=PATIENCE_S)
        self.workload = Workload(
            self.disk,
            WORKLOAD_BYTES,
            writers=WORKLOAD_WRITERS,
            pace_s=WORKLOAD_PACE_S,
            seed=zlib.crc32(self.seed.encode()),
        )

    @property
    def operations(self) -> int:
        """How many commands were answered so far."""
        return self.workload.writes + self.cluster.operations + sum(area.operations for area in self.areas)

    @property
    def longest_pause_s(self) -> float:
        """The longest time that one client waited for one answer in this round."""
        return max(area.longest_pause_s for area in self.areas)

    async def begin(self) -> None:
        """Make ready for a round."""
        for area in self.areas:
            area.longest_pause_s = 0.0
            await area.begin_anew()

    @contextlib.asynccontextmanager
    async def running(self, seed: str) -> AsyncIterator[None]:
        """Run all initiators for the time of the context; every command that was begun is answered at its end."""
        async with asyncio.TaskGroup() as group:
            for area in self.areas:
                group.create_task(area.run_until_stopped(seed))
            group.create_task(self.workload.write_until_stopped())
            group.create_task(self.cluster.run_until_stopped(seed))
            yield
            for area in self.areas:
                area.stop()
            self.workload.stop()
            self.cluster.stop()

    def violations(self) -> list[str]:
        """Check the histories; what is wrong with a block, and its story."""
        return [
            f"block {violation.block}: {violation.reason}: {violation.values}\n{area.evidence.story(violation, self.timeline.began)}"
            for area in self.areas
            for violation in area.evidence.violations()
        ]


@dataclass(slots=True)
class Round:
    """One round of a run; :meth:`run` returns a line about it, or raises :class:`Wrong`."""

    number: int
    seed: str
    load: Load
    faults: Faults
    timeline: Timeline

    async def run(self) -> str:
        """Run it."""
        span_s, plan = draw(f"{self.seed}/{self.number}", self.faults.checks, self.faults.cables)
        self.timeline.note("**", f"round {self.number}: {len(plan)} faults in {span_s:.1f} s")
        before = self.load.operations
        await self.load.begin()
        async with self.load.running(f"{self.seed}/{self.number}"):
            await self.faults.bring(plan, span_s)
            healed_s = await self._heal()
        self.timeline.note("**", "idle")
        await self._check()
        return (
            f"round {self.number}: {', '.join(fault.kind for fault in plan)}; {self.load.operations - before} commands,"
            f" longest {self.load.longest_pause_s:.1f} s; Enabled {healed_s:.1f} s after healing"
        )

    async def _heal(self) -> float:
        began = time.monotonic()
        try:
            for pair in (self.load.pair, self.load.second):
                await pair.wait_enabled(HEALED_LIMIT_S)
        except NotReachedError as error:
            raise Wrong("liveness", f"{HEALED_LIMIT_S:.0f} s after everything was healed: {error}") from None
        healed_s = time.monotonic() - began
        self.timeline.note("**", "Enabled on both nodes")
        wanted = [counter() + 3 for counter in self._counters()]
        end = time.monotonic() + PROGRESS_LIMIT_S
        while any(counter() < goal for counter, goal in zip(self._counters(), wanted, strict=True)):
            if time.monotonic() > end:
                raise Wrong(
                    "liveness", f"initiators stand still {PROGRESS_LIMIT_S:.0f} s after both nodes said Enabled"
                )
            await asyncio.sleep(0.05)
        return healed_s

    def _counters(self) -> list[Callable[[], int]]:
        def counter(area: Registers) -> Callable[[], int]:
            return lambda: area.operations

        load = self.load
        return [lambda: load.workload.writes, lambda: load.cluster.operations, *(counter(area) for area in load.areas)]

    async def _check(self) -> None:
        comparisons = {pair.vdisk: await compare_when_idle(pair) for pair in (self.load.pair, self.load.second)}
        for portal in self.load.pair.portals:
            for area in self.load.areas:
                await area.read_all_through(portal)
        wrong = await asyncio.to_thread(self.load.violations)
        if wrong:
            raise Wrong("P1/P3", f"{len(wrong)} blocks were not those of one disk", "\n\n".join(wrong))
        for node in self.load.pair.nodes:
            async with await Session.connect(node.place.portal, iqn(self.load.pair.vdisk)) as session:
                lost = await self.load.workload.count_lost(session)
            if lost:
                raise Wrong("P1", f"{lost} acknowledged writes are not to be read through {node.name}")
        for vdisk, found in comparisons.items():
            if found.first_difference is not None:
                raise Wrong(
                    "P4", f"both nodes say Enabled, but {vdisk}'s copies differ at byte {found.first_difference}"
                )
        await self.load.cluster.look_through_both(PROGRESS_LIMIT_S)
        complaints = {machine.name: lines for machine in self.faults.machines if (lines := machine.complaints())}
        if complaints:
            raise Wrong("soundness", f"the daemons met what they did not foresee: {complaints}")
        rows = await self.load.pair.rows()
        if not all(row and row.status == "Enabled" for row in rows.values()):
            raise Wrong("liveness", f"idle and healed, but not Enabled any more: {rows}")
