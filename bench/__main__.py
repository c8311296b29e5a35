"""Measure Twindisk beside tgt: ``python -m bench`` writes docs/benchmarks.md and docs/benchmarks.json.

``--quick`` measures one short round and only prints the table.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

from bench import tgt
from bench.measure import ROWS, fill, measure
from bench.report import document, table
from bench.setup import NETWORK, PORT, memory_of_a_terabyte, nodes

ROOT = Path(__file__).parent.parent
SIZE_BYTES = 1 << 30


def machine() -> str:
    """Describe this machine."""
    cpu = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} x {cpu}, Linux {platform.release()}"


async def measure_all(directory: Path, rounds: int, seconds: float) -> dict[str, dict[str, list[float]]]:
    """Measure every row on every target, targets in turn, ``rounds`` times."""
    results: dict[str, dict[str, list[float]]] = {}
    backing = directory / "tgt.img"
    with tgt.running(backing, SIZE_BYTES, f"{NETWORK}.2.1", PORT) as yardstick:
        async with nodes(directory, SIZE_BYTES) as (_, targets):
            urls = {"tgt": yardstick, "single": targets.single, "master": targets.master, "slave": targets.slave}
            for url in (urls["tgt"], urls["single"], urls["master"]):
                await asyncio.to_thread(fill, url, SIZE_BYTES)
            for number in range(rounds):
                for row in ROWS:
                    for target, url in urls.items():
                        figure = await asyncio.to_thread(measure, row, url, seconds)
                        results.setdefault(row.name, {}).setdefault(target, []).append(figure)
                        print(
                            f"round {number + 1} of {rounds}  {row.name:<36} {target:<7} {figure:10.0f} {row.unit}",
                            flush=True,
                        )
    return results


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Twindisk beside tgt.")
    parser.add_argument("--rounds", type=int, default=5, help="rounds over all rows and targets")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one measurement, about")
    parser.add_argument("--quick", action="store_true", help="one short round, only print the table")
    parser.add_argument(
        "--directory", type=Path, default=ROOT / "build", help="where the data lies: all on one filesystem"
    )
    options = parser.parse_args()
    rounds, seconds = (1, 1.0) if options.quick else (options.rounds, options.seconds)
    options.directory.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="bench-", dir=options.directory))
    (work / "speed").mkdir()
    try:
        results = asyncio.run(measure_all(work / "speed", rounds, seconds))
        if options.quick:
            print(table(results, ROWS))
            return
        memory = asyncio.run(memory_of_a_terabyte(work / "memory", 15.0))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    text = document(results, ROWS, memory, machine(), rounds)
    (ROOT / "docs/benchmarks.md").write_text(text)
    raw = {"machine": machine(), "rounds": rounds, "seconds": seconds, "results": results, "memory_mib": memory}
    (ROOT / "docs/benchmarks.json").write_text(json.dumps(raw, indent=1) + "\n")
    print(text)


if __name__ == "__main__":
    main()
