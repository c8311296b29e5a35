"""``twindisk mirror diff``: where two copies differ that parted.

Rule: differences are printed as they come, so that a VDisk of any size needs the same memory.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import click

from twindisk.api.schemas import DiffView
from twindisk.cli.output import Shell, command
from twindisk.differences import Range, Writer, merged
from twindisk.sizes import show_exactly


@dataclass(slots=True)
class Summary:
    """What was found so far, in bytes."""

    parted_ms: int | None = None
    compared_bytes: int = 0
    differing_bytes: dict[Writer, int] = field(default_factory=lambda: dict.fromkeys(Writer, 0))

    @property
    def total_bytes(self) -> int:
        """Everything that differs."""
        return sum(self.differing_bytes.values())

    def ranges(self, parts: Iterator[DiffView]) -> Iterator[Range]:
        """Give the ranges of all parts, and add them up."""
        for part in parts:
            self.parted_ms = part.parted_ms
            self.compared_bytes += part.compared_bytes
            for found in part.ranges:
                self.differing_bytes[found.writer] += found.length_bytes
                yield Range(found.offset_bytes, found.length_bytes, found.writer)

    def document(self) -> dict[str, Any]:
        """Return it as JSON knows it."""
        by_writer = {f"{writer.value}_bytes": size for writer, size in self.differing_bytes.items()}
        return {
            "parted_ms": self.parted_ms,
            "compared_bytes": self.compared_bytes,
            "differing_bytes": self.total_bytes,
            **by_writer,
        }


@click.command("diff")
@click.argument("vdisk")
@command
def diff(shell: Shell, vdisk: str) -> None:
    """Show where the copies of VDISK differ that parted, and who may have written there since.

    For a split brain, or while this node goes on alone; exit status 1 when they differ. Ranges are whole chunks of 64 KiB.
    """
    parts = shell.client.diff_mirror(vdisk)
    first = next(parts)
    summary = Summary()
    ranges = merged(summary.ranges(_again(first, parts)))
    if shell.json:
        _print_json(vdisk, first.peer, ranges, summary)
    else:
        _print(vdisk, ranges, summary)
    sys.exit(1 if summary.total_bytes else 0)


def _again(first: DiffView, parts: Iterator[DiffView]) -> Iterator[DiffView]:
    yield first
    yield from parts


def _print(vdisk: str, ranges: Iterator[Range], summary: Summary) -> None:
    for number, found in enumerate(ranges):
        if number == 0:
            sys.stdout.write(f"{'Offset':>20} {'Length':>16} Written by\n")
        sys.stdout.write(f"{found.offset_bytes:>20} {found.length_bytes:>16} {_WRITERS[found.writer]}\n")
    parted = "" if summary.parted_ms is None else f" since {_time(summary.parted_ms)}"
    if not summary.total_bytes:
        sys.stdout.write(f"VDisk {vdisk}: the copies are equal.\n")
        return
    shares = (f"{show_exactly(size)} {_WRITERS[writer]}" for writer, size in summary.differing_bytes.items() if size)
    total = show_exactly(summary.total_bytes)
    sys.stdout.write(f"VDisk {vdisk}: {total} differ, written{parted} by: {', '.join(shares)}.\n")


def _print_json(vdisk: str, peer: str, ranges: Iterator[Range], summary: Summary) -> None:
    """Print one document, range by range."""
    sys.stdout.write(f'{{"vdisk": {json.dumps(vdisk)}, "peer": {json.dumps(peer)}, "ranges": [')
    for number, found in enumerate(ranges):
        row = {
            "offset_bytes": found.offset_bytes,
            "length_bytes": found.length_bytes,
            "writer": found.writer.value,
        }
        sys.stdout.write((",\n" if number else "\n") + json.dumps(row))
    sys.stdout.write('],\n"summary": ' + json.dumps(summary.document()) + "}\n")


def _time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


_WRITERS = {Writer.HERE: "this node", Writer.PEER: "the peer", Writer.BOTH: "both"}
