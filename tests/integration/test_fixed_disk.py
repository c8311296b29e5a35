"""START STOP UNIT and PREVENT ALLOW MEDIUM REMOVAL of a disk that is fixed and shared: nothing can be taken out, nobody can stop it for others."""

import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.reservation_client import CHECK, GOOD, Port
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import SenseKey, Session, cdb

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120), pytest.mark.promise("P5")]

INVALID_FIELD = (SenseKey.ILLEGAL_REQUEST, 0x24, 0x00)
START, LOAD_EJECT, NO_FLUSH = 1, 2, 4
IMMEDIATE = 1


def start_stop(how: int, *, flags: int = 0, power_condition: int = 0) -> bytes:
    return struct.pack(">BBxBBx", 0x1B, flags, 0, power_condition << 4 | how)


def prevent_allow(prevent: int) -> bytes:
    return struct.pack(">BxxxBx", 0x1E, prevent)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ports(pair: Pair) -> AsyncIterator[tuple[Port, Port]]:
    """An initiator on each node."""
    one, two = await Port.log_in(pair, pair.first, 1), await Port.log_in(pair, pair.second, 2)
    yield one, two
    for port in (one, two):
        await port.session.close()


async def test_the_medium_is_told_as_not_removable(pair: Pair) -> None:
    for node in pair.nodes:
        async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
            data = await session.command(cdb.inquiry(), data_in_bytes=36)
            assert data[1] & 0x80 == 0


@pytest.mark.parametrize("flags", [0, IMMEDIATE])
@pytest.mark.parametrize("how", [START, 0, NO_FLUSH], ids=["start", "stop", "stop without a flush"])
async def test_starting_and_stopping_leaves_the_disk_ready_for_both(
    ports: tuple[Port, Port], how: int, flags: int
) -> None:
    one, two = ports
    for asker, other in ((one, two), (two, one)):
        assert await asker.write() == GOOD
        assert (await asker.run(start_stop(how, flags=flags)))[0] == GOOD
        for port in (asker, other):
            assert (await port.run(cdb.test_unit_ready()))[0] == GOOD
            assert [await port.read(), await port.write()] == [GOOD, GOOD]
            assert port.attentions == []


async def test_nothing_is_ejected_and_no_power_condition_set(ports: tuple[Port, Port]) -> None:
    for port in ports:
        for how in (LOAD_EJECT, LOAD_EJECT | START):
            assert (await port.run(start_stop(how)))[0] == CHECK
            assert port.refused == INVALID_FIELD
        for condition in range(1, 16):
            assert (await port.run(start_stop(START, power_condition=condition)))[0] == CHECK
            assert port.refused == INVALID_FIELD
        assert await port.read() == GOOD


async def test_removal_may_be_allowed_but_not_prevented(ports: tuple[Port, Port]) -> None:
    for port in ports:
        assert (await port.run(prevent_allow(0)))[0] == GOOD
        for prevent in (1, 2, 3):
            assert (await port.run(prevent_allow(prevent)))[0] == CHECK
            assert port.refused == INVALID_FIELD
        assert await port.read() == GOOD


@pytest.mark.promise("P4")
async def test_a_stop_while_the_other_node_writes_leaves_both_copies_equal(
    pair: Pair, ports: tuple[Port, Port]
) -> None:
    one, two = ports
    for number in range(50):
        word = number.to_bytes(8) * 64
        assert (await two.run(cdb.write_16(number, 1), data_out=word))[0] == GOOD
        assert (await one.run(start_stop(0)))[0] == GOOD
        assert (await one.run(cdb.read_16(number, 1), data_in_bytes=512)) == (GOOD, word)
    assert (await compare_when_idle(pair)).first_difference is None
