from pathlib import Path

import pytest

from fakes.copies import COPY_FILE
from fakes.nodes import Cluster, cluster, phase
from twindisk.brain.phases import Phase
from twindisk.errors import (
    ConflictError,
    ConflictProblem,
    EngineIoError,
    InvalidError,
    InvalidProblem,
    NotFoundError,
    RefusedError,
    RefusedProblem,
)
from twindisk.node import copies, disks, pools, vdisks
from twindisk.node.context import Node
from twindisk.node.vdisks import NewVDisk

MIB = 1 << 20


async def with_pool(nodes: Cluster, name: str = "vm10") -> Node:
    node = await nodes.start(name)
    pools.add(node, "HA")
    await disks.add(node, nodes.root / name / "disk", "HA")
    return node


async def test_a_new_vdisk_is_served_and_is_there_after_a_restart(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        made = await vdisks.create(node, NewVDisk("M1", 10 * MIB + 1, pool="HA"))
        assert made.size_bytes == 10 * MIB + 512
        assert made.iqn == "iqn.2006-06.com.quadstor.vdisk.M1"
        assert made.serial.startswith("6e")
        assert len(made.serial) == 32
        assert made.group_tag == 1
        assert nodes.engines["vm10"].vdisks["M1"].mode == "single"
        await nodes.stop("vm10")
        node = await nodes.start("vm10")
        assert node.state.vdisk("M1") == made
        assert nodes.engines["vm10"].vdisks["M1"].mode == "single"
        calls = [call for call, _ in nodes.engines["vm10"].calls]
        assert calls.index("open_vdisk") < calls.index("serve_single") < calls.index("open_portal")


async def test_a_vdisk_keeps_the_block_size_that_it_was_made_with(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        made = await vdisks.create(node, NewVDisk("M1", 10 * MIB + 1, pool="HA", block_bytes=4096))
        assert (made.block_bytes, made.size_bytes) == (4096, 10 * MIB + 4096)
        assert nodes.engines["vm10"].vdisks["M1"].block_bytes == 4096
        await nodes.stop("vm10")
        node = await nodes.start("vm10")
        assert node.state.vdisk("M1") == made
        assert nodes.engines["vm10"].vdisks["M1"].block_bytes == 4096
        assert (await vdisks.grow(node, "M1", 11 * MIB + 512)).size_bytes == 11 * MIB + 4096


@pytest.mark.promise("P9")
@pytest.mark.parametrize("block_bytes", [0, 511, 520, 1024, 8192])
async def test_other_block_sizes_are_refused(tmp_path: Path, block_bytes: int) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        with pytest.raises(InvalidError) as raised:
            await vdisks.create(node, NewVDisk("M1", MIB, pool="HA", block_bytes=block_bytes))
        assert raised.value.problem is InvalidProblem.BLOCK_SIZE
        assert node.state.vdisks() == ()


@pytest.mark.promise("P9")
@pytest.mark.parametrize(
    ("size_bytes", "problem"),
    [
        (0, InvalidProblem.SIZE_TOO_SMALL),
        (MIB - 1, InvalidProblem.SIZE_TOO_SMALL),
        ((64 << 40) + 1, InvalidProblem.SIZE_TOO_LARGE),
    ],
)
async def test_sizes_beyond_the_rules_are_refused(tmp_path: Path, size_bytes: int, problem: InvalidProblem) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        with pytest.raises(InvalidError) as raised:
            await vdisks.create(node, NewVDisk("M1", size_bytes, pool="HA"))
        assert raised.value.problem is problem
        assert node.state.vdisks() == ()
        await vdisks.create(node, NewVDisk("M1", 64 << 40, pool="HA"))


async def test_names_serials_and_iqns_are_unique(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        first = await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))
        for new, problem in (
            (NewVDisk("M1", MIB, pool="HA"), ConflictProblem.VDISK_EXISTS),
            (NewVDisk("m1", MIB, pool="HA"), ConflictProblem.VDISK_EXISTS),
            (NewVDisk("M2", MIB, pool="HA", serial=first.serial), ConflictProblem.SERIAL_IN_USE),
            (NewVDisk("M2", MIB, pool="HA", iqn=first.iqn.lower()), ConflictProblem.IQN_IN_USE),
        ):
            with pytest.raises(ConflictError) as raised:
                await vdisks.create(node, new)
            assert raised.value.problem is problem
        with pytest.raises(NotFoundError):
            await vdisks.create(node, NewVDisk("M2", MIB, pool="NOPE"))
        pools.add(node, "EMPTY")
        with pytest.raises(RefusedError):
            await vdisks.create(node, NewVDisk("M2", MIB, pool="EMPTY"))
        assert node.state.vdisks() == (first,)


async def test_a_vdisk_that_cannot_be_opened_is_unmade(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        nodes.engines["vm10"].fail["open_vdisk"] = EngineIoError("cannot open", errno=5)
        with pytest.raises(EngineIoError):
            await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))
        assert node.state.vdisks() == ()
        assert not (tmp_path / "vm10" / "disk" / "vdisks" / "M1").exists()
        await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))


