"""Initiators that have blocks copied by the nodes, and what must be true of what is read where they went.

Rules:

1. Blocks that are copied to are written by nothing else; what is copied are the blocks that all initiators write. So what is read
   of a target tells by its value what its source held.
2. A copy that was not answered is tried again over the other path; what is to be said of it later is as with writes.
3. The checker: what is read of a target is what its source held at some moment of a copy to it that began before the read ended, and
   no other copy that began after that one had ended was answered before the read began. At first a target holds what was there.
"""

import math
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from twindisk.initiator.history import INITIAL
from twindisk.sim.clock import MS
from twindisk.sim.disk import BLOCK
from twindisk.sim.initiator import Note
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.world import World

TARGETS = 4
"""Blocks of each VDisk that are copied to."""


@dataclass(slots=True)
class Copied:
    """One block of one attempt to copy; ``note`` names its target, its value is of no meaning."""

    source: int
    note: Note

    @property
    def over_ns(self) -> float:
        """Return when it was carried out at the latest; inf: nobody knows."""
        return min(self.note.ended_ns, self.note.bound_ns)


@dataclass(slots=True)
class Copies:
    """What all copiers did and saw."""

    copied: list[Copied] = field(default_factory=list)
    reads: list[tuple[int, int, int, int]] = field(default_factory=list)
    """Reads of targets: block, value, began, ended."""


