"""Pools that are full: writes that need space are refused with the sense that initiators know, everything else goes on, and copies stay equal."""

import asyncio
import json
import os
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from integration.conftest import free_places
from integration.copy_client import copy_within
from integration.test_mirrors_elsewhere import connect, write
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair
from twindisk.demo.place import write_configuration
from twindisk.initiator import CheckConditionError, SenseKey, Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

KIB, MIB = 1 << 10, 1 << 20
SIZE_GIB, SIZE_BYTES = "0.0625", 64 * MIB
PAGE = 4 * KIB
SMALL, LARGE = 3 * MIB, 6 * MIB
"""Free space of a node's disk."""
DISK_MIB = 80
UNMAP_BYTES = 16 * MIB
RACES = 8
NO_SPACE = (SenseKey.DATA_PROTECT, 0x27, 0x07)


class CrampedNode(Node):
    """A node whose disk is a small file system of its own, which ends with the daemon."""

    @property
    def start_argv(self) -> list[str]:
        own = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
        mount = shlex.join(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(self.place.disk)])
        return ["unshare", *own, "sh", "-c", f"{mount} && exec {shlex.join(super().start_argv)}"]

    def leave_free(self, free_bytes: int) -> None:
        """Take the rest of the disk's space."""
        disk = Path(f"/proc/{self.pid}/root", *self.place.disk.parts[1:])
        hog = disk / "hog"
        hog.unlink(missing_ok=True)
        facts = os.statvfs(disk)
        with hog.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, facts.f_bavail * facts.f_frsize - free_bytes)


@asynccontextmanager
async def cramped(root: Path, *free_bytes: int) -> AsyncIterator[Pair]:
    """A pair, Enabled, whose nodes' disks have so much space left."""
    where = free_places(root)
    write_configuration(where)
    nodes = CrampedNode(where[0]), CrampedNode(where[1])
    pair = Pair(*nodes)
    try:
        await pair.start()
        await pair.configure(SIZE_GIB)
        for cramped_node, free in zip(nodes, free_bytes, strict=True):
            cramped_node.leave_free(free)
        yield pair
    finally:
        for node in pair.nodes:
            await node.kill()
            print(f"--- last words of {node.name}\n{node.log_tail()}")


async def fill(sessions: list[Session], page: int, start: int = 0) -> dict[int, bytes]:
    """Write page after page, through all sessions at once, until all are refused; return what was answered as written, by offset."""
    written: dict[int, bytes] = {}
    offsets = iter(range(start, SIZE_BYTES, page))

    async def write_until_refused(session: Session) -> None:
        for offset in offsets:
            data = os.urandom(page)
            try:
                await write(session, offset, data)
            except CheckConditionError as error:
                if (error.sense.key, error.sense.code, error.sense.qualifier) != NO_SPACE:
                    raise
                return
            written[offset] = data

    await asyncio.gather(*(write_until_refused(session) for session in sessions))
    return written


async def assert_holds(pair: Pair, node: Node, written: dict[int, bytes]) -> bytes:
    """See that a node holds what was written; return all that it holds."""
    async with await connect(pair, node) as session:
        parts = [await session.read(offset, MIB) for offset in range(0, SIZE_BYTES, MIB)]
    found = b"".join(parts)
    assert all(found[offset : offset + len(data)] == data for offset, data in written.items())
    return found


async def events(node: Node) -> list[str]:
    return [str(event["kind"]) for event in json.loads(await node.run("twindisk", "events", "--json"))]


