"""Sessions from the outside: their limits, their end, several portals; with an initiator that does what no good one does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.conftest import free_places, make_vdisk, running_node
from integration.initiator_tools import run_tool
from integration.raw_login import INITIATOR, OPERATIONAL_TO_FULL, RawLogin
from twindisk.demo.node import Node
from twindisk.demo.pair import iqn
from twindisk.demo.place import NodePlace
from twindisk.initiator import Session, discover

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P9")]

OTHER = "iqn.1994-05.com.redhat:vm13"
M1 = iqn("M1")
NOP_IN, ASYNC, LOGOUT_RESPONSE = 0x20, 0x32, 0x26
MOVED_TEMPORARILY, NOT_FOUND = 0x0101, 0x0203
OUT_OF_RESOURCES, TOO_MANY_CONNECTIONS, NO_SUCH_SESSION = 0x0302, 0x0206, 0x020A
SESSIONS_MAX = 32
NO_TAG = b"\xff" * 4


def former_portal(place: NodePlace) -> str:
    """A portal that sends initiators on to the node's first one."""
    return f"{place.portal_address.rpartition('.')[0]}.77:{place.portal_port}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A node with a VDisk and three portals, two IPv4 addresses and an IPv6 one, and a fourth that redirects."""
    where = free_places(tmp_path_factory.mktemp("node"))
    portals = f"{where[1].portal},[::1]:{where[0].portal_port},{former_portal(where[0])}"
    settings = f"Portal={portals}\nRedirect={former_portal(where[0])} {where[0].portal}\n"
    async with running_node(where, settings=settings) as node:
        await make_vdisk(node, "M1", "0.1")
        yield node


async def test_every_portal_serves_and_discovery_tells_the_one_that_was_asked(node: Node) -> None:
    port = node.place.portal_port
    second = Path(node.place.etc / "quadstor.conf").read_text().rpartition("Portal=")[2].partition(",")[0]
    for portal in (node.place.portal, second, f"[::1]:{port}"):
        (target,) = await discover(portal)
        assert target.portals == (f"{portal},1",)
        assert M1 in await run_tool("iscsi-ls", f"iscsi://{portal}")
        async with await Session.connect(portal, M1) as session:
            await session.clear_unit_attentions()
            await session.write(0, portal.encode().ljust(512))
            assert (await session.read(0, 512)).rstrip().decode() == portal
    assert f"[::1]:{port}" in await node.run("twindisk", "node", "show")


async def test_a_portal_sends_initiators_on_and_libiscsi_and_qemu_go_there(node: Node) -> None:
    former = former_portal(node.place)
    login = await RawLogin.connect(former)
    answer = await login.send(OPERATIONAL_TO_FULL, InitiatorName=INITIATOR, TargetName=M1)
    assert (answer.status, answer.text) == (MOVED_TEMPORARILY, {"TargetAddress": node.place.portal})
    assert await login.closed()
    unknown = await RawLogin.connect(former)
    answer = await unknown.send(OPERATIONAL_TO_FULL, InitiatorName=INITIATOR, TargetName=iqn("M9"))
    assert answer.status == NOT_FOUND
    assert await unknown.closed()
    (target,) = await discover(former)
    assert target.portals == (f"{node.place.portal},1",)
    assert "VDISK" in await run_tool("iscsi-inq", f"iscsi://{former}/{M1}/0")
    assert "virtual size" in await run_tool("qemu-img", "info", f"iscsi://{former}/{M1}/0")


async def test_connections_and_recovery_are_negotiated_down(node: Node) -> None:
    login = await RawLogin.connect(node.place.portal)
    answer = await login.logged_in(M1, MaxConnections="8", ErrorRecoveryLevel="2", MaxOutstandingR2T="64")
    assert (answer.text["MaxConnections"], answer.text["ErrorRecoveryLevel"]) == ("1", "0")
    names = {"InitiatorName": INITIATOR, "TargetName": M1}
    for tsih, status in ((answer.tsih, TOO_MANY_CONNECTIONS), (answer.tsih ^ 1, NO_SUCH_SESSION)):
        second = await RawLogin.connect(node.place.portal)
        assert (await second.ask(OPERATIONAL_TO_FULL, names, tsih=tsih, cid=1)).status == status
        assert await second.closed()
    login.close()


