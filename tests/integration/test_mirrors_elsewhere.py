"""Faults that mirrors of this kind are known to have had, each played against a real pair.

Those that have a room of their own: one device server with one serial and PR OUT at both nodes at once
(``test_reservations.py``, ``test_two_initiators.py``), a resync under a reservation (``test_reservation_survival.py``),
an isolated node that keeps answering reads (``test_fencing.py``; with cables cut: ``make torture``).
"""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from twindisk.api.schemas import MirrorView
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.demo.workload import Workload
from twindisk.initiator import CheckConditionError, MultipathDisk, SenseKey, Session, SessionOptions
from twindisk.initiator.answers import parse_serial

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

KIB = 1 << 10
MIB = 1 << 20
TIB = 1 << 40
SMALL = "0.03125"  # GiB, as vdconfig takes it
SMALL_BYTES = 32 * MIB
MANY = 6
ODD_BYTES = 16 * MIB + 3 * 512
FAR_BYTES = 17 * TIB + 3 * 512
BLOCK = 4 * KIB


@pytest_asyncio.fixture(loop_scope="module")
async def small(bare_pair: Pair) -> AsyncIterator[Pair]:
    """A pair with a small VDisk that is Enabled."""
    await bare_pair.configure(SMALL)
    yield bare_pair


async def connect(pair: Pair, node: Node) -> Session:
    session = await Session.connect(node.place.portal, iqn(pair.vdisk), SessionOptions(timeout_s=30))
    await session.clear_unit_attentions()
    return session


async def assert_equal(pair: Pair) -> None:
    assert (await compare_when_idle(pair)).first_difference is None


async def write(session: Session, offset: int, data: bytes) -> None:
    """Write; what has changed about the path is heard and the write sent again, any other answer than GOOD is an error."""
    while True:
        try:
            return await session.write(offset, data)
        except CheckConditionError as error:
            if error.sense.key is not SenseKey.UNIT_ATTENTION:
                raise


async def read_everywhere(pair: Pair, offset: int, length: int) -> set[bytes]:
    """Read the same bytes through each node; one element when both agree."""
    found = set()
    for node in pair.nodes:
        async with await connect(pair, node) as session:
            found.add(await session.read(offset, length))
    return found


async def lose_second_and_write(pair: Pair, writes: dict[int, bytes]) -> None:
    """Kill the second node, write by the first, and have the second come back."""
    await pair.second.kill()
    await pair.wait_alone(pair.first)
    async with await connect(pair, pair.first) as session:
        for offset, data in writes.items():
            await write(session, offset, data)
    await pair.second.start()
    await pair.wait_enabled()


@pytest.mark.promise("P1", "P7")
async def test_every_slave_takes_over_when_many_vdisks_are_written(small: Pair) -> None:
    pairs = [small] + [await small.another(f"N{number}", SMALL) for number in range(2, MANY + 1)]
    disks = [MultipathDisk(pair.portals, iqn(pair.vdisk)) for pair in pairs]
    workloads = [Workload(disk, SMALL_BYTES, writers=2) for disk in disks]
    async with asyncio.TaskGroup() as writing:
        for disk in disks:
            await disk.__aenter__()
        for workload in workloads:
            writing.create_task(workload.write_until_stopped())
        await asyncio.sleep(0.5)
        await small.first.kill()
        for pair in pairs:
            await pair.wait_alone(small.second)
        before = [workload.writes for workload in workloads]
        while not all(workload.writes > count for workload, count in zip(workloads, before, strict=True)):
            await asyncio.sleep(0.05)
        await small.first.start()
        for pair in pairs:
            await pair.wait_enabled()
        for workload in workloads:
            workload.stop()
    for disk in disks:
        await disk.__aexit__(None, None, None)
    for pair, workload in zip(pairs, workloads, strict=True):
        async with await connect(pair, small.first) as session:
            assert await workload.count_lost(session) == 0
        await assert_equal(pair)


@pytest.mark.promise("P2", "P8")
async def test_both_asked_to_change_roles_at_once_end_as_one_master_and_one_slave(small: Pair) -> None:
    asked = []
    for roles in (("slave", "slave"), ("master", "master"), ("slave", "master"), ("slave", "slave")):
        for node, role in zip(small.nodes, roles, strict=True):
            asked.append(asyncio.create_task(node.run("qsync", "-s", small.vdisk, "-m", role, status=None)))
        await asyncio.wait(asked[-2:], return_when=asyncio.FIRST_COMPLETED)
        await small.wait_for("one Master and one Slave, both Enabled", one_of_each, 30.0)
    for answer in await asyncio.gather(*asked):
        told = not answer or "is not" in answer or "try again" in answer
        assert told, f"an order that the other undid, or came between, is told so, and no other goes wrong: {answer}"
    await small.wait_for("one Master and one Slave, both Enabled", one_of_each, 30.0)
    assert len(await read_everywhere(small, 0, BLOCK)) == 1


def one_of_each(rows: dict[str, MirrorView | None]) -> bool:
    seen = sorted((row.role, row.status) for row in rows.values() if row)
    return seen == [("Master", "Enabled"), ("Slave", "Enabled")]


