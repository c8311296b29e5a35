"""Everything that initiators did and saw on single logical blocks, and what is wrong with it. Pure.

A block's history must be one of a single disk (:mod:`twindisk.initiator.history`). On top of that, COMPARE AND WRITE is one step:

* what it expected counts as read by it;
* one value gives way to one COMPARE AND WRITE at most, and is not read after that was answered.
"""

from collections import defaultdict
from dataclasses import dataclass, field

from twindisk.initiator.history import Operation, Violation, check

_AROUND = 6
"""How many entries are shown before and after each that is concerned."""


@dataclass(slots=True)
class Seen:
    """One attempt of one command.

    ``kind``: ``read``, ``write``, ``same`` (WRITE SAME) or ``swap`` (COMPARE AND WRITE). ``ended``: when it was answered; of an attempt without a good
    answer, the moment from which on it must not be carried out any more, ``math.inf`` if there is none. ``expected``: what a swap
    compared with, block by block.
    """

    who: str
    kind: str
    portal: str
    began: float
    ended: float
    outcome: str
    expected: tuple[int, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether it was carried out for sure."""
        return self.outcome == "good"


@dataclass(frozen=True, slots=True)
class Entry:
    """What an attempt meant for one block: the value that it read or wrote, and the one it expected (swaps)."""

    seen: Seen
    value: int
    expected: int | None


@dataclass(slots=True)
class Evidence:
    """Entries per block."""

    blocks: dict[int, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def add(self, first_block: int, values: list[int], seen: Seen) -> None:
        """Take note of an attempt on blocks from ``first_block`` on."""
        for index, value in enumerate(values):
            expected = seen.expected[index] if seen.expected else None
            self.blocks[first_block + index].append(Entry(seen, value, expected))

    def violations(self) -> list[Violation]:
        """Check every block."""
        found = []
        for block, entries in sorted(self.blocks.items()):
            wrong = check(list(_operations(entries))) or _check_swaps(entries)
            if wrong:
                found.append(Violation(block, *wrong))
        return found

    def story(self, violation: Violation, began: float) -> str:
        """Tell what happened to the block around the values concerned; times since ``began``."""
        entries = sorted(self.blocks[violation.block], key=lambda entry: entry.seen.began)
        places = [place for place, entry in enumerate(entries) if _concerns(entry, violation)]
        shown = sorted({near for place in places for near in range(place - _AROUND, place + _AROUND + 1)})
        lines = ["      began      ended  who      what   value        path, outcome"]
        before = None
        for place in shown:
            if not 0 <= place < len(entries):
                continue
            if before is not None and place != before + 1:
                lines.append(f"        ... {place - before - 1} more")
            lines.append(_line(entries[place], began, mark=_concerns(entries[place], violation)))
            before = place
        return "\n".join(lines)


def _operations(entries: list[Entry]) -> "list[Operation]":
    operations = []
    for entry in entries:
        seen = entry.seen
        is_write = seen.kind != "read"
        operations.append(
            Operation(
                is_write=is_write,
                value=entry.value,
                began=seen.began,
                ended=seen.ended,
                certain=not is_write or seen.certain,
            )
        )
        if entry.expected is not None and seen.certain:
            operations.append(Operation(is_write=False, value=entry.expected, began=seen.began, ended=seen.ended))
    return operations


def _check_swaps(entries: list[Entry]) -> tuple[str, tuple[int, ...]] | None:
    read = {entry.value for entry in entries if entry.seen.kind == "read"}
    read |= {entry.expected for entry in entries if entry.expected is not None and entry.seen.certain}
    taken: dict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.expected is not None and (entry.seen.certain or entry.value in read):
            taken[entry.expected].append(entry)
    for expected, swaps in taken.items():
        if len(swaps) > 1:
            return "one value gave way to several COMPARE AND WRITE", (expected, *(swap.value for swap in swaps))
    for entry in entries:
        for swap in taken.get(entry.value, []) if entry.seen.kind == "read" else []:
            if entry.seen.began > swap.seen.ended:
                return "a value was read after it gave way to a COMPARE AND WRITE", (entry.value, swap.value)
    return None


def _concerns(entry: Entry, violation: Violation) -> bool:
    return entry.value in violation.values or entry.expected in violation.values


def _line(entry: Entry, began: float, *, mark: bool) -> str:
    seen = entry.seen
    value = f"{entry.expected}->{entry.value}" if entry.expected is not None else str(entry.value)
    return (
        f"{'*' if mark else ' '} {seen.began - began:9.3f}  {seen.ended - began:9.3f}  {seen.who:<8} {seen.kind:<6} {value:<12}"
        f" {seen.portal} {seen.outcome}"
    )
