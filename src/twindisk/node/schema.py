"""The schema of ``state.db``, one migration per version.

Rules:

* ``PRAGMA user_version`` is the number of migrations applied. A released migration is never edited; a change is a new one.
* Each migration runs in one transaction with its version mark: a crash leaves the old version or the new one.
* A database of a newer version is refused and left as it is.
"""

from __future__ import annotations

import sqlite3

from twindisk.errors import StateError, StateProblem

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE node (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
        "CREATE TABLE pools (name TEXT PRIMARY KEY, created_s INTEGER NOT NULL) STRICT, WITHOUT ROWID",
        # device: the block device that was formatted for this disk; NULL for a directory the operator made.
        """
        CREATE TABLE disks (
            id TEXT PRIMARY KEY,
            pool TEXT NOT NULL REFERENCES pools (name),
            path TEXT NOT NULL UNIQUE,
            device TEXT UNIQUE,
            created_s INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        # withheld: the peer ended the mirror of this copy: kept, not served under the identity that the other copy serves.
        """
        CREATE TABLE vdisks (
            name TEXT PRIMARY KEY,
            disk TEXT NOT NULL REFERENCES disks (id),
            serial TEXT NOT NULL UNIQUE,
            iqn TEXT NOT NULL UNIQUE,
            size_bytes INTEGER NOT NULL CHECK (size_bytes > 0),
            group_tag INTEGER NOT NULL CHECK (group_tag IN (1, 2)),
            withheld INTEGER NOT NULL DEFAULT 0 CHECK (withheld IN (0, 1)),
            created_s INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        # remote: the VDisk's name at the peer; remote_pool: the pool it lies in there.
        """
        CREATE TABLE mirrors (
            vdisk TEXT PRIMARY KEY REFERENCES vdisks (name),
            peer TEXT NOT NULL,
            remote TEXT NOT NULL,
            remote_pool TEXT NOT NULL
        ) STRICT, WITHOUT ROWID
        """,
        # id gives the order in which checks are tried.
        """
        CREATE TABLE checks (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            peer TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('fence', 'manual', 'ignore')),
            command TEXT NOT NULL DEFAULT '',
            UNIQUE (peer, kind, command)
        ) STRICT
        """,
        """
        CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            at_ms INTEGER NOT NULL,
            severity TEXT NOT NULL CHECK (severity IN ('information', 'warning', 'error')),
            kind TEXT NOT NULL,
            text TEXT NOT NULL,
            fields TEXT NOT NULL
        ) STRICT
        """,
    ),
    (
        # access: how initiators are to use the two paths of the VDisk.
        """
        ALTER TABLE vdisks ADD COLUMN access TEXT NOT NULL DEFAULT 'active-active'
            CHECK (access IN ('active-active', 'active-passive'))
        """,
    ),
    (
        # admission: which initiators are let in, as JSON; '' is everyone.
        "ALTER TABLE vdisks ADD COLUMN admission TEXT NOT NULL DEFAULT ''",
    ),
    (
        # block_bytes: of a logical block; never changes.
        "ALTER TABLE vdisks ADD COLUMN block_bytes INTEGER NOT NULL DEFAULT 512 CHECK (block_bytes IN (512, 4096))",
    ),
    (
        # command: where the witness is, for a check of that kind. witness: what it calls itself. A peer has one at most.
        """
        CREATE TABLE checks_new (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            peer TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('fence', 'witness', 'manual', 'ignore')),
            command TEXT NOT NULL DEFAULT '',
            witness TEXT NOT NULL DEFAULT '',
            UNIQUE (peer, kind, command)
        ) STRICT
        """,
        "INSERT INTO checks_new (id, peer, kind, command) SELECT id, peer, kind, command FROM checks",
        "DROP TABLE checks",
        "ALTER TABLE checks_new RENAME TO checks",
        "CREATE UNIQUE INDEX one_witness ON checks (peer) WHERE kind = 'witness'",
    ),
)


def migrate(
    connection: sqlite3.Connection, directory: str, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS
) -> int:
    """Bring the database to the newest version; return the version it had. Raises StateError(NEWER_SCHEMA)."""
    before = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if before > len(migrations):
        raise StateError(StateProblem.NEWER_SCHEMA, directory=directory, version=before)
    for version, statements in enumerate(migrations[before:], start=before + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        except sqlite3.Error:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    return before
