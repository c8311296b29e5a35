"""Measure how long initiators wait when a node, the mirror link or one of its cables is lost: ``python -m bench.pauses`` writes docs/pauses.md and .json.

A pair in network namespaces of its own (root), the product's own settings, a fence command that takes 0.1 s. Initiators read and write
4 KiB, one command each at a time, over both paths as multipath does. A pause is the longest time that any command of a round took, from
when it was first sent until it was answered, whichever path answered it. ``--rounds 2`` is a quick look and writes nothing.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.__main__ import machine as this_machine

from torture.machine import Machine, fence_command
from torture.pair import tortured_pair
from torture.registers import session_options
from torture.wires import Wires, enter_new_network
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import MultipathDisk

ROOT = Path(__file__).parent.parent
ROUNDS = 50
SIZE_GIB = "0.25"
FENCE_S = 0.1
_BLOCK_BYTES = 4096
_AREA_BYTES = 64 << 20
_INITIATORS = 4
_CALM_S = 0.5
_NOTICED_S = 3.0
"""Longer than a peer may be silent."""
_PATHS = 4
"""Two of each node."""
_PATHS_S = 60.0


@dataclass(slots=True)
class Bench:
    """What a measurement needs."""

    pair: Pair
    machines: tuple[Machine, Machine]
    wires: Wires
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    async def master(self) -> int:
        """Return which node is Master."""
        rows = await self.pair.rows()
        return next(
            number for number, node in enumerate(self.machines) if (row := rows[node.name]) and row.role == "Master"
        )


@dataclass(slots=True)
class Probe:
    """Initiators over some portals; ``longest_s`` and ``last`` (when the last answer came) since :meth:`reset`."""

    portals: list[str]
    name: str
    longest_s: float = 0.0
    last: float = 0.0
    _stopping: bool = False

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read and write for the time of the context."""
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            for number in range(_INITIATORS):
                group.create_task(self._run(number))
            yield
            self._stopping = True

    async def _run(self, number: int) -> None:
        chance = random.Random(number)
        order = self.portals if number % 4 < 2 else self.portals[::-1]  # noqa: PLR2004 - of four, a reader and a writer each way
        async with MultipathDisk(order, self.name, options=session_options("pause", number)) as disk:
            while not self._stopping:
                at = chance.randrange(_AREA_BYTES // _BLOCK_BYTES) * _BLOCK_BYTES
                began = time.monotonic()
                if number % 2:
                    await disk.read(at, _BLOCK_BYTES)
                else:
                    await disk.write(at, chance.randbytes(_BLOCK_BYTES))
                self.last = time.monotonic()
                self.longest_s = max(self.longest_s, self.last - began)
                await asyncio.sleep(0.001)


async def _kill(bench: Bench, victim: int) -> None:
    await bench.machines[victim].take_down(0)


async def _cut(bench: Bench, _victim: int) -> None:
    for way in (0, 1):
        await bench.wires.mirror.cut(way)


async def _power(bench: Bench, victim: int) -> None:
    await _cut(bench, victim)
    for way in (0, 1):
        await bench.wires.clients[victim].cut(way)
    await bench.machines[victim].take_down(0)


async def _cut_one(bench: Bench, _victim: int) -> None:
    cable = bench.chance.choice(bench.wires.between)
    for way in (0, 1):
        await cable.cut(way)


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of loss.

    ``of_master``: whose loss; None: the link's or a cable's. ``survivor_only``: initiators use the survivor's path alone.
    ``connections``: over each of two cables; 0: one over one cable.
    """

    name: str
    title: str
    limit_s: float
    of_master: bool | None
    lose: Callable[[Bench, int], Awaitable[None]]
    survivor_only: bool = False
    connections: int = 0


ROWS = (
    Row("kill-master", "the Master's process dies (kill -9)", 1.0, of_master=True, lose=_kill),
    Row("kill-slave", "the Slave's process dies (kill -9)", 1.0, of_master=False, lose=_kill),
    Row("cut", "the mirror link is cut in silence", 5.0, of_master=None, lose=_cut),
    Row(
        "power-master", "the Master's machine is gone in silence", 5.0, of_master=True, lose=_power, survivor_only=True
    ),
    Row("power-slave", "the Slave's machine is gone in silence", 5.0, of_master=False, lose=_power, survivor_only=True),
    Row("cut-one", "one of two mirror cables is cut in silence", 1.0, of_master=None, lose=_cut_one, connections=1),
)


async def measure(bench: Bench, row: Row) -> float:
    """Lose what the row says, under load; return the longest pause in seconds. The pair is whole again afterwards."""
    master = await bench.master()
    victim = 1 - master if not row.of_master else master
    survivor = bench.machines[1 - victim]
    portals = [survivor.place.portal] if row.survivor_only else bench.pair.portals
    probe = Probe(portals, iqn(bench.pair.vdisk))
    async with probe.running():
        await asyncio.sleep(bench.chance.uniform(_CALM_S, 2 * _CALM_S))
        probe.longest_s = 0.0
        await row.lose(bench, victim)
        if row.connections:
            await asyncio.sleep(_NOTICED_S)
            await _stay_enabled(bench.pair)
        else:
            await bench.pair.wait_alone(survivor)
            await asyncio.sleep(_CALM_S)
    for cable in (*bench.wires.between, *bench.wires.clients):
        await cable.mend_all()
    if row.connections:
        await _wait_for_paths(bench.pair)
        return probe.longest_s
    await bench.machines[victim].take_down(0)
    await bench.machines[victim].switch_on()
    await bench.machines[victim].start()
    await bench.pair.wait_enabled()
    return probe.longest_s


async def _stay_enabled(pair: Pair) -> None:
    """Raise RuntimeError if the copies are apart: one cable is left, so nothing may have been lost."""
    rows = await pair.rows()
    if not all(row and row.status == "Enabled" for row in rows.values()):
        message = f"the copies parted although a cable was left: {rows}"
        raise RuntimeError(message)


async def _wait_for_paths(pair: Pair) -> None:
    """Wait until every path of both nodes is up again."""
    end = time.monotonic() + _PATHS_S
    while True:
        told = [json.loads(await node.run("twindisk", "status", "--json")) for node in pair.nodes]
        paths = [path for status in told for peer in status["peers"] for path in peer["paths"]]
        if len(paths) == _PATHS and all(path["state"] == "up" for path in paths):
            return
        if time.monotonic() > end:
            message = f"a path does not come up again: {paths}"
            raise RuntimeError(message)
        await asyncio.sleep(_CALM_S)


async def measure_all(directory: Path, own: str, rounds: int) -> dict[str, list[float]]:
    """Measure every row, those over equal cables in turn, ``rounds`` times; seconds by the row's name."""
    results: dict[str, list[float]] = {}
    for connections in sorted({row.connections for row in ROWS}):
        rows = tuple(row for row in ROWS if row.connections == connections)
        place = directory / f"cables-{connections}"
        place.mkdir()
        results |= await _measure_rows(place, rows, connections, own, rounds)
    return results


async def _measure_rows(
    directory: Path, rows: tuple[Row, ...], connections: int, own: str, rounds: int
) -> dict[str, list[float]]:
    results: dict[str, list[float]] = {row.name: [] for row in rows}
    async with tortured_pair(directory, own, connections=connections) as (pair, machines, wires):
        for machine in machines:
            machine.bmc(f"slow {FENCE_S}")
        await pair.configure(SIZE_GIB, fence=fence_command)
        bench = Bench(pair, machines, wires)
        for number in range(rounds):
            for row in rows:
                pause_s = await measure(bench, row)
                results[row.name].append(pause_s)
                print(f"round {number + 1} of {rounds}  {row.title:<42} {pause_s:6.3f} s", flush=True)
    return results


def table(results: dict[str, list[float]]) -> str:
    """Return the distribution as a table."""
    lines = [
        "| what is lost | rounds | shortest | median | 9 of 10 below | longest | bound |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in ROWS:
        figures = sorted(results[row.name])
        ninth = figures[min(len(figures) - 1, len(figures) * 9 // 10)]
        shown = (figures[0], statistics.median(figures), ninth, figures[-1])
        words = " | ".join(f"{figure:.2f} s" for figure in shown)
        lines.append(f"| {row.title} | {len(figures)} | {words} | {row.limit_s:.0f} s |")
    return "\n".join(lines)


def document(results: dict[str, list[float]], load: str) -> str:
    """Return docs/pauses.md."""
    return f"""# Pauses

Made by `make bench-pauses`; the raw figures are in [pauses.json](pauses.json). How long initiators wait when a node, the mirror link or one of its cables is lost:
in each round the longest time that any command took, from when it was first sent until it was answered, whichever path answered.

{table(results)}

The fence command takes {FENCE_S} s and the start of a small Python; everything else is as delivered (`SilenceMs` 2000, `LeaseMs` 2000, `HeadStartMs` 500).
{_INITIATORS} initiators read and write 4 KiB, one command each at a time, over both paths as multipath does. When a machine is gone in
silence, initiators notice only by their own timeouts, which are theirs to set: there the figures are of initiators on the survivor's path alone.
A Slave that lost its Master waits its head start before it fences; a silent loss takes `SilenceMs` to be noticed. With two cables
(`MirrorPath`, one connection over each) the loss of one parts nothing: the copies stay Enabled.

Machine: {this_machine()}. Both nodes and the initiators run on it. {load}
"""


def load_sentence(before: float, after: float) -> str:
    """Say how busy the machine was, 5 minutes' load average before and after; the run itself makes for some of it."""
    return f"Load average of the five minutes before the run: {before:.1f}, at its end: {after:.1f}, on {os.cpu_count()} processors."


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.pauses", description="Measure pauses at the loss of a node.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds over all kinds of loss")
    options = parser.parse_args()
    own = enter_new_network()
    before = os.getloadavg()[1]
    with tempfile.TemporaryDirectory(prefix="twindisk-pauses-") as directory:
        results = asyncio.run(measure_all(Path(directory), own, options.rounds))
    print(table(results))
    if options.rounds >= ROUNDS:
        text = document(results, load_sentence(before, os.getloadavg()[1]))
        (ROOT / "docs" / "pauses.md").write_text(text)
        raw = {name: [round(figure, 4) for figure in figures] for name, figures in results.items()}
        (ROOT / "docs" / "pauses.json").write_text(json.dumps(raw, indent=1) + "\n")


if __name__ == "__main__":
    main()
