"""The rows of the benchmark: which tool measures what, and what it printed as a number."""

import os
import re
import subprocess
from dataclasses import dataclass
from typing import Final, Literal

_PERF_AVERAGE: Final = re.compile(r"iops average (\d+) \(\d+ MB/s\)\s*$", re.MULTILINE)
_BENCH_TIME: Final = re.compile(r"Run completed in ([\d.]+) seconds")
_LIMIT_S: Final = 120
_BLOCK_BYTES: Final = 512


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement: ``request_bytes`` at ``depth`` requests in flight; ``unit`` of the result.

    ``expected``: requests a second on a small machine, from which a run's number of requests is made.
    """

    name: str
    kind: Literal["read", "write"]
    request_bytes: int
    depth: int
    unit: Literal["IOPS", "MiB/s"]
    expected: int


ROWS: Final = (
    Row("4 KiB random reads, depth 1", "read", 4096, 1, "IOPS", 10_000),
    Row("4 KiB random reads, depth 32", "read", 4096, 32, "IOPS", 40_000),
    Row("4 KiB writes, depth 1", "write", 4096, 1, "IOPS", 8_000),
    Row("4 KiB writes, depth 32", "write", 4096, 32, "IOPS", 40_000),
    Row("256 KiB sequential writes, depth 8", "write", 262_144, 8, "MiB/s", 2_400),
)


def measure(row: Row, url: str, seconds: float) -> float:
    """Measure one row on one target for about ``seconds``; return the result in the row's unit.

    What was written before goes to disk first: nobody pays for the write-back of the target measured before.
    """
    os.sync()
    rate = _random_reads(row, url, max(1, round(seconds))) if row.kind == "read" else _writes(row, url, seconds)
    return rate if row.unit == "IOPS" else rate * row.request_bytes / (1 << 20)


def fill(url: str, size_bytes: int) -> None:
    """Write the whole disk once, so that every target measures blocks that are there."""
    step = 1 << 20
    _run("qemu-img", "bench", "-w", "-d", "4", "-c", str(size_bytes // step), "-s", str(step), "-f", "raw", url)


def _random_reads(row: Row, url: str, seconds: int) -> float:
    blocks = str(row.request_bytes // _BLOCK_BYTES)
    printed = _run("iscsi-perf", "-r", "-b", blocks, "-m", str(row.depth), "-t", str(seconds), url)
    return float(_found(_PERF_AVERAGE, printed.replace("\r", "\n")))


def _writes(row: Row, url: str, seconds: float) -> float:
    count = max(100, round(row.expected * seconds))
    printed = _run(
        *("qemu-img", "bench", "-w", "-d", str(row.depth), "-c", str(count)),
        *("-s", str(row.request_bytes), "-f", "raw", url),
    )
    return count / float(_found(_BENCH_TIME, printed))


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode != 0:
        message = f"{' '.join(argv)}: exit status {done.returncode}: {done.stderr.strip()}"
        raise RuntimeError(message)
    return done.stdout


def _found(pattern: re.Pattern[str], printed: str) -> str:
    matches = pattern.findall(printed)
    if not matches:
        message = f"no result in: {printed!r}"
        raise RuntimeError(message)
    return str(matches[-1])
