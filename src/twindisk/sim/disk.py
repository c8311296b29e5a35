"""A node's disk under one copy: what the process sees, what power loss leaves, and operations under way.

Rules:

1. A change takes effect at some moment before its completion is reported; a flush makes durable what was completed when
   it was asked for. Metadata are durable once their completion was reported.
2. Killing the process keeps everything completed; what was under way is done, not done, or done in part (by block).
3. Power loss keeps what was flushed; of the rest each block is kept or lost by chance.
4. A full disk takes no data where there are none: such a change fails, done in part. What was there can be changed. Zeros take no space, but only an
   unmap and a sparse write give some back.
5. The core never has two operations under way that overlap, if one of them is a change: checked at every start.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final

from twindisk.sim.clock import MS, Clock
from twindisk.sim.trace import Failed

BLOCK: Final = 512
EXTENT: Final = 4 << 20
_ZEROS: Final = bytes(BLOCK)
_LONG_FLUSH: Final = 0.2
"""The part of all flushes that find much to write."""
_LONG_FLUSH_NS: Final = 100 * MS
"""What such a flush takes at most, beside what every operation takes."""
NO_SPACE: Final = 28
"""ENOSPC."""
_WRITES: Final = frozenset({"write", "sparse"})
"""Operations that come with the blocks' bytes."""
_CHANGES: Final = _WRITES | {"unmap"}
_RANGED: Final = _CHANGES | {"read"}
"""Operations on a range of blocks."""

Action = tuple[Any, ...]
"""``("disk", serial, id, operation, ...)`` of ``SimNode.take_actions``."""


@dataclass(slots=True)
class Record:
    """Metadata as they are on the disk."""

    facts: dict[str, Any]
    active: list[int]
    bitmap: dict[int, int]
    shared: bytes = b""
    """The shared record; empty: there was none yet."""


@dataclass(slots=True)
class _Running:
    action: Action
    done: Callable[[Any], None]
    flushed_to: int


