"""The node's durable configuration in SQLite: pools, disks, VDisks, mirrors, checks and the events told to operators.

Rules:

* One connection, used from the event loop's thread alone; statements are small, so they run there.
* Every change is one transaction, synced to disk before it returns (``synchronous=FULL``).
* What a copy knows about its data (generation, role, dirty chunks) is not here: it lies with the copy, kept by the engine.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twindisk.errors import StateError, StateProblem
from twindisk.node.records import (
    ALL_EVENTS,
    AccessMode,
    Admission,
    Check,
    CheckKind,
    Disk,
    EventRecord,
    EventsWanted,
    Mirror,
    Pool,
    VDisk,
)
from twindisk.node.schema import migrate

EVENTS_KEPT = 10_000
_ID_MAX = (1 << 63) - 1
VDISKS_FOLDER = "vdisks"

_VDISK = """
    SELECT v.name, d.pool, v.disk, d.path, v.serial, v.iqn, v.size_bytes, v.group_tag, v.withheld,
        v.access, v.admission, v.block_bytes
    FROM vdisks v JOIN disks d ON d.id = v.disk
"""


class State:
    """The open database of one node."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, directory: Path) -> State:
        """Open or create ``state.db`` in the directory and bring its schema up to date. Raises StateError."""
        path = directory / "state.db"
        try:
            _make_private(path)
            connection = sqlite3.connect(path, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            raise StateError(StateProblem.UNUSABLE, directory=str(directory), detail=str(error)) from error
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            _check(connection, directory)
            migrate(connection, str(directory))
        except sqlite3.DatabaseError as error:
            connection.close()
            raise StateError(StateProblem.CORRUPT, directory=str(directory), detail=str(error)) from error
        except StateError:
            connection.close()
            raise
        return cls(connection)

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make several changes one: all of them or, when the block raises, none."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # The node's own facts

    def node_value(self, key: str) -> str | None:
        """Return a fact about the node itself, None when it was never set."""
        row = self._connection.execute("SELECT value FROM node WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def node_values(self, prefix: str) -> dict[str, str]:
        """Return the facts about the node whose keys begin so, by key."""
        query = "SELECT key, value FROM node WHERE substr(key, 1, ?) = ? ORDER BY key"
        return dict(self._connection.execute(query, (len(prefix), prefix)))

    def set_node_value(self, key: str, value: str | None) -> None:
        """Set a fact about the node itself; None forgets it."""
        if value is None:
            self._connection.execute("DELETE FROM node WHERE key = ?", (key,))
            return
        self._connection.execute("INSERT OR REPLACE INTO node VALUES (?, ?)", (key, value))

    def verified_ms(self, serial: str) -> int | None:
        """Return when this node verified a VDisk to the end last, in milliseconds since 1970; None: never."""
        found = self.node_value(_verified(serial))
        return None if found is None else int(found)

    def set_verified(self, serial: str, at_ms: int) -> None:
        """Set when this node verified a VDisk to the end."""
        self.set_node_value(_verified(serial), str(at_ms))

    # Pools and disks

    def pools(self) -> tuple[Pool, ...]:
        """Return all pools by name."""
        return tuple(Pool(row[0]) for row in self._connection.execute("SELECT name FROM pools ORDER BY name"))

    def has_pool(self, name: str) -> bool:
        """Return whether there is such a pool."""
        return self._connection.execute("SELECT 1 FROM pools WHERE name = ?", (name,)).fetchone() is not None

    def add_pool(self, name: str) -> None:
        """Add a pool; its name must be new."""
        self._connection.execute("INSERT INTO pools VALUES (?, ?)", (name, _now_s()))

    def remove_pool(self, name: str) -> None:
        """Remove a pool without disks."""
        self._connection.execute("DELETE FROM pools WHERE name = ?", (name,))

    def disks(self, pool: str | None = None) -> tuple[Disk, ...]:
        """Return the disks of one pool, or all, oldest first."""
        query = "SELECT id, pool, path, device FROM disks WHERE ?1 IS NULL OR pool = ?1 ORDER BY created_s, path"
        return tuple(Disk(row[0], row[1], Path(row[2]), row[3]) for row in self._connection.execute(query, (pool,)))

    def add_disk(self, disk: Disk) -> None:
        """Add a disk to its pool."""
        self._connection.execute(
            "INSERT INTO disks VALUES (?, ?, ?, ?, ?)", (disk.id, disk.pool, str(disk.path), disk.device, _now_s())
        )

    def remove_disk(self, disk_id: str) -> None:
        """Remove a disk without VDisks."""
        self._connection.execute("DELETE FROM disks WHERE id = ?", (disk_id,))

    # VDisks and mirrors

    def vdisks(self) -> tuple[VDisk, ...]:
        """Return all VDisks by name."""
        return tuple(_vdisk(row) for row in self._connection.execute(f"{_VDISK} ORDER BY v.name"))

    def vdisk(self, name: str) -> VDisk | None:
        """Return a VDisk, None when there is none of that name."""
        row = self._connection.execute(f"{_VDISK} WHERE v.name = ?", (name,)).fetchone()
        return None if row is None else _vdisk(row)

    def add_vdisk(self, vdisk: VDisk) -> None:
        """Add a VDisk on its disk."""
        self._connection.execute(
            "INSERT INTO vdisks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                vdisk.name,
                vdisk.disk,
                vdisk.serial,
                vdisk.iqn,
                vdisk.size_bytes,
                vdisk.group_tag,
                int(vdisk.withheld),
                _now_s(),
                vdisk.access.value,
                _admission_text(vdisk),
                vdisk.block_bytes,
            ),
        )

    def change_vdisk(self, vdisk: VDisk) -> None:
        """Store a VDisk's serial, IQN, size, group tag, withheld mark, access mode and admission anew."""
        self._connection.execute(
            """
            UPDATE vdisks SET serial = ?, iqn = ?, size_bytes = ?, group_tag = ?, withheld = ?, access = ?, admission = ?
            WHERE name = ?
            """,
            (
                vdisk.serial,
                vdisk.iqn,
                vdisk.size_bytes,
                vdisk.group_tag,
                int(vdisk.withheld),
                vdisk.access.value,
                _admission_text(vdisk),
                vdisk.name,
            ),
        )

    def remove_vdisk(self, name: str) -> None:
        """Remove a VDisk that has no mirror, and when it was verified."""
        vdisk = self.vdisk(name)
        self._connection.execute("DELETE FROM vdisks WHERE name = ?", (name,))
        if vdisk is not None:
            self.set_node_value(_verified(vdisk.serial), None)

    def mirrors(self) -> tuple[Mirror, ...]:
        """Return all mirrors by VDisk name."""
        rows = self._connection.execute("SELECT vdisk, peer, remote, remote_pool FROM mirrors ORDER BY vdisk")
        return tuple(Mirror(*row) for row in rows)

    def mirror(self, vdisk: str) -> Mirror | None:
        """Return a VDisk's mirror, None when it has none."""
        query = "SELECT vdisk, peer, remote, remote_pool FROM mirrors WHERE vdisk = ?"
        row = self._connection.execute(query, (vdisk,)).fetchone()
        return None if row is None else Mirror(*row)

    def add_mirror(self, mirror: Mirror) -> None:
        """Record a VDisk's mirror."""
        self._connection.execute(
            "INSERT INTO mirrors VALUES (?, ?, ?, ?)", (mirror.vdisk, mirror.peer, mirror.remote, mirror.remote_pool)
        )

    def remove_mirror(self, vdisk: str) -> None:
        """Forget a VDisk's mirror."""
        self._connection.execute("DELETE FROM mirrors WHERE vdisk = ?", (vdisk,))

    # Checks

    def checks(self, peer: str | None = None) -> tuple[Check, ...]:
        """Return the checks of one peer, or all, in the order in which they are tried."""
        query = "SELECT id, peer, kind, command, witness FROM checks WHERE ?1 IS NULL OR peer = ?1 ORDER BY id"
        rows = self._connection.execute(query, (peer,))
        return tuple(Check(row[0], row[1], CheckKind(row[2]), row[3], row[4]) for row in rows)

    def add_check(self, peer: str, kind: CheckKind, command: str, witness: str = "") -> Check:
        """Add a check behind the others."""
        row = self._connection.execute(
            "INSERT INTO checks (peer, kind, command, witness) VALUES (?, ?, ?, ?) RETURNING id",
            (peer, kind.value, command, witness),
        ).fetchone()
        return Check(row[0], peer, kind, command, witness)

    def remove_check(self, check_id: int) -> None:
        """Remove a check."""
        self._connection.execute("DELETE FROM checks WHERE id = ?", (check_id,))

    # Events

    def add_event(self, *, at_ms: int, severity: str, kind: str, text: str, fields: Mapping[str, Any]) -> EventRecord:
        """Keep an event; the oldest go when there are more than EVENTS_KEPT."""
        row = self._connection.execute(
            "INSERT INTO events (at_ms, severity, kind, text, fields) VALUES (?, ?, ?, ?, ?) RETURNING id",
            (at_ms, severity, kind, text, json.dumps(dict(fields))),
        ).fetchone()
        self._connection.execute("DELETE FROM events WHERE id <= ?", (row[0] - EVENTS_KEPT,))
        return EventRecord(row[0], at_ms, severity, kind, text, fields)

    def events(self, wanted: EventsWanted = ALL_EVENTS, *, limit: int = 100) -> tuple[EventRecord, ...]:
        """Return the oldest ``limit`` events after ``wanted.after`` when that is given, else the newest; oldest first."""
        direction = "DESC" if wanted.after is None else "ASC"
        query = f"""
            SELECT id, at_ms, severity, kind, text, fields FROM events
            WHERE id > ? AND id < ? AND at_ms >= ? AND (?4 IS NULL OR json_extract(fields, '$.vdisk') = ?4)
            ORDER BY id {direction} LIMIT ?
        """  # noqa: S608 - one of two words of ours
        bounds = (wanted.after or 0, wanted.before or _ID_MAX, wanted.since_ms, wanted.vdisk, limit)
        rows = self._connection.execute(query, bounds).fetchall()
        return tuple(_event(row) for row in (rows if wanted.after is not None else reversed(rows)))

    def newest_event_id(self) -> int:
        """Return the newest event's id, 0 when there was never one."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        return 0 if row is None else int(row[0])


def _make_private(path: Path) -> None:
    """Let nobody else read the database, which holds secrets; SQLite gives its other files the same mode."""
    path.touch(mode=0o600)
    for file in path.parent.glob(f"{path.name}*"):
        file.chmod(0o600)


def _check(connection: sqlite3.Connection, directory: Path) -> None:
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StateError(StateProblem.CORRUPT, directory=str(directory), detail=str(verdict))


def _verified(serial: str) -> str:
    return f"verified {serial}"


def _vdisk(row: tuple[Any, ...]) -> VDisk:
    name, pool, disk, path, serial, iqn, size_bytes, group_tag, withheld, access, admission, block_bytes = row
    directory = Path(path) / VDISKS_FOLDER / name
    return VDisk(
        name,
        pool,
        disk,
        directory,
        serial,
        iqn,
        size_bytes,
        group_tag,
        withheld=bool(withheld),
        access=AccessMode(access),
        admission=Admission.from_json(admission) if admission else Admission(),
        block_bytes=block_bytes,
    )


def _admission_text(vdisk: VDisk) -> str:
    return "" if vdisk.admission == Admission() else vdisk.admission.to_json()


def _event(row: tuple[Any, ...]) -> EventRecord:
    event_id, at_ms, severity, kind, text, fields = row
    return EventRecord(event_id, at_ms, severity, kind, text, json.loads(fields))


def _now_s() -> int:
    return int(time.time())
