import json
import os
from pathlib import Path

import pytest

from fakes.nodes import cluster
from twindisk.errors import ConflictError, ConflictProblem, InvalidError, NotFoundError, RefusedError, TwindiskError
from twindisk.node import devices, disks, pools, vdisks
from twindisk.node.vdisks import NewVDisk


async def test_a_pool_gets_a_directory_as_disk_and_gives_it_back(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node, path = await nodes.start("vm10"), tmp_path / "vm10" / "disk"
        pools.add(node, "HA")
        disk = await disks.add(node, path, "HA")
        marker = json.loads((path / disks.MARKER).read_text())
        assert (marker["disk"], marker["node"]) == (disk.id, node.node_id)
        assert disks.space(disk).online
        with pytest.raises(ConflictError) as raised:
            pools.remove(node, "HA")
        assert raised.value.problem is ConflictProblem.POOL_IN_USE
        for name in (str(path), disk.id):
            assert disks.find(node, name) == disk
        await disks.remove(node, str(path))
        pools.remove(node, "HA")
        assert list(path.iterdir()) == []
        assert (node.state.pools(), node.state.disks()) == ((), ())


async def test_a_directory_that_is_not_empty_or_not_ours_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        one, other = await nodes.start("vm10"), await nodes.start("vm11")
        pools.add(one, "HA")
        pools.add(other, "HA")
        full = tmp_path / "full"
        full.mkdir()
        (full / "letter.txt").write_text("dear")
        with pytest.raises(ConflictError) as raised:
            await disks.add(one, full, "HA")
        assert raised.value.problem is ConflictProblem.DIRECTORY_NOT_EMPTY
        assert [entry.name for entry in full.iterdir()] == ["letter.txt"]
        await disks.add(one, tmp_path / "vm10" / "disk", "HA")
        for node in (one, other):
            with pytest.raises(ConflictError):
                await disks.add(node, tmp_path / "vm10" / "disk", "HA")
        assert len(one.state.disks()) == 1


async def test_paths_that_cannot_be_disks_are_refused(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await nodes.start("vm10")
        pools.add(node, "HA")
        for path, error in (
            (Path("relative"), InvalidError),
            (tmp_path / "nowhere", NotFoundError),
            (Path("/dev/null"), NotFoundError),
        ):
            with pytest.raises(error):
                await disks.add(node, path, "HA")
        with pytest.raises(NotFoundError):
            await disks.add(node, tmp_path, "NOPE")
        assert node.state.disks() == ()


async def test_a_disk_with_vdisks_stays_and_a_missing_one_is_not_used(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await nodes.start("vm10")
        pools.add(node, "HA")
        disk = await disks.add(node, tmp_path / "vm10" / "disk", "HA")
        await vdisks.create(node, NewVDisk("M1", 1 << 20, pool="HA"))
        with pytest.raises(ConflictError) as raised:
            await disks.remove(node, disk.id)
        assert raised.value.problem is ConflictProblem.DISK_IN_USE
        (disk.path / disks.MARKER).unlink()
        assert not disks.space(disk).online
        with pytest.raises(RefusedError):
            disks.roomiest(node, "HA")


async def test_the_default_pool_is_made_when_a_disk_needs_it(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await nodes.start("vm10")
        with pytest.raises(NotFoundError):
            pools.default(node, None)
        assert pools.default(node, None, make=True) == "Default"
        assert pools.default(node, None) == "Default"
        with pytest.raises(TwindiskError):
            pools.add(node, "DEFAULT")


def test_a_device_in_use_says_by_what(tmp_path: Path) -> None:
    for name in ("sda", "sdb", "sdc", "loop0", "sdd"):
        (tmp_path / name / "holders").mkdir(parents=True)
        (tmp_path / name / "size").write_text("2048\n")
    (tmp_path / "sda" / "sda1").mkdir()
    (tmp_path / "sda" / "sda1" / "partition").write_text("1\n")
    (tmp_path / "sdb" / "holders" / "dm-0").mkdir()
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sdc /srv xfs rw 0 0\nproc /proc proc rw 0 0\n")
    (tmp_path / "mounts-link").symlink_to(mounts)
    root = tmp_path / "block"
    root.mkdir()
    for name in ("sda", "sdb", "sdc", "loop0", "sdd"):
        (root / name).symlink_to(tmp_path / name)
    found = {device.path.name: device.used_by for device in devices.list_devices(root, mounts)}
    assert found == {"sda": "partitions", "sdb": "holders", "sdc": "/srv", "sdd": None}


@pytest.mark.skipif(os.geteuid() != 0, reason="formatting needs root")
async def test_a_block_device_is_formatted_only_after_an_explicit_yes(tmp_path: Path) -> None:
    loop_device = attach_loop(tmp_path / "image")
    if loop_device is None:
        pytest.skip("no loop devices here")
    try:
        async with cluster(tmp_path) as nodes:
            node = await nodes.start("vm10")
            pools.add(node, "HA")
            with pytest.raises(RefusedError):
                await disks.add(node, loop_device, "HA")
            assert node.state.disks() == ()
            disk = await disks.add(node, loop_device, "HA", confirmed=True)
            assert disks.space(disk).online
            await nodes.stop("vm10")
            devices.unmount(disk.path, loop_device)
            node = await nodes.start("vm10")
            assert disks.space(disk).online
            await disks.remove(node, str(loop_device))
            assert not os.path.ismount(disk.path)
    finally:
        detach_loop(loop_device)


def attach_loop(image: Path) -> Path | None:
    import shutil  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    if shutil.which("losetup") is None or shutil.which("mkfs.xfs") is None:
        return None
    with image.open("wb") as file:
        file.truncate(400 << 20)
    done = subprocess.run(["losetup", "--find", "--show", str(image)], capture_output=True, text=True, check=False)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def detach_loop(device: Path) -> None:
    import subprocess  # noqa: PLC0415

    subprocess.run(["losetup", "--detach", str(device)], check=True)
