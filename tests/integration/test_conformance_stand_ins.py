"""What three tests of libiscsi's suite meant to check and do not (docs/protocols/conformance.md), checked over each node."""

import asyncio
import struct
from dataclasses import dataclass

import pytest

from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import ConnectionLostError, Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

BLOCK_BYTES = 512
PHYSICAL_BLOCKS = 8
RANGE_BLOCKS = 256
MAPPED, DEALLOCATED = 0, 1
FUNCTION_COMPLETE = 0
UNMAP_BIT = 0x08


@dataclass(frozen=True, slots=True)
class Extent:
    """One LBA status descriptor (SBC-3 §5.6.3)."""

    lba: int
    blocks: int
    status: int


async def open_session(pair: Pair, node: Node) -> Session:
    return await Session.connect(node.place.portal, iqn(pair.vdisk))


async def first_extent(session: Session, lba: int) -> Extent:
    data = await session.command(struct.pack(">BBQIxx", 0x9E, 0x12, lba, 24), data_in_bytes=24)
    at, blocks, status = struct.unpack_from(">QIB", data, 8)
    return Extent(at, blocks, status & 0x0F)


async def write_same_10(session: Session, lba: int, blocks: int, data: bytes) -> None:
    await session.command(struct.pack(">BBIxHx", 0x41, UNMAP_BIT, lba, blocks), data_out=data)


@pytest.mark.promise("P5")
@pytest.mark.parametrize("place", [0, 1])
async def test_the_status_of_blocks_is_told_from_the_block_that_was_asked_for(pair: Pair, place: int) -> None:
    """GetLBAStatus.UnmapSingle: unmapped at the front, mapped behind, for every number of physical blocks."""
    async with await open_session(pair, pair.nodes[place]) as session:
        data = b"A" * (RANGE_BLOCKS + PHYSICAL_BLOCKS) * BLOCK_BYTES
        await session.write(0, data)
        for unmapped in range(PHYSICAL_BLOCKS, RANGE_BLOCKS + 1, PHYSICAL_BLOCKS):
            await session.unmap([((unmapped - PHYSICAL_BLOCKS) * BLOCK_BYTES, PHYSICAL_BLOCKS * BLOCK_BYTES)])
            assert await first_extent(session, 0) == Extent(0, unmapped, DEALLOCATED)
            assert await first_extent(session, 1) == Extent(1, unmapped - 1, DEALLOCATED)
            for lba in range(unmapped, unmapped + PHYSICAL_BLOCKS):
                mapped = await first_extent(session, lba)
                assert (mapped.lba, mapped.status) == (lba, MAPPED)
                assert mapped.lba + mapped.blocks >= RANGE_BLOCKS + PHYSICAL_BLOCKS
        assert (
            await session.read(0, len(data)) == bytes(RANGE_BLOCKS * BLOCK_BYTES) + data[RANGE_BLOCKS * BLOCK_BYTES :]
        )


@pytest.mark.promise("P3")
@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("filling", [b"\0", b"\xff"], ids=["zeros", "ones"])
async def test_the_same_block_is_written_up_to_the_end_unmapped_or_not(pair: Pair, place: int, filling: bytes) -> None:
    """WriteSame10.UnmapUntilEnd: a length of 0 means up to the end, and what is read is what was sent."""
    here, there = pair.nodes[place], pair.nodes[1 - place]
    async with await open_session(pair, here) as session, await open_session(pair, there) as other:
        end = (await session.read_capacity()).blocks
        block = filling * BLOCK_BYTES
        for blocks in (1, 7, 8, 9, 255, 256):
            before = b"A" * (blocks + 1) * BLOCK_BYTES
            await session.write((end - blocks - 1) * BLOCK_BYTES, before)
            await write_same_10(session, end - blocks, 0, block)
            for one in (session, other):
                read = await one.read((end - blocks - 1) * BLOCK_BYTES, len(before))
                assert read == b"A" * BLOCK_BYTES + block * blocks
        extent = await first_extent(session, end - 256)
        assert extent.status == (DEALLOCATED if filling == b"\0" else MAPPED)


@pytest.mark.promise("P3", "P5")
@pytest.mark.parametrize("place", [0, 1])
async def test_a_write_under_way_is_done_or_not_when_the_unit_is_reset(pair: Pair, place: int) -> None:
    """iSCSITMF.LUNResetSimpleAsync: the reset is answered, the write before it was carried out in whole or not at all."""
    here, there = pair.nodes[place], pair.nodes[1 - place]
    length = 64 * BLOCK_BYTES
    async with await open_session(pair, here) as session, await open_session(pair, there) as other:
        for number in range(20):
            old, new = bytes([number]) * length, bytes([number + 1]) * length
            await other.clear_unit_attentions()
            await other.write(0, old)
            writing = asyncio.create_task(session.write(0, new))
            await asyncio.sleep(0 if number % 2 else 0.0005)
            assert await session.reset_logical_unit() == FUNCTION_COMPLETE
            try:
                await writing
            except ConnectionLostError:
                # libiscsi gives the commands up that a reset ends; the session stands.
                assert session.connected
                allowed = {old, new}
            else:
                allowed = {new}
            await session.clear_unit_attentions()
            await other.clear_unit_attentions()
            first = await other.read(0, length)
            assert first in allowed
            assert await session.read(0, length) == first
