"""Initiators: several workers each, one command at a time per worker, over either path; retried on the other one.

Rules:

1. Every block of every attempt to write has a value of its own, so that a read tells which write it saw.
2. An attempt that was not answered with success may have been carried out, and may still be until a later attempt of the
   same command is answered: what happens after that would be a ghost.
3. A command that is not answered in time costs its session: the node is told to forget it, when it hears of it.
4. COMPARE AND WRITE compares with what the initiators saw last, or with what a write leaves that is not answered, and is tried once. One that ended with a miscompare is no write:
   whoever reads its value has found a fault. A value gives way to at most one of them.
5. Hosts die, too: some of what failed is never tried again, and half of what failed for a cold block (:mod:`twindisk.sim.cold`).
6. UNMAP is tried once per block, of blocks that were never zeros before: so zeros tell that it was carried out.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from twindisk.initiator.history import INITIAL, History
from twindisk.sim.clock import MS
from twindisk.sim.disk import BLOCK

if TYPE_CHECKING:
    from twindisk.sim.world import World

PREFILL: Final = 1 << 40
"""Value that every block used by initiators holds before the first write."""

_STUCK_NS: Final = 100 * MS
"""A write that has taken longer is taken to be held."""
_GIVEN_UP: Final = 0.1
"""The part of all commands that failed whose host died with them."""


def block_of(value: int) -> bytes:
    """Return the bytes of a block that holds a value."""
    return value.to_bytes(8, "big") * (BLOCK // 8)


@dataclass(slots=True)
class Attempt:
    """One command on its way to one node."""

    worker: "Worker"
    node: int
    serial: str
    kind: str
    first: int
    values: list[int]
    fua: bool
    began_ns: int
    over: bool = False
    sent_life: int = 0
    number: int | None = None
    expected: int | None = None
    """The value that a COMPARE AND WRITE compares with."""
    chain: list["Note"] = field(default_factory=list)
    """What earlier attempts of the same command wrote."""
    resets: int | None = None
    """How many resets were in force on the node when it came; None: it has not come."""


@dataclass(slots=True)
class Note:
    """One block of one attempt to write."""

    block: int
    value: int
    began_ns: int
    ended_ns: float
    """When it was answered; inf: it was not."""
    fua: bool
    bound_ns: float = math.inf
    """When a later attempt of the same command was answered: from then on this one must not be carried out."""
    resets: int | None = None
    """How many resets were in force on the node when it came; None: it never came."""


@dataclass(frozen=True, slots=True)
class Swap:
    """A COMPARE AND WRITE that was carried out, or of which nobody knows (``certain`` is false)."""

    block: int
    expected: int
    value: int
    began_ns: int
    ended_ns: float
    """When it was answered; inf: it was not."""
    certain: bool


@dataclass(slots=True)
class Recorder:
    """What all initiators saw, in the form that the checker takes, and what was flushed."""

    history: History = field(default_factory=History)
    notes: list[Note] = field(default_factory=list)
    reads: list[tuple[int, int, int, int]] = field(default_factory=list)
    swaps: list[Swap] = field(default_factory=list)
    known: dict[int, int] = field(default_factory=dict)
    """The value that was seen or written last, by block."""
    unanswered: dict[int, list[int]] = field(default_factory=dict)
    """Values of the latest writes that were not answered, by block."""
    flushes: list[tuple[int, int, int]] = field(default_factory=list)
    """Flushes that were answered: VDisk's index, began, ended."""
    refused: dict[tuple[int, int], int] = field(default_factory=dict)
    """Block and value of writes for which there was no space, and when that was answered."""

    def forget_unmade(self) -> None:
        """Forget reads of what was refused for want of space after they had begun: one node may have had it before both had not."""
        self.reads = [
            read for read in self.reads if not (read[:2] in self.refused and read[2] <= self.refused[read[0], read[1]])
        ]


