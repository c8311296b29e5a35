"""When operators are told that a pool runs out of space. Pure.

Rules:

1. A VDisk's pool is low when less than the threshold is available, and counts as low until clearly more is
   (:data:`MARGIN_PERCENT`): space that goes up and down around the threshold is told once.
2. A pool whose disks are all missing has no space to speak of: nothing is said about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from twindisk.brain.effects import Severity
from twindisk.sizes import show_size

MARGIN_PERCENT: Final = 2
KIND_LOW: Final = "pool-low"
KIND_ENOUGH: Final = "pool-enough"
KIND_FULL: Final = "pool-full"

Low = frozenset[tuple[str, str]]
"""Pool and VDisk of which operators were told that space is low."""


@dataclass(frozen=True, slots=True)
class PoolSpace:
    """A pool's space, and the VDisks that take it. ``size_bytes`` 0: none of its disks is there."""

    name: str
    size_bytes: int
    free_bytes: int
    vdisks: tuple[str, ...]

    def is_below(self, percent: int) -> bool:
        """Return whether less than this part of the pool is available."""
        return self.free_bytes * 100 < self.size_bytes * percent


@dataclass(frozen=True, slots=True)
class SpaceNotice:
    """What is to be told."""

    severity: Severity
    kind: str
    pool: str
    vdisk: str
    text: str


def judge(low: Low, pools: Sequence[PoolSpace], threshold_percent: int) -> tuple[Low, list[SpaceNotice]]:
    """Return what counts as low now and what is to be told. ``threshold_percent`` 0: nothing is ever low."""
    now_low, notices = set[tuple[str, str]](), list[SpaceNotice]()
    for pool in pools:
        for vdisk in pool.vdisks:
            was_low = (pool.name, vdisk) in low
            limit = threshold_percent + MARGIN_PERCENT if was_low and threshold_percent else threshold_percent
            is_low = was_low if pool.size_bytes == 0 else pool.is_below(limit)
            if is_low:
                now_low.add((pool.name, vdisk))
            if is_low != was_low:
                notices.append(_notice(pool, vdisk, threshold_percent, is_low=is_low))
    return frozenset(now_low), notices


def no_space(vdisk: str, pool: str) -> SpaceNotice:
    """Return what to tell when a write found no space."""
    text = (
        f"No space is left in Pool {pool} of a node, and writes to VDisk {vdisk} that need some are refused."
        " All else is served. Free space on both nodes: grow the file system of the disk, or delete and unmap data"
    )
    return SpaceNotice(Severity.ERROR, KIND_FULL, pool, vdisk, text)


def _notice(pool: PoolSpace, vdisk: str, percent: int, *, is_low: bool) -> SpaceNotice:
    free = f"Available space {show_size(pool.free_bytes)} in Pool {pool.name}"
    if is_low:
        text = f"{free} below VDisk {vdisk} threshold of {percent}%"
        return SpaceNotice(Severity.WARNING, KIND_LOW, pool.name, vdisk, text)
    text = f"{free} above VDisk {vdisk} threshold of {percent}% again"
    return SpaceNotice(Severity.INFORMATION, KIND_ENOUGH, pool.name, vdisk, text)