@pytest.mark.promise("P1", "P4")
async def test_a_mirror_made_again_knows_nothing_of_the_one_before(small: Pair) -> None:
    """Writes that the old mirror noted as missing at the peer mean nothing to the new one, and none of its own is missed."""
    old, new, late = (os.urandom(BLOCK) for _ in range(3))
    await small.second.kill()
    await small.wait_alone(small.first)
    async with await connect(small, small.first) as session:
        await write(session, 0, old)
        await write(session, 8 * MIB, old)
    await small.command(small.first, "qsync", "-x", "-s", small.vdisk)
    await small.second.start()
    for argv in (("qsync", "-x", "-s", small.vdisk), ("vdconfig", "-x", "-v", small.vdisk, "-f")):
        await small.command(small.second, *argv)
    async with await connect(small, small.first) as session:
        await write(session, 8 * MIB, new)
    await small.mirror()
    await assert_equal(small)
    await lose_second_and_write(small, {16 * MIB: late})
    await assert_equal(small)
    for offset, data in ((0, old), (8 * MIB, new), (16 * MIB, late)):
        assert await read_everywhere(small, offset, BLOCK) == {data}


@pytest.mark.promise("P1", "P3", "P4")
async def test_no_write_through_a_slave_fails_while_it_is_resynced(small: Pair) -> None:
    """From the Slave's first willing answer on, nothing but good answers: no write is refused for the resync's sake."""
    await small.second.kill()
    await small.wait_alone(small.first)
    async with await connect(small, small.first) as session:
        for offset in range(0, SMALL_BYTES, MIB):
            await write(session, offset, os.urandom(MIB))
    await small.second.start()
    enabled = asyncio.create_task(small.wait_enabled())
    written: dict[int, bytes] = {}
    async with await first_ready_session(small) as session:
        number = 0
        while not enabled.done() or not written:
            offset = number * 37 * BLOCK % SMALL_BYTES
            written[offset] = os.urandom(BLOCK)
            await write(session, offset, written[offset])
            assert await session.read(offset, BLOCK) == written[offset]
            number += 1
    await enabled
    await assert_equal(small)
    for offset, data in written.items():
        assert await read_everywhere(small, offset, BLOCK) == {data}


async def first_ready_session(pair: Pair) -> Session:
    """Log in at the second node as soon as it listens and wait until its logical unit is ready."""
    session = await first_login(pair)
    await become_ready(session)
    return session


@pytest.mark.promise("P5", "P6")
async def test_the_first_answers_of_a_node_that_comes_back_never_take_its_path_away(small: Pair) -> None:
    """A path that is told at its first login that there is no such target or logical unit stays dead for some initiators."""
    async with await connect(small, small.first) as session:
        serial = parse_serial(await session.vital_product_data(0x80))
        identification = await session.vital_product_data(0x83)
    for stop in (small.second.kill, small.second.stop):
        await stop()
        starting = asyncio.create_task(small.second.start())
        session = await first_login(small)
        async with session:
            assert parse_serial(await session.vital_product_data(0x80)) == serial
            assert logical_unit_part(await session.vital_product_data(0x83)) == logical_unit_part(identification)
            await become_ready(session)
        await starting
        await small.wait_enabled()


async def first_login(pair: Pair) -> Session:
    """Log in at the second node as soon as its portal takes connections; the first login that it answers must succeed."""
    address, port = pair.second.place.portal_address, pair.second.place.portal_port
    while True:
        try:
            _, writer = await asyncio.open_connection(address, port)
        except OSError:
            await asyncio.sleep(0.002)
            continue
        writer.close()
        return await Session.connect(pair.second.place.portal, iqn(pair.vdisk), SessionOptions(timeout_s=30))


async def become_ready(session: Session) -> None:
    """Ask until the logical unit is ready; until then only NOT READY and unit attentions are fit answers."""
    while True:
        try:
            await session.test_unit_ready()
        except CheckConditionError as error:
            if error.sense.key not in {SenseKey.NOT_READY, SenseKey.UNIT_ATTENTION}:
                raise
            await asyncio.sleep(0.01)
        else:
            return


def logical_unit_part(page: bytes) -> list[bytes]:
    """Return the designators of page 83h that name the logical unit, not the port they were asked through."""
    found, rest = [], page[4:]
    while rest:
        length = 4 + rest[3]
        if rest[1] >> 4 & 3 == 0:
            found.append(rest[:length])
        rest = rest[length:]
    assert found
    return found


@pytest.mark.promise("P1", "P4")
async def test_the_last_blocks_of_an_odd_size_are_resynced(small: Pair) -> None:
    odd = await small.another("ODD", f"{ODD_BYTES}B")
    tail = os.urandom(5 * 512)
    await lose_second_and_write(odd, {ODD_BYTES - len(tail): tail})
    await assert_equal(odd)
    assert await read_everywhere(odd, ODD_BYTES - len(tail), len(tail)) == {tail}
    await small.first.kill()
    await odd.wait_alone(small.second)
    async with await connect(odd, small.second) as session:
        assert await session.read(ODD_BYTES - len(tail), len(tail)) == tail


@pytest.mark.promise("P1", "P4", "P5")
async def test_blocks_beyond_16_tib_are_themselves(small: Pair) -> None:
    """16 TiB is 2^32 blocks of 4 KiB: a number that is cut to 32 bits writes to the wrong end of the disk."""
    far = await small.another("FAR", f"{FAR_BYTES}B")
    low, high = os.urandom(BLOCK), os.urandom(BLOCK)
    places = (16 * TIB, 16 * TIB + 512 * MIB, 17 * TIB - MIB, FAR_BYTES - BLOCK)
    async with await connect(far, small.second) as session:
        for offset in places:
            await session.write(offset % (16 * TIB), low)
            await session.write(offset, high)
    await lose_second_and_write(far, dict.fromkeys(places, high[::-1]))
    for offset in places:
        assert await read_everywhere(far, offset, BLOCK) == {high[::-1]}
        assert await read_everywhere(far, offset % (16 * TIB), BLOCK) == {low}
    async with await connect(far, small.first) as session:
        assert (await session.read_capacity()).size_bytes == FAR_BYTES
    await assert_equal(far)
