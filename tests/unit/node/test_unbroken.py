"""What a node remembers of its unbroken copies when its daemon ends, and what it makes of it at the next start."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.brain.model import Role
from twindisk.brain.phases import Phase
from twindisk.node import checks, disks, mirrors, pools, run, vdisks
from twindisk.node.mirrors import NewMirror
from twindisk.node.records import CheckKind
from twindisk.node.unbroken_marks import UnbrokenMarks
from twindisk.node.vdisks import NewVDisk

MIB = 1 << 20
VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]
SERIAL = "6e" + "0" * 30


@pytest.fixture
async def mirrored(tmp_path: Path) -> AsyncIterator[Cluster]:
    """Two nodes whose M1 is in sync; the check of each always fails."""
    async with cluster(tmp_path) as nodes:
        for name in ADDRESSES:
            node = await nodes.start(name)
            pools.add(node, "HA")
            await disks.add(node, tmp_path / name / "disk", "HA")
            await checks.add(node, VM11 if name == "vm10" else VM10, CheckKind.FENCE, "false")
        first, second = nodes.nodes["vm10"].node, nodes.nodes["vm11"].node
        await vdisks.create(first, NewVDisk("M1", 4 * MIB, pool="HA"))
        await mirrors.add(first, NewMirror("M1", VM11, "M1"))
        await until(lambda: phase(first, "M1") is phase(second, "M1") is Phase.IN_SYNC)
        await until(lambda: marked(nodes, "vm11"))
        yield nodes


def marked(nodes: Cluster, name: str) -> bool:
    node = nodes.nodes[name].node
    return node.unbroken.generation(vdisks.find(node, "M1").serial) is not None


def unbroken(nodes: Cluster, name: str) -> bool:
    return nodes.engines[name].facts("M1")["unbroken"]


@pytest.mark.promise("P1")
async def test_a_copy_is_unbroken_after_the_death_of_its_process(mirrored: Cluster) -> None:
    await mirrored.kill("vm10")
    await until(lambda: phase(mirrored.nodes["vm11"].node, "M1") is Phase.STOPPED)
    await mirrored.kill("vm11")
    await mirrored.start("vm11")
    assert unbroken(mirrored, "vm11")


@pytest.mark.promise("P1")
async def test_a_copy_is_broken_after_another_start_of_the_machine(
    mirrored: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await mirrored.kill("vm10")
    await mirrored.kill("vm11")
    (tmp_path / "boot_id").write_text("another-boot\n")
    monkeypatch.setattr(run, "BOOT_ID", tmp_path / "boot_id")
    await mirrored.start("vm11")
    assert not unbroken(mirrored, "vm11")


async def test_nothing_is_remembered_of_a_copy_without_a_mirror(mirrored: Cluster) -> None:
    await mirrors.remove(mirrored.nodes["vm10"].node, "M1", force=False)
    await until(lambda: not marked(mirrored, "vm10") and not marked(mirrored, "vm11"))


async def test_a_node_goes_on_when_its_marks_cannot_be_changed(
    mirrored: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = mirrored.nodes["vm10"].node

    def fail(_marks: UnbrokenMarks, _serial: str, _generation: int = 0) -> None:
        raise OSError(28, "No space left on device")

    for name in ("set", "clear"):
        monkeypatch.setattr(UnbrokenMarks, name, fail)
    await mirrors.set_role(node, "M1", Role.SLAVE, force=False)
    await until(lambda: phase(node, "M1") is Phase.IN_SYNC)
    await mirrors.remove(node, "M1", force=False)
    assert phase(node, "M1") is Phase.SINGLE


def test_a_mark_counts_in_its_boot_and_for_its_copy_only(tmp_path: Path) -> None:
    marks = UnbrokenMarks(tmp_path / "unbroken", "this-boot")
    marks.set(SERIAL, 0x0123456789ABCDEF)
    assert marks.generation(SERIAL) == 0x0123456789ABCDEF
    assert marks.generation(SERIAL[::-1]) is None
    assert UnbrokenMarks(tmp_path / "unbroken", "next-boot").generation(SERIAL) is None
    marks.set(SERIAL, 5)
    assert UnbrokenMarks(tmp_path / "unbroken", "this-boot").generation(SERIAL) == 5
    for damaged in (b"", b"this-boot", b"this-boot x", b"this-boot 5 6", b"\xff\xff 5"):
        (tmp_path / "unbroken" / SERIAL).write_bytes(damaged)
        assert marks.generation(SERIAL) is None
    marks.clear(SERIAL)
    marks.clear(SERIAL)
    assert not list((tmp_path / "unbroken").iterdir())
