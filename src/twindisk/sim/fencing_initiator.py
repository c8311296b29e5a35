"""Initiators that fence each other, and what must be true of what they saw.

Rules:

1. A worker registers a new name, writes by it until somebody preempts it, and now and then preempts another's name, resets all,
   reserves the disk (RESERVE) or gives it free, or protects it from writes or no more.
2. Every attempt to change the log has a number of its own; an attempt that was not answered may have been made, once.
3. The checker: every answered change is in the final log once, in an order that time allows; whoever looks sees a part of that
   log that time allows; a write of a preempted name is never carried out after the preemption was answered, and nothing that had
   come to a node before a reset was in force there is carried out after the reset was answered. A write is carried out, or refused,
   only if the log allowed, or forbade it, at a moment of it.
"""

import math
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from twindisk.sim.clock import MS
from twindisk.sim.disk import BLOCK
from twindisk.sim.initiator import Note, block_of
from twindisk.sim.reservations import Guarded
from twindisk.sim.rights import Entry, history, read, resets
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.world import World


@dataclass(slots=True)
class Change:
    """An attempt to change the log."""

    entry: Entry
    serial: str
    began_ns: int
    ended_ns: float = math.inf
    resets: int | None = None
    """How many resets were in force on the node when it came; None: it never came."""


@dataclass(slots=True)
class Look:
    """A look at the log that was answered."""

    serial: str
    log: list[Entry]
    began_ns: int
    ended_ns: int


@dataclass(slots=True)
class Write:
    """A write by a name."""

    serial: str
    name: str
    note: Note
    refused_ns: float = math.inf
    """When it was refused; inf: it was not."""


@dataclass(slots=True)
class Record:
    """What all fencing workers did and saw."""

    changes: list[Change] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)


