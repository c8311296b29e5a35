"""Mode pages are one set of values for the initiators of both nodes."""

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.mode_client import CHANGEABLE, CONTROL, D_SENSE, DEFAULT, SAVED, SWP, WCE, Field, ModePort
from integration.reservation_client import CHECK, GOOD
from twindisk.demo.pair import Pair
from twindisk.initiator import CheckConditionError, SenseKey

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.promise("P5")]

MODES_CHANGED = (0x2A, 0x01)
WRITE_PROTECTED = (SenseKey.DATA_PROTECT, 0x27, 0x00)


@pytest_asyncio.fixture(loop_scope="module")
async def ports(pair: Pair) -> AsyncIterator[tuple[ModePort, ModePort]]:
    """One port on each node, past their first unit attentions."""
    one, two = [await ModePort.log_in(pair, node, number) for number, node in enumerate(pair.nodes, 1)]
    for port in (one, two):
        await port.read()
        port.attentions.clear()
    yield one, two
    for field, value in ((SWP, False), (D_SENSE, False), (WCE, True)):
        await one.set_field(field, value, save=True)
    for port in (one, two):
        await port.session.close()


async def refused_write(port: ModePort) -> tuple[SenseKey, int, int]:
    """Write a block, which has to fail, past unit attentions; return the sense data."""
    for _ in range(5):
        with pytest.raises(CheckConditionError) as raised:
            await port.session.command(struct.pack(">BBQIxx", 0x8A, 0, 0, 1), data_out=bytes(512))
        sense = raised.value.sense
        if sense.key is not SenseKey.UNIT_ATTENTION:
            return sense.key, sense.code, sense.qualifier
    message = "unit attentions without end"
    raise AssertionError(message)


@pytest.mark.parametrize("field", [SWP, D_SENSE, WCE], ids=["SWP", "D_SENSE", "WCE"])
async def test_a_value_set_at_one_node_is_the_other_nodes_too(ports: tuple[ModePort, ModePort], field: Field) -> None:
    for setter, reader in (ports, ports[::-1]):
        assert await reader.is_set(field, CHANGEABLE)
        before = await reader.is_set(field)
        for value in (not before, before):
            await setter.set_field(field, value)
            assert await reader.is_set(field) is value
            assert reader.attentions == [MODES_CHANGED]
            reader.attentions.clear()
        assert await reader.is_set(field, SAVED) is await reader.is_set(field, DEFAULT)
        assert setter.attentions == []


async def test_a_protected_medium_is_altered_through_neither_node(ports: tuple[ModePort, ModePort]) -> None:
    for setter, writer in (ports, ports[::-1]):
        assert await writer.write() == GOOD
        await setter.set_field(SWP, value=True)
        for port in ports:
            assert await refused_write(port) == WRITE_PROTECTED
            assert await port.is_write_protected()
            assert await port.read() == GOOD
        await writer.set_field(SWP, value=False)
        for port in ports:
            assert not await port.is_write_protected()
            assert await port.write() == GOOD


async def test_a_list_that_is_wrong_changes_nothing_on_either_node(ports: tuple[ModePort, ModePort]) -> None:
    for port in ports:
        page = bytearray(await port.page(CONTROL))
        page[0] &= 0x3F
        page[4] |= 0x08
        page[2] |= 0x20  # TST cannot be changed.
        assert await port.select(bytes(page)) == CHECK
    assert not any([await port.is_set(SWP) for port in ports])


async def write_until_refused(port: ModePort, start: int) -> int:
    """Write numbers, one block each, to 64 blocks in turn; return the first number that was refused."""
    number = 0
    while True:
        number += 1
        block = struct.pack(">BBQIxx", 0x8A, 0, start + number % 64, 1)
        if (await port.run(block, data_out=number.to_bytes(8) * 64))[0] != GOOD:
            return number


async def test_nothing_is_altered_once_protection_is_answered(pair: Pair, ports: tuple[ModePort, ModePort]) -> None:
    for node in pair.nodes:
        setter = await ModePort.log_in(pair, node, 9)
        writers = [asyncio.create_task(write_until_refused(port, 1000 * at)) for at, port in enumerate(ports, 1)]
        await asyncio.sleep(0.3)
        await setter.set_field(SWP, value=True)
        at_answer = await read_numbers(setter)
        async with asyncio.timeout(20):
            refused = await asyncio.gather(*writers)
        for port in ports:
            assert await read_numbers(port) == at_answer
        assert [max(at_answer[:64]), max(at_answer[64:])] == [number - 1 for number in refused]
        await setter.set_field(SWP, value=False)
        await setter.session.close()
        for start in (1000, 2000):
            block = struct.pack(">BBQIxx", 0x8A, 0, start, 64)
            assert (await ports[0].run(block, data_out=bytes(64 * 512)))[0] == GOOD


async def read_numbers(port: ModePort) -> list[int]:
    """Return the numbers that both writers have left."""
    numbers = []
    for start in (1000, 2000):
        status, data = await port.run(struct.pack(">BBQIxx", 0x88, 0, start, 64), data_in_bytes=64 * 512)
        assert status == GOOD
        numbers += [int.from_bytes(data[512 * block : 512 * block + 8]) for block in range(64)]
    return numbers


@pytest.mark.parametrize("field", [SWP, WCE], ids=["SWP", "WCE"])
async def test_a_value_outlives_the_death_of_a_node(pair: Pair, ports: tuple[ModePort, ModePort], field: Field) -> None:
    one, two = ports
    value = not await one.is_set(field)
    await two.set_field(field, value)
    await pair.second.kill()
    await pair.wait_alone(pair.first)
    assert await one.is_set(field) is value
    await one.set_field(field, not value)
    await pair.second.start()
    await pair.wait_enabled()
    back = await ModePort.log_in(pair, pair.second, 3)
    assert await back.is_set(field) is not value
    await back.session.close()


async def test_saved_values_outlive_both_nodes_and_others_do_not(pair: Pair) -> None:
    port = await ModePort.log_in(pair, pair.second, 1)
    await port.set_field(WCE, value=False, save=True)
    await port.set_field(SWP, value=True)
    await asyncio.gather(*(node.kill() for node in pair.nodes))
    await asyncio.gather(*(node.start() for node in pair.nodes))
    await pair.wait_enabled()
    for node in pair.nodes:
        port = await ModePort.log_in(pair, node, 1)
        async with asyncio.timeout(10):
            while await port.is_set(SWP):
                await asyncio.sleep(0.05)
        assert not await port.is_set(WCE)
        assert await port.write() == GOOD
    await port.set_field(WCE, value=True, save=True)
    await port.session.close()
