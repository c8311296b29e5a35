"""Who may write, by the log of a VDisk's shared state: registrations, RESERVE and RELEASE, software write protection, resets.

Rules:

1. The log is the state: both nodes read it alike, so they refuse alike.
2. Only registered names write; none while the disk is protected; none but the holder while it is reserved.
3. A reservation of a name that holds none while another does changes nothing; a reset ends it.
4. A log only grows: what is known of a record is what was known of its beginning, and its last entry.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final


@dataclass(frozen=True, slots=True)
class Entry:
    """One change of the log, numbered by its attempt.

    ``register``, ``preempt``, ``reserve`` or ``release`` of a name; ``protect``, ``unprotect`` or ``reset`` by whoever.
    """

    number: int
    what: str
    name: str


DRAINING = frozenset({"preempt", "reset", "protect", "reserve"})
"""Changes that are in force once what they forbid has ended."""


def encode(log: list[Entry]) -> bytes:
    """Return a log as the record holds it."""
    return " ".join(f"{entry.number}:{entry.what}:{entry.name}" for entry in log).encode()


def _entry_of(part: bytes) -> Entry:
    number, what, name = part.decode().split(":")
    return Entry(int(number), what, name)


def resets(log: list[Entry]) -> list[Entry]:
    """Return the resets of a log, in order."""
    return [entry for entry in log if entry.what == "reset"]


@dataclass(frozen=True, slots=True)
class Rights:
    """What a log comes to."""

    names: frozenset[str] = frozenset()
    holder: str | None = None
    protected: bool = False

    def after(self, entry: Entry) -> "Rights":
        """Return the rights after one more change."""
        match entry.what:
            case "register":
                return replace(self, names=self.names | {entry.name})
            case "preempt":
                return replace(self, names=self.names - {entry.name})
            case "reserve":
                return replace(self, holder=self.holder or entry.name)
            case "release" | "reset":
                ends = entry.what == "reset" or self.holder == entry.name
                return replace(self, holder=None if ends else self.holder)
            case _:
                return replace(self, protected=entry.what == "protect")

    def refusal(self, name: str) -> str | None:
        """Return why a name must not write, or None."""
        if name not in self.names:
            return "conflict"
        if self.holder not in {None, name}:
            return "reserved"
        return "protected" if self.protected else None


def history(log: list[Entry]) -> Iterator[Rights]:
    """Return the rights at first and after each change of a log."""
    rights = Rights()
    yield rights
    for entry in log:
        rights = rights.after(entry)
        yield rights


@dataclass(frozen=True, slots=True)
class Log:
    """What a record holds. Nobody changes ``entries``."""

    entries: list[Entry]
    rights: Rights
    resets: int
    """How many of the entries are resets."""

    def grown(self, entry: Entry) -> "Log":
        """Return it with one more entry."""
        return Log([*self.entries, entry], self.rights.after(entry), self.resets + (entry.what == "reset"))


EMPTY: Final = Log([], Rights(), 0)
"""The log of a record that was never written."""
_KEPT: Final = 64
_logs: dict[bytes, Log] = {}
"""The logs of the records that were read last."""


def read(record: bytes) -> Log:
    """Return the log that a record holds."""
    log = _logs.get(record)
    if log is None:
        before, _, last = record.rpartition(b" ")
        log = _logs.get(before) if before else EMPTY
        if not record:
            log = EMPTY
        elif log is None:
            log = EMPTY
            for part in record.split():
                log = log.grown(_entry_of(part))
        else:
            log = log.grown(_entry_of(last))
        if len(_logs) >= _KEPT:
            _logs.clear()
        _logs[record] = log
    return log
