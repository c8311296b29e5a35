"""How much memory initiators can make a node hold: those that take as much as they can get, beside one that is honest."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.conftest import free_places, make_vdisk, running_node
from integration.raw_login import RawLogin, command_header, ping_header
from twindisk.demo.node import Node
from twindisk.demo.pair import iqn
from twindisk.initiator import Session, SessionOptions, cdb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P9")]

M1 = iqn("M1")
LIMIT_MIB = 256
INITIATOR_MIB, MARGIN_MIB, COMMAND_MIB = 128, 48, 8
READ, WRITE, WRITE_MORE = 0xC0, 0xA0, 0x20
UNASKED = {"InitialR2T": "No", "ImmediateData": "Yes", "FirstBurstLength": "262144"}
SESSIONS = {"reads": 8, "unasked": 12}
"""Of an attack; of the others 4. So many together send more unasked than their initiator may hold; of fewer that read, the first may go short at once and then
take one command at a time, which is little.
"""
COMMANDS = 100
KIB, MIB = 1 << 10, 1 << 20
FIRST_BURST = bytes(256 * KIB)
LIMIT_S = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A node with a VDisk that may hold 256 MiB for initiators."""
    where = free_places(tmp_path_factory.mktemp("node"))
    async with running_node(where, settings=f"MemoryLimitMiB={LIMIT_MIB}\n") as node:
        await make_vdisk(node, "M1", "0.25")
        yield node


def reads(login: RawLogin) -> None:
    """Ask for much and take nothing."""
    for number in range(1, COMMANDS):
        length = 8 * MIB
        login.put(command_header(number, cdb.read_16(0, length // 512), flags=READ, expected_bytes=length))


def announced_writes(login: RawLogin) -> None:
    """Begin writes and never send what is asked for."""
    for number in range(1, COMMANDS):
        head = command_header(number, cdb.write_16(0, MIB // 512), flags=WRITE, expected_bytes=MIB)
        login.put(head, bytes(128 * KIB))


def unasked(login: RawLogin) -> None:
    """Begin the longest writes, and send of each all that may be sent before it is asked for."""
    for number in range(1, COMMANDS):
        length = 8 * MIB
        login.put(
            command_header(number, cdb.write_16(0, length // 512), flags=WRITE, expected_bytes=length), FIRST_BURST
        )


def crumbs(login: RawLogin) -> None:
    """Leave little of what is sent to be kept, spread over all of it."""
    for number in range(1, COMMANDS):
        head = command_header(number, cdb.write_16(0, 2), flags=WRITE_MORE, expected_bytes=1024)
        login.put(head, bytes(512))
        for _ in range(4):
            login.put(ping_header(number + 1), bytes(256 * KIB))


ATTACKS = {"reads": reads, "announced": announced_writes, "crumbs": crumbs, "unasked": unasked}


async def held(node: Node) -> tuple[int, dict[str, int]]:
    """Return what the node says it holds, in MiB: in all, and for each initiator."""
    status = json.loads(await node.run("twindisk", "--json", "status"))
    assert status["memory"]["limit_bytes"] == LIMIT_MIB * MIB
    each: dict[str, int] = {}
    for session in status["vdisks"][0]["sessions"]:
        each[session["initiator"]] = each.get(session["initiator"], 0) + session["held_bytes"]
    return status["memory"]["held_bytes"] // MIB, {name: count // MIB for name, count in each.items()}


def resident_mib(node: Node, line: str) -> int:
    """Return a line of the daemon's memory: VmRSS, or VmHWM for the most that it ever was."""
    text = Path(f"/proc/{node.pid}/status").read_text()
    (found,) = [words for words in map(str.split, text.splitlines()) if words[0] == f"{line}:"]
    return int(found[1]) // 1024


async def attack(node: Node, kind: str, name: str, stack: contextlib.AsyncExitStack) -> None:
    """Open sessions that take what they can get, and leave them open."""
    for isid in range(SESSIONS.get(kind, 4)):
        login = await RawLogin.connect(node.place.portal, isid=isid)
        stack.callback(login.drop)
        await login.logged_in(M1, name, **UNASKED)
        login.reader._transport.pause_reading()  # type: ignore[attr-defined]
        ATTACKS[kind](login)


async def work(session: Session, lane: int) -> None:
    """Write and read back."""
    for turn in range(10):
        data = bytes((lane, turn)) * (64 * KIB)
        offset = (lane * 10 + turn) * len(data)
        await session.write(offset, data)
        assert await session.read(offset, len(data)) == data


async def test_whoever_takes_all_he_can_get_is_bounded_and_an_honest_initiator_goes_on(node: Node) -> None:
    async with await Session.connect(node.place.portal, M1) as honest:
        await honest.clear_unit_attentions()
        await honest.write(0, bytes(8 * MIB))
        before_mib = resident_mib(node, "VmHWM")
        async with contextlib.AsyncExitStack() as stack:
            for number, kind in enumerate(2 * tuple(ATTACKS)):
                await attack(node, kind, f"iqn.2024-01.invalid:{kind}{number}", stack)
                async with asyncio.timeout(LIMIT_S):
                    await asyncio.gather(*(work(honest, lane) for lane in range(4)))
                all_mib, each_mib = await held(node)
                assert all_mib <= LIMIT_MIB + COMMAND_MIB, each_mib
                assert max(each_mib.values()) <= INITIATOR_MIB + MARGIN_MIB + COMMAND_MIB, each_mib
                print(f"{kind}: {all_mib} MiB held, {each_mib}; resident {resident_mib(node, 'VmRSS')} MiB")
                if number == 0:
                    assert all_mib >= INITIATOR_MIB // 2, "it does get much"
            assert all_mib >= LIMIT_MIB // 2, "they press"
            grown_mib = resident_mib(node, "VmHWM") - before_mib
            assert grown_mib <= LIMIT_MIB + 64, (grown_mib, each_mib)
        async with asyncio.timeout(LIMIT_S):
            while (await held(node))[0] > 8:
                await asyncio.sleep(0.1)


async def test_what_a_closed_session_leaves_counts_for_its_initiator(node: Node) -> None:
    before_mib = resident_mib(node, "VmRSS")
    name = "iqn.2024-01.invalid:again"
    for turn in range(8):
        async with contextlib.AsyncExitStack() as stack:
            login = await RawLogin.connect(node.place.portal, isid=9)
            stack.callback(login.drop)
            await login.logged_in(M1, name, **UNASKED)
            for number in range(1, COMMANDS):
                head = command_header(number, cdb.write_16(turn, 512), flags=WRITE, expected_bytes=256 * KIB)
                login.put(head, bytes(256 * KIB))
            await login.writer.drain()
    assert (await held(node))[0] <= INITIATOR_MIB + MARGIN_MIB
    assert resident_mib(node, "VmHWM") - before_mib <= LIMIT_MIB


async def test_a_greedy_initiator_that_keeps_to_the_rules_is_slowed_and_never_refused(node: Node) -> None:
    length, depth = 4 * MIB, 48
    options = SessionOptions(initiator="iqn.2024-01.invalid:greedy")
    async with await Session.connect(node.place.portal, M1, options) as session:
        await session.clear_unit_attentions()

        async def lane(number: int) -> None:
            offset, data = number * length, bytes((number + 1,)) * length
            await session.write(offset, data)
            assert await session.read(offset, length) == data

        async with asyncio.timeout(LIMIT_S):
            await asyncio.gather(*(lane(number) for number in range(depth)))
    assert (await held(node))[0] <= LIMIT_MIB
