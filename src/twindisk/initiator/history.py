"""What initiators saw of single logical blocks, and whether one disk could have shown it (promise P3). Pure.

Every write of a block has a value of its own, so a read tells which write it saw. Then a history of a block is
linearizable exactly if (P. B. Gibbons and E. Korach, Testing shared memories, 1997):

* every value read was written, and no read ended before its write began;
* take a write and its reads as one group, from the first end of an operation to the last begin of one. Groups whose first
  end comes before their last begin ("forward") do not overlap each other, and no other group lies wholly in one of them.

A write whose outcome nobody knows may have happened or not. If it was sent again and the repetition was acknowledged, it
must not take effect after that; else it may at any time later, and its end is ``math.inf``. A repetition has a value of
its own: with the same one, nobody could tell which of the two a read saw, and both may have been carried out. Reads that
failed are left out by the caller.
"""

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

INITIAL: Final = 0
"""The value of a block before the first write."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One read or write of one block.

    ``began`` and ``ended`` are in seconds of one clock. ``certain``: it was answered, so it happened in between.
    """

    is_write: bool
    value: int
    began: float
    ended: float
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Violation:
    """A history that no single disk could have shown. ``reason`` for people; ``values``: the writes concerned."""

    block: int
    reason: str
    values: tuple[int, ...]


@dataclass(slots=True)
class History:
    """Operations per block, in any order."""

    blocks: dict[int, list[Operation]] = field(default_factory=lambda: defaultdict(list))

    def wrote(self, block: int, value: int, began: float, ended: float, *, certain: bool = True) -> None:
        """Take note of a write; not ``certain``: nobody knows whether it happened, but not after ``ended``."""
        self.blocks[block].append(Operation(is_write=True, value=value, began=began, ended=ended, certain=certain))

    def read(self, block: int, value: int, began: float, ended: float) -> None:
        """Take note of a read that returned ``value``."""
        self.blocks[block].append(Operation(is_write=False, value=value, began=began, ended=ended))

    def violations(self) -> list[Violation]:
        """Check every block."""
        found = ((block, check(operations)) for block, operations in self.blocks.items())
        return [Violation(block, reason, values) for block, wrong in found if wrong for reason, values in [wrong]]


@dataclass(slots=True)
class _Group:
    """A write and the reads that saw it."""

    value: int
    written_from: float = math.inf
    write_known: bool = False
    certain: bool = False
    first_end: float = math.inf
    last_begin: float = -math.inf
    first_read_end: float = math.inf
    was_read: bool = False

    def add(self, operation: Operation) -> None:
        self.first_end = min(self.first_end, operation.ended)
        self.last_begin = max(self.last_begin, operation.began)
        if operation.is_write:
            self.write_known = True
            self.certain = operation.certain
            self.written_from = operation.began
        else:
            self.was_read = True
            self.first_read_end = min(self.first_read_end, operation.ended)

    @property
    def happened(self) -> bool:
        """Whether the write must have been carried out: acknowledged, or read by somebody."""
        return self.was_read or self.certain

    @property
    def forward(self) -> bool:
        return self.first_end < self.last_begin


def check(operations: list[Operation]) -> tuple[str, tuple[int, ...]] | None:
    """Check one block's history; return what is wrong and the values concerned, None when it is linearizable."""
    groups: dict[int, _Group] = {INITIAL: _Group(INITIAL)}
    groups[INITIAL].add(Operation(is_write=True, value=INITIAL, began=-math.inf, ended=-math.inf))
    for operation in operations:
        groups.setdefault(operation.value, _Group(operation.value)).add(operation)
    for group in groups.values():
        if not group.write_known:
            return "a value was read that nobody wrote", (group.value,)
        if group.first_read_end < group.written_from:
            return "a value was read before it was written", (group.value,)
    return _check_order([group for group in groups.values() if group.happened])


def _check_order(groups: list[_Group]) -> tuple[str, tuple[int, ...]] | None:
    forward = sorted((group for group in groups if group.forward), key=lambda group: group.first_end)
    for earlier, later in itertools.pairwise(forward):
        if later.first_end < earlier.last_begin:
            return "an older value was read after a newer one", (earlier.value, later.value)
    # Forward groups do not overlap here, so a group can lie only in the last one that ends first before it begins.
    at = 0
    for group in sorted((group for group in groups if not group.forward), key=lambda group: group.last_begin):
        while at + 1 < len(forward) and forward[at + 1].first_end < group.last_begin:
            at += 1
        if forward and forward[at].first_end < group.last_begin and group.first_end < forward[at].last_begin:
            return "a write was lost", (group.value, forward[at].value)
    return None
