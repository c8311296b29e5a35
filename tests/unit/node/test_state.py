import sqlite3
from pathlib import Path

import pytest

from twindisk.errors import StateError, StateProblem
from twindisk.node.records import Check, CheckKind, Disk, EventsWanted, Mirror, VDisk
from twindisk.node.schema import MIGRATIONS, migrate
from twindisk.node.state import EVENTS_KEPT, State

SERIAL = "6e" + "0" * 30


def filled(directory: Path) -> State:
    state = State.open(directory)
    state.add_pool("HA")
    state.add_disk(Disk("d1", "HA", Path("/disk")))
    state.add_vdisk(VDisk("M1", "HA", "d1", Path("/disk/vdisks/M1"), SERIAL, "iqn.x:m1", 1 << 20, 1))
    state.add_mirror(Mirror("M1", "10.0.0.2", "M1", "HA"))
    return state


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    state = filled(tmp_path)
    state.add_check("10.0.0.2", CheckKind.FENCE, "true")
    state.set_node_value("id", "abc")
    before = (state.pools(), state.disks(), state.vdisks(), state.mirrors(), state.checks(), state.node_value("id"))
    state.close()
    state = State.open(tmp_path)
    assert before == (
        state.pools(),
        state.disks(),
        state.vdisks(),
        state.mirrors(),
        state.checks(),
        state.node_value("id"),
    )
    assert state.vdisk("M1") == VDisk("M1", "HA", "d1", Path("/disk/vdisks/M1"), SERIAL, "iqn.x:m1", 1 << 20, 1)
    state.close()


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    state = filled(tmp_path)

    def remove_all() -> None:
        with state.transaction():
            state.remove_mirror("M1")
            state.remove_disk("d1")  # the VDisk still refers to it

    with pytest.raises(sqlite3.IntegrityError):
        remove_all()
    assert state.mirror("M1") is not None
    state.close()


def test_checks_keep_their_order(tmp_path: Path) -> None:
    state = State.open(tmp_path)
    for command in ("c", "a", "b"):
        state.add_check("10.0.0.2", CheckKind.FENCE, command)
    state.add_check("10.0.0.3", CheckKind.MANUAL, "")
    assert [check.command for check in state.checks("10.0.0.2")] == ["c", "a", "b"]
    assert len(state.checks()) == 4
    state.close()


def test_only_the_newest_events_are_kept(tmp_path: Path) -> None:
    state = State.open(tmp_path)
    with state.transaction():
        for number in range(EVENTS_KEPT + 5):
            state.add_event(at_ms=number, severity="warning", kind="k", text=str(number), fields={"vdisk": "M1"})
    assert state.events(limit=EVENTS_KEPT * 2)[0].text == "5"
    newest = state.events(limit=2)
    assert [event.text for event in newest] == [str(EVENTS_KEPT + 3), str(EVENTS_KEPT + 4)]
    assert newest[0].fields == {"vdisk": "M1"}
    assert state.events(EventsWanted(after=newest[0].id)) == newest[1:]
    state.close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    State.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "state.db")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StateError) as raised:
        State.open(tmp_path)
    assert raised.value.problem is StateProblem.NEWER_SCHEMA
    connection = sqlite3.connect(tmp_path / "state.db")
    assert connection.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 1
    connection.close()


def test_an_older_schema_is_brought_up_one_version_at_a_time() -> None:
    steps = (("CREATE TABLE a (x)",), ("CREATE TABLE b (x)",), ("INSERT INTO a SELECT 1",))
    connection = sqlite3.connect(":memory:", isolation_level=None)
    assert migrate(connection, "d", steps[:1]) == 0
    assert migrate(connection, "d", steps) == 1
    assert migrate(connection, "d", steps) == 3
    assert connection.execute("SELECT count(*) FROM a").fetchone()[0] == 1
    connection.close()


def test_a_migration_that_fails_leaves_the_old_version() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection, "d", (("CREATE TABLE a (x)",),))
    with pytest.raises(sqlite3.Error):
        migrate(connection, "d", (("CREATE TABLE a (x)",), ("CREATE TABLE b (x)", "nonsense")))
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
    assert [row[0] for row in connection.execute("SELECT name FROM sqlite_schema")] == ["a"]
    connection.close()


def test_a_corrupt_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"this is no database" * 400)
    with pytest.raises(StateError) as raised:
        State.open(tmp_path)
    assert raised.value.problem is StateProblem.CORRUPT


def test_checks_of_before_there_were_witnesses_are_kept(tmp_path: Path) -> None:
    before = next(at for at, steps in enumerate(MIGRATIONS) if any("one_witness" in step for step in steps))
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    migrate(connection, "d", MIGRATIONS[:before])
    for kind, command in (("fence", "off"), ("manual", "")):
        connection.execute("INSERT INTO checks (peer, kind, command) VALUES ('10.0.0.2', ?, ?)", (kind, command))
    connection.execute("DELETE FROM checks WHERE kind = 'fence'")
    connection.close()
    state = State.open(tmp_path)
    assert state.checks() == (Check(2, "10.0.0.2", CheckKind.MANUAL, ""),)
    assert state.add_check("10.0.0.2", CheckKind.WITNESS, "file:///w", "w1") == state.checks()[1]
    assert state.checks()[1].id == 3
    with pytest.raises(sqlite3.IntegrityError):
        state.add_check("10.0.0.2", CheckKind.WITNESS, "file:///v", "w2")
    state.close()