class FencingWorker:
    """One command after the other: register, write, look, preempt."""

    def __init__(self, world: "World", name: str, record: Record) -> None:
        self._world = world
        self._rng = Random(f"{world.seed} {name}")
        self._name = name
        self._record = record
        self._life = 0
        self._registered = False
        self.serial = self._rng.choice(list(world.vdisks))
        self._attempt = 0
        self.busy = False

    @property
    def name(self) -> str:
        """The name that it writes by now."""
        return f"{self._name}.{self._life}"

    def start(self) -> None:
        """Go on after a pause."""
        self.busy = False
        self._world.clock.after(int(self._rng.expovariate(1 / 60) * MS), self._next)

    def _next(self) -> None:
        if not self._world.load:
            self._world.clock.after(200 * MS, self._next)
            return
        self.busy = True
        chance = self._rng.random()
        if not self._registered:
            self._change("register", self.name)
        elif chance < 0.6:
            self._write()
        elif chance < 0.68:
            self._change("reset", "-")
        elif chance < 0.76:
            self._change(self._rng.choice(["reserve", "release"]), self.name)
        elif chance < 0.8:
            self._change(self._rng.choice(["protect", "unprotect", "unprotect"]), "-")
        elif chance < 0.85:
            self._send(Guarded("look", self.name), self._looked(self._world.clock.now_ns))
        else:
            others = [worker for worker in self._world.fencers if worker is not self and worker.serial == self.serial]
            victim = self._rng.choice([*others, self])
            self._change("preempt", victim.name)

    def _change(self, what: str, name: str) -> None:
        entry = Entry(self._world.fresh_value(), what, name)
        change = Change(entry, self.serial, self._world.clock.now_ns)
        self._record.changes.append(change)

        def answered(how: str, _what: Any) -> None:
            if how == "done":
                change.ended_ns = self._world.clock.now_ns
                self._registered = self._registered or what == "register"
                if name == self.name and what == "preempt":
                    self._begin_life()
            elif what == "register":
                self._begin_life()

        self._send(Guarded("change", self.name, entry, mark=change), answered)

    def _begin_life(self) -> None:
        self._life += 1
        self._registered = False

    def _looked(self, began_ns: int) -> Any:
        def answered(how: str, what: Any) -> None:
            if how == "log":
                self._record.looks.append(Look(self.serial, what, began_ns, self._world.clock.now_ns))

        return answered

    def _write(self) -> None:
        world = self._world
        place = self._rng.choice(world.places)
        value = world.fresh_value()
        note = Note(world.block_name(self.serial, place), value, world.clock.now_ns, math.inf, fua=False)
        write = Write(self.serial, self.name, note)
        self._record.writes.append(write)
        world.recorder.notes.append(note)

        def answered(how: str, _what: Any) -> None:
            if how == "done":
                note.ended_ns = world.clock.now_ns
            elif how == "no-space":
                world.recorder.refused[note.block, value] = world.clock.now_ns
            elif how in {"conflict", "reserved", "protected"}:
                write.refused_ns = world.clock.now_ns
                if how == "conflict":
                    self._begin_life()

        call = ("host_write", (place * BLOCK, block_of(value), False))
        self._send(Guarded("write", self.name, call=call, mark=note), answered)

    def _send(self, asked: Guarded, answered: Any) -> None:
        """Send a command over either path; what comes late, or of a dead process, counts as no answer."""
        world = self._world
        self._attempt += 1
        attempt = self._attempt
        machine = world.machines[self._rng.randrange(2)]
        world.trace.note(self._name, "%s %s %s -> %s", asked.kind, asked.name, asked.entry or "", machine.name)
        number: list[int] = []

        def over(how: str, what: Any) -> None:
            if attempt == self._attempt and self.busy:
                world.trace.note(self._name, "%s: %s", asked.kind, how)
                answered(how, what)
                self.start()

        def reply(how: str, what: Any) -> None:
            world.clock.after(self._hop_ns(), over, how, what)

        def begin() -> None:
            if machine.daemon is not None:
                number.append(machine.daemon.engine.guarded(self.serial, asked, reply))

        def time_out() -> None:
            if attempt == self._attempt and self.busy:
                world.clock.after(self._hop_ns(), machine.enter, life, cancel, ())
                over("no answer", None)

        def cancel() -> None:
            if machine.daemon is not None and number:
                machine.daemon.engine.cancel(self.serial, number[0])

        life = machine.life
        world.clock.after(self._hop_ns(), machine.enter, life, begin, ())
        world.clock.after(self._rng.randint(3000, 6000) * MS, time_out)

    def _hop_ns(self) -> int:
        return int((0.05 + 0.5 * self._rng.random()) * MS)


def _preemptions(record: Record, serial: str, final: list[Entry]) -> dict[str, Change]:
    """Return the answered changes that took a name its registration, the first of each name."""
    by_number = {change.entry.number: change for change in record.changes if change.serial == serial}
    names: set[str] = set()
    found: dict[str, Change] = {}
    for entry in final:
        change = by_number.get(entry.number)
        if entry.what == "register":
            names.add(entry.name)
        elif entry.what != "preempt":
            continue
        elif entry.name in names and change is not None and change.ended_ns != math.inf:
            found.setdefault(entry.name, change)
    return found


def bound_writes(serial: str, record: Record, log: bytes) -> None:
    """Bound the writes of preempted names by the preemption's answer: from then on they must not be carried out."""
    preempted = _preemptions(record, serial, read(log).entries)
    for write in record.writes:
        if write.serial == serial and write.name in preempted:
            ended_ns = preempted[write.name].ended_ns
            if ended_ns > write.note.began_ns:
                bound = ended_ns
                write.note.bound_ns = min(write.note.bound_ns, bound)


def bound_notes(serial: str, record: Record, log: bytes, notes: list[Note]) -> None:
    """Bound one VDisk's writes by the answers of resets that came into force after them: they are carried out before or never."""
    by_number = {change.entry.number: change for change in record.changes if change.serial == serial}
    answered_ns = [by_number[entry.number].ended_ns for entry in resets(read(log).entries)]
    for note in notes:
        later = [] if note.resets is None else answered_ns[note.resets :]
        bound_ns = min((ended_ns for ended_ns in later if ended_ns > note.began_ns), default=math.inf)
        note.bound_ns = min(note.bound_ns, bound_ns)


