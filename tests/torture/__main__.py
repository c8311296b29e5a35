"""Torture a pair: ``python -m torture --minutes M [--seed S]``; see tests/torture/README.md.

Exits with 0 when every round kept every promise, with 1 when one was broken; then a report is left.
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from torture.faults import Faults
from torture.machine import fence_command
from torture.pair import tortured_pair
from torture.plan import Site, draw_site
from torture.round import Load, Round
from torture.timeline import Timeline
from torture.wires import enter_new_network
from torture.wrong import Wrong
from twindisk.demo.pair import POOL, Pair

SIZE_GIB = "0.25"
SECOND = "M2"
SECOND_GIB = "0.0625"
"""The VDisk of the cluster with reservations."""


async def torture(root: Path, own: str, minutes: float, seed: str, site: Site, timeline: Timeline) -> None:
    """Make a pair and go on round by round until the time is over. Raises :class:`Wrong`."""
    async with tortured_pair(root, own, timeline, site.ndrecv, site.connections) as (pair, machines, wires):
        for machine in machines if site.checks != "fence" else ():
            machine.see_witness("works")
            value = ("-v", machine.witness.as_uri()) if site.checks == "witness" else ()
            peer = pair.other(machine).place.mirror_address
            await machine.run("qmirrorcheck", "-a", "-t", site.checks, "-r", peer, *value)
        await pair.configure(SIZE_GIB, fence=fence_command if site.checks == "fence" else None)
        second = await _mirror_another(pair)
        async with asyncio.TaskGroup() as group:
            keepers = [
                group.create_task(machine.keep_running(random.Random(f"{seed}/{machine.name}"))) for machine in machines
            ]
            await _rounds(
                Load(pair, second, seed, timeline),
                Faults(pair, machines, wires, timeline, site.checks, cables=2 if site.connections else 1),
                minutes,
                seed,
                timeline,
            )
            for keeper in keepers:
                keeper.cancel()
        await pair.stop()


async def _mirror_another(pair: Pair) -> Pair:
    first, second = pair.nodes
    await first.run("vdconfig", "-a", "-v", SECOND, "-s", SECOND_GIB, "-g", POOL)
    await first.run("qsync", "-s", SECOND, "-d", SECOND, "-r", second.place.mirror_address, "-g", POOL)
    other = Pair(first, second, vdisk=SECOND)
    await other.wait_enabled()
    return other


async def _rounds(load: Load, faults: Faults, minutes: float, seed: str, timeline: Timeline) -> None:
    end = time.monotonic() + minutes * 60
    number = 0
    async with load.disk:
        while number == 0 or time.monotonic() < end:
            line = await Round(number, seed, load, faults, timeline).run()
            timeline.note("**", line)
            print(f"[{timeline.seconds(time.monotonic()):6.1f} s] {line}", flush=True)
            number += 1
    total = ", ".join(f"{kind} {count}" for kind, count in sorted(faults.counts.items()))
    print(
        f"{number} rounds, {load.operations} commands, {faults.counts.total()} faults ({total}): every promise was kept"
    )


def first_wrong(error: BaseException) -> BaseException:
    """Return what a group of tasks failed of."""
    while isinstance(error, BaseExceptionGroup):
        error = next((one for one in error.exceptions if isinstance(one, Wrong)), error.exceptions[0])
    return error


def report(error: BaseException, kept: Path, root: Path, seed: str, site: Site, timeline: Timeline) -> Path:
    """Leave everything that tells what happened; return the page to read first."""
    if kept.exists():
        shutil.rmtree(kept)
    shutil.copytree(root, kept, symlinks=True, ignore=shutil.ignore_patterns("*.sock", "segment-*"))
    cause = first_wrong(error)
    story = cause.story if isinstance(cause, Wrong) else "".join(traceback.format_exception(cause))
    page = kept / "report.txt"
    page.write_text(
        f"{cause}\n\nseed {seed}: {site}\n\n{story}\n\nTimeline (seconds since the beginning at {_wall(timeline)})\n\n{timeline.text()}"
    )
    return page


def _wall(timeline: Timeline) -> str:
    began = time.time() - time.monotonic() + timeline.began
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began)) + f".{int(began % 1 * 1000):03}Z"


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(
        prog="torture", description="Torture a pair of nodes and check what initiators saw."
    )
    parser.add_argument("--minutes", type=float, default=2.0, help="begin no round after so many minutes")
    parser.add_argument("--seed", help="draw the faults from this seed; without it, from one of its own")
    parser.add_argument(
        "--checks", choices=("fence", "witness", "manual"), help="the type of mirror checks; without it, the seed's"
    )
    parser.add_argument("--keep", type=Path, default=Path("build/torture"), help="where reports go")
    parser.add_argument("--verbose", action="store_true", help="print the timeline as it happens")
    arguments = parser.parse_args()
    seed = arguments.seed or str(int.from_bytes(os.urandom(4), "big"))
    site = draw_site(seed)
    if arguments.checks:
        site = replace(site, checks=arguments.checks)
    own = enter_new_network()
    print(f"seed {seed}: {site}", flush=True)
    timeline = Timeline(echo=arguments.verbose)
    root = Path(tempfile.mkdtemp(prefix="twindisk-torture-"))
    try:
        asyncio.run(torture(root, own, arguments.minutes, seed, site, timeline))
    except Exception as error:  # noqa: BLE001 - whatever it was, it is reported
        page = report(error, arguments.keep / f"seed-{seed}", root, seed, site, timeline)
        print(f"WRONG: {first_wrong(error)}\nseed {seed}; the report is {page}", flush=True)
        return 1
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(root)
    return 0


if __name__ == "__main__":
    sys.exit(main())
