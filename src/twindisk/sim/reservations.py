"""Reservations in a simulated engine: a log of registrations, kept in the shared record, and the commands that it concerns.

It does around the core what the real engine does (native/runtime/src/reserve.rs); the log stands for SCSI's table. Rules:

1. The record is the whole log: who registered and who was preempted, in order. A write of a name that is not registered, or
   was preempted since, is refused.
2. A refusal counts once the core has said that the record is known as it is.
3. Names are never used again, so that a write of a preempted name that lands later gives itself away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.engine import Engine

Reply = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the log: ``register`` or ``preempt`` of a name, numbered by its attempt."""

    number: int
    what: str
    name: str


def encode(log: list[Entry]) -> bytes:
    """Return a log as the record holds it."""
    return " ".join(f"{entry.number}:{entry.what}:{entry.name}" for entry in log).encode()


def decode(record: bytes) -> list[Entry]:
    """Return the log that a record holds."""
    parts = [part.split(":") for part in record.decode().split()]
    return [Entry(int(number), what, name) for number, what, name in parts]


def registered(log: list[Entry]) -> set[str]:
    """Return who may write."""
    names: set[str] = set()
    for entry in log:
        (names.add if entry.what == "register" else names.discard)(entry.name)
    return names


@dataclass(slots=True)
class Guarded:
    """A command that reservations concern."""

    kind: str
    """``write`` by a name, ``change`` the log, ``look`` at it."""
    name: str
    entry: Entry | None = None
    call: tuple[str, tuple[Any, ...]] = ("", ())
    """The write, as the core takes it."""
    settling: bool = False
    computed: bool = False


class Unit:
    """One VDisk's reservations on one node, during one life."""

    def __init__(self, engine: "Engine", serial: str) -> None:
        self._engine = engine
        self._serial = serial
        self.log: list[Entry] = []
        self._asked: dict[int, Guarded] = {}
        self._drain: tuple[int, set[int]] | None = None

    def begin(self, asked: Guarded, reply: Reply) -> int:
        """Begin a command; return its number."""
        number = self._engine.enlist(reply)
        self._asked[number] = asked
        if asked.kind == "change":
            tag = asked.entry.number if asked.entry else 0
            self._engine.again(self._serial, number, "host_turn", (tag,))
        elif asked.kind == "write" and asked.name in registered(self.log):
            self._engine.again(self._serial, number, *asked.call)
        else:
            asked.settling = True
            self._engine.again(self._serial, number, "host_settle", ())
        return number

    def settled(self, number: int) -> bool:
        """Go on with a command that waited for the record; False if it did not."""
        asked = self._asked.get(number)
        if asked is None or not asked.settling:
            return False
        asked.settling = False
        if asked.kind == "write" and asked.name in registered(self.log):
            self._engine.again(self._serial, number, *asked.call)
        else:
            del self._asked[number]
            found = list(self.log) if asked.kind == "look" else None
            self._engine.answer(number, "conflict" if found is None else "log", found)
            self._see(number)
        return True

    def turn(self, number: int) -> None:
        """Compute a change: it is the command's turn."""
        asked = self._asked.get(number)
        if asked is None or asked.entry is None:
            self._engine.node.turn_computed(self._serial, number, None, False, self._engine.now_ns)
            return
        record = encode([*self.log, asked.entry])
        drain = asked.entry.what == "preempt"
        asked.computed = self._engine.node.turn_computed(self._serial, number, record, drain, self._engine.now_ns)

    def record(self, version: int, record: bytes, *, drain: bool) -> None:
        """Put a record in force."""
        before, self.log = registered(self.log), decode(record)
        allowed = registered(self.log)
        left = set()
        for number, asked in list(self._asked.items()):
            held = self._engine.node.holds(self._serial, number)
            if asked.kind != "write" or asked.name in allowed:
                continue
            if held and not asked.settling:
                self._take_back(number)
            elif drain and asked.name in before:
                left.add(number)
        self._drain = (version, left)
        self._finish()

    def _take_back(self, number: int) -> None:
        del self._asked[number]
        self._engine.withdraw(self._serial, number, "conflict")

    def answered(self, number: int) -> None:
        """Check a preemption as it is answered: no write that it forbids is under way on either node."""
        asked = self._asked.get(number)
        if asked is None or asked.entry is None or asked.entry.what != "preempt":
            return
        for unit in self._engine.units_of(self._serial):
            writing = unit.writing(asked.entry.name)
            if writing:
                raise Failed("fencing", f"{asked.entry} is answered while {writing} are under way")

    def writing(self, name: str) -> list[int]:
        """Return the writes of a name that have begun."""
        holds = self._engine.node.holds
        return [
            number
            for number, asked in self._asked.items()
            if asked.kind == "write" and asked.name == name and not asked.settling and not holds(self._serial, number)
        ]

    def ended(self, number: int) -> None:
        """Take note that a command has ended."""
        self._asked.pop(number, None)
        self._see(number)

    def _see(self, number: int) -> None:
        if self._drain is not None:
            self._drain[1].discard(number)
            self._finish()

    def _finish(self) -> None:
        if self._drain is not None and not self._drain[1]:
            version, self._drain = self._drain[0], None
            self._engine.node.record_taken(self._serial, version, self._engine.now_ns)
