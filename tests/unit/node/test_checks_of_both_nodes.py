"""Two whole nodes with fake engines tell each other their mirror checks."""

from pathlib import Path

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, until
from twindisk.api.peer_schemas import CheckTold
from twindisk.brain.model import CheckKind as BrainKind
from twindisk.brain.model import PeerAddress, Rule
from twindisk.errors import PeerError, PeerProblem, RefusedError
from twindisk.node import checks, disks, mirrors, pools, vdisks
from twindisk.node.mirrors import NewMirror
from twindisk.node.records import CheckKind
from twindisk.node.vdisks import NewVDisk

VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]


def warned(nodes: Cluster) -> list[tuple[Rule, Rule] | None]:
    """Return what each node has warned of."""
    both = (
        nodes.nodes["vm10"].node.brain.peers[PeerAddress(VM11)],
        nodes.nodes["vm11"].node.brain.peers[PeerAddress(VM10)],
    )
    return [peer.warned_of for peer in both]


@pytest.mark.promise("P2")
async def test_both_nodes_warn_when_the_link_comes_up_and_when_a_check_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "RETRY_S", 0.02)
    async with cluster(tmp_path) as nodes:
        for name, peer, kind in (("vm10", VM11, CheckKind.MANUAL), ("vm11", VM10, CheckKind.FENCE)):
            node = await nodes.start(name)
            pools.add(node, "HA")
            await disks.add(node, tmp_path / name / "disk", "HA")
            await checks.add(node, peer, kind, "true" if kind is CheckKind.FENCE else "")
        first, second = nodes.nodes["vm10"].node, nodes.nodes["vm11"].node
        really = first.peer.tell_check
        failed: list[object] = []

        async def fail_once(peer: str, told: object) -> None:
            if not failed:
                failed.append(told)
                raise PeerError(PeerProblem.UNREACHABLE, peer=peer, detail="not yet")
            await really(peer, told)  # type: ignore[arg-type]

        monkeypatch.setattr(first.peer, "tell_check", fail_once)
        await vdisks.create(first, NewVDisk("M1", 4 << 20, pool="HA"))
        await mirrors.add(first, NewMirror("M1", VM11, "M1"))
        fence, ignore = Rule(BrainKind.FENCE), Rule(BrainKind.IGNORE)
        apart = (Rule(BrainKind.MANUAL), fence)
        await until(lambda: warned(nodes) == [apart, apart[::-1]])
        await checks.add(first, VM11, CheckKind.FENCE, "true")
        await until(lambda: warned(nodes) == [None, None])
        await checks.add(second, VM10, CheckKind.IGNORE, "")
        await checks.remove(second, VM10, CheckKind.FENCE, None)
        await until(lambda: warned(nodes) == [(fence, ignore), (ignore, fence)])
        assert failed


async def test_a_stranger_is_not_listened_to(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        node = await nodes.start("vm10")
        with pytest.raises(RefusedError):
            await checks.hear_peer(node, VM11, CheckTold(kind=CheckKind.IGNORE))
        assert PeerAddress(VM11) not in node.brain.peers
