"""EXTENDED COPY through both nodes: between two VDisks and inside one, against writers at the other node, while a node dies."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from itertools import count

import pytest

from integration.copy_client import BLOCK_BYTES, copy, copy_status, copy_within, designator
from integration.reservation_client import CONFLICT, GOOD, REGISTER, RESERVE, Port, clear_all
from twindisk.client import NodeClient
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import CheckConditionError, InitiatorError, SenseKey, Session, SessionOptions, StatusError
from twindisk.initiator.copies import Segment, copy_parameters, extended_copy

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

MIB = 1 << 20
OTHER = "M2"
OPTIONS = SessionOptions(timeout_s=30)
NOBODY = "iqn.2024-01.invalid:nobody"
COPY_ABORTED = 0x0A
NOT_REACHABLE, OTHER_UNIT_FAILED = (0x0D, 0x02), (0x0D, 0x01)
TASK_ABORTED = 0x40
WRITE_EXCLUSIVE = 1
REGION_BYTES = 256 << 10
"""What writers fill with one token at a time; within one write."""
SOURCE, TARGET = 64 * MIB, 96 * MIB + 512


def log_in(pair: Pair, node: int, options: SessionOptions = OPTIONS) -> contextlib.AbstractAsyncContextManager[Session]:
    """Log in to a pair's VDisk at its first or second node."""

    @contextlib.asynccontextmanager
    async def session() -> AsyncIterator[Session]:
        async with await Session.connect(pair.portals[node], iqn(pair.vdisk), options) as session:
            yield session

    return session()


async def refused(session: Session, units: list[bytes], segments: list[Segment]) -> tuple[int, int, int]:
    with pytest.raises(CheckConditionError) as error:
        await copy(session, units, segments)
    return error.value.sense.key, error.value.sense.code, error.value.sense.qualifier


async def test_what_is_copied_through_one_node_is_read_through_the_other(pair: Pair) -> None:
    data = os.urandom(3 * MIB + 512)
    for at in (0, 1):
        async with log_in(pair, at) as here, log_in(pair, 1 - at) as there:
            await there.write(0, data[at:] + data[:at])
            await here.write(5 * MIB, b"x" * len(data))
            await copy_within(here, 0, 5 * MIB, len(data))
            assert await there.read(5 * MIB, len(data)) == data[at:] + data[:at]
            assert await copy_status(here) == await copy_status(here)
            assert ((await copy_status(here)).outcome, (await copy_status(here)).segments) == (1, 1)


async def test_a_range_copied_over_itself_moves_as_a_whole(pair: Pair) -> None:
    data = os.urandom(2 * MIB)
    for at, by in ((0, 64 << 10), (1, -(64 << 10))):
        async with log_in(pair, at) as here, log_in(pair, 1 - at) as there:
            await here.write(8 * MIB, data)
            await copy_within(here, 8 * MIB, 8 * MIB + by, len(data))
            assert await there.read(8 * MIB + by, len(data)) == data


async def test_a_copy_between_two_vdisks_leaves_holes_where_the_source_has_them(pair: Pair, other: Pair) -> None:
    data = os.urandom(MIB)
    async with log_in(pair, 0) as source, log_in(other, 1) as target:
        units = [await designator(source), await designator(target)]
        await source.write(0, data)
        await source.unmap([(MIB, MIB)])
        await target.write(MIB, b"x" * (2 * MIB))
        blocks = MIB // BLOCK_BYTES
        await copy(source, units, [Segment(0, 1, 2 * blocks, 0, blocks)])
        assert await target.read(MIB, 2 * MIB) == data + bytes(MIB)
        # The list may name the other one first, and go to either of them.
        await copy(target, units[::-1], [Segment(0, 1, blocks, blocks, 10 * blocks)])
        assert await source.read(10 * MIB, MIB) == data


async def test_a_vdisk_that_would_not_let_the_initiator_in_is_not_reached(pair: Pair, other: Pair) -> None:
    node = pair.first
    async with log_in(pair, 0) as source, log_in(other, 0) as target:
        units = [await designator(source), await designator(target)]
    await node.run("twindisk", "initiator", "allow", OTHER, NOBODY)
    try:
        async with log_in(pair, 0) as source:
            for segment in (Segment(0, 1, 1, 0, 0), Segment(1, 0, 1, 0, 0)):
                assert await refused(source, units, [segment]) == (COPY_ABORTED, *NOT_REACHABLE)
            assert (await copy_status(source)).outcome == 2
    finally:
        await node.run("twindisk", "initiator", "deny", OTHER, NOBODY, "--everyone")


async def test_reservations_of_both_vdisks_bind_the_copy(pair: Pair, other: Pair) -> None:
    async with log_in(pair, 1) as source, log_in(other, 1) as target:
        units = [await designator(source), await designator(target)]
    inside, across, back = Segment(0, 0, 1, 0, 9), Segment(0, 1, 1, 0, 0), Segment(1, 0, 1, 0, 9)
    for reserved, expected in ((pair, None), (other, OTHER_UNIT_FAILED)):
        holder, copier = await Port.log_in(reserved, pair.first, 1), await Port.log_in(pair, pair.second, 2)
        try:
            assert await holder.out(REGISTER, action_key=1) == GOOD
            assert await holder.out(RESERVE, WRITE_EXCLUSIVE, key=1) == GOOD
            parameters = copy_parameters(units, [across])
            status, _ = await copier.run(extended_copy(len(parameters)), data_out=parameters)
            if expected is None:
                assert status == CONFLICT
            else:
                assert copier.refused == (COPY_ABORTED, *expected)
                for allowed in (inside, back):
                    parameters = copy_parameters(units, [allowed])
                    assert (await copier.run(extended_copy(len(parameters)), data_out=parameters))[0] == GOOD
        finally:
            await clear_all(holder)
            for port in (holder, copier):
                await port.session.close()