def choose_targets(rng: Random, places: list[int], size_bytes: int) -> list[int]:
    """Return blocks in a row that none of the places is among."""
    while True:
        first = rng.randrange(size_bytes // BLOCK - TARGETS)
        if not any(first <= place < first + TARGETS for place in places):
            return list(range(first, first + TARGETS))


@dataclass(slots=True)
class _Attempt:
    serial: str
    source: int
    target: int
    count: int
    chain: list[Note]
    """What earlier attempts of the same command may have written."""


class Copier:
    """One command after the other: a copy, or a look at what was copied."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self._rng = Random(f"{world.seed} {name}")
        self._name = name
        self._number = 0
        self.busy = False
        self.answered = 0

    def start(self) -> None:
        """Go on after a pause."""
        self.busy = False
        self._pause(self._next)

    def _pause(self, call: Any, *args: Any) -> None:
        self._world.clock.after(int(self._rng.expovariate(1 / 60) * MS), call, *args)

    def _next(self) -> None:
        if not self._world.load:
            self._world.clock.after(200 * MS, self._next)
            return
        self.busy = True
        serial = self._rng.choice(list(self._world.vdisks))
        if self._rng.random() < 0.5:
            self._read(serial)
            return
        places = self._world.places
        source = self._rng.choice(places)
        count = self._rng.randint(1, TARGETS - 1)
        while not all(source + at in places for at in range(count)):
            count -= 1
        target = self._rng.choice(self._world.targets[: TARGETS + 1 - count])
        self._copy(_Attempt(serial, source, target, count, []), self._rng.randrange(2))

    def _copy(self, attempt: _Attempt, node: int) -> None:
        world, serial = self._world, attempt.serial
        notes = []
        for at in range(attempt.count):
            block = world.block_name(serial, attempt.target + at)
            note = Note(block, 0, world.clock.now_ns, math.inf, fua=False)
            world.copies.copied.append(Copied(world.block_name(serial, attempt.source + at), note))
            notes.append(note)

        def over(how: str, _what: Any) -> None:
            if how == "done":
                for note in notes:
                    note.ended_ns = world.clock.now_ns
                for note in attempt.chain:
                    note.bound_ns = min(note.bound_ns, world.clock.now_ns)
                self.start()
            elif world.load:
                attempt.chain += notes
                self._pause(self._copy, attempt, 1 - node)
            else:
                self.start()

        arguments = (attempt.source * BLOCK, attempt.target * BLOCK, attempt.count * BLOCK)
        self._send(serial, node, ("host_copy", arguments), notes, over)

    def _read(self, serial: str) -> None:
        world = self._world
        number = self._rng.choice(world.targets)
        began_ns = world.clock.now_ns

        def over(how: str, what: Any) -> None:
            if how == "data":
                value = world.workers[0].value_of(serial, number, what)
                world.copies.reads.append((world.block_name(serial, number), value, began_ns, world.clock.now_ns))
            self.start()

        self._send(serial, self._rng.randrange(2), ("host_read", (number * BLOCK, BLOCK)), [], over)

    def _send(self, serial: str, node: int, asked: tuple[str, tuple[Any, ...]], notes: list[Note], over: Any) -> None:
        """Send a command; what comes late, or of a dead process, counts as no answer."""
        world = self._world
        machine = world.machines[node]
        life = machine.life
        self._number += 1
        mine = self._number
        begun: list[int] = []
        world.trace.note(self._name, "%s %s %s -> %s", asked[0], serial[-1], asked[1], machine.name)

        def ended(how: str, what: Any) -> None:
            if mine == self._number:
                self._number += 1
                self.answered += how in {"done", "data"}
                world.trace.note(self._name, "%s: %s", asked[0], how)
                over(how, what)

        def reply(how: str, what: Any) -> None:
            world.clock.after(self._hop_ns(), ended, how, what)

        def begin() -> None:
            if machine.daemon is not None:
                _mark(notes, machine.daemon.engine.units[serial].resets)
                begun.append(machine.daemon.engine.host(serial, *asked, reply))

        def time_out() -> None:
            if mine == self._number:
                world.clock.after(self._hop_ns(), machine.enter, life, cancel, ())
                ended("no answer", None)

        def cancel() -> None:
            if machine.daemon is not None and begun:
                machine.daemon.engine.cancel(serial, begun[0])

        world.clock.after(self._hop_ns(), machine.enter, life, begin, ())
        world.clock.after(self._rng.randint(3000, 6000) * MS, time_out)

    def _hop_ns(self) -> int:
        return int((0.05 + 0.5 * self._rng.random()) * MS)


def _mark(notes: list[Note], resets: int) -> None:
    for note in notes:
        note.resets = resets


@dataclass(slots=True)
class _Source:
    """What is known of the values of one block that is copied."""

    began_ns: dict[int, float]
    """When the first attempt to write a value began."""
    known_ns: dict[int, float]
    """When a value was surely there at the latest: written or read."""
    splits_ns: list[int]

    def held(self, value: int, from_ns: float, to_ns: float) -> bool:
        """Whether the block may have held a value at some moment in between."""
        if value not in self.began_ns or self.began_ns[value] > to_ns:
            return False
        known_ns = self.known_ns.get(value)
        return known_ns is None or not any(
            seen_ns < from_ns
            and known_ns < self.began_ns[later]
            and not any(self.began_ns[later] <= at_ns <= to_ns for at_ns in self.splits_ns)
            for later, seen_ns in self.known_ns.items()
            if later in self.began_ns
        )


def check_copies(world: "World") -> None:
    """Check everything that was read of targets."""
    sources: dict[int, _Source] = {}
    by_target: dict[int, list[Copied]] = {}
    for copied in world.copies.copied:
        by_target.setdefault(copied.note.block, []).append(copied)
        if copied.source not in sources:
            splits_ns = [split.at_ns for split in world.checks.splits if split.vdisk == copied.source // 10**9]
            sources[copied.source] = _Source({INITIAL: -math.inf}, {INITIAL: -math.inf}, splits_ns)
    for note in world.recorder.notes:
        if note.block in sources:
            sources[note.block].began_ns[note.value] = note.began_ns
            if note.ended_ns != math.inf:
                _know(sources[note.block], note.value, note.ended_ns)
    for block, value, _, ended_ns in world.recorder.reads:
        if block in sources:
            _know(sources[block], value, ended_ns)
    for block, value, began_ns, ended_ns in world.copies.reads:
        _check_read(world, sources, by_target.get(block, []), (block, value, began_ns, ended_ns))


def _know(source: _Source, value: int, at_ns: float) -> None:
    source.known_ns[value] = min(source.known_ns.get(value, math.inf), at_ns)


def _check_read(
    world: "World", sources: dict[int, _Source], copied: list[Copied], read: tuple[int, int, int, int]
) -> None:
    block, value, began_ns, ended_ns = read
    splits_ns = [split.at_ns for split in world.checks.splits if split.vdisk == block // 10**9]

    def gone(since_ns: float) -> bool:
        """Whether what was there at a moment was surely copied over before the read began."""
        return any(
            other.note.began_ns > since_ns
            and other.note.ended_ns < began_ns
            and not any(other.note.began_ns <= at_ns <= ended_ns for at_ns in splits_ns)
            for other in copied
        )

    if value == INITIAL and not gone(-math.inf):
        return
    is_zeros = value == world.zeros_of(block)
    for one in reversed(copied):
        found = world.zeros_of(one.source) if is_zeros else value
        to_ns = min(one.over_ns, ended_ns)
        begun = one.note.began_ns <= to_ns
        if begun and sources[one.source].held(found, one.note.began_ns, to_ns) and not gone(one.over_ns):
            return
    place = f"block {block % 10**9} of VDisk {block // 10**9}"
    raise Failed("copies", f"{place} holds {value}, of no copy: {read}, {copied[-3:]}")
