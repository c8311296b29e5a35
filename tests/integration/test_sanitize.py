"""SANITIZE through both nodes: nothing of the old data is left, whichever node dies meanwhile."""

import asyncio
import contextlib
import errno
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.conftest import running_pair
from integration.reservation_client import CLEAR, CONFLICT, GOOD, REGISTER, RESERVE, Port, clear_all
from twindisk.api.schemas import RoleChange
from twindisk.cli.columns import sanitize_words
from twindisk.client import NodeClient
from twindisk.demo.node import Node
from twindisk.demo.pair import POOL, Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import (
    CheckConditionError,
    InitiatorError,
    SenseKey,
    Session,
    SessionOptions,
    cdb,
)

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SIZE_BYTES = 64 << 20
OVERWRITE, BLOCK_ERASE, EXIT_FAILURE_MODE = 1, 2, 31
SECRET = b"an old secret that nobody may read again".ljust(64, b".")
PATTERN = b"\xa5\x5a\x00"
IN_PROGRESS = (SenseKey.NOT_READY, 0x04, 0x1B)
FAILED = (SenseKey.MEDIUM_ERROR, 0x31, 0x03)
INVALID_FIELD_IN_CDB = (SenseKey.ILLEGAL_REQUEST, 0x24, 0x00)
LIMIT_S = 90.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """A mirrored pair with a VDisk that is overwritten soon."""
    async with running_pair(tmp_path_factory.mktemp("small")) as pair:
        await pair.configure(str(SIZE_BYTES / (1 << 30)))
        yield pair


@pytest_asyncio.fixture(loop_scope="module")
async def small(made: Pair) -> Pair:
    """The pair with both nodes running and nothing under way, whatever became of the test before."""
    for node in made.nodes:
        if node.pid is None:
            await node.start()
    for node in made.nodes:
        await ended(made, node)
    return made


async def connect(pair: Pair, node: Node) -> Session:
    return await Session.connect(node.place.portal, iqn(pair.vdisk), SessionOptions(timeout_s=LIMIT_S))


def overwrite(count: int, *, invert: bool = False) -> bytes:
    """Return the parameter list of an overwrite with the pattern."""
    return bytes([invert << 7 | count, 0, 0, len(PATTERN)]) + PATTERN


def blocks_of_pattern(count: int) -> bytes:
    """Return blocks as an overwrite leaves them."""
    return (PATTERN * 512)[:512] * count


