"""Two whole nodes with fake engines whose mirror check is a witness on a share."""

import asyncio
import json
from pathlib import Path

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.brain.checks import agreed
from twindisk.brain.model import PeerAddress
from twindisk.brain.phases import Phase
from twindisk.errors import ConflictError, WitnessError
from twindisk.node import check_trial, checks, disks, mirrors, pools, vdisks
from twindisk.node.context import Node
from twindisk.node.fence_trial import Outcome
from twindisk.node.mirrors import NewMirror
from twindisk.node.records import CheckKind
from twindisk.node.vdisks import NewVDisk

VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]


def shared(nodes: Cluster) -> list[bool]:
    """Return whether each node may go on by its witness."""
    pairs = ((nodes.nodes["vm10"].node, VM11), (nodes.nodes["vm11"].node, VM10))
    return [agreed(node.brain.peers[PeerAddress(peer)]) for node, peer in pairs]


async def mirrored(nodes: Cluster, root: Path, place: str) -> tuple[Node, Node]:
    """Start a pair with a VDisk M1 in sync, that shares a witness."""
    for name, peer in (("vm10", VM11), ("vm11", VM10)):
        node = await nodes.start(name)
        pools.add(node, "HA")
        await disks.add(node, root / name / "disk", "HA")
        await checks.add(node, peer, CheckKind.WITNESS, place)
    first, second = nodes.nodes["vm10"].node, nodes.nodes["vm11"].node
    await vdisks.create(first, NewVDisk("M1", 4 << 20, pool="HA"))
    await mirrors.add(first, NewMirror("M1", VM11, "M1"))
    await until(lambda: shared(nodes) == [True, True])
    await until(lambda: phase(first, "M1") is Phase.IN_SYNC and phase(second, "M1") is Phase.IN_SYNC)
    return first, second


def share(root: Path, name: str = "share") -> Path:
    directory = root / name
    directory.mkdir()
    return directory


@pytest.mark.promise("P2")
async def test_a_node_that_lost_its_peer_goes_on_by_the_witness_and_the_other_does_not(tmp_path: Path) -> None:
    directory = share(tmp_path)
    async with cluster(tmp_path) as nodes:
        first, second = await mirrored(nodes, tmp_path, f"file://{directory}")
        serial = first.state.vdisks()[0].serial
        nodes.world.cut(nodes.engines["vm10"], nodes.engines["vm11"])
        await until(lambda: phase(first, "M1") is Phase.ALONE)
        await until(lambda: phase(second, "M1") is Phase.STOPPED)
        slot = json.loads((directory / f"{serial}-00000001").read_text())
        assert (slot["owner"], slot["vdisk"], slot["node"]) == (VM10, "M1", "vm10")
        assert sorted(path.name for path in directory.iterdir()) == [f"{serial}-00000001", "identity"]


@pytest.mark.promise("P2", "P6")
async def test_while_the_witness_is_gone_nobody_goes_on_and_then_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = share(tmp_path)
    async with cluster(tmp_path) as nodes:
        first, second = await mirrored(nodes, tmp_path, f"file://{directory}")
        away = directory.rename(tmp_path / "away")
        await nodes.kill("vm11")
        await until(lambda: phase(first, "M1") is Phase.DECIDING)
        claimed = [event for event in first.state.events() if event.kind == "witness-unreached"]
        while not claimed:
            await asyncio.sleep(0.02)
            claimed = [event for event in first.state.events() if event.kind == "witness-unreached"]
        assert "No such file or directory" in claimed[0].text
        assert phase(first, "M1") is Phase.DECIDING
        away.rename(directory)
        await until(lambda: phase(first, "M1") is Phase.ALONE)
        del second


@pytest.mark.promise("P2")
async def test_a_witness_is_replaced_while_both_run(tmp_path: Path) -> None:
    old, new = (f"file://{share(tmp_path, name)}" for name in ("old", "new"))
    async with cluster(tmp_path) as nodes:
        first, second = await mirrored(nodes, tmp_path, old)
        await checks.add(first, VM11, CheckKind.WITNESS, new)
        await until(lambda: shared(nodes) == [False, False])
        assert [check.command for check in first.state.checks()] == [new]
        await checks.add(second, VM10, CheckKind.WITNESS, new)
        await until(lambda: shared(nodes) == [True, True])
        with pytest.raises(ConflictError):
            await checks.add(second, VM10, CheckKind.WITNESS, new)
        assert phase(first, "M1") is Phase.IN_SYNC


async def test_a_witness_that_cannot_be_one_changes_nothing(tmp_path: Path) -> None:
    place = f"file://{share(tmp_path)}"
    async with cluster(tmp_path) as nodes:
        first, _ = await mirrored(nodes, tmp_path, place)
        with pytest.raises(WitnessError):
            await checks.add(first, VM11, CheckKind.WITNESS, f"file://{tmp_path}/nothing")
        assert [check.command for check in first.state.checks()] == [place]
        assert shared(nodes) == [True, True]


async def test_two_places_of_one_witness_are_one_and_two_witnesses_at_one_name_are_two(tmp_path: Path) -> None:
    directory = share(tmp_path)
    (tmp_path / "by-another-name").symlink_to(directory)
    async with cluster(tmp_path) as nodes:
        first, second = await mirrored(nodes, tmp_path, f"file://{directory}")
        await checks.add(second, VM10, CheckKind.WITNESS, f"file://{tmp_path}/by-another-name")
        await until(lambda: shared(nodes) == [True, True])
        # The share was not mounted when it was added here: another directory, and so another witness.
        (tmp_path / "by-another-name").unlink()
        share(tmp_path, "by-another-name")
        (tried,) = await check_trial.ask(second, VM10)
        assert tried.outcome is Outcome.WRONG
        await checks.add(second, VM10, CheckKind.WITNESS, f"file://{tmp_path}/by-another-name")
        await until(lambda: shared(nodes) == [False, False])
        said = [event.text for event in first.state.events() if event.kind == "checks-differ"]
        assert len(said) == 1
        assert "witness here, another witness there" in said[0]