def check_log(serial: str, record: Record, logs: list[bytes], seen: set[tuple[int, int]]) -> None:
    """Check one VDisk's final logs, kept and in force on both nodes, against everything that was answered."""
    if len(set(logs)) != 1:
        raise Failed("record", f"in sync, but the nodes hold different records: {logs}")
    final = read(logs[0]).entries
    at = {entry.number: index for index, entry in enumerate(final)}
    if len(at) != len(final):
        raise Failed("record", f"a change was made twice: {final}")
    changes = [change for change in record.changes if change.serial == serial]
    _check_changes(changes, at)
    _check_looks(changes, [look for look in record.looks if look.serial == serial], final, at)
    preempted = _preemptions(record, serial, final)
    for write in record.writes:
        carried_out = write.note.ended_ns != math.inf or (write.note.block, write.note.value) in seen
        change = preempted.get(write.name)
        if write.serial == serial and carried_out and change and change.ended_ns < write.note.began_ns:
            raise Failed("fencing", f"a write was carried out after its name was preempted: {write} after {change}")
    _check_rights(changes, [write for write in record.writes if write.serial == serial], final, seen)


def _check_rights(changes: list[Change], writes: list[Write], final: list[Entry], seen: set[tuple[int, int]]) -> None:
    """Check that each write was carried out, or refused, by what the log was at a moment of it."""
    by_number = {change.entry.number: change for change in changes}
    made = [by_number[entry.number] for entry in final]
    rights = list(history(final))
    for write in writes:
        carried_out = write.note.ended_ns != math.inf or (write.note.block, write.note.value) in seen
        refused = write.refused_ns != math.inf
        if not carried_out and not refused:
            continue
        over_ns = write.refused_ns if refused else min(write.note.ended_ns, write.note.bound_ns)
        # What is in force for the write: at least what was answered before it began, at most what had begun before it was over.
        least = max((at + 1 for at, change in enumerate(made) if change.ended_ns < write.note.began_ns), default=0)
        most = max((at + 1 for at, change in enumerate(made) if change.began_ns < over_ns), default=0)
        refusals = [rights[at].refusal(write.name) for at in range(least, max(least, most) + 1)]
        if carried_out and refused:
            raise Failed("fencing", f"a write was refused, but carried out: {write}")
        if carried_out and None not in refusals:
            raise Failed("fencing", f"a write was carried out that the log forbade ({set(refusals)}): {write}")
        if refused and refusals == [None]:
            raise Failed("fencing", f"a write was refused that the log allowed: {write} of {final}")


def _check_changes(changes: list[Change], at: dict[int, int]) -> None:
    for change in changes:
        if change.ended_ns != math.inf and change.entry.number not in at:
            raise Failed("record", f"an answered change is lost: {change}")
    made = sorted((change for change in changes if change.entry.number in at), key=lambda c: at[c.entry.number])
    latest = -math.inf
    done = 0
    for change in made:
        if change.entry.what == "reset":
            done += 1
        elif change.resets is not None and change.resets < done:
            raise Failed("record", f"a change is made after a reset that it had come before: {change}")
        if change.ended_ns < latest:
            raise Failed("record", f"a change comes after one that began when it was answered: {change}")
        latest = max(latest, change.began_ns)


def _check_looks(changes: list[Change], looks: list[Look], final: list[Entry], at: dict[int, int]) -> None:
    began = {change.entry.number: change.began_ns for change in changes}
    for look in looks:
        if look.log != final[: len(look.log)]:
            raise Failed("record", f"somebody saw a log that is no part of the final one: {look} of {final}")
        if any(began[entry.number] > look.ended_ns for entry in look.log):
            raise Failed("record", f"somebody saw a change before it began: {look}")
        missing = [c for c in changes if c.ended_ns < look.began_ns and at[c.entry.number] >= len(look.log)]
        if missing:
            raise Failed("record", f"somebody did not see answered changes: {look} lacks {missing}")
    for look in looks:
        if any(other.ended_ns < look.began_ns and len(other.log) > len(look.log) for other in looks):
            raise Failed("record", f"somebody saw less than somebody before: {look}")
