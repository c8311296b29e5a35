"""A VDisk of 4,096-byte blocks (4Kn) through both nodes of a pair."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.conftest import SIZE_GIB, running_pair
from integration.initiator_tools import run_tool
from integration.reservation_client import CONFLICT, GOOD, REGISTER, RESERVE, Port, clear_all
from integration.test_qemu_img import make_image
from twindisk.demo.pair import POOL, Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import CheckConditionError, SenseKey, Session, SessionOptions, cdb

pytestmark = pytest.mark.asyncio(loop_scope="module")

BLOCK = 4096
NATIVE = "N1"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def native(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """A pair that mirrors a 4Kn VDisk beside a 512e one."""
    async with running_pair(tmp_path_factory.mktemp("native")) as pair:
        await pair.configure(SIZE_GIB)
        await pair.first.run(
            "twindisk", "vdisk", "create", NATIVE, f"{SIZE_GIB}G", "--pool", POOL, "--block-size", "4096"
        )
        peer = pair.second.place.mirror_address
        await pair.first.run("qsync", "-s", NATIVE, "-d", NATIVE, "-r", peer, "-g", POOL)
        made = Pair(*pair.nodes, vdisk=NATIVE)
        await made.wait_enabled()
        yield made


async def connect(pair: Pair, node: int) -> Session:
    options = SessionOptions(timeout_s=20, block_bytes=BLOCK)
    return await Session.connect(pair.nodes[node].place.portal, iqn(pair.vdisk), options)


@pytest.mark.promise("P3", "P5")
async def test_both_paths_show_one_disk_of_4096_byte_blocks(native: Pair) -> None:
    async with await connect(native, 0) as one, await connect(native, 1) as two:
        for session, other in ((one, two), (two, one)):
            capacity = await session.read_capacity()
            assert (capacity.block_bytes, capacity.size_bytes) == (BLOCK, 256 << 20)
            limits = await session.vital_product_data(0xB0)
            assert struct.unpack_from(">HI", limits, 6) == (1, 2048)
            await session.write(5 * BLOCK, b"a" * 3 * BLOCK)
            assert await other.read(4 * BLOCK, 5 * BLOCK) == bytes(BLOCK) + b"a" * 3 * BLOCK + bytes(BLOCK)
            await session.compare_and_write(6 * BLOCK, b"a" * BLOCK, b"b" * BLOCK)
            with pytest.raises(CheckConditionError) as raised:
                await other.compare_and_write(6 * BLOCK, b"a" * BLOCK, b"c" * BLOCK)
            assert raised.value.sense.key is SenseKey.MISCOMPARE
            await other.unmap([(5 * BLOCK, 2 * BLOCK)])
            assert await session.read(5 * BLOCK, 3 * BLOCK) == bytes(2 * BLOCK) + b"a" * BLOCK
            await session.unmap([(7 * BLOCK, BLOCK)])


@pytest.mark.promise("P9")
async def test_a_part_of_a_block_is_refused_and_nothing_is_written(native: Pair) -> None:
    async with await connect(native, 0) as session:
        await session.write(0, b"k" * BLOCK)
        with pytest.raises(CheckConditionError) as raised:
            await session.command(cdb.write_16(0, 1), data_out=b"x" * 512)
        assert raised.value.sense.key is SenseKey.ILLEGAL_REQUEST
        assert await session.read(0, BLOCK) == b"k" * BLOCK


async def test_the_block_size_is_shown_on_both_nodes_and_no_other_is_taken(native: Pair) -> None:
    for node in native.nodes:
        shown = await node.run("twindisk", "vdisk", "show", NATIVE)
        assert any(line.split() == ["Block", "size", "4096"] for line in shown.splitlines()), shown
    refused = await native.first.run("twindisk", "vdisk", "create", "N2", "1G", "--block-size", "520", status=2)
    assert "520" in refused


@pytest.mark.timeout(120)
@pytest.mark.promise("P3", "P4")
async def test_an_image_goes_through_one_path_and_comes_back_through_the_other(native: Pair, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make_image(image, 4)
    written, read = (node.place.url(iqn(NATIVE)) for node in native.nodes[::-1])
    await run_tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, written)
    compared = await run_tool("qemu-img", "compare", "-f", "raw", "-F", "raw", image, read)
    assert "Images are identical" in compared
    assert (await compare_when_idle(native)).first_difference is None


@pytest.mark.promise("P5")
async def test_reservations_forbid_the_same_on_a_disk_of_4096_byte_blocks(native: Pair) -> None:
    """ProutReserve.Access*: read and write of a registered and of another initiator, on the other node."""
    holder, registered, stranger = [
        await Port.log_in(native, native.nodes[place], number, BLOCK) for number, place in enumerate((0, 1, 1), 1)
    ]
    for kind, allowed in {
        1: (GOOD, CONFLICT, GOOD, CONFLICT),
        3: (CONFLICT, CONFLICT, CONFLICT, CONFLICT),
        5: (GOOD, GOOD, GOOD, CONFLICT),
        6: (GOOD, GOOD, CONFLICT, CONFLICT),
        7: (GOOD, GOOD, GOOD, CONFLICT),
        8: (GOOD, GOOD, CONFLICT, CONFLICT),
    }.items():
        await clear_all(holder)
        assert await holder.out(REGISTER, action_key=1) == GOOD
        assert await registered.out(REGISTER, action_key=2) == GOOD
        assert await holder.out(RESERVE, kind, key=1) == GOOD
        seen = [await ask() for port in (registered, stranger) for ask in (port.read, port.write)]
        assert seen == list(allowed), kind
        assert [await holder.read(), await holder.write()] == [GOOD, GOOD]
    await clear_all(holder)
    for port in (holder, registered, stranger):
        await port.session.close()