async def test_a_login_with_the_same_isid_reinstates_the_session(node: Node) -> None:
    first = await RawLogin.connect(node.place.portal, isid=7)
    await first.logged_in(M1)
    stranger = await RawLogin.connect(node.place.portal, isid=7)
    await stranger.logged_in(M1, OTHER)
    second = await RawLogin.connect(node.place.portal, isid=7)
    await second.logged_in(M1)
    assert await first.closed()
    await stranger.log_out()
    assert (await stranger.pdu())[0][0] == LOGOUT_RESPONSE
    stranger.close()
    second.close()


async def test_one_initiator_has_a_limit_and_others_come_in(node: Node) -> None:
    async with contextlib.AsyncExitStack() as open_sessions:
        for isid in range(SESSIONS_MAX):
            login = await RawLogin.connect(node.place.portal, isid=1000 + isid)
            open_sessions.callback(login.close)
            await login.logged_in(M1)
        names = {"InitiatorName": INITIATOR, "TargetName": M1}
        one_more = await RawLogin.connect(node.place.portal, isid=2000)
        assert (await one_more.send(OPERATIONAL_TO_FULL, **names)).status == OUT_OF_RESOURCES
        assert await one_more.closed()
        again = await RawLogin.connect(node.place.portal, isid=1000)
        open_sessions.callback(again.close)
        await again.logged_in(M1)
        other = await RawLogin.connect(node.place.portal, isid=2000)
        open_sessions.callback(other.close)
        await other.logged_in(M1, OTHER)
        async with await Session.connect(node.place.portal, M1) as session:
            await session.clear_unit_attentions()


async def test_a_dead_initiator_is_asked_and_then_given_up(node: Node) -> None:
    alive = await RawLogin.connect(node.place.portal, isid=3001)
    await alive.logged_in(M1, OTHER)
    login = await RawLogin.connect(node.place.portal, isid=3000)
    await login.logged_in(M1)
    for each in (alive, login):
        asked, _ = await each.pdu()
        assert (asked[0], asked[16:20]) == (NOP_IN, NO_TAG)
        assert asked[20:24] != NO_TAG, "it asks for an answer"
        if each is alive:
            each.put(bytes((0x40, 0x80)) + bytes(14) + NO_TAG + asked[20:24] + asked[28:32] + bytes(20))
    assert await login.closed()
    shown = await node.run("twindisk", "vdisk", "show", "M1")
    assert (INITIATOR in shown, OTHER in shown) == (False, True)
    await alive.log_out()
    while (await alive.pdu())[0][0] != LOGOUT_RESPONSE:
        pass
    assert await alive.closed()


async def test_a_stop_asks_for_a_logout_and_then_says_that_it_drops(node: Node) -> None:
    polite = await RawLogin.connect(node.place.portal, isid=4000)
    await polite.logged_in(M1)
    deaf = await RawLogin.connect(node.place.portal, isid=4001)
    await deaf.logged_in(M1)
    stopping = asyncio.create_task(node.stop())
    for login in (polite, deaf):
        header, _ = await login.pdu()
        assert (header[0], header[36], int.from_bytes(header[42:44], "big")) == (ASYNC, 1, 1)
    await polite.log_out()
    assert (await polite.pdu())[0][0] == LOGOUT_RESPONSE
    assert await polite.closed()
    with pytest.raises(ConnectionError):
        await RawLogin.connect(node.place.portal)
    header, _ = await deaf.pdu()
    assert (header[0], header[36], int.from_bytes(header[40:42], "big")) == (ASYNC, 3, 1)
    assert await deaf.closed()
    await stopping