async def test_a_reset_stops_a_copy_between_two_pieces(pair: Pair) -> None:
    segment_bytes, segments = 24 * MIB, 64
    async with log_in(pair, 0) as copying, log_in(pair, 0) as resetting:
        unit = await designator(copying)
        for at in range(0, segment_bytes, 4 * MIB):
            await copying.write(at, os.urandom(4 * MIB))
        blocks = segment_bytes // BLOCK_BYTES
        long = [Segment(0, 0, blocks, 0, 2 * blocks)] * segments
        task = asyncio.create_task(copy(copying, [unit], long))
        while not (task.done() or await _begun(copying)):
            await asyncio.sleep(0.01)
        assert await resetting.reset_logical_unit() == 0
        with pytest.raises(StatusError) as stopped:
            await task
        assert stopped.value.status == TASK_ABORTED
        await copying.clear_unit_attentions()
        status = await copy_status(copying)
        assert status.outcome == 2
        assert status.segments < segments


async def test_copies_of_a_session_that_ended_are_counted_until_they_have_ended(pair: Pair, other: Pair) -> None:
    first, second = pair.nodes
    copies, held_bytes = 16, 2 * MIB
    options = replace(OPTIONS, initiator="iqn.2024-01.invalid:copier")
    async with log_in(pair, 0) as session, log_in(other, 0) as target:
        units = [await designator(session), await designator(target)]
        await session.write(0, os.urandom(MIB))
    copying = await Session.connect(pair.portals[0], iqn(pair.vdisk), options)
    await copying.clear_unit_attentions()
    assert second.pid is not None
    os.kill(second.pid, signal.SIGSTOP)
    try:
        tasks = [
            asyncio.create_task(copy(copying, units, [Segment(0, 1, 512, 0, 4096 * at)], at)) for at in range(copies)
        ]
        # The peer is missed after two seconds.
        while (await _held(first))[0] < copies * held_bytes:
            await asyncio.sleep(0.02)
        copying.drop()
        await asyncio.gather(*tasks, return_exceptions=True)
        held, names = await _held(first)
        while options.initiator in names:
            held, names = await _held(first)
        assert held >= copies * held_bytes
    finally:
        os.kill(second.pid, signal.SIGCONT)
    async with asyncio.timeout(30):
        while (await _held(first))[0] >= held_bytes:
            await asyncio.sleep(0.1)


async def _held(node: Node) -> tuple[int, list[str]]:
    """Return how many bytes a node holds for initiators, and who they are."""

    def ask() -> tuple[int, list[str]]:
        with NodeClient(node.place.socket_path) as client:
            status = client.status()
        return status.memory.held_bytes, [one.initiator for row in status.vdisks for one in row.sessions]

    return await asyncio.to_thread(ask)


async def _begun(session: Session) -> bool:
    try:
        return (await copy_status(session)).segments > 0
    except CheckConditionError as error:
        if error.sense.key is not SenseKey.ILLEGAL_REQUEST:
            raise
        return False


class Writer:
    """Fills the source with one token after the other, through the node that serves."""

    def __init__(self) -> None:
        self.tokens = count(1)
        self.issued = 0
        self.answered = 0

    async def write(self, session: Session) -> None:
        self.issued = next(self.tokens)
        await session.write(SOURCE, region_of(self.issued))
        self.answered = self.issued


async def repeat(
    step: Callable[[Session], Awaitable[None]], portals: list[str], target: str, until: asyncio.Event
) -> None:
    """Do a step again and again, through the other node when one is lost."""
    session = None
    while not until.is_set():
        try:
            session = session or await Session.connect(portals[0], target, OPTIONS)
            await step(session)
        except InitiatorError:
            if session is not None:
                session.drop()
                session = None
            portals.reverse()
            await asyncio.sleep(0.02)
    if session is not None:
        await session.close()


def region_of(token: int) -> bytes:
    return token.to_bytes(8, "big") * (REGION_BYTES // 8)


def token_of(region: bytes) -> int:
    token = int.from_bytes(region[:8], "big")
    assert region == region_of(token), "torn"
    return token


@pytest.mark.promise("P1", "P3", "P4")
async def test_a_copy_is_what_the_source_was_at_one_moment_while_the_other_node_writes_and_the_master_dies(
    pair: Pair, other: Pair
) -> None:
    target, stop, writer = iqn(pair.vdisk), asyncio.Event(), Writer()
    async with log_in(pair, 0) as session:
        await session.write(SOURCE, region_of(0))
    copies = 0

    async def copy_and_look(session: Session) -> None:
        nonlocal copies
        oldest = writer.answered
        await copy_within(session, SOURCE, TARGET, REGION_BYTES)
        newest = writer.issued
        assert oldest <= token_of(await session.read(TARGET, REGION_BYTES)) <= newest
        copies += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(repeat(writer.write, pair.portals, target, stop))
        group.create_task(repeat(copy_and_look, pair.portals[::-1], target, stop))
        await asyncio.sleep(1.0)
        before = copies
        await pair.first.kill()
        await pair.wait_alone(pair.second)
        await asyncio.sleep(0.5)
        await pair.first.start()
        await pair.wait_enabled()
        await asyncio.sleep(0.5)
        stop.set()
    print(f"{copies} copies, {before} before the kill; {writer.answered} writes")
    assert 0 < before < copies
    await other.wait_enabled()
    assert (await compare_when_idle(pair)).first_difference is None