async def write_secrets(pair: Pair) -> None:
    """Write old data through both nodes, all over the disk."""
    async with await connect(pair, pair.first) as one, await connect(pair, pair.second) as two:
        data = SECRET * ((1 << 20) // len(SECRET))
        for at in range(0, SIZE_BYTES, 16 << 20):
            await one.write(at, data)
            await two.write(at + (8 << 20), data)
        await one.write(SIZE_BYTES - len(data), data)


def copies_hold(pair: Pair, wanted: bytes) -> list[str]:
    """Return which files of the copies hold these bytes, in what has space on the disk."""
    return [
        str(path)
        for directory in pair.copy_directories()
        for path in Path(directory).rglob("*")
        if path.is_file() and any(wanted in part for part in data_of(path))
    ]


def data_of(path: Path) -> Iterator[bytes]:
    """Return what a file holds, without its holes."""
    with path.open("rb") as file:
        end = 0
        while True:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            yield os.pread(file.fileno(), end - start, start)


async def sense_of(session: Session, block: bytes, **data: bytes | int) -> tuple[SenseKey, int, int] | None:
    """Run a command; return key, code and qualifier of its sense data, None when it was carried out."""
    try:
        await session.command(block, **data)  # type: ignore[arg-type]
    except CheckConditionError as error:
        return error.sense.key, error.sense.code, error.sense.qualifier
    return None


async def progress(session: Session) -> int | None:
    """Return how far an operation is in 65,536ths; None when none runs."""
    await session.clear_unit_attentions()
    data = await session.command(cdb.request_sense(), data_in_bytes=252)
    if (data[2] & 0xF, data[12], data[13]) != IN_PROGRESS:
        return None
    assert data[15] & 0x80
    return int.from_bytes(data[16:18])


async def ended(pair: Pair, node: Node) -> None:
    """Wait until a node's path is ready again, over as many sessions as that takes."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            with contextlib.suppress(InitiatorError):
                async with await connect(pair, node) as session:
                    while await sense_of(session, cdb.test_unit_ready()) is not None:
                        await asyncio.sleep(0.05)
                    return
            await asyncio.sleep(0.1)


async def master_now(node: Node, vdisk: str) -> None:
    """Wait until a node is Master."""
    async with asyncio.timeout(LIMIT_S):
        while (row := await node.mirror(vdisk)) is None or row.role != "Master":
            await asyncio.sleep(0.02)


def told_to_operators(node: Node, vdisk: str) -> str | None:
    """Return what is shown of an operation."""
    with NodeClient(node.place.socket_path) as client:
        return sanitize_words(client.vdisk(vdisk))


def become_slave(node: Node, vdisk: str) -> None:
    """Have a node become Slave, without the time that a command takes to start."""
    with NodeClient(node.place.socket_path) as client:
        client.change_role(vdisk, RoleChange(role="slave"))


async def assert_overwritten(pair: Pair) -> None:
    """Check that both copies hold the pattern everywhere and nothing else."""
    await pair.wait_enabled()
    assert (await compare_when_idle(pair)).first_difference is None
    assert copies_hold(pair, SECRET) == []
    expected = blocks_of_pattern((1 << 20) // 512)
    for node in pair.nodes:
        async with await connect(pair, node) as session:
            for at in range(0, SIZE_BYTES, 1 << 20):
                assert await session.read(at, 1 << 20) == expected, (node.name, at)


@pytest.mark.promise("P4", "P5")
@pytest.mark.parametrize("asked", [0, 1])
async def test_a_block_erase_through_one_node_leaves_nothing_on_either(small: Pair, asked: int) -> None:
    await write_secrets(small)
    assert len(copies_hold(small, SECRET)) >= 2
    one, two = small.nodes[asked], small.nodes[1 - asked]
    async with await connect(small, one) as session, await connect(small, two) as other:
        await session.command(cdb.sanitize(BLOCK_ERASE))
        for path in (other, session):
            for at in range(0, SIZE_BYTES, 8 << 20):
                assert await path.read(at, 1 << 20) == bytes(1 << 20)
        assert copies_hold(small, SECRET) == []
        await other.write(0, b"new".ljust(512))
        assert await session.read(0, 512) == b"new".ljust(512)


@pytest.mark.promise("P5")
async def test_while_it_runs_both_nodes_refuse_the_data_and_tell_the_progress(small: Pair) -> None:
    await write_secrets(small)
    async with await connect(small, small.first) as one, await connect(small, small.second) as two:
        parameters = overwrite(5, invert=True)
        await two.command(cdb.sanitize(OVERWRITE, immediate=True, length=len(parameters)), data_out=parameters)
        for session in (one, two):
            assert await sense_of(session, cdb.read_16(0, 1), data_in_bytes=512) == IN_PROGRESS
            assert await sense_of(session, cdb.write_16(0, 1), data_out=bytes(512)) == IN_PROGRESS
            assert await sense_of(session, cdb.test_unit_ready()) == IN_PROGRESS
            assert await sense_of(session, cdb.sanitize(BLOCK_ERASE)) == IN_PROGRESS
            assert (await session.inquiry()).vendor.strip() == "QUADSTOR"
        for node in small.nodes:
            told = await asyncio.to_thread(told_to_operators, node, small.vdisk)
            assert told is not None
            assert told.startswith("running (")
        seen = {0: [], 1: []}  # type: dict[int, list[int]]
        async with asyncio.timeout(LIMIT_S):
            for number, session in ((0, one), (1, two)):
                while (part := await progress(session)) is not None:
                    seen[number].append(part)
                    await asyncio.sleep(0.01)
        assert seen[0] == sorted(seen[0])
        assert len(set(seen[0])) > 2, "the progress moves"
    await assert_overwritten(small)
    assert await asyncio.to_thread(told_to_operators, small.first, small.vdisk) is None


@pytest.mark.promise("P1", "P4", "P5", "P8")
@pytest.mark.parametrize("victim", ["Master", "Slave", "both"])
async def test_it_goes_on_after_the_death_of_a_node(small: Pair, victim: str) -> None:
    await write_secrets(small)
    rows = await small.rows()
    roles = {name: row.role for name, row in rows.items() if row is not None}
    killed = [node for node in small.nodes if victim in ("both", roles[node.name])]
    parameters = overwrite(6)
    session = await connect(small, small.first)
    await session.command(cdb.sanitize(OVERWRITE, immediate=True, length=len(parameters)), data_out=parameters)
    async with asyncio.timeout(LIMIT_S):
        while (part := await progress(session)) is not None and part < 0x0A00:
            await asyncio.sleep(0.01)
    assert part is not None, "it must not end before a node dies"
    session.drop()
    await asyncio.gather(*(node.kill() for node in killed))
    for node in small.nodes:
        if node not in killed:
            await ended(small, node)
    for node in killed:
        await node.start()
    for node in small.nodes:
        await ended(small, node)
    await assert_overwritten(small)


@pytest.mark.promise("P4", "P5")
@pytest.mark.parametrize("how", ["switch", "stop"])
async def test_another_node_goes_on_with_it_after_a_clean_hand_over(small: Pair, how: str) -> None:
    await write_secrets(small)
    rows = await small.rows()
    (master,) = [node for node in small.nodes if (row := rows[node.name]) is not None and row.role == "Master"]
    parameters = overwrite(31)
    async with await connect(small, small.other(master)) as session:
        await session.command(cdb.sanitize(OVERWRITE, immediate=True, length=len(parameters)), data_out=parameters)
        handing_over = asyncio.create_task(
            master.stop() if how == "stop" else asyncio.to_thread(become_slave, master, small.vdisk)
        )
        await master_now(small.other(master), small.vdisk)
        assert await progress(session) is not None, "it must not end before"
        session.drop()
        await handing_over
    await ended(small, small.other(master))
    if how == "stop":
        await master.start()
    await assert_overwritten(small)


@pytest.mark.promise("P1", "P5")
async def test_the_command_is_answered_although_the_peer_dies(small: Pair) -> None:
    await write_secrets(small)
    async with await connect(small, small.first) as session:
        parameters = overwrite(6)
        asked = asyncio.ensure_future(
            session.command(cdb.sanitize(OVERWRITE, length=len(parameters)), data_out=parameters)
        )
        async with asyncio.timeout(LIMIT_S):
            while (await progress(session) or 0) < 0x0A00:
                await asyncio.sleep(0.01)
        assert not asked.done()
        await small.second.kill()
        await asked
        await session.clear_unit_attentions()
        assert await session.read(0, 1 << 20) == blocks_of_pattern(2048)
    await small.second.start()
    await assert_overwritten(small)


@pytest.mark.promise("P1", "P3")
async def test_writes_under_way_come_before_it_or_not_at_all(small: Pair) -> None:
    await small.wait_enabled()

    async def write_until_refused(session: Session, number: int) -> int:
        for turn in range(number, 1 << 20, 8):
            block = cdb.write_16(turn * 5 % 64 << 11, 128)
            if (refusal := await sense_of(session, block, data_out=SECRET * 1024)) is not None:
                assert refusal == IN_PROGRESS
                return turn
        raise AssertionError(number)

    async with await connect(small, small.first) as one, await connect(small, small.second) as two:
        writers = [
            asyncio.ensure_future(write_until_refused(session, number)) for number in range(8) for session in (one, two)
        ]
        await asyncio.sleep(0.2)
        parameters = overwrite(2)
        await two.command(cdb.sanitize(OVERWRITE, length=len(parameters)), data_out=parameters)
        async with asyncio.timeout(LIMIT_S):
            assert min(await asyncio.gather(*writers)) >= 8, "they wrote before"
    await assert_overwritten(small)


@pytest.mark.promise("P5")
async def test_a_reset_ends_the_command_and_not_the_operation(small: Pair) -> None:
    await write_secrets(small)
    async with await connect(small, small.first) as one, await connect(small, small.second) as two:
        parameters = overwrite(3)
        asked = asyncio.ensure_future(one.command(cdb.sanitize(OVERWRITE, length=len(parameters)), data_out=parameters))
        async with asyncio.timeout(LIMIT_S):
            while not await progress(two):
                await asyncio.sleep(0.01)
        assert await one.reset_logical_unit() == 0
        assert await progress(two) is not None, "it goes on"
        one.drop()
        with pytest.raises(InitiatorError):
            await asked
        await ended(small, small.second)
    await assert_overwritten(small)


@pytest.mark.promise("P5")
async def test_an_overwrite_without_room_fails_on_both_nodes_until_it_is_made_good(small: Pair) -> None:
    size_bytes = 2 * shutil.disk_usage(small.first.place.disk).free
    await small.first.run("twindisk", "vdisk", "create", "LARGE", str(size_bytes), "--pool", POOL)
    peer = small.second.place.mirror_address
    await small.first.run("qsync", "-s", "LARGE", "-d", "LARGE", "-r", peer, "-g", POOL)
    large = Pair(*small.nodes, vdisk="LARGE")
    await large.wait_enabled()
    async with await connect(large, large.first) as one, await connect(large, large.second) as two:
        await one.write(1 << 20, SECRET * 8)
        parameters = overwrite(1)
        for unrestricted in (True, False):
            begin = cdb.sanitize(OVERWRITE, unrestricted=unrestricted, length=len(parameters))
            assert await sense_of(two, begin, data_out=parameters) == FAILED
            for session in (one, two):
                assert await sense_of(session, cdb.read_16(2048, 1), data_in_bytes=512) == FAILED
                assert await sense_of(session, cdb.test_unit_ready()) == FAILED
            left = await sense_of(one, cdb.sanitize(EXIT_FAILURE_MODE))
            assert left == (None if unrestricted else INVALID_FIELD_IN_CDB)
            if unrestricted:
                assert await two.read(1 << 20, 512) == SECRET * 8, "nothing was changed"
        await two.command(cdb.sanitize(BLOCK_ERASE))
        assert await one.read(1 << 20, 512) == bytes(512)


@pytest.mark.promise("P5")
async def test_a_reservation_through_the_other_node_forbids_it(small: Pair) -> None:
    await write_secrets(small)
    one, two = await Port.log_in(small, small.first, 1), await Port.log_in(small, small.second, 2)
    await clear_all(one)
    assert await one.out(REGISTER, action_key=1) == GOOD
    assert await one.out(RESERVE, 1, key=1) == GOOD
    assert (await two.run(cdb.sanitize(BLOCK_ERASE)))[0] == CONFLICT
    assert copies_hold(small, SECRET)
    assert (await one.run(cdb.sanitize(BLOCK_ERASE)))[0] == GOOD
    assert copies_hold(small, SECRET) == []
    assert await one.held() == (1, 1), "it leaves the reservation alone"
    assert await one.out(CLEAR, key=1) == GOOD
    for port in (one, two):
        await port.session.close()
