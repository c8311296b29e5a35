"""A VDisk without a mirror on one node: the disk itself, restarts, damaged metadata."""

import os

import pytest

from integration.conftest import make_vdisk
from integration.initiator_tools import run_tool
from twindisk.demo.node import Node
from twindisk.initiator import CheckConditionError, SenseKey, Session, SessionOptions, cdb

pytestmark = pytest.mark.asyncio(loop_scope="module")

ODD_BYTES = 100_000_256  # no multiple of a chunk, of an extent or of a page: 195,313 blocks
SLOT_BYTES = 32768


async def connect(node: Node, target: str) -> Session:
    return await Session.connect(node.place.portal, target, SessionOptions(timeout_s=20))


NEGOTIATIONS = {
    "DEFAULT": SessionOptions(timeout_s=20),
    "DIGEST": SessionOptions(timeout_s=20, header_digest=True),
    "NOIMMEDIATE": SessionOptions(timeout_s=20, immediate_data=False),
    "R2T": SessionOptions(timeout_s=20, initial_r2t=True),
    "BOTH": SessionOptions(timeout_s=20, immediate_data=False, initial_r2t=True),
}


@pytest.mark.parametrize("name", NEGOTIATIONS)
async def test_what_is_written_is_read_whatever_was_negotiated(node: Node, name: str) -> None:
    target = await make_vdisk(node, name)
    data = os.urandom(1 << 20)
    async with await Session.connect(node.place.portal, target, NEGOTIATIONS[name]) as session:
        for offset, length in ((0, 512), (512, 1024), (4096, 65536), (1 << 20, 1 << 20), ((4 << 20) - 512, 262_144)):
            await session.write(offset, data[:length])
            assert await session.read(offset, length) == data[:length]
        await session.flush()


@pytest.mark.promise("P1")
async def test_an_odd_size_is_served_to_its_last_block(node: Node) -> None:
    target = await make_vdisk(node, "ODD", f"{ODD_BYTES}B")
    async with await connect(node, target) as session:
        assert (await session.read_capacity()).size_bytes == ODD_BYTES
        await session.write(ODD_BYTES - 1024, b"\x5a" * 1024)
        assert await session.read(ODD_BYTES - 1024, 1024) == b"\x5a" * 1024
        with pytest.raises(CheckConditionError) as refused:
            await session.read(ODD_BYTES - 512, 1024)
        assert refused.value.sense == (refused.value.sense.__class__(SenseKey.ILLEGAL_REQUEST, 0x21, 0x00))


async def test_unmapped_blocks_read_as_zeros_and_free_their_space(node: Node) -> None:
    target = await make_vdisk(node, "THIN")
    copy = node.place.copy_directory("THIN") / "segment-00000000"
    async with await connect(node, target) as session:
        assert (await session.read_capacity()).thin
        await session.write(8 << 20, b"\xff" * (4 << 20))
        await session.flush()
        used = copy.stat().st_blocks
        await session.unmap([(8 << 20, 4 << 20)])
        await session.flush()
        assert await session.read(8 << 20, 1 << 20) == bytes(1 << 20)
    assert copy.stat().st_blocks < used


async def test_unknown_commands_and_logical_units_get_the_sense_of_the_standard(node: Node) -> None:
    target = await make_vdisk(node, "SENSE")
    async with await connect(node, target) as session:
        for block, lun, expected in (
            (b"\xee" + bytes(15), 0, (SenseKey.ILLEGAL_REQUEST, 0x20)),
            (cdb.inquiry(0x7F), 0, (SenseKey.ILLEGAL_REQUEST, 0x24)),
            (cdb.test_unit_ready(), 3, (SenseKey.ILLEGAL_REQUEST, 0x25)),
        ):
            with pytest.raises(CheckConditionError) as refused:
                await session.command(block, lun=lun, data_in_bytes=0 if block[0] != 0x12 else 255)
            assert (refused.value.sense.key, refused.value.sense.code) == expected


@pytest.mark.promise("P1")
async def test_flushed_data_survives_a_kill_and_a_restart(node: Node) -> None:
    target = await make_vdisk(node, "KEEP")
    data = os.urandom(65536)
    async with await connect(node, target) as session:
        await session.write(1 << 20, data)
        await session.flush()
    await node.kill()
    await node.start()
    async with await connect(node, target) as session:
        assert await session.read(1 << 20, 65536) == data


async def test_a_session_of_the_same_initiator_and_isid_replaces_the_old_one(node: Node) -> None:
    target = await make_vdisk(node, "MANY")
    sessions = [await connect(node, target) for _ in range(20)]
    for number, session in enumerate(sessions):
        await session.write(number * 4096, bytes([number]) * 4096)
    for number, session in enumerate(sessions):
        assert await session.read(number * 4096, 4096) == bytes([number]) * 4096
        await session.close()


@pytest.mark.promise("P9")
async def test_a_second_daemon_on_the_same_directory_is_refused(node: Node) -> None:
    pid = node.pid
    output = await node.run("twindiskd", status=None)
    assert str(pid) in output
    assert node.pid == pid
    assert "ndconfig" not in await node.run("ndconfig")


@pytest.mark.promise("P1")
async def test_with_one_metadata_slot_corrupt_the_other_serves(node: Node) -> None:
    target = await make_vdisk(node, "SLOT")
    async with await connect(node, target) as session:
        await session.write(0, b"kept" * 128)
        await session.flush()
    await node.kill()
    damage(node, "SLOT", slots=(newest_slot(node, "SLOT"),))
    await node.start()
    async with await connect(node, target) as session:
        assert await session.read(0, 512) == b"kept" * 128


@pytest.mark.promise("P6", "P9")
async def test_with_both_metadata_slots_corrupt_the_copy_is_refused_and_the_rest_served(node: Node) -> None:
    broken = await make_vdisk(node, "BROKEN")
    sound = await make_vdisk(node, "SOUND")
    await node.kill()
    damage(node, "BROKEN", slots=(0, 1))
    await node.start()
    async with await connect(node, sound) as session:
        await session.read(0, 512)
    assert "BROKEN" in await node.run("vdconfig", "-l")
    assert "BROKEN" in node.place.output.read_text()
    with pytest.raises(Exception, match=r"NOT READY|not found|refused|Target"):
        async with await connect(node, broken) as session:
            await session.read(0, 512)


def newest_slot(node: Node, vdisk: str) -> int:
    meta = (node.place.copy_directory(vdisk) / "meta").read_bytes()
    sequences = [int.from_bytes(meta[slot * SLOT_BYTES + 24 :][:8], "little") for slot in (0, 1)]
    return sequences.index(max(sequences))


def damage(node: Node, vdisk: str, slots: tuple[int, ...]) -> None:
    with (node.place.copy_directory(vdisk) / "meta").open("r+b") as meta:
        for slot in slots:
            meta.seek(slot * SLOT_BYTES + 64)
            meta.write(b"\xa5" * 32)


async def test_qemu_img_works_on_a_single_vdisk(node: Node) -> None:
    target = await make_vdisk(node, "QEMU")
    url = node.place.url(target)
    assert "64 MiB" in await run_tool("qemu-img", "info", "-f", "raw", url)
    await run_tool("qemu-img", "bench", "-w", "-c", "2000", "-d", "32", "-s", "4096", "-f", "raw", url)
    await run_tool("qemu-img", "bench", "-c", "2000", "-d", "32", "-s", "4096", "-f", "raw", url)