class Blocks:
    """Blocks by number; a block that is not there is zeros."""

    def __init__(self) -> None:
        self.map: dict[int, bytes] = {}

    def read(self, offset: int, len_bytes: int) -> bytes:
        """Return the bytes of a range of whole blocks."""
        numbers = range(offset // BLOCK, (offset + len_bytes) // BLOCK)
        return b"".join(map(self.map.get, numbers, repeat(_ZEROS)))

    def put(self, number: int, block: bytes) -> None:
        """Store one block."""
        if block == _ZEROS:
            self.map.pop(number, None)
        else:
            self.map[number] = block


def _blocks_of(action: Action) -> list[tuple[int, bytes]]:
    first = action[4] // BLOCK
    if action[3] == "unmap":
        return [(first + n, _ZEROS) for n in range(action[5] // BLOCK)]
    data = action[5]
    return [(first + n, data[n * BLOCK : (n + 1) * BLOCK]) for n in range(len(data) // BLOCK)]


class Disk:
    """One copy's disk."""

    def __init__(self, clock: Clock, rng: random.Random, record: Record) -> None:
        self._clock = clock
        self._rng = rng
        self.seen = Blocks()
        self.durable = Blocks()
        self.record = record
        self.slow = 1
        """Factor of every latency."""
        self.failing = False
        self.room: int | None = None
        """How many more blocks there is space for; None: any number."""
        self._zeros: set[int] = set()
        """Blocks that have space, and hold zeros; known while there is little room."""
        self._unflushed: list[tuple[int, list[tuple[int, bytes]]]] = []
        self._count = 0
        self._running: dict[int, _Running] = {}
        self._life = 0

    def prefill(self, number: int, block: bytes) -> None:
        """Put a block there as if it had always been there."""
        self.seen.put(number, block)
        self.durable.put(number, block)

    # --- operations ---

    def start(self, action: Action, done: Callable[[Any], None]) -> None:
        """Begin an operation; ``done`` is called with its outcome."""
        self._check_overlap(action)
        if action[3] == "late":
            # A planted bug: see the mutants.
            self._clock.after(0, done, None)
            self._clock.after(20 * MS, self._apply_late, self._life, action)
            return
        self._running[action[2]] = _Running(action, done, self._count)
        self._clock.after(self._latency_ns(action[3]), self._finish, self._life, action[2])

    def _latency_ns(self, operation: str) -> int:
        chance = self._rng.random()
        base = 0.05 + 0.6 * self._rng.random() if chance < 0.9 else 10 * self._rng.random()
        latency_ns = int(base * MS * self.slow)
        if operation == "flush" and self._rng.random() < _LONG_FLUSH:
            latency_ns += int(_LONG_FLUSH_NS * self._rng.random())
        return latency_ns

    def _finish(self, life: int, number: int) -> None:
        if life != self._life:
            return
        running = self._running.pop(number)
        if self.failing:
            running.done(5)
        else:
            running.done(self._carry_out(running))

    def _carry_out(self, running: _Running) -> Any:
        action = running.action
        kind = action[3]
        if kind == "read":
            return self.seen.read(action[4], action[5])
        if kind in _CHANGES:
            return self._change(_blocks_of(action), gives_back=kind != "write")
        if kind == "flush":
            self._flush(running.flushed_to)
        elif kind == "persist":
            self._persist(action, stages=4)
        elif kind == "ranges":
            held = range(action[4] // BLOCK, (action[4] + action[5]) // BLOCK)
            return [(n * BLOCK, BLOCK) for n in sorted(self.seen.map) if n in held]
        elif kind == "allocated":
            return [(extent,) for extent in sorted({n * BLOCK // EXTENT for n in self.seen.map})]
        return None

    def _change(self, blocks: list[tuple[int, bytes]], *, gives_back: bool) -> int | None:
        """Apply a change, as far as there is space; return the error number if there is not enough."""
        if self.room is None:
            self._zeros.clear()
            self._apply(blocks)
            return None
        new = [at for at, (number, block) in enumerate(blocks) if block != _ZEROS and not self._has_space(number)]
        is_short = len(new) > self.room
        if is_short:
            blocks = blocks[: new[self.room]]
        zeros = {number for number, block in blocks if block == _ZEROS and self._has_space(number)}
        self._zeros.difference_update(number for number, _ in blocks)
        if not gives_back:
            self._zeros |= zeros
        self.room = 0 if is_short else self.room - len(new)
        self.room += len(zeros) if gives_back else 0
        self._apply(blocks)
        return NO_SPACE if is_short else None

    def _has_space(self, number: int) -> bool:
        return number in self.seen.map or number in self._zeros

    def _apply(self, blocks: list[tuple[int, bytes]]) -> None:
        for number, block in blocks:
            self.seen.put(number, block)
        self._count += 1
        self._unflushed.append((self._count, blocks))

    def _apply_late(self, life: int, action: Action) -> None:
        if life == self._life:
            self._apply(_blocks_of(action))

    def _flush(self, to: int) -> None:
        while self._unflushed and self._unflushed[0][0] <= to:
            for number, block in self._unflushed.pop(0)[1]:
                self.durable.put(number, block)

    def _persist(self, action: Action, stages: int) -> None:
        """Shared record, bits gained, facts, bits lost: the first ``stages`` of these."""
        facts, active, reset, words, shared = action[4:9]
        if stages >= 1 and shared is not None:
            self.record.shared = shared
        target = {} if reset else dict(self.record.bitmap)
        target.update(words)
        if stages >= 2:
            for extent, word in target.items():
                self.record.bitmap[extent] = self.record.bitmap.get(extent, 0) | word
        if stages >= 3:
            self.record.facts, self.record.active = dict(facts), list(active)
        if stages >= 4:
            self.record.bitmap = {extent: word for extent, word in target.items() if word}

    def _check_overlap(self, action: Action) -> None:
        if not self._running or action[3] not in _RANGED:
            return
        start, end, changes = _range(action)
        for other in self._running.values():
            if other.action[3] in _RANGED:
                other_start, other_end, other_changes = _range(other.action)
                if start < other_end and other_start < end and (changes or other_changes):
                    raise Failed(
                        "order", f"operations that overlap are under way: {action[2:5]} and {other.action[2:5]}"
                    )

    # --- ends ---

    def kill(self) -> None:
        """End what is under way: the process died."""
        for running in self._end():
            self._apply([block for block in self._maybe(running.action) if self._rng.random() < 0.5])

    def power_loss(self) -> None:
        """Lose what chance takes of the unflushed: power failed."""
        self.kill()
        for _, blocks in self._unflushed:
            whole = self._rng.random()
            for number, block in blocks:
                if self._rng.random() < whole:
                    self.durable.put(number, block)
        self._unflushed.clear()
        self.seen.map = dict(self.durable.map)

    def _end(self) -> list[_Running]:
        self._life += 1
        ended = list(self._running.values())
        self._running.clear()
        return ended

    def _maybe(self, action: Action) -> list[tuple[int, bytes]]:
        if action[3] == "persist":
            self._persist(action, stages=self._rng.randrange(5))
        if action[3] in _CHANGES and self._rng.random() < 0.7:
            return _blocks_of(action)
        return []

    @property
    def has_unflushed(self) -> bool:
        """Whether power loss could lose anything."""
        return bool(self._unflushed)


def _range(action: Action) -> tuple[int, int, bool]:
    start = action[4]
    length = len(action[5]) if action[3] in _WRITES else action[5]
    return start, start + length, action[3] != "read"
