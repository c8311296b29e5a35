"""Two whole nodes with fake engines: real state, real brain, real REST between them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.brain.model import PeerAddress, Role
from twindisk.brain.phases import Phase
from twindisk.errors import (
    ConflictError,
    ConflictProblem,
    EngineIoError,
    NotFoundError,
    PeerError,
    PeerProblem,
    RefusedError,
    RefusedProblem,
)
from twindisk.node import checks, disks, mirrors, pools, vdisks
from twindisk.node.context import Node, Recv
from twindisk.node.mirrors import NewMirror
from twindisk.node.records import CheckKind, Mirror
from twindisk.node.vdisks import NewVDisk

MIB = 1 << 20
VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]
TO_VM11 = NewMirror("M1", VM11, "M1")


class Pair:
    """Two nodes with a pool each; M1 lives on the first."""

    def __init__(self, nodes: Cluster, first: Node, second: Node) -> None:
        self.nodes = nodes
        self.first = first
        self.second = second

    async def restart(self, name: str, *, kill: bool = False) -> Node:
        await (self.nodes.kill(name) if kill else self.nodes.stop(name))
        node = await self.nodes.start(name)
        if name == "vm10":
            self.first = node
        else:
            self.second = node
        return node

    async def mirrored(self) -> None:
        await mirrors.add(self.first, TO_VM11)
        await self.settled()

    async def settled(self) -> None:
        await until(lambda: phase(self.first, "M1") is phase(self.second, "M1") is Phase.IN_SYNC)

    def roles(self) -> tuple[Role | None, Role | None]:
        known = [node.brain_vdisk("M1") for node in (self.first, self.second)]
        first, second = (None if one is None else one.role for one in known)
        return first, second

    def modes(self) -> tuple[str, str]:
        return tuple(self.nodes.engines[name].vdisks["M1"].mode for name in ("vm10", "vm11"))  # type: ignore[return-value]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with cluster(tmp_path) as nodes:
        both = []
        for name in ADDRESSES:
            node = await nodes.start(name)
            pools.add(node, "HA")
            await disks.add(node, tmp_path / name / "disk", "HA")
            both.append(node)
        made = Pair(nodes, *both)
        await vdisks.create(made.first, NewVDisk("M1", 4 * MIB, pool="HA"))
        yield made


async def add_known_check(node: Node, peer: str, kind: CheckKind, command: str) -> None:
    """Add a check and wait until the peer knows it: before, the node does not act by it."""
    await checks.add(node, peer, kind, command)
    await until(lambda: node.brain.peers[PeerAddress(peer)].heard)


async def test_the_peer_makes_an_equal_vdisk_and_both_end_in_sync(pair: Pair) -> None:
    await pair.mirrored()
    ours, theirs = vdisks.find(pair.first, "M1"), vdisks.find(pair.second, "M1")
    assert (ours.serial, ours.iqn, ours.size_bytes) == (theirs.serial, theirs.iqn, theirs.size_bytes)
    assert (ours.group_tag, theirs.group_tag) == (1, 2)
    assert pair.roles() == (Role.MASTER, Role.SLAVE)
    assert pair.modes() == ("attached", "attached")
    assert pair.second.state.mirrors() == (Mirror("M1", VM10, "M1", "HA"),)
    dialled = {name: engine.peers for name, engine in pair.nodes.engines.items()}
    assert dialled == {"vm10": {VM11: True}, "vm11": {VM10: False}}


async def test_a_mirror_is_there_after_both_nodes_restart(pair: Pair) -> None:
    await pair.mirrored()
    await pair.restart("vm10")
    await pair.restart("vm11", kill=True)
    await pair.settled()


@pytest.mark.promise("P9")
async def test_a_mirror_that_makes_no_sense_is_refused_and_nothing_changes(pair: Pair) -> None:
    await vdisks.create(pair.second, NewVDisk("X", 4 * MIB, pool="HA"))
    await vdisks.create(
        pair.second,
        NewVDisk("S", 8 * MIB, pool="HA", serial=vdisks.find(pair.first, "M1").serial, iqn="iqn.2024-01.org.x:s"),
    )
    before = (pair.first.state.vdisks(), pair.second.state.vdisks())
    for wrong, error, problem in (
        (NewMirror("NONE", VM11, "M1"), NotFoundError, "vdisk-not-found"),
        (NewMirror("M1", VM10, "M1"), RefusedError, "mirror-to-self"),
        (NewMirror("M1", "127.0.4.99", "M1"), PeerError, "peer-unreachable"),
        (NewMirror("M1", VM11, "M1", "NOPE"), PeerError, "pool-not-found"),
        (NewMirror("M1", VM11, "X"), PeerError, "peer-vdisk-differs"),
        (NewMirror("M1", VM11, "S"), PeerError, "peer-vdisk-differs"),
        (NewMirror("M1", VM11, "M1"), PeerError, "serial-in-use"),
    ):
        with pytest.raises(error) as raised:
            await mirrors.add(pair.first, wrong)
        told = raised.value
        assert isinstance(told, NotFoundError | RefusedError | PeerError)
        assert problem in (told.problem.value, told.fields.get("told")), str(told)
    assert (pair.first.state.vdisks(), pair.second.state.vdisks()) == before
    assert pair.first.state.mirrors() == pair.second.state.mirrors() == ()
    assert pair.nodes.engines["vm10"].peers == {}
    assert phase(pair.first, "M1") is Phase.SINGLE


async def test_the_peer_makes_its_copy_with_the_same_block_size(pair: Pair) -> None:
    await vdisks.create(pair.first, NewVDisk("N1", 4 * MIB, pool="HA", block_bytes=4096))
    await mirrors.add(pair.first, NewMirror("N1", VM11, "N1"))
    assert vdisks.find(pair.second, "N1").block_bytes == 4096
    assert pair.nodes.engines["vm11"].vdisks["N1"].block_bytes == 4096


@pytest.mark.promise("P5", "P9")
async def test_a_copy_of_another_block_size_is_no_copy_of_the_vdisk(pair: Pair) -> None:
    ours = vdisks.find(pair.first, "M1")
    other = NewVDisk("M1", 4 * MIB, pool="HA", serial=ours.serial, iqn=ours.iqn, block_bytes=4096)
    await vdisks.create(pair.second, other)
    with pytest.raises(PeerError) as raised:
        await mirrors.add(pair.first, TO_VM11)
    assert raised.value.fields["told"] == "peer-vdisk-differs"
    assert "block size" in str(raised.value)
    assert pair.first.state.mirrors() == pair.second.state.mirrors() == ()


async def test_a_vdisk_has_one_mirror(pair: Pair) -> None:
    await pair.mirrored()
    for node, new in ((pair.first, TO_VM11), (pair.second, NewMirror("M1", VM10, "M1"))):
        with pytest.raises(ConflictError) as raised:
            await mirrors.add(node, new)
        assert raised.value.problem is ConflictProblem.MIRROR_EXISTS


async def test_the_peers_copy_is_taken_back_when_our_part_fails(pair: Pair) -> None:
    pair.nodes.engines["vm10"].fail["set_peer"] = EngineIoError("no", errno=5)
    with pytest.raises(EngineIoError):
        await mirrors.add(pair.first, TO_VM11)
    assert pair.second.state.vdisks() == ()
    assert pair.first.state.mirrors() == pair.second.state.mirrors() == ()
    assert pair.nodes.engines["vm10"].peers == pair.nodes.engines["vm11"].peers == {}
    await pair.mirrored()


@pytest.mark.promise("P2")
async def test_the_end_of_a_mirror_leaves_one_served_copy_on_the_node_where_it_was_asked_for(pair: Pair) -> None:
    await pair.mirrored()
    await mirrors.remove(pair.second, "M1", force=False)
    assert pair.modes() == ("unavailable", "single")
    assert vdisks.find(pair.first, "M1").withheld
    assert not vdisks.find(pair.second, "M1").withheld
    assert pair.nodes.engines["vm10"].peers == pair.nodes.engines["vm11"].peers == {}
    await pair.restart("vm10", kill=True)
    assert pair.modes() == ("unavailable", "single")
    with pytest.raises(RefusedError) as raised:
        await mirrors.add(pair.first, TO_VM11)
    assert raised.value.problem is RefusedProblem.WITHHELD
    await vdisks.release(pair.first, "M1")
    assert pair.modes() == ("single", "single")


async def test_a_mirror_ended_and_made_again_starts_from_a_blank_copy(pair: Pair) -> None:
    await pair.mirrored()
    before = pair.nodes.engines["vm11"].facts("M1")["current"]
    await mirrors.remove(pair.first, "M1", force=False)
    await mirrors.add(pair.first, TO_VM11)
    await pair.settled()
    sync = [argument for call, argument in pair.nodes.engines["vm11"].calls if call == "attach"][-1]
    assert sync == ("M1", "slave", "full-target")
    assert pair.nodes.engines["vm11"].facts("M1")["current"] != before


async def end_without_peer(pair: Pair) -> None:
    """Have the first node end the mirror while it serves alone."""
    await pair.mirrored()
    await add_known_check(pair.first, VM11, CheckKind.FENCE, "true")
    await pair.nodes.kill("vm11")
    await until(lambda: phase(pair.first, "M1") is Phase.ALONE)
    await mirrors.remove(pair.first, "M1", force=False)


async def test_a_node_that_serves_alone_may_end_the_mirror_without_its_peer(pair: Pair) -> None:
    await end_without_peer(pair)
    assert phase(pair.first, "M1") is Phase.SINGLE
    pair.second = await pair.nodes.start("vm11")
    assert phase(pair.second, "M1") is Phase.PEER_WAIT
    await mirrors.add(pair.first, TO_VM11)
    await pair.settled()


@pytest.mark.promise("P2", "P6")
async def test_a_copy_whose_peer_ended_the_mirror_meanwhile_ends_it_too_and_is_withheld(pair: Pair) -> None:
    await end_without_peer(pair)
    pair.second = await pair.nodes.start("vm11")
    await mirrors.remove(pair.second, "M1", force=False)
    assert pair.modes() == ("single", "unavailable")
    assert vdisks.find(pair.second, "M1").withheld
    await vdisks.remove(pair.second, "M1", force=True)


@pytest.mark.promise("P2", "P6")
async def test_a_copy_that_may_be_old_ends_the_mirror_only_by_force_and_is_withheld_then(pair: Pair) -> None:
    await pair.mirrored()
    await add_known_check(pair.first, VM11, CheckKind.FENCE, "false")
    await pair.nodes.kill("vm11")
    await until(lambda: phase(pair.first, "M1") is Phase.STOPPED)
    with pytest.raises(RefusedError) as raised:
        await mirrors.remove(pair.first, "M1", force=False)
    assert raised.value.problem is RefusedProblem.NOT_CURRENT
    await mirrors.remove(pair.first, "M1", force=True)
    assert vdisks.find(pair.first, "M1").withheld
    assert pair.nodes.engines["vm10"].vdisks["M1"].mode == "unavailable"


async def test_a_mirrored_vdisk_is_neither_removed_nor_resized(pair: Pair) -> None:
    await pair.mirrored()
    for node, problem in ((pair.first, RefusedProblem.RESIZE_MIRRORED), (pair.second, RefusedProblem.RESIZE_ON_SLAVE)):
        with pytest.raises(RefusedError) as raised:
            await vdisks.grow(node, "M1", 8 * MIB)
        assert raised.value.problem is problem
        with pytest.raises(RefusedError) as raised:
            await vdisks.remove(node, "M1", force=True)
        assert raised.value.problem is RefusedProblem.VDISK_MIRRORED


async def test_roles_are_switched_from_either_node(pair: Pair) -> None:
    await pair.mirrored()
    for node, role, roles in (
        (pair.second, Role.MASTER, (Role.SLAVE, Role.MASTER)),
        (pair.second, Role.MASTER, (Role.SLAVE, Role.MASTER)),
        (pair.second, Role.SLAVE, (Role.MASTER, Role.SLAVE)),
    ):
        await mirrors.set_role(node, "M1", role, force=False)
        await pair.settled()
        assert pair.roles() == roles


async def test_a_role_that_another_change_takes_back_is_an_error_in_the_end(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def undone(node: Node, name: str, role: Role, *, force: bool) -> None:
        """The brain took the order, and before anybody looked the other node had taken the role back."""

    await pair.mirrored()
    monkeypatch.setattr(mirrors, "ROLE_LIMIT_S", 0.2)
    monkeypatch.setattr(mirrors, "ask_brain", undone)
    with pytest.raises(RefusedError) as raised:
        await mirrors.set_role(pair.second, "M1", Role.MASTER, force=False)
    assert raised.value.problem is RefusedProblem.ROLE_NOT_REACHED


async def test_a_role_change_is_refused_with_its_reason_while_a_resync_is_pending(pair: Pair) -> None:
    pair.nodes.world.auto_resync = False
    await mirrors.add(pair.first, TO_VM11)
    await until(lambda: phase(pair.first, "M1") is Phase.SOURCE)
    for node, role in ((pair.first, Role.SLAVE), (pair.second, Role.MASTER)):
        await until(lambda: phase(pair.second, "M1") is Phase.TARGET)
        with pytest.raises(RefusedError) as raised:
            await mirrors.set_role(node, "M1", role, force=True)
        assert raised.value.problem is RefusedProblem.RESYNC_PENDING
    pair.nodes.engines["vm10"].end_resync("M1")
    await pair.settled()


@pytest.mark.promise("P1", "P2")
async def test_a_lost_peer_is_fenced_and_the_slave_takes_over(pair: Pair, tmp_path: Path) -> None:
    await pair.mirrored()
    await add_known_check(pair.second, VM10, CheckKind.FENCE, "false")
    await add_known_check(pair.second, VM10, CheckKind.FENCE, f"echo $TWINDISK_PEER > {tmp_path}/fenced")
    await pair.nodes.kill("vm10")
    await until(lambda: phase(pair.second, "M1") is Phase.ALONE)
    assert (tmp_path / "fenced").read_text() == f"{VM10}\n"
    texts = [event.text for event in pair.second.state.events()]
    assert "VDisk M1 peer has failed" in texts
    assert "VDisk M1 switching over to master role" in texts
    pair.first = await pair.nodes.start("vm10")
    await pair.settled()
    assert pair.roles() == (Role.SLAVE, Role.MASTER)


@pytest.mark.promise("P2", "P6")
async def test_a_fence_that_fails_stops_even_the_master(pair: Pair) -> None:
    await pair.mirrored()
    await add_known_check(pair.first, VM11, CheckKind.FENCE, "exit 1")
    await pair.nodes.kill("vm11")
    await until(lambda: phase(pair.first, "M1") is Phase.STOPPED)
    assert pair.nodes.engines["vm10"].vdisks["M1"].mode in ("standby", "unavailable", "transitioning")
    assert "Fencing VDisk M1 peer failed. Cannot take over as master" in [
        event.text for event in pair.first.state.events()
    ]
    pair.second = await pair.nodes.start("vm11")
    await pair.settled()


async def test_a_clean_stop_hands_over_without_fencing(pair: Pair) -> None:
    await pair.mirrored()
    await add_known_check(pair.second, VM10, CheckKind.FENCE, "exit 1")
    await pair.nodes.stop("vm10")
    await until(lambda: phase(pair.second, "M1") is Phase.ALONE)
    pair.first = await pair.nodes.start("vm10")
    await pair.settled()
    assert pair.roles() == (Role.SLAVE, Role.MASTER)


async def test_two_nodes_that_ask_each_other_at_once_do_not_wait_for_ever(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twindisk.node.context.PEER_TURN_LIMIT_S", 0.3)
    await vdisks.create(pair.second, NewVDisk("N1", MIB, pool="HA"))

    async def add(node: Node, new: NewMirror) -> None:
        async with node.change():
            await mirrors.add(node, new)

    done = await asyncio.gather(
        add(pair.first, TO_VM11), add(pair.second, NewMirror("N1", VM10, "N1")), return_exceptions=True
    )
    refused = [error for error in done if error is not None]
    assert all(isinstance(error, PeerError) and error.fields["told"] == "node-busy" for error in refused), refused
    for node in (pair.first, pair.second):
        async with node.change(for_peer=True):
            pass


async def test_a_mirror_address_that_cannot_be_bound_leaves_the_node_up_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twindisk.node.mirroring.RETRY_S", 0.05)
    async with cluster(tmp_path) as nodes:
        first = await nodes.start("vm10")
        second = await nodes.start("vm11")
        for node in (first, second):
            pools.add(node, "HA")
            await disks.add(node, tmp_path / node.config.node_name / "disk", "HA")
        await vdisks.create(first, NewVDisk("M1", MIB, pool="HA"))
        await vdisks.create(first, NewVDisk("S1", MIB, pool="HA"))
        await mirrors.add(first, TO_VM11)
        await until(lambda: phase(first, "M1") is Phase.IN_SYNC)
        await nodes.kill("vm10")
        nodes.world.listening[VM10] = nodes.engines["vm10"]  # somebody else has the address now
        first = await nodes.start("vm10")
        assert first.recv is Recv.BIND_ERROR
        assert (phase(first, "M1"), phase(first, "S1")) == (None, Phase.SINGLE)
        assert nodes.engines["vm10"].vdisks["M1"].mode == "transitioning"
        with pytest.raises(RefusedError) as raised:
            await mirrors.add(first, NewMirror("S1", VM11, "S1"))
        assert raised.value.problem is RefusedProblem.RECV_BIND
        del nodes.world.listening[VM10]
        await until(lambda: first.recv is Recv.INITED)
        await until(lambda: phase(first, "M1") is not None)


async def test_a_node_without_address_or_secret_does_not_mirror_and_says_so(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        plain = await nodes.start("vm10", recv=None)
        bare = await nodes.start("vm11", secret=None)
        assert (plain.recv, bare.recv) == (Recv.NO_ADDRESS, Recv.NO_SECRET)
        for node in (plain, bare):
            pools.add(node, "HA")
            await disks.add(node, tmp_path / node.config.node_name / "disk", "HA")
            await vdisks.create(node, NewVDisk("M1", MIB, pool="HA"))
            with pytest.raises(RefusedError) as raised:
                await mirrors.add(node, NewMirror("M1", "127.0.4.12", "M1"))
            assert raised.value.problem is RefusedProblem.NO_RECV_ADDRESS


@pytest.mark.promise("P9")
async def test_a_peer_with_another_secret_is_not_heard(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        first = await nodes.start("vm10")
        second = await nodes.start("vm11", secret="another")
        for node in (first, second):
            pools.add(node, "HA")
            await disks.add(node, tmp_path / node.config.node_name / "disk", "HA")
        await vdisks.create(first, NewVDisk("M1", MIB, pool="HA"))
        with pytest.raises(PeerError) as raised:
            await mirrors.add(first, TO_VM11)
        assert raised.value.problem is PeerProblem.UNAUTHORIZED
        assert second.state.vdisks() == ()


async def test_checks_are_kept_in_order_and_told_to_the_brain(pair: Pair) -> None:
    node = pair.first
    await checks.add(node, VM11, CheckKind.FENCE, " one ")
    await checks.add(node, VM11, CheckKind.MANUAL, "")
    known = [check.command for check in node.brain.peers[VM11].checks]  # type: ignore[index]
    assert known == ["one", ""]
    with pytest.raises(ConflictError):
        await checks.add(node, VM11, CheckKind.FENCE, "one")
    for kind, command in ((CheckKind.FENCE, ""), (CheckKind.IGNORE, "x"), (CheckKind.FENCE, "a\nb")):
        with pytest.raises(Exception, match="invalid-check"):
            await checks.add(node, VM11, kind, command)
    assert len(await checks.remove(node, VM11, None, None)) == 2
    with pytest.raises(NotFoundError):
        await checks.remove(node, None, None, None)
    assert node.brain.peers[VM11].checks == ()  # type: ignore[index]
