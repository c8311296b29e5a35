"""What an initiator that has used up its share of memory still gets: a new path, an end of its commands; and logins when memory is short."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.conftest import free_places, make_vdisk, running_node
from integration.raw_login import RawLogin, command_header
from integration.raw_session import ABORT_TASK_SET, DATA_IN, GOOD, TASKS_RESPONSE, RawSession
from twindisk.demo.node import Node
from twindisk.demo.pair import iqn
from twindisk.initiator import Session, SessionOptions, cdb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P9")]

M1 = iqn("M1")
GREEDY, AS_GREEDY = "iqn.2024-01.invalid:greedy", "iqn.2024-01.invalid:as-greedy"
KIB, MIB = 1 << 10, 1 << 20
READ_BYTES = 8 * MIB
READS = 40
SHARE_READS = 8
"""Reads that use up a session's 64 MiB."""
SETTINGS = "MemoryLimitMiB=256\n"
LIMIT_S = 10.0
"""Shorter than it takes to give up an initiator that takes nothing."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A node with a VDisk."""
    async with running_node(free_places(tmp_path_factory.mktemp("node")), settings=SETTINGS) as node:
        await make_vdisk(node, "M1", "0.25")
        async with await Session.connect(node.place.portal, M1) as session:
            await session.clear_unit_attentions()
            await session.write(0, bytes(range(256)) * (READ_BYTES // 256))
        yield node


async def untaken_reads(node: Node, isid: int, name: str, stack: contextlib.AsyncExitStack) -> None:
    """Open a session that asks for much and takes nothing of it."""
    login = await RawLogin.connect(node.place.portal, isid=isid)
    stack.callback(login.drop)
    await login.logged_in(M1, name)
    login.reader._transport.pause_reading()  # type: ignore[attr-defined]
    login.writer.write(reads(1))


def reads(first: int) -> bytes:
    """Return many reads' headers, numbered from ``first`` on."""
    block = cdb.read_16(0, READ_BYTES // 512)
    heads = (command_header(first + at, block, flags=0xC0, expected_bytes=READ_BYTES) for at in range(READS))
    return b"".join(heads)


async def test_a_new_path_serves_while_other_sessions_of_its_initiator_hold_the_whole_share(node: Node) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for isid in (1, 2):
            await untaken_reads(node, isid, GREEDY, stack)
        async with asyncio.timeout(LIMIT_S):
            path = await RawLogin.connect(node.place.portal, isid=3)
            stack.callback(path.drop)
            await path.logged_in(M1, GREEDY)
            session = RawSession(path)
            await session.attentions()
            for block in range(20):
                data = bytes((block,)) * 512
                tag = session.write(block)
                asked = await session.answer()
                session.data_out(asked[3], data)
                assert (await session.answer())[1:3] == (tag, GOOD)
                assert await session.read(block) == data


async def test_a_request_to_end_commands_is_served_before_those_that_wait_for_memory(node: Node) -> None:
    login = await RawLogin.connect(node.place.portal, isid=9)
    await login.logged_in(M1, "iqn.2024-01.invalid:hasty")
    session = RawSession(login)
    await session.attentions()
    number = session._number
    request = bytearray(48)
    request[:2] = bytes((0x42, 0x80 | ABORT_TASK_SET))
    request[16:24] = struct.pack(">II", 0x7777, 0xFFFF_FFFF)
    request[24:28] = struct.pack(">I", number + READS)
    login.writer.write(reads(number) + bytes(request))
    session._number += READS
    served = set()
    async with asyncio.timeout(60):
        while True:
            opcode, tag, response, pdu = await session.answer()
            if opcode == TASKS_RESPONSE:
                break
            assert opcode == DATA_IN
            if pdu[1] & 0x01:
                served.add(tag)
    assert (tag, response) == (0x7777, 0)
    assert len(served) <= 2 * SHARE_READS, "those that waited were ended"
    assert len(await session.read(0)) == 512
    session.close()


async def test_logins_are_read_when_all_logins_together_hold_their_part(node: Node) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for name in (GREEDY, AS_GREEDY):
            await untaken_reads(node, 1, name, stack)
        network = node.place.portal_address.rpartition(".")[0]
        for at in range(240):
            login = await RawLogin.connect(node.place.portal, source=f"{network}.{200 + at // 60}")
            stack.callback(login.drop)
            login.writer.write(b"\x43")
        async with asyncio.timeout(LIMIT_S):
            options = SessionOptions(initiator="iqn.2024-01.invalid:honest")
            async with await Session.connect(node.place.portal, M1, options) as session:
                await session.clear_unit_attentions()
                assert len(await session.read(0, 64 * KIB)) == 64 * KIB
