"""The access mode of a VDisk on two whole nodes with fake engines: real state, real brain, real REST between them."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.api.peer_schemas import AccessChange
from twindisk.brain.model import Role
from twindisk.brain.phases import Phase
from twindisk.errors import PeerError, PeerProblem, RefusedError, RefusedProblem
from twindisk.node import access, checks, disks, mirror_accept, mirrors, pools, vdisks
from twindisk.node.context import Node
from twindisk.node.mirrors import NewMirror
from twindisk.node.records import AccessMode, CheckKind
from twindisk.node.schema import MIGRATIONS, migrate
from twindisk.node.state import State
from twindisk.node.vdisks import NewVDisk

ACTIVE, PASSIVE = AccessMode.ACTIVE_ACTIVE, AccessMode.ACTIVE_PASSIVE
VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]
TO_VM11 = NewMirror("M1", VM11, "M1")


class Pair:
    """Two nodes; M1 of the first, which is its Master, is mirrored with the second."""

    def __init__(self, nodes: Cluster) -> None:
        self.nodes = nodes

    @property
    def first(self) -> Node:
        return self.nodes.nodes["vm10"].node

    @property
    def second(self) -> Node:
        return self.nodes.nodes["vm11"].node

    def modes(self) -> set[str]:
        """What the databases and the engines of the running nodes have; one member when all agree."""
        kept = {vdisks.find(running.node, "M1").access.value for running in self.nodes.nodes.values()}
        return kept | {self.nodes.engines[name].vdisks["M1"].access for name in self.nodes.nodes}

    async def settled(self) -> None:
        await until(lambda: phase(self.first, "M1") is phase(self.second, "M1") is Phase.IN_SYNC)

    async def second_alone(self) -> None:
        await self.nodes.kill("vm10")
        await until(lambda: phase(self.second, "M1") is Phase.ALONE)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with cluster(tmp_path) as nodes:
        for name, peer in (("vm10", VM11), ("vm11", VM10)):
            node = await nodes.start(name)
            pools.add(node, "HA")
            await disks.add(node, tmp_path / name / "disk", "HA")
            await checks.add(node, peer, CheckKind.FENCE, "/bin/true")
        made = Pair(nodes)
        await vdisks.create(made.first, NewVDisk("M1", 4 << 20, pool="HA"))
        await mirrors.add(made.first, TO_VM11)
        await made.settled()
        await until(lambda: not made.second._background)  # the new Slave has asked its Master
        yield made


@pytest.mark.promise("P5")
@pytest.mark.parametrize("asked", ["vm10", "vm11"])
async def test_either_node_changes_both_and_a_restart_keeps_it(pair: Pair, asked: str) -> None:
    assert pair.modes() == {"active-active"}
    changed = await access.change(pair.nodes.nodes[asked].node, "M1", PASSIVE)
    assert changed.access is PASSIVE
    assert pair.modes() == {"active-passive"}
    for name in ("vm10", "vm11"):
        await pair.nodes.stop(name)
        await pair.nodes.start(name)
        await pair.settled()
    assert pair.modes() == {"active-passive"}
    await access.change(pair.nodes.nodes[asked].node, "M1", ACTIVE)
    assert pair.modes() == {"active-active"}


async def test_a_new_mirror_brings_its_mode_along(pair: Pair) -> None:
    await vdisks.create(pair.first, NewVDisk("M2", 4 << 20, pool="HA", access=PASSIVE))
    await mirrors.add(pair.first, NewMirror("M2", VM11, "M2"))
    assert vdisks.find(pair.second, "M2").access is PASSIVE
    assert pair.nodes.engines["vm11"].vdisks["M2"].access == "active-passive"


async def test_a_vdisk_without_mirror_is_changed_here_alone(pair: Pair) -> None:
    await mirrors.remove(pair.first, "M1", force=False)
    await access.change(pair.first, "M1", PASSIVE)
    assert vdisks.find(pair.first, "M1").access is PASSIVE
    assert vdisks.find(pair.second, "M1").access is ACTIVE


@pytest.mark.promise("P5")
async def test_a_node_that_serves_alone_changes_its_own_and_the_peer_takes_it_over(pair: Pair) -> None:
    await pair.second_alone()
    await access.change(pair.second, "M1", PASSIVE)
    await pair.nodes.start("vm10")
    await until(lambda: pair.modes() == {"active-passive"})
    await pair.settled()
    assert mirrors.find(pair.first, "M1").peer == VM11
    known = pair.second.brain_vdisk("M1")
    assert known is not None
    assert known.role is Role.MASTER


@pytest.mark.promise("P9")
async def test_a_node_that_does_not_serve_refuses(pair: Pair) -> None:
    await pair.nodes.stop("vm10")
    await pair.nodes.stop("vm11")
    await pair.nodes.start("vm10")  # handed over, so not surely current: it waits for its peer
    assert phase(pair.first, "M1") is Phase.PEER_WAIT
    with pytest.raises(RefusedError) as raised:
        await access.change(pair.first, "M1", PASSIVE)
    assert raised.value.problem is RefusedProblem.ACCESS_CHANGE
    assert raised.value.fields["phase"] == "peer-wait"
    change = AccessChange(access=PASSIVE, admission=access.sealed(pair.first, vdisks.find(pair.first, "M1")))
    with pytest.raises(RefusedError):
        await mirror_accept.take_access(pair.first, VM11, "M1", change)
    assert pair.modes() == {"active-active"}


@pytest.mark.promise("P9")
@pytest.mark.parametrize("asked", ["vm10", "vm11"])
@pytest.mark.parametrize("problem", [PeerProblem.UNREACHABLE, PeerProblem.REFUSED])
async def test_without_the_peers_part_nothing_changes(
    pair: Pair, asked: str, problem: PeerProblem, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no(peer: str, _remote: str, _change: AccessChange) -> None:
        raise PeerError(problem, peer=peer, detail="no")

    node = pair.nodes.nodes[asked].node
    monkeypatch.setattr(node.peer, "change_access", no)
    with pytest.raises(PeerError):
        await access.change(node, "M1", PASSIVE)
    assert pair.modes() == {"active-active"}


@pytest.mark.promise("P5")
@pytest.mark.parametrize(("asked", "agreed"), [("vm10", "active-active"), ("vm11", "active-passive")])
async def test_after_a_lost_answer_both_come_to_the_masters_mode(
    pair: Pair, asked: str, agreed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = pair.nodes.nodes[asked].node
    really = node.peer.change_access
    lost: list[AccessChange] = []

    async def lose_the_first_answer(peer: str, remote: str, change: AccessChange) -> None:
        await really(peer, remote, change)
        if not lost:
            lost.append(change)
            raise PeerError(PeerProblem.BAD_ANSWER, peer=peer, detail="lost")

    monkeypatch.setattr(node.peer, "change_access", lose_the_first_answer)
    with pytest.raises(PeerError):
        await access.change(node, "M1", PASSIVE)
    assert pair.modes() == {"active-active", "active-passive"}
    await until(lambda: pair.modes() == {agreed})


@pytest.mark.promise("P5")
@pytest.mark.parametrize("slow", ["vm10", "vm11"])
async def test_a_switch_of_roles_that_still_goes_on_is_waited_for(
    pair: Pair, slow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = pair.nodes.engines[slow]
    really = engine.attach

    def attach_late(name: str, **plan: Any) -> None:
        time.sleep(0.3)
        really(name, **plan)

    monkeypatch.setattr(engine, "attach", attach_late)
    for role in (Role.SLAVE, Role.MASTER):
        await mirrors.set_role(pair.first, "M1", role, force=False)
        assert phase(pair.first, "M1") is Phase.IN_SYNC
    switching = asyncio.create_task(mirrors.set_role(pair.first, "M1", Role.SLAVE, force=False))
    await until(lambda: phase(pair.first, "M1") in {Phase.SWITCHING, Phase.ATTACHING})
    await access.change(pair.first, "M1", PASSIVE)
    assert pair.modes() == {"active-passive"}
    await switching


async def test_a_slave_asks_until_the_master_answers(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "RETRY_S", 0.02)
    await pair.second_alone()
    await access.change(pair.second, "M1", PASSIVE)
    really = mirror_accept.stands
    failed: list[str] = []

    def fail_twice(node: Node, sender: str, name: str) -> object:
        if len(failed) < 2:
            failed.append(name)
            raise RefusedError(RefusedProblem.BUSY, node="vm11")
        return really(node, sender, name)

    monkeypatch.setattr(mirror_accept, "stands", fail_twice)
    await pair.nodes.start("vm10")
    await until(lambda: pair.modes() == {"active-passive"})
    assert failed == ["M1", "M1"]


def test_vdisks_of_an_older_database_are_active_active_and_have_blocks_of_512_bytes(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    migrate(connection, str(tmp_path), MIGRATIONS[:1])
    connection.execute("INSERT INTO pools VALUES ('HA', 1)")
    connection.execute("INSERT INTO disks VALUES ('d', 'HA', '/d', NULL, 1)")
    connection.execute("INSERT INTO vdisks VALUES ('M1', 'd', '6e', 'iqn.x', 512, 2, 0, 1)")
    connection.close()
    state = State.open(tmp_path)
    old = state.vdisk("M1")
    assert old is not None
    assert (old.access, old.group_tag, old.block_bytes) == (ACTIVE, 2, 512)
    state.change_vdisk(replace(old, access=PASSIVE))
    state.close()
    again = State.open(tmp_path)
    assert again.vdisk("M1") == replace(old, access=PASSIVE)
    again.close()