async def test_files_that_no_vdisk_names_are_moved_aside_not_overwritten(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        stray = tmp_path / "vm10" / "disk" / "vdisks" / "M1"
        stray.mkdir()
        (stray / "data").write_text("precious")
        await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))
        (kept,) = (tmp_path / "vm10" / "disk" / copies.LOST_FOLDER).iterdir()
        assert (kept / "data").read_text() == "precious"


async def test_a_vdisk_with_sessions_is_removed_only_by_force(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        made = await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))
        nodes.engines["vm10"].vdisks["M1"].sessions.append(
            {"initiator": "iqn.x:client", "address": "10.0.0.9:4000", "held_bytes": 0}
        )
        with pytest.raises(RefusedError) as raised:
            await vdisks.remove(node, "M1", force=False)
        assert raised.value.problem is RefusedProblem.VDISK_IN_USE
        assert raised.value.fields["initiator"] == "iqn.x:client"
        await vdisks.remove(node, "M1", force=True)
        assert not made.directory.exists()
        assert (node.state.vdisks(), phase(node, "M1")) == ((), None)


async def test_a_vdisk_grows_and_never_shrinks(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        await vdisks.create(node, NewVDisk("M1", 4 * MIB, pool="HA"))
        assert (await vdisks.grow(node, "M1", 8 * MIB)).size_bytes == 8 * MIB
        assert nodes.engines["vm10"].vdisks["M1"].copy.size_bytes == 8 * MIB
        with pytest.raises(InvalidError) as raised:
            await vdisks.grow(node, "M1", 4 * MIB)
        assert raised.value.problem is InvalidProblem.SHRINK
        await nodes.stop("vm10")
        node = await nodes.start("vm10")
        assert phase(node, "M1") is Phase.SINGLE


@pytest.mark.parametrize("grown", [False, True])
async def test_a_growth_cut_short_by_a_crash_is_found_out_at_the_next_start(tmp_path: Path, *, grown: bool) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        await vdisks.create(node, NewVDisk("M1", 4 * MIB, pool="HA"))
        node.state.set_node_value("growing:M1", str(8 * MIB))
        if grown:
            nodes.engines["vm10"].resize_vdisk("M1", 8 * MIB)
        await nodes.kill("vm10")
        node = await nodes.start("vm10")
        assert phase(node, "M1") is Phase.SINGLE
        assert vdisks.find(node, "M1").size_bytes == (8 * MIB if grown else 4 * MIB)


async def test_a_copy_that_is_corrupt_leaves_the_others_alone(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        broken = await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))
        await vdisks.create(node, NewVDisk("M2", MIB, pool="HA"))
        await nodes.stop("vm10")
        (broken.directory / COPY_FILE).write_text("rot")
        node = await nodes.start("vm10")
        assert node.broken == {"M1": "both metadata slots are corrupt"}
        assert (phase(node, "M1"), phase(node, "M2")) == (None, Phase.SINGLE)
        await vdisks.remove(node, "M1", force=False)
        assert [vdisk.name for vdisk in node.state.vdisks()] == ["M2"]


async def test_a_disk_that_is_missing_at_start_leaves_its_vdisks_broken(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await with_pool(nodes)
        await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))
        await nodes.stop("vm10")
        (tmp_path / "vm10" / "disk").rename(tmp_path / "vm10" / "away")
        node = await nodes.start("vm10")
        assert list(node.broken) == ["M1"]
        await nodes.stop("vm10")
        (tmp_path / "vm10" / "away").rename(tmp_path / "vm10" / "disk")
        node = await nodes.start("vm10")
        assert phase(node, "M1") is Phase.SINGLE