@pytest.mark.promise("P1", "P4", "P5")
@pytest.mark.parametrize("free_bytes", [(SMALL, SMALL), (SMALL, LARGE)], ids=["both full", "the Master full"])
async def test_a_full_pair_refuses_what_needs_space_and_mirrors_on(tmp_path: Path, free_bytes: tuple[int, int]) -> None:
    async with cramped(tmp_path, *free_bytes) as pair:
        sessions = [await connect(pair, node) for node in pair.nodes]
        # Which of two writes gets the last page, and how much of it, differs between the disks now and then.
        for size_bytes in (PAGE, 3 * PAGE, 256 * KIB) * RACES:
            await fill(sessions, size_bytes)
            await sessions[0].unmap([(offset, UNMAP_BYTES) for offset in range(0, SIZE_BYTES, UNMAP_BYTES)])
        written = await fill(sessions, PAGE)
        assert len(written) * PAGE > SMALL // 2
        rows = await pair.rows()
        assert [row and (row.role, row.status) for row in rows.values()] == [
            ("Master", "Enabled"),
            ("Slave", "Enabled"),
        ]
        # What has its space is written again, what is unmapped gives space to others.
        for number, session in enumerate(sessions):
            written[number * PAGE] = os.urandom(PAGE)
            await write(session, number * PAGE, written[number * PAGE])
        freed = sorted(written)[16:48]
        await sessions[0].unmap([(offset, PAGE) for offset in freed])
        for offset in freed:
            del written[offset]
        for number, session in enumerate(sessions):
            offset = SIZE_BYTES - (number + 1) * PAGE
            written[offset] = os.urandom(PAGE)
            await write(session, offset, written[offset])
        for session in sessions:
            await session.close()
        assert await assert_holds(pair, pair.first, written) == await assert_holds(pair, pair.second, written)
        assert "pool-full" in await events(pair.first)


@pytest.mark.promise("P1", "P4")
async def test_an_extended_copy_into_full_disks_is_refused_on_both_nodes_alike(tmp_path: Path) -> None:
    async with cramped(tmp_path, SMALL, SMALL) as pair:
        sessions = [await connect(pair, node) for node in pair.nodes]
        written = {0: os.urandom(MIB)}
        await write(sessions[0], 0, written[0])
        full = await fill([sessions[0]], PAGE, start=MIB)
        written |= full
        hole = max(full) + MIB
        for session in sessions:
            with pytest.raises(CheckConditionError) as refused:
                await copy_within(session, 0, hole, MIB)
            sense = refused.value.sense
            assert (sense.key, sense.code, sense.qualifier) == NO_SPACE
            # Where there are data already, they may be copied to.
            await copy_within(session, 0, min(full), 8 * PAGE)
            written |= {min(full) + at: written[0][at : at + PAGE] for at in range(0, 8 * PAGE, PAGE)}
            await session.close()
        rows = await pair.rows()
        assert [row and row.status for row in rows.values()] == ["Enabled", "Enabled"]
        assert await assert_holds(pair, pair.first, written) == await assert_holds(pair, pair.second, written)


@pytest.mark.promise("P1", "P7")
async def test_where_the_slave_is_full_the_master_goes_on_alone_until_it_is_full_too(tmp_path: Path) -> None:
    async with cramped(tmp_path, LARGE, SMALL) as pair:
        async with await connect(pair, pair.first) as session:
            written = await fill([session], PAGE)
        assert len(written) * PAGE > LARGE // 2
        rows = await pair.rows()
        assert [row and (row.role, row.status) for row in rows.values()] == [
            ("Master", "Resync needed"),
            ("Slave", "Disabled"),
        ]
        await assert_holds(pair, pair.first, written)
        assert "disk-failed" in await events(pair.second)


@pytest.mark.promise("P1", "P7")
async def test_large_writes_into_full_disks_are_refused_and_both_nodes_mirror_on(tmp_path: Path) -> None:
    """How much of a large write goes in at first differs between the disks."""
    async with cramped(tmp_path, SMALL, SMALL) as pair:
        sessions = [await connect(pair, node) for node in pair.nodes]
        done = await asyncio.gather(*(fill([session], 256 * KIB) for session in sessions))
        assert all(done)
        rows = await pair.rows()
        assert [row and (row.role, row.status) for row in rows.values()] == [
            ("Master", "Enabled"),
            ("Slave", "Enabled"),
        ]
