"""Task management with initiators on different nodes: one logical unit is reset, not half of it."""

import asyncio
import contextlib
import os
import signal
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.raw_session import (
    ABORT_TASK_SET,
    ASKED_FOR_DATA,
    CLEAR_TASK_SET,
    COLD_RESET,
    GOOD,
    REJECTED,
    RESPONSE,
    TASK_ABORTED,
    TASKS_RESPONSE,
    UNIT_RESET,
    WARM_RESET,
    RawSession,
)
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import InitiatorError, MultipathDisk, Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.promise("P5")]

OLD, NEW = b"o" * 512, b"n" * 512
RESET = (0x29, 0x03)


@pytest_asyncio.fixture(loop_scope="module")
async def sessions(pair: Pair) -> AsyncIterator[dict[str, RawSession]]:
    """A and B on the Master, C and D on the Slave."""
    made = {
        name: await RawSession.log_in(pair, pair.nodes[number // 2], number + 1) for number, name in enumerate("ABCD")
    }
    yield made
    for session in made.values():
        session.close()


async def stuck_write(session: RawSession, block: int) -> tuple[int, bytes]:
    """Begin a write that lacks its data: its tag, and what asks for them."""
    tag = session.write(block)
    opcode, of, _, asked = await session.answer()
    assert (opcode, of) == (ASKED_FOR_DATA, tag)
    return tag, asked


@pytest.mark.parametrize("asker", ["A", "C"])
@pytest.mark.parametrize(("function", "told"), [(UNIT_RESET, [RESET]), (WARM_RESET, [RESET]), (CLEAR_TASK_SET, [])])
async def test_what_ends_all_commands_ends_them_on_both_nodes(
    sessions: dict[str, RawSession], asker: str, function: int, told: list[tuple[int, int]]
) -> None:
    stuck = {name: await stuck_write(session, 8) for name, session in sessions.items()}
    before = await sessions["A"].read(8)
    request = sessions[asker].manage(function)
    assert (await sessions[asker].answer())[:3] == (TASKS_RESPONSE, request, 0)
    for name, session in sessions.items():
        tag, asked = stuck[name]
        if name != asker:
            assert (await session.answer())[:3] == (RESPONSE, tag, TASK_ABORTED), name
        session.data_out(asked, NEW)
    for name, session in sessions.items():
        assert await session.attentions() == told, name
    for session in sessions.values():
        assert await session.read(8) == before, "the data came too late"


async def test_abort_task_set_concerns_nobody_else(sessions: dict[str, RawSession]) -> None:
    stuck = {name: await stuck_write(session, 9) for name, session in sessions.items()}
    request = sessions["A"].manage(ABORT_TASK_SET)
    assert (await sessions["A"].answer())[:3] == (TASKS_RESPONSE, request, 0)
    for name, session in sessions.items():
        tag, asked = stuck[name]
        session.data_out(asked, NEW)
        if name != "A":
            assert (await session.answer())[:3] == (RESPONSE, tag, GOOD), name
        assert await session.attentions() == [], name


async def reserve_out(session: RawSession, action: int, key: int, action_key: int) -> None:
    """PERSISTENT RESERVE OUT, past unit attentions."""
    await session.attentions()
    tag = session.command(struct.pack(">BB3xI", 0x5F, action, 24), flags=0xA0, expected_bytes=24)
    opcode, _, _, asked = await session.answer()
    assert opcode == ASKED_FOR_DATA
    session.data_out(asked, struct.pack(">QQ8x", key, action_key))
    assert (await session.answer())[:3] == (RESPONSE, tag, GOOD)


@pytest.mark.parametrize("victim", ["A", "C"])
async def test_preempt_and_abort_ends_what_lacks_data_whatever_is_allowed_afterwards(
    sessions: dict[str, RawSession], victim: str
) -> None:
    register_and_ignore, preempt_and_abort = 6, 5
    stuck_one, other = sessions[victim], sessions["B"]
    await reserve_out(stuck_one, register_and_ignore, 0, 1)
    await reserve_out(other, register_and_ignore, 0, 2)
    before = await other.read(14)
    # The first one could end with the unit attention that says so, and tell nothing.
    stuck = [await stuck_write(stuck_one, 14) for _ in range(2)]
    await reserve_out(other, preempt_and_abort, 2, 1)
    await reserve_out(other, register_and_ignore, 0, 0)
    for tag, _ in stuck:
        assert (await stuck_one.answer())[:3] == (RESPONSE, tag, TASK_ABORTED)
    for _, asked in stuck:
        stuck_one.data_out(asked, NEW)
    assert await stuck_one.attentions() == [(0x2A, 0x05)]
    assert await other.read(14) == before, "the data came too late"


@pytest.mark.parametrize("asker", ["A", "C"])
async def test_a_cold_reset_ends_all_sessions_on_both_nodes(
    pair: Pair, sessions: dict[str, RawSession], asker: str
) -> None:
    request = sessions[asker].manage(COLD_RESET)
    assert (await sessions[asker].answer())[:3] == (TASKS_RESPONSE, request, 0)
    for session in sessions.values():
        assert await session.closed()
    again = await RawSession.log_in(pair, pair.first, 1)
    again.close()


async def test_commands_that_came_after_a_reset_are_spared(sessions: dict[str, RawSession]) -> None:
    one = sessions["C"]
    before = one.write(10)
    opcode, _, _, late = await one.answer()
    request, after = one.manage(UNIT_RESET), one.write(11)
    assert opcode == ASKED_FOR_DATA
    seen = [(await one.answer()) for _ in range(2)]
    assert {(opcode, tag) for opcode, tag, _, _ in seen} == {(TASKS_RESPONSE, request), (ASKED_FOR_DATA, after)}
    one.data_out(late, NEW)
    one.data_out(next(pdu for opcode, _, _, pdu in seen if opcode == ASKED_FOR_DATA), NEW)
    opcode, tag, _, _ = await one.answer()
    assert (opcode, tag) == (RESPONSE, after), f"{before} is never answered"


async def test_a_reset_waits_for_what_has_begun(pair: Pair, sessions: dict[str, RawSession]) -> None:
    writer, asker = sessions["A"], sessions["B"]
    tag, asked = await stuck_write(writer, 12)
    pid = pair.second.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        # The Master has it, the Slave does not answer.
        writer.data_out(asked, NEW)
        writing = asyncio.create_task(writer.answer())
        await asyncio.sleep(0.1)
        request = asker.manage(UNIT_RESET)
        resetting = asyncio.create_task(asker.answer())
        await asyncio.sleep(0.2)
        assert not resetting.done()
        assert not writing.done()
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (await resetting)[:3] == (TASKS_RESPONSE, request, 0)
    assert (await writing)[1] == tag
    if pair.second.pid is None:
        # On a machine so busy that it was silent for too long, it was fenced.
        await pair.second.start()
    await pair.wait_enabled()


@pytest.mark.parametrize("victim", ["first", "second"])
async def test_resets_and_writes_go_on_while_a_node_dies(pair: Pair, victim: str) -> None:
    lost: Node = getattr(pair, victim)
    survivor = pair.other(lost)
    resets = 0

    async def reset_until_over(node: Node, over: asyncio.Event) -> None:
        nonlocal resets
        while not over.is_set():
            with contextlib.suppress(InitiatorError):
                async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
                    while not over.is_set():
                        response = await session.reset_logical_unit()
                        assert response in {0, REJECTED}
                        resets += response == 0
                        await asyncio.sleep(0.05)
            await asyncio.sleep(0.05)

    over = asyncio.Event()
    resetting = [asyncio.create_task(reset_until_over(node, over)) for node in pair.nodes]
    async with MultipathDisk(pair.portals, iqn(pair.vdisk)) as disk, asyncio.timeout(60):
        for value in range(1, 60):
            await disk.write(4096, value.to_bytes(2, "big") * 256)
            assert await disk.read(4096, 512) == value.to_bytes(2, "big") * 256
            if value == 20:
                await lost.kill()
        at_death = resets
        while resets < at_death + 5:
            await asyncio.sleep(0.05)
        over.set()
        await asyncio.gather(*resetting)
    late = await RawSession.log_in(pair, survivor, 9)
    assert await late.attentions() == []
    late.close()
    await lost.start()
    await pair.wait_enabled()


async def test_a_vdisk_that_does_not_serve_rejects_resets_and_aborts_the_own_tasks(pair: Pair) -> None:
    await asyncio.gather(*(node.kill() for node in pair.nodes))
    await pair.second.start()
    session = await RawSession.log_in(pair, pair.second, 1, ready=False)
    tag, _ = await stuck_write(session, 13)
    for function, status in ((UNIT_RESET, REJECTED), (CLEAR_TASK_SET, REJECTED), (ABORT_TASK_SET, 0)):
        request = session.manage(function)
        if tag and status == REJECTED:
            assert (await session.answer())[:3] == (RESPONSE, tag, TASK_ABORTED)
            tag = 0
        assert (await session.answer())[:3] == (TASKS_RESPONSE, request, status)
    session.close()
    await pair.first.start()
    await pair.wait_enabled()
