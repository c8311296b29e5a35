"""The benchmark's table, made from raw results. Pure."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

from bench.measure import Row

YARDSTICK: Final = "tgt"
COLUMNS: Final = {
    "single": "Twindisk, single copy",
    "master": "mirrored, via Master",
    "slave": "mirrored, via Slave",
}
Results = Mapping[str, Mapping[str, Sequence[float]]]
"""Row name, then target, to one figure per round."""


def ratio(results: Results, row: Row, target: str) -> float:
    """Return the median over the rounds of the target's figure divided by tgt's of the same round."""
    pairs = zip(results[row.name][target], results[row.name][YARDSTICK], strict=True)
    return median(figure / base for figure, base in pairs)


def table(results: Results, rows: Sequence[Row]) -> str:
    """Return the Markdown table: medians, with the ratio to tgt in brackets."""
    lines = [
        "| | unit | tgt, single copy | " + " | ".join(COLUMNS.values()) + " |",
        "| --- | --- | ---: |" + " ---: |" * len(COLUMNS),
    ]
    for row in rows:
        base = median(results[row.name][YARDSTICK])
        cells = [
            f"{_figure(median(results[row.name][target]))} ({ratio(results, row, target):.2f})" for target in COLUMNS
        ]
        lines.append(f"| {row.name} | {row.unit} | {_figure(base)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def document(results: Results, rows: Sequence[Row], memory_mib: Mapping[str, float], machine: str, rounds: int) -> str:
    """Return docs/benchmarks.md."""
    memory = "\n".join(f"| {name} | {size:.0f} MiB |" for name, size in memory_mib.items())
    return f"""# Benchmarks

Made by `make bench`; the raw figures are in [benchmarks.json](benchmarks.json). Beside Debian's tgt (one backing file, default
settings) on the same filesystem in the same run: all targets measured in turn in each of {rounds} rounds, so that what else
the machine does meets all alike; what was written before is on disk before the next measurement begins. Figures are medians; in brackets the median of the rounds' ratios to tgt.

Machine: {machine}. Everything, initiator included, runs on it; all data fits the page cache.

{table(results, rows)}

Random reads by `iscsi-perf`, writes by `qemu-img bench` (sequential, as it does by default). The mirror's two nodes share the
machine: each mirrored write costs it two writes and two more messages.

## Memory

Largest resident size of a node's daemon that serves a thin, mirrored VDisk of 1 TiB, after random writes all over it:

| node | |
| --- | ---: |
{memory}
"""


def _figure(value: float) -> str:
    return f"{value:,.0f}"
