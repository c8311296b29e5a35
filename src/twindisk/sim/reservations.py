"""Reservations and resets in a simulated engine: a log of them, kept in the shared record, and the commands that it concerns.

It does around the core what the real engine does (native/runtime/src/shared_state.rs); the log stands for SCSI's state. Rules:

1. The record is the whole log, in order; :mod:`twindisk.sim.rights` says who may write by it. A reset ends all commands of all
   initiators, on both nodes.
2. A refusal counts once the core has said that the record is known as it is.
3. Names are never used again, so that a write of a preempted name that lands later gives itself away.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twindisk.sim.rights import DRAINING, EMPTY, Entry, Log, Rights, encode, read, resets
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.engine import Engine

Reply = Callable[[str, Any], None]


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
        self._log: Log = EMPTY
        self._rights = Rights()
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
        return self._log.resets

    @property
    def log(self) -> list[Entry]:
        """The log that is in force."""
        return self._log.entries

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
        elif asked.kind == "write" and self._rights.refusal(asked.name) is None:
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
        refusal = self._rights.refusal(asked.name) if asked.kind == "write" else "log"
        if refusal is None:
            self._engine.again(self._serial, number, *asked.call)
        else:
            del self._asked[number]
            self._engine.answer(number, refusal, list(self.log) if refusal == "log" else None)
            self._see(number)
        return True

    def turn(self, number: int) -> None:
        """Compute a change: it is the command's turn."""
        asked = self._asked.get(number)
        if asked is None or asked.entry is None:
            self._engine.node.turn_computed(self._serial, number, None, False, self._engine.now_ns)
            return
        record = encode([*self.log, asked.entry])
        drain = asked.entry.what in DRAINING
        self._engine.node.turn_computed(self._serial, number, record, drain, self._engine.now_ns)

    def record(self, version: int, record: bytes, *, drain: bool) -> None:
        """Put a record in force."""
        before, resets_before = self._rights, self.resets
        self._log = read(record)
        self._rights = self._engine.known(self._log.rights)
        reset = self.resets != resets_before
        for number in list(self._open):
            self._look_at(number, before, reset=reset)
        if not drain:
            self._engine.node.record_taken(self._serial, version, self._engine.now_ns)
        self._drain = version if drain else None
        self._finish()

    def _look_at(self, number: int, before: Rights, *, reset: bool) -> None:
        """See whether what was put in force ends a command; ``before``: what was in force until now."""
        asked = self._asked.get(number)
        unbegun = self._engine.node.can_withdraw(self._serial, number)
        change = asked is not None and asked.kind == "change"
        if change and (not unbegun or (asked and asked.entry and asked.entry.what == "reset")):
            return
        refusal = self._rights.refusal(asked.name) if asked is not None and asked.kind == "write" else None
        loses = refusal is not None and asked is not None and before.refusal(asked.name) is None
        if (reset or number in self._left or loses) and not self._engine.spares:
            if unbegun:
                self._take_back(number, "aborted")
            else:
                self._left.add(number)
        elif refusal is not None and unbegun and asked and not asked.settling:
            self._take_back(number, refusal)

    def _take_back(self, number: int, how: str) -> None:
        self._asked.pop(number, None)
        self._open.pop(number, None)
        self._left.discard(number)
        self._engine.withdraw(self._serial, number, how)

    def answered(self, number: int) -> None:
        """Check a preemption or a reset as it is answered: nothing that it ends is under way on either node."""
        asked = self._asked.get(number)
        if asked is None or asked.entry is None or asked.entry.what not in DRAINING:
            return
        for unit in self._engine.units_of(self._serial):
            if not unit.log and unit is not self:
                continue  # Its process has just started and serves nothing yet; the one before had it.
            if asked.entry not in unit.log:
                raise Failed("P5", f"{asked.entry} is answered and in force on one node alone")
            if asked.entry.what == "reset":
                under_way = unit.older(1 + resets(self.log).index(asked.entry))
            else:
                under_way = unit.forbidden() if unit.log[-1:] == [asked.entry] else []
            if under_way:
                raise Failed("fencing", f"{asked.entry} is answered while {under_way} are under way")

    def forbidden(self) -> list[int]:
        """Return the writes that have begun and that the log forbids."""
        rights = self._log.rights
        begun = [
            number for number, asked in self._asked.items() if asked.kind == "write" and rights.refusal(asked.name)
        ]
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
