"""The three kinds of witness, each on a real server: one who writes a key wins, whatever is tried at once."""

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fakes.witnesses import (
    ADDRESS,
    etcd_certificate,
    etcd_place,
    etcd_server,
    etcd_wants_accounts,
    free_ports,
    s3_place,
    write_accounts,
)
from twindisk.brain.witness import Claim, Verdict, Walk
from twindisk.errors import ConfigError, TwindiskError, WitnessError, WitnessProblem
from twindisk.witness import record, share, use
from twindisk.witness.hints import Hints
from twindisk.witness.store import Store, open_store

SERIAL = "6e" + "0" * 30
A, B = "10.0.0.1", "10.0.0.2"
LIMIT_S = 20.0
CALLS_MAX = share._RUNNING_MAX


@pytest.fixture(scope="module")
def etc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("etc")
    write_accounts(directory)
    return directory


@pytest.fixture(scope="module", params=["etcd", "share", "bucket"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "share":
        yield f"file://{root}"
        return
    with (etcd_place if request.param == "etcd" else s3_place)(root) as found:
        yield found


def walk(owner: str, epoch: int, attached_epoch: int) -> Walk:
    return Walk(Claim(owner, epoch), attached_epoch)


async def claim(
    place: str, etc: Path, name: str, walked: Walk, serial: str = SERIAL, hints: Hints | None = None
) -> Verdict:
    hints = hints or Hints()
    verdict, _ = await use.claim(
        place, etc, LIMIT_S, witness=name, walk=walked, serial=serial, vdisk="M1", node="vm10", hints=hints
    )
    return verdict


async def test_a_key_is_written_once_and_then_told(place: str, etc: Path) -> None:
    async with open_store(place, etc) as store:
        assert await store.read("once") is None
        assert await store.write_once("once", b"first") is None
        assert await store.write_once("once", b"second") == b"first"
        assert await store.read("once") == b"first"
        await store.remove("once")
        assert await store.read("once") is None


@pytest.mark.promise("P2")
async def test_of_many_who_write_at_once_one_wins(place: str, etc: Path) -> None:
    async def write(number: int) -> bytes | None:
        async with open_store(place, etc) as store:
            return await store.write_once("race", b"%d" % number)

    # The S3 server of the tests looks and writes in two steps; a real one does not.
    count = 1 if place.startswith("s3") else 12
    told = await asyncio.gather(*(write(number) for number in range(count)))
    assert told.count(None) == 1
    assert {found for found in told if found is not None} <= {b"%d" % told.index(None)}


async def test_two_nodes_find_the_same_name(place: str, etc: Path) -> None:
    name = await use.meet(place, etc, LIMIT_S)
    assert await use.meet(place, etc, LIMIT_S) == name
    assert await use.try_witness(place, etc, LIMIT_S) == name


async def test_many_vdisks_ask_at_once(place: str, etc: Path) -> None:
    name = await use.meet(place, etc, LIMIT_S)
    serials = [f"6e{number:030x}" for number in range(1000, 1060)]
    verdicts = await asyncio.gather(*(claim(place, etc, name, walk(A, 1, 1), serial) for serial in serials))
    assert set(verdicts) == {Verdict.WON}


@pytest.mark.promise("P2")
async def test_claims(place: str, etc: Path) -> None:
    name = await use.meet(place, etc, LIMIT_S)
    assert await claim(place, etc, name, walk(A, 5, 5)) is Verdict.WON
    assert await claim(place, etc, name, walk(A, 5, 5)) is Verdict.WON
    assert await claim(place, etc, name, walk(B, 5, 5)) is Verdict.LOST
    assert await claim(place, etc, name, walk(B, 7, 7)) is Verdict.WON
    assert await claim(place, etc, name, walk(A, 7, 7)) is Verdict.LOST
    assert await claim(place, etc, name, walk(A, 5, 5), "6e" + "1" * 30) is Verdict.WON  # another VDisk, another row


@pytest.mark.promise("P2")
async def test_at_a_place_with_another_name_or_none_nothing_is_claimed(place: str, etc: Path, tmp_path: Path) -> None:
    await use.meet(place, etc, LIMIT_S)
    with pytest.raises(WitnessError) as refused:
        await claim(place, etc, "0" * 32, walk(A, 50, 50))
    assert refused.value.problem is WitnessProblem.ANOTHER
    with pytest.raises(WitnessError) as unmounted:
        await claim(f"file://{tmp_path}", etc, "0" * 32, walk(A, 50, 50))
    assert unmounted.value.problem is WitnessProblem.ANOTHER
    assert list(tmp_path.iterdir()) == []


class Counted:
    """A store in memory that notes what it is asked."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.loses = 0
        """So many answers to writes are lost, and the question is put again."""

    async def write_once(self, key: str, value: bytes) -> bytes | None:
        self.asked.append(("write", key))
        found = self.kept.get(key)
        self.kept.setdefault(key, value)
        if self.loses:
            self.loses -= 1
            return await self.write_once(key, value)
        return found

    async def read(self, key: str) -> bytes | None:
        self.asked.append(("read", key))
        return self.kept.get(key)

    async def remove(self, key: str) -> None:
        self.kept.pop(key, None)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    store = Counted()

    @contextlib.asynccontextmanager
    async def open_it(_place: str, _etc: Path, _hints: Hints | None = None) -> AsyncIterator[Store]:
        yield store

    monkeypatch.setattr(use, "open_store", open_it)
    return store


@pytest.mark.promise("P2")
async def test_a_claim_begins_behind_what_was_spent_while_that_is_there(counted: Counted, etc: Path) -> None:
    name = await use.meet("s3://bucket", etc, LIMIT_S)
    ours, theirs = Hints(), Hints()
    for epoch in range(1, 21):
        assert await claim("s3://bucket", etc, name, walk(A, epoch, epoch), hints=ours) is Verdict.WON
        counted.asked.clear()
    assert await claim("s3://bucket", etc, name, walk(A, 21, 21), hints=ours) is Verdict.WON
    slots = [record.slot_key(SERIAL, slot) for slot in (19, 20, 21)]
    assert counted.asked[1:] == [("read", slots[0]), ("write", slots[1]), ("write", slots[2])]
    assert await claim("s3://bucket", etc, name, walk(B, 21, 21), hints=theirs) is Verdict.LOST
    counted.asked.clear()
    assert await claim("s3://bucket", etc, name, walk(B, 22, 22), hints=theirs) is Verdict.WON
    assert [kind for kind, _ in counted.asked] == ["read", "read", "write", "write"]
    # Somebody tidies up while both nodes are Enabled; from then on the nodes must meet in the first slot.
    for slot in range(1, 23):
        await counted.remove(record.slot_key(SERIAL, slot))
    assert await claim("s3://bucket", etc, name, walk(A, 30, 30), hints=ours) is Verdict.WON
    assert await claim("s3://bucket", etc, name, walk(B, 30, 30), hints=theirs) is Verdict.LOST
    assert await claim("s3://bucket", etc, name, walk(B, 30, 30)) is Verdict.LOST


@pytest.mark.promise("P2")
async def test_a_hint_of_later_times_is_not_used(counted: Counted, etc: Path) -> None:
    name = await use.meet("s3://bucket", etc, LIMIT_S)
    hints = Hints()
    assert await claim("s3://bucket", etc, name, walk(A, 5, 5)) is Verdict.WON
    assert await claim("s3://bucket", etc, name, walk(B, 7, 7), hints=hints) is Verdict.WON
    # As after its state was put back from a copy.
    assert await claim("s3://bucket", etc, name, walk(B, 4, 4), hints=hints) is Verdict.LOST


async def test_a_lost_answer_is_no_second_writer(counted: Counted, etc: Path) -> None:
    counted.loses = 1
    assert await use.try_witness("s3://bucket", etc, LIMIT_S) is None
    counted.loses = 3
    assert await use.meet("s3://bucket", etc, LIMIT_S) == record.read_identity(counted.kept[record.IDENTITY_KEY])


def test_a_password_that_is_sent_in_clear_text_is_known_as_such(tmp_path: Path) -> None:
    openly = use.sends_password_openly
    assert not openly("etcd://w1/td", tmp_path)
    write_accounts(tmp_path, "EtcdUser=twindisk\nEtcdPassword=hush-hush\n")
    assert openly("etcd://w1,w2/td", tmp_path)
    assert not openly("etcds://w1,w2/td", tmp_path)
    assert not openly("s3://bucket?endpoint=http://w1:9000", tmp_path)


class WritesOver:
    """A store that does not know the condition."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def write_once(self, key: str, value: bytes) -> bytes | None:
        self._kept[key] = value
        return None

    async def read(self, key: str) -> bytes | None:
        return self._kept.get(key)

    async def remove(self, key: str) -> None:
        del self._kept[key]


@pytest.mark.promise("P2")
async def test_a_store_that_writes_over_is_no_witness(monkeypatch: pytest.MonkeyPatch, etc: Path) -> None:
    kept = WritesOver()

    @contextlib.asynccontextmanager
    async def open_it(_place: str, _etc: Path, _hints: Hints | None = None) -> AsyncIterator[Store]:
        yield kept

    monkeypatch.setattr(use, "open_store", open_it)
    with pytest.raises(WitnessError) as refused:
        await use.meet("s3://bucket", etc, LIMIT_S)
    assert refused.value.problem is WitnessProblem.NOT_EXCLUSIVE
    assert await kept.read(record.IDENTITY_KEY) is None


async def problem_of(place: str, etc: Path, limit_s: float = LIMIT_S) -> WitnessProblem:
    with pytest.raises(WitnessError) as refused:
        await use.meet(place, etc, limit_s)
    assert isinstance(refused.value.problem, WitnessProblem)
    return refused.value.problem


async def test_a_witness_that_is_not_there_says_so(etc: Path, tmp_path: Path) -> None:
    (port,) = free_ports(ADDRESS, 1)
    for place in (
        f"etcd://{ADDRESS}:{port}/td",
        f"etcd://{ADDRESS}:{port},{ADDRESS}:{port}/td",
        f"s3://bucket?endpoint=http://{ADDRESS}:{port}",
        f"file://{tmp_path}/nothing",
    ):
        assert await problem_of(place, etc) is WitnessProblem.UNREACHABLE


async def test_a_witness_that_does_not_answer_is_given_up_in_time(etc: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / record.IDENTITY_KEY)  # opening it hangs, as a share does whose server is gone
    with socket.socket() as silent:  # takes connections, and says nothing
        silent.bind((ADDRESS, 0))
        silent.listen()
        port = silent.getsockname()[1]
        begun = asyncio.get_running_loop().time()
        for place in (f"etcd://{ADDRESS}:{port}/td", f"s3://bucket?endpoint=http://{ADDRESS}:{port}"):
            assert await problem_of(place, etc, 0.2) is WitnessProblem.UNREACHABLE
    with pytest.raises(WitnessError):
        await use.try_witness(f"file://{tmp_path}", etc, 0.2)
    assert asyncio.get_running_loop().time() - begun < 10
    with (tmp_path / record.IDENTITY_KEY).open("w"):  # let the thread go
        pass


async def test_an_endpoint_that_does_not_answer_is_asked_once(etc: Path, tmp_path: Path) -> None:
    asked = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    hints = Hints()
    dead = await asyncio.start_server(note, ADDRESS)
    port = dead.sockets[0].getsockname()[1]
    async with dead:
        with etcd_place(tmp_path) as place:
            both = place.replace("etcd://", f"etcd://{ADDRESS}:{port},")
            name = await use.meet(both, etc, LIMIT_S)
            assert await use.meet(place, etc, LIMIT_S) == name
            asked.clear()
            for epoch in (1, 2):
                assert await claim(both, etc, name, walk(A, epoch, epoch), hints=hints) is Verdict.WON
                assert len(asked) == 1


async def test_a_share_that_hangs_keeps_none_from_another(etc: Path, tmp_path: Path) -> None:
    hanging, sound = tmp_path / "hanging", tmp_path / "sound"
    for directory in (hanging, sound):
        directory.mkdir()
    os.mkfifo(hanging / record.IDENTITY_KEY)
    hung = [asyncio.create_task(claim(f"file://{hanging}", etc, "w", walk(A, 1, 1))) for _ in range(2 * CALLS_MAX)]
    async with open_store(f"file://{sound}", etc) as store:
        while threads_at(hanging) < CALLS_MAX:
            await asyncio.sleep(0.01)
        assert await store.write_once("key", b"value") is None
        assert threads_at(hanging) == CALLS_MAX
    for task in hung:
        task.cancel()
    await asyncio.gather(*hung, return_exceptions=True)
    while threads_at(hanging):
        with contextlib.suppress(OSError):  # let the threads go
            os.close(os.open(hanging / record.IDENTITY_KEY, os.O_WRONLY | os.O_NONBLOCK))
        await asyncio.sleep(0.01)


def threads_at(share: Path) -> int:
    """Return how many calls hang."""
    return sum(thread.name == f"witness {share}" for thread in threading.enumerate())


async def test_etcd_over_tls_with_an_account(tmp_path: Path) -> None:
    (port,) = free_ports(ADDRESS, 1)
    place = f"etcds://{ADDRESS}:{port}/twindisk"
    with etcd_server(tmp_path, client=(ADDRESS, port), tls=True):
        accounts = f"CaFile={etcd_certificate(tmp_path)}\n"
        write_accounts(tmp_path, accounts)
        name = await use.meet(place, tmp_path, LIMIT_S)
        etcd_wants_accounts(tmp_path, port, {"root": "for-the-test", "twindisk": "hush-hush"}, "twindisk/")
        assert await problem_of(place, tmp_path) is WitnessProblem.DENIED
        write_accounts(tmp_path, f"{accounts}EtcdUser=twindisk\nEtcdPassword=wrong\n")
        assert await problem_of(place, tmp_path) is WitnessProblem.DENIED
        write_accounts(tmp_path, f"{accounts}EtcdUser=twindisk\nEtcdPassword=hush-hush\n")
        assert await use.meet(place, tmp_path, LIMIT_S) == name
        assert await claim(place, tmp_path, name, walk(A, 1, 1)) is Verdict.WON
        assert await problem_of(place.replace("/twindisk", "/other"), tmp_path) is WitnessProblem.DENIED
        write_accounts(tmp_path, "")
        assert await problem_of(place, tmp_path) is WitnessProblem.UNREACHABLE  # a certificate that nobody vouches for


async def test_accounts_are_needed_private_and_never_shown(tmp_path: Path) -> None:
    place = f"s3://bucket?endpoint=http://{ADDRESS}:9"
    assert await problem_of(place, tmp_path) is WitnessProblem.NO_ACCOUNT
    write_accounts(tmp_path)
    (tmp_path / "witness.conf").chmod(0o644)
    with pytest.raises(ConfigError):
        await use.meet(place, tmp_path, LIMIT_S)
    (tmp_path / "witness.conf").chmod(0o600)
    with pytest.raises(TwindiskError) as refused:
        await use.meet(place, tmp_path, LIMIT_S)
    assert "hush" not in str(refused.value)
    write_accounts(tmp_path, "CaFile=/nowhere/ca.pem\n")
    assert await problem_of(f"etcds://{ADDRESS}:9/td", tmp_path) is WitnessProblem.TLS


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"[]",
        b"nonsense",
        json.dumps({"version": 2, "owner": A, "epoch": 1, "witness": "x"}).encode(),
        json.dumps({"version": 1, "owner": "", "epoch": 1, "witness": ""}).encode(),
        json.dumps({"version": 1, "owner": A, "epoch": True, "witness": 7}).encode(),
        json.dumps({"version": 1, "owner": A, "epoch": -1}).encode(),
    ],
)
def test_what_is_no_claim_and_no_name(value: bytes) -> None:
    for read in (record.read_claim, record.read_identity):
        with pytest.raises(WitnessError) as refused:
            read(value)
        assert refused.value.problem is WitnessProblem.BAD_VALUE


def test_what_is_written_is_read() -> None:
    claimed = Claim(A, (1 << 64) - 1)
    assert record.read_claim(record.claim_bytes(claimed, vdisk="M1", node="vm10")) == claimed
    assert record.read_identity(record.identity_bytes("w1")) == "w1"
    assert record.slot_key(SERIAL, 7) == f"{SERIAL}-00000007"


async def test_a_share_without_hard_links_is_no_witness(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, etc: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert await problem_of(f"file://{tmp_path}", etc) is WitnessProblem.NO_LINKS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("P2")
async def test_a_link_whose_answer_was_lost_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, etc: Path) -> None:
    really = os.link

    def link_twice(own: str, key: str, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        for _ in range(2):
            really(
                own, key, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd
            )  # the kernel repeats what it had no answer to, and is told that the name is taken

    monkeypatch.setattr(os, "link", link_twice)
    name = await use.meet(f"file://{tmp_path}", etc, LIMIT_S)
    assert await claim(f"file://{tmp_path}", etc, name, walk(A, 1, 1)) is Verdict.WON
    assert await claim(f"file://{tmp_path}", etc, name, walk(B, 1, 1)) is Verdict.LOST
