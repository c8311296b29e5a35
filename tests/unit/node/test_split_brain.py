"""Copies that went on apart, between two whole nodes with fake engines."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.brain.model import Fault, PeerAddress
from twindisk.brain.phases import Phase
from twindisk.differences import CHUNK_BYTES, Writer
from twindisk.errors import PeerError, RefusedError, RefusedProblem
from twindisk.node import checks, differing, disks, mirrors, pools, vdisks
from twindisk.node.context import Node
from twindisk.node.mirrors import NewMirror
from twindisk.node.records import CheckKind
from twindisk.node.vdisks import NewVDisk

MIB = 1 << 20
VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]


@dataclass
class Pair:
    """Two nodes that mirror M1 and go on apart when they lose each other."""

    nodes: Cluster

    @property
    def first(self) -> Node:
        return self.nodes.nodes["vm10"].node

    @property
    def second(self) -> Node:
        return self.nodes.nodes["vm11"].node

    def phases(self) -> tuple[Phase | None, Phase | None]:
        return phase(self.first, "M1"), phase(self.second, "M1")

    async def part(self) -> None:
        """Have both nodes go on alone, the link down."""
        self.nodes.world.cut(self.nodes.engines["vm10"], self.nodes.engines["vm11"])
        await until(lambda: self.phases() == (Phase.ALONE, Phase.ALONE))

    async def split(self) -> None:
        """Have both nodes go on alone and meet again."""
        await self.part()
        self.nodes.engines["vm10"].link_up(VM11)
        await until(lambda: self.phases() == (Phase.INVALID, Phase.INVALID))
        known = self.first.brain_vdisk("M1")
        assert known is not None
        assert known.fault is Fault.SPLIT_BRAIN

    def write(self, name: str, chunks: dict[int, str]) -> None:
        """Say what a node's copy of M1 holds since it went on alone."""
        self.nodes.engines[name].written["M1"] = chunks


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with cluster(tmp_path) as nodes:
        for name in ADDRESSES:
            node = await nodes.start(name)
            pools.add(node, "HA")
            await disks.add(node, tmp_path / name / "disk", "HA")
        pair = Pair(nodes)
        await vdisks.create(pair.first, NewVDisk("M1", 512 * MIB, pool="HA"))
        await mirrors.add(pair.first, NewMirror("M1", VM11, "M1"))
        await until(lambda: pair.phases() == (Phase.IN_SYNC, Phase.IN_SYNC))
        for node, peer in ((pair.first, VM11), (pair.second, VM10)):
            await checks.add(node, peer, CheckKind.IGNORE, "")
        for node, peer in ((pair.first, VM11), (pair.second, VM10)):
            await until(lambda node=node, peer=peer: node.brain.peers[PeerAddress(peer)].heard)  # type: ignore[misc]
        yield pair


async def parts(node: Node) -> list[differing.Part]:
    found, from_bytes = [], 0
    while True:
        found.append(await differing.part(node, "M1", from_bytes))
        more = found[-1].next_bytes
        if more is None:
            return found
        from_bytes = more


async def test_parts_tell_what_differs_and_who_wrote_it_whoever_is_asked(pair: Pair) -> None:
    await pair.split()
    # More extents, and more chunks, than one part holds.
    crowd = dict.fromkeys(range(2000, 2000 + 2 * differing.CHUNKS_MAX), "left")
    pair.write("vm10", {1: "a", 2: "same", 3: "b", **crowd})
    pair.write("vm11", {2: "same", 3: "c", **{64 * extent: "right" for extent in range(70)}})
    here = await parts(pair.first)
    assert len(here) > 2
    rows = [(found.offset_bytes // CHUNK_BYTES, found.writer) for part in here for found in part.ranges]
    assert rows[:4] == [(0, Writer.PEER), (1, Writer.HERE), (3, Writer.BOTH), (64, Writer.PEER)]
    total = sum(found.length_bytes for part in here for found in part.ranges) // CHUNK_BYTES
    chunks = {*crowd, 1, 3, *(64 * extent for extent in range(70))}
    assert total == len(chunks)
    assert sum(part.compared_bytes for part in here) // CHUNK_BYTES == len(chunks) + 1
    assert all(part.parted_ms is not None for part in here)
    there = await parts(pair.second)
    assert total == sum(found.length_bytes for part in there for found in part.ranges) // CHUNK_BYTES
    assert there[0].ranges[1].writer is Writer.PEER


async def test_copies_can_be_compared_before_they_meet_again(pair: Pair) -> None:
    await pair.part()
    pair.write("vm10", {5: "a"})
    (part,) = await parts(pair.first)
    assert [found.offset_bytes for found in part.ranges] == [5 * CHUNK_BYTES]


async def test_copies_that_mirror_or_have_no_common_past_are_not_compared(pair: Pair) -> None:
    with pytest.raises(RefusedError) as mirror:
        await differing.part(pair.first, "M1", 0)
    assert mirror.value.problem is RefusedProblem.DIFF_MIRRORS
    await pair.split()
    copy = pair.nodes.engines["vm11"].vdisks["M1"].copy
    copy.base = 12345
    with pytest.raises(RefusedError) as unrelated:
        await differing.part(pair.first, "M1", 0)
    assert unrelated.value.problem is RefusedProblem.DIFF_UNRELATED
    await pair.nodes.kill("vm11")
    with pytest.raises(PeerError):
        await differing.part(pair.first, "M1", 0)
