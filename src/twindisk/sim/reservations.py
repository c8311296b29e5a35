"""Reservations and resets in a simulated engine: a log of them, kept in the shared record, and the commands that it concerns.

It does around the core what the real engine does (native/runtime/src/shared_state.rs); the log stands for SCSI's state. Rules:

1. The record is the whole log: who registered and who was preempted, and what was reset, in order. A write of a name that is not
   registered, or was preempted since, is refused. A reset ends all commands of all initiators, on both nodes.
2. A refusal counts once the core has said that the record is known as it is.
3. Names are never used again, so that a write of a preempted name that lands later gives itself away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.engine import Engine

Reply = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the log: ``register`` or ``preempt`` of a name, or ``reset``, numbered by its attempt."""

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


def resets(log: list[Entry]) -> list[Entry]:
    """Return the resets of a log, in order."""
    return [entry for entry in log if entry.what == "reset"]


class Marked(Protocol):
    """What is marked as it comes to a node."""

    resets: int | None
    """How many resets are in force there."""


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
    mark: Marked | None = None
    """What its initiator keeps of it."""


class Unit:
    """One VDisk's reservations on one node, during one life."""

    def __init__(self, engine: "Engine", serial: str) -> None:
        self._engine = engine
        self._serial = serial
        self.log: list[Entry] = []
        self._asked: dict[int, Guarded] = {}
        self._open: dict[int, int] = {}
        """All commands that were not answered, and how many resets were in force when they came."""
        self._left: set[int] = set()
        """Commands that what is in force ends, and that have not ended yet."""
        self._drain: int | None = None
        """The version that counts as in force when these have ended."""

    @property
    def resets(self) -> int:
        """How many resets are in force."""
        return len(resets(self.log))

    def came(self, number: int) -> None:
        """Take note of a command."""
        self._open[number] = self.resets

    def begin(self, asked: Guarded, reply: Reply) -> int:
        """Begin a command; return its number."""
        number = self._engine.enlist(reply)
        self.came(number)
        if asked.mark is not None:
            asked.mark.resets = self.resets
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
        drain = asked.entry.what in {"preempt", "reset"}
        self._engine.node.turn_computed(self._serial, number, record, drain, self._engine.now_ns)

    def record(self, version: int, record: bytes, *, drain: bool) -> None:
        """Put a record in force."""
        before, resets_before = registered(self.log), self.resets
        self.log = decode(record)
        forbidden = before - registered(self.log)
        reset = self.resets != resets_before
        for number in list(self._open):
            self._look_at(number, forbidden, reset=reset)
        if not drain:
            self._engine.node.record_taken(self._serial, version, self._engine.now_ns)
        self._drain = version if drain else None
        self._finish()

    def _look_at(self, number: int, forbidden: set[str], *, reset: bool) -> None:
        """See whether what was put in force ends a command; ``forbidden``: the names that it takes the right to write."""
        asked = self._asked.get(number)
        unbegun = self._engine.node.can_withdraw(self._serial, number)
        change = asked is not None and asked.kind == "change"
        if change and (not unbegun or (asked and asked.entry and asked.entry.what == "reset")):
            return
        writes = asked is not None and asked.kind == "write"
        ends = reset or number in self._left or (writes and asked is not None and asked.name in forbidden)
        if ends and not self._engine.spares:
            if unbegun:
                self._take_back(number, "aborted")
            else:
                self._left.add(number)
        elif writes and unbegun and asked and not asked.settling and asked.name not in registered(self.log):
            self._take_back(number, "conflict")

    def _take_back(self, number: int, how: str) -> None:
        self._asked.pop(number, None)
        self._open.pop(number, None)
        self._left.discard(number)
        self._engine.withdraw(self._serial, number, how)

    def answered(self, number: int) -> None:
        """Check a preemption or a reset as it is answered: nothing that it ends is under way on either node."""
        asked = self._asked.get(number)
        if asked is None or asked.entry is None or asked.entry.what == "register":
            return
        for unit in self._engine.units_of(self._serial):
            if asked.entry.what == "preempt":
                under_way = unit.writing(asked.entry.name)
            else:
                under_way = unit.older(1 + resets(self.log).index(asked.entry))
            if under_way:
                raise Failed("fencing", f"{asked.entry} is answered while {under_way} are under way")

    def writing(self, name: str) -> list[int]:
        """Return the writes of a name that have begun."""
        begun = [number for number, asked in self._asked.items() if asked.kind == "write" and asked.name == name]
        return [number for number in begun if not self._engine.node.can_withdraw(self._serial, number)]

    def older(self, count: int) -> list[int]:
        """Return the commands, but for changes of the log, that came before so many resets were in force."""
        changes = {number for number, asked in self._asked.items() if asked.kind == "change"}
        return [number for number, seen in self._open.items() if seen < count and number not in changes]

    def ended(self, number: int) -> None:
        """Take note that a command has ended."""
        self._asked.pop(number, None)
        self._see(number)

    def _see(self, number: int) -> None:
        self._open.pop(number, None)
        self._left.discard(number)
        self._finish()

    def _finish(self) -> None:
        if self._drain is not None and not self._left:
            version, self._drain = self._drain, None
            self._engine.node.record_taken(self._serial, version, self._engine.now_ns)
