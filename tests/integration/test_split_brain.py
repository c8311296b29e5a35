"""Both nodes go on apart, as the check ``ignore`` has it: what differs is told, and by whom it was written; one copy goes on,
the other is kept."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio

from integration.conftest import running_pair
from twindisk.api.schemas import MirrorView
from twindisk.demo.node import CommandFailedError, Node
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle
from twindisk.initiator import CheckConditionError, SenseKey, Session, SessionOptions

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

KIB = 1 << 10
MIB = 1 << 20
CHUNK = 64 * KIB
SMALL = "0.03125"  # GiB, as vdconfig takes it
SIZE_BYTES = 32 * MIB
Writes = dict[int, bytes]
RESOLVE = ("twindisk", "mirror", "resolve", "M1", "--survivor")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def split(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """A pair whose checks let both nodes go on; it is Enabled, and each test leaves it so."""
    async with running_pair(tmp_path_factory.mktemp("split")) as pair:
        await pair.configure(SMALL, fence=None)
        for node in pair.nodes:
            peer = pair.other(node).place.mirror_address
            await pair.command(node, "qmirrorcheck", "-a", "-t", "ignore", "-r", peer)
        yield pair


@asynccontextmanager
async def frozen(node: Node) -> AsyncIterator[None]:
    """Stop a daemon where it is, and let it go on."""
    pid = node.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


async def connect(pair: Pair, node: Node) -> Session:
    session = await Session.connect(node.place.portal, iqn(pair.vdisk), SessionOptions(timeout_s=30))
    await session.clear_unit_attentions()
    return session


async def write(pair: Pair, node: Node, writes: Writes) -> None:
    """Write through one node; an answer that asks for it is followed by the same again."""
    async with await connect(pair, node) as session:
        for offset, data in writes.items():
            while True:
                try:
                    await session.write(offset, data)
                    break
                except CheckConditionError as error:
                    if error.sense.key is not SenseKey.UNIT_ATTENTION:
                        raise


async def wait_apart(pair: Pair, node: Node) -> None:
    """Wait until a node, the only one that can answer, serves alone."""
    async with asyncio.timeout(30):
        while (row := await node.mirror(pair.vdisk)) is None or row.phase != "alone":
            await asyncio.sleep(0.05)


async def wait_split(pair: Pair) -> None:
    def reached(rows: dict[str, MirrorView | None]) -> bool:
        return all(row and (row.status, row.fault) == ("Invalid state!", "split-brain") for row in rows.values())

    await pair.wait_for("a split brain on both", reached, 30)
    for node in pair.nodes:
        assert "Invalid state!" in await pair.command(node, "qsync", "-l")
        assert "mirror resolve M1 --survivor" in await pair.command(node, "twindisk", "mirror", "show", pair.vdisk)


async def part(pair: Pair, first: Writes, second: Writes) -> None:
    """Have each node go on without the other and write; they meet again, and both see what has happened."""
    async with frozen(pair.second):
        await wait_apart(pair, pair.first)
        await write(pair, pair.first, first)
        os.kill(pair.first.pid or 0, signal.SIGSTOP)
    try:
        await wait_apart(pair, pair.second)
        await write(pair, pair.second, second)
    finally:
        os.kill(pair.first.pid or 0, signal.SIGCONT)
    await wait_split(pair)


async def told(pair: Pair, node: Node) -> tuple[list[tuple[int, int, str]], dict[str, object]]:
    found = json.loads(await node.run("twindisk", "mirror", "diff", pair.vdisk, "--json", status=None))
    rows = [(row["offset_bytes"], row["length_bytes"], row["writer"]) for row in found["ranges"]]
    return rows, found["summary"]


@pytest.mark.promise("P2", "P6")
async def test_a_diff_names_the_ranges_that_differ_and_who_wrote_them(split: Pair) -> None:
    before, same, ours, theirs = (os.urandom(2 * CHUNK) for _ in range(4))
    await write(split, split.first, {28 * MIB: before})
    first = {10 * CHUNK + 512: ours[: 2 * CHUNK], 16 * MIB: ours, 24 * MIB: same, 28 * MIB: before}
    second = {8 * MIB: theirs[:512], 16 * MIB + CHUNK: theirs, 24 * MIB: same, SIZE_BYTES - 512: theirs[:512]}
    await part(split, first, second)
    expected = [
        (10 * CHUNK, 3 * CHUNK, "here"),
        (8 * MIB, CHUNK, "peer"),
        (16 * MIB, CHUNK, "here"),
        (16 * MIB + CHUNK, CHUNK, "both"),
        (16 * MIB + 2 * CHUNK, CHUNK, "peer"),
        (SIZE_BYTES - CHUNK, CHUNK, "peer"),
    ]
    seen, summary = await told(split, split.first)
    assert seen == expected
    assert (summary["here_bytes"], summary["peer_bytes"], summary["both_bytes"]) == (4 * CHUNK, 3 * CHUNK, CHUNK)
    assert summary["differing_bytes"] == 8 * CHUNK
    assert summary["compared_bytes"] == 12 * CHUNK, "what was written alike is compared, and left out"
    assert isinstance(summary["parted_ms"], int)
    mirrored = {"here": "peer", "peer": "here", "both": "both"}
    assert (await told(split, split.second))[0] == [(at, size, mirrored[who]) for at, size, who in expected]
    text = await split.second.run("twindisk", "mirror", "diff", split.vdisk, status=1)
    assert f"{16 * MIB + CHUNK:>20} {CHUNK:>16} both" in text
    assert "512 KiB differ, written since" in text
    lost = await repeat(split.first, split.second)
    await split.wait_enabled()
    assert await repeat(split.first, split.second) == lost, "it may be repeated"
    await split.first.run("twindisk", "vdisk", "remove", lost, "--yes")


async def everything(node: Node, name: str) -> bytes:
    """Read a whole VDisk through a node."""
    async with await Session.connect(node.place.portal, iqn(name), SessionOptions(timeout_s=30)) as session:
        await session.clear_unit_attentions()
        parts = [await session.read(offset, MIB) for offset in range(0, SIZE_BYTES, MIB)]
    return b"".join(parts)


def with_writes(content: bytes, writes: Writes) -> bytes:
    changed = bytearray(content)
    for offset, data in writes.items():
        changed[offset : offset + len(data)] = data
    return bytes(changed)


async def is_not_served(node: Node, name: str) -> bool:
    async with await Session.connect(node.place.portal, iqn(name), SessionOptions(timeout_s=30)) as session:
        while True:
            try:
                await session.read(0, 512)
            except CheckConditionError as error:
                if error.sense.key is not SenseKey.UNIT_ATTENTION:
                    return error.sense.key is SenseKey.NOT_READY
            else:
                return False


async def repeat(node: Node, survivor: Node) -> str:
    """Give the order until it is carried out: whoever was killed before the turn has to meet its peer first."""
    async with asyncio.timeout(60):
        while True:
            try:
                return str(json.loads(await node.run(*RESOLVE, survivor.name, "--yes", "--json"))["lost"])
            except CommandFailedError as error:
                print(error)
                await asyncio.sleep(0.2)


async def check_resolved(pair: Pair, survivor: Node, lost: str, served: bytes, kept: bytes) -> None:
    """Check that both nodes serve the survivor's data, and that the other's are there byte by byte once they are released."""
    gave_way = pair.other(survivor)
    await pair.wait_enabled()
    assert (await compare_when_idle(pair)).first_difference is None
    for node in pair.nodes:
        assert await everything(node, pair.vdisk) == served
    assert await is_not_served(gave_way, lost)
    await gave_way.run("twindisk", "vdisk", "release", lost, "--yes")
    assert await everything(gave_way, lost) == kept
    await gave_way.run("twindisk", "vdisk", "remove", lost, "--yes")


@pytest.mark.promise("P1", "P2", "P4")
async def test_one_copy_goes_on_and_the_other_is_kept_though_nodes_are_killed_meanwhile(split: Pair) -> None:
    shared = {0: os.urandom(CHUNK), 20 * MIB: os.urandom(MIB)}
    await write(split, split.first, shared)
    base = await everything(split.first, split.vdisk)
    for survivor, victims in ((split.second, (split.first,)), (split.first, split.nodes)):
        one, other = ({at: os.urandom(CHUNK) for at in (MIB, where, 20 * MIB)} for where in (4 * MIB, 8 * MIB))
        await part(split, one, other)
        contents = {split.first.name: with_writes(base, one), split.second.name: with_writes(base, other)}
        asked = asyncio.create_task(split.first.run(*RESOLVE, survivor.name, "--yes", status=None))
        while "-lost-" not in "".join(path.name for path in (split.other(survivor).place.disk / "vdisks").iterdir()):
            assert not asked.done(), asked.result()
            await asyncio.sleep(0.001)
        await asyncio.gather(*(victim.kill() for victim in victims))
        await asked
        await asyncio.gather(*(victim.start() for victim in victims))
        lost = await repeat(split.second, survivor)
        base = contents[survivor.name]
        await check_resolved(split, survivor, lost, base, contents[split.other(survivor).name])


@pytest.mark.promise("P2")
async def test_a_node_that_starts_alone_after_a_split_brain_serves_nothing(split: Pair) -> None:
    """It would count as surely current: its peer went on from a state of both, and is not there to say that it has more."""
    data = os.urandom(CHUNK)
    await part(split, {0: data}, {0: os.urandom(CHUNK)})
    await asyncio.gather(*(node.kill() for node in split.nodes))
    await split.first.start()
    # A copy that is surely current would be served after three seconds.
    await asyncio.sleep(4)
    row = await split.first.mirror(split.vdisk)
    assert row is not None
    assert (row.status, row.fault) == ("Invalid state!", "split-brain")
    assert await is_not_served(split.first, split.vdisk)
    await split.second.start()
    lost = await repeat(split.second, split.first)
    await split.wait_enabled()
    assert (await everything(split.second, split.vdisk))[:CHUNK] == data
    await split.first.stop()
    await split.wait_alone(split.second)
    await split.second.kill()
    await split.second.start()
    await split.wait_alone(split.second)
    await split.first.start()
    await split.wait_enabled()
    await split.second.run("twindisk", "vdisk", "remove", lost, "--yes")