class Worker:
    """One command after the other."""

    def __init__(self, world: "World", name: str) -> None:
        self._world = world
        self.name = name
        self.attempt: Attempt | None = None
        self._node = world.rng.randrange(2)
        self.answered = 0

    def start(self) -> None:
        """Go on with the next command, after a pause."""
        self._pause(self._next)

    def _pause(self, call: Any) -> None:
        self._world.clock.after(int(self._world.rng.expovariate(1 / self._world.think_ms) * MS), call)

    def _next(self) -> None:
        if not self._world.load:
            self._world.clock.after(200 * MS, self._next)
            return
        rng = self._world.rng
        if rng.random() < 0.5:
            self._node = 1 - self._node
        self._choose(rng.random())

    def _choose(self, chance: float) -> None:
        rng = self._world.rng
        serial = rng.choice(list(self._world.vdisks))
        places = self._world.places
        first = rng.choice(places)
        count = rng.randint(1, 3)
        count = next(n for n in range(count, 0, -1) if all(first + i in places for i in range(n)))
        rivals = self._writes_under_way()
        stuck = [attempt for attempt in rivals if self._world.clock.now_ns - attempt.began_ns > _STUCK_NS]
        if rivals and rng.random() < (0.3 if stuck else 0.05):
            rival = rng.choice(stuck or rivals)
            self._node = 1 - rival.node
            self._send("compare_and_write", rival.serial, rival.first + rng.randrange(len(rival.values)), 1)
        elif chance < 0.1:
            self._send("compare_and_write", serial, first, 1)
        elif chance < 0.9 and rng.random() < self._world.cold.part:
            self._go_cold(serial, write=chance < 0.5)
        elif chance < 0.5:
            self._send("write", serial, first, count)
        elif chance < 0.9:
            self._send("read", serial, first, count)
        elif chance < 0.94 and self._world.unmappable:
            serial, first = self._world.unmappable.pop(rng.randrange(len(self._world.unmappable)))
            self._send("unmap", serial, first, 1)
        else:
            self._send("flush", serial, 0, 0)

    def _go_cold(self, serial: str, *, write: bool) -> None:
        """Write a block that lies apart, or read one that was written."""
        cold = self._world.cold
        number = cold.take(serial) if write else None
        if number is not None:
            self._send("write", serial, number, 1)
        elif cold.written[serial]:
            self._send("read", serial, self._world.rng.choice(cold.written[serial]), 1)
        else:
            self.start()

    def _gives_up(self, attempt: Attempt) -> bool:
        """Return whether a host dies with a command that failed."""
        return self._world.rng.random() < (0.5 if attempt.first in self._world.cold else _GIVEN_UP)

    def _again(self, before: Attempt) -> None:
        """Try a command again over the other path; a write with new values, so that a late attempt gives itself away."""
        self._send(before.kind, before.serial, before.first, len(before.values), before.chain)

    def _send(self, kind: str, serial: str, first: int, count: int, chain: list[Note] | None = None) -> None:
        world = self._world
        fresh = kind in {"write", "unmap", "compare_and_write"}
        values = [world.fresh_value() for _ in range(count)] if fresh else [0] * count
        if kind == "unmap":
            values = [world.unmapped_value(serial, first)]
        fua = kind in {"write", "compare_and_write"} and world.rng.random() < 0.15
        attempt = Attempt(self, self._node, serial, kind, first, values, fua, world.clock.now_ns)
        if chain is not None:
            attempt.chain = chain
        if kind == "compare_and_write":
            attempt.expected = self._guess(world.block_name(serial, first))
        self.attempt = attempt
        world.trace.note(
            self.name, "%s -> %s %s %s %s%s", kind, "AB"[self._node], serial[-1], first, values, " fua" if fua else ""
        )
        world.clock.after(world.hop_ns(), self._arrive, attempt)
        world.clock.after(world.rng.randint(4000, 7000) * MS, self._time_out, attempt)

    def _writes_under_way(self) -> list[Attempt]:
        attempts = [worker.attempt for worker in self._world.workers]
        return [attempt for attempt in attempts if attempt and attempt.kind == "write" and not attempt.over]

    def _guess(self, block: int) -> int:
        """Return a value that a block may hold: the one known, or one that is being written or was not answered."""
        recorder = self._world.recorder
        if self._world.rng.random() < 0.7:
            values = [
                value
                for attempt in self._writes_under_way()
                for at, value in enumerate(attempt.values)
                if self._world.block_name(attempt.serial, attempt.first + at) == block
            ]
            values += recorder.unanswered.get(block, [])
            if values:
                return self._world.rng.choice(values)
        return recorder.known.get(block, INITIAL)

    def _arrive(self, attempt: Attempt) -> None:
        machine = self._world.machines[attempt.node]
        attempt.sent_life = machine.life
        if machine.daemon is None:
            self._world.clock.after(20 * MS, self.failed, attempt, "refused")
        else:
            machine.enter(machine.life, self._begin, (attempt,))

    def _begin(self, attempt: Attempt) -> None:
        daemon = self._world.machines[attempt.node].daemon
        if daemon is None:
            return
        offset = attempt.first * BLOCK
        arguments: tuple[Any, ...]
        if attempt.kind == "read":
            arguments = (offset, len(attempt.values) * BLOCK)
        elif attempt.kind == "write":
            arguments = (offset, b"".join(block_of(value) for value in attempt.values), attempt.fua)
        elif attempt.kind == "compare_and_write":
            expected = self._bytes_of(attempt.serial, attempt.first, attempt.expected or INITIAL)
            arguments = (offset, expected, block_of(attempt.values[0]), attempt.fua)
        elif attempt.kind == "unmap":
            arguments = (offset, len(attempt.values) * BLOCK)
        else:
            arguments = ()

        def reply(how: str, what: Any) -> None:
            self._world.clock.after(self._world.hop_ns(), self._answered, attempt, how, what)

        attempt.resets = daemon.engine.units[attempt.serial].resets
        attempt.number = daemon.engine.host(attempt.serial, "host_" + attempt.kind, arguments, reply)

    def _answered(self, attempt: Attempt, how: str, what: Any) -> None:
        if attempt.over:
            return
        if how == "not-ready":
            self.failed(attempt, f"not ready: {what}")
            return
        if how == "no-space":
            self._refused(attempt)
        if how in {"unknown", "aborted", "overtaken", "no-space"}:
            self.failed(attempt, how)
            return
        attempt.over = True
        if how == "miscompare":
            self._world.recorder.known.pop(self._world.block_name(attempt.serial, attempt.first), None)
        else:
            self._record(attempt, self._world.clock.now_ns, what)
        self.answered += 1
        self._world.trace.note(
            self.name,
            "%s answered by %s: %s %s %s",
            attempt.kind,
            "AB"[attempt.node],
            how,
            attempt.first,
            attempt.values,
        )
        self.start()

    def _refused(self, attempt: Attempt) -> None:
        """Take note that a write was not made, or in part."""
        recorder = self._world.recorder
        for at, value in enumerate(attempt.values):
            block = self._world.block_name(attempt.serial, attempt.first + at)
            recorder.refused[block, value] = self._world.clock.now_ns

    def failed(self, attempt: Attempt, why: str) -> None:
        """End an attempt whose outcome is unknown, and try the other path."""
        if attempt.over:
            return
        attempt.over = True
        self._world.trace.note(
            self.name, "%s failed at %s: %s (%s)", attempt.kind, "AB"[attempt.node], attempt.first, why
        )
        self._node = 1 - attempt.node
        if attempt.kind != "read":
            self._record(attempt, math.inf, None)
        tried_once = attempt.kind in {"unmap", "compare_and_write"}
        if self._world.load and not tried_once and not self._gives_up(attempt):
            self._pause(lambda: self._again(attempt))
        else:
            self.start()

    def _time_out(self, attempt: Attempt) -> None:
        if attempt.over:
            return
        self.failed(attempt, "timed out")
        machine = self._world.machines[attempt.node]
        if machine.life == attempt.sent_life:
            self._world.clock.after(self._world.hop_ns(), machine.enter, machine.life, self._cancel, (attempt,))

    def _cancel(self, attempt: Attempt) -> None:
        daemon = self._world.machines[attempt.node].daemon
        if daemon is not None and attempt.number is not None:
            daemon.engine.cancel(attempt.serial, attempt.number)

    def _record(self, attempt: Attempt, ended: float, what: Any) -> None:
        recorder = self._world.recorder
        if attempt.kind == "flush":
            if ended != math.inf:
                recorder.flushes.append((self._world.index_of(attempt.serial), attempt.began_ns, int(ended)))
            return
        for at, value in enumerate(attempt.values):
            block = self._world.block_name(attempt.serial, attempt.first + at)
            if attempt.kind == "read":
                seen = self.value_of(attempt.serial, attempt.first + at, what[at * BLOCK : (at + 1) * BLOCK])
                attempt.values[at] = seen
                recorder.reads.append((block, seen, attempt.began_ns, int(ended)))
                if seen >= INITIAL:
                    recorder.known[block] = seen
            else:
                self._record_change(attempt, block, value, ended)
        if attempt.kind == "write" and ended != math.inf:
            for note in attempt.chain:
                note.bound_ns = ended

    def _record_change(self, attempt: Attempt, block: int, value: int, ended: float) -> None:
        recorder = self._world.recorder
        note = Note(block, value, attempt.began_ns, ended, attempt.fua, resets=attempt.resets)
        recorder.notes.append(note)
        attempt.chain.append(note)
        if ended != math.inf:
            recorder.known[block] = value
        elif attempt.kind == "write":
            recorder.unanswered[block] = [*recorder.unanswered.get(block, []), value][-2:]
        if attempt.expected is not None:
            certain = ended != math.inf
            recorder.swaps.append(Swap(block, attempt.expected, value, attempt.began_ns, ended, certain))

    def _bytes_of(self, serial: str, number: int, value: int) -> bytes:
        """Return what a block with a value holds, the opposite of :meth:`value_of`."""
        if value == self._world.unmapped_value(serial, number) or (value == INITIAL and number in self._world.cold):
            return bytes(BLOCK)
        return block_of(PREFILL if value == INITIAL else value)

    def value_of(self, serial: str, number: int, block: bytes) -> int:
        """Return the value that a block's bytes stand for; -1 for bytes that nobody wrote."""
        value = int.from_bytes(block[:8], "big")
        if block != block_of(value):
            return -1
        if value == 0:
            return INITIAL if number in self._world.cold else self._world.unmapped_value(serial, number)
        return INITIAL if value == PREFILL else value
