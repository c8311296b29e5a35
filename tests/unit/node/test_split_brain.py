"""Copies that went on apart, between two whole nodes with fake engines."""

import asyncio
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.brain.model import Fault, Link, NodeState, PeerAddress, Role
from twindisk.brain.model import VDisk as BrainVDisk
from twindisk.brain.phases import Phase
from twindisk.differences import CHUNK_BYTES, Writer
from twindisk.errors import EngineIoError, InvalidError, PeerError, PeerProblem, RefusedError, RefusedProblem
from twindisk.node import checks, differing, disks, mirrors, pools, resolving, setting_aside, vdisks
from twindisk.node.context import Node
from twindisk.node.mirrors import NewMirror
from twindisk.node.names import check_name
from twindisk.node.records import CheckKind, VDisk
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


def mark(pair: Pair) -> None:
    """Put something into each node's copy of M1 by which it is known again."""
    for node in (pair.first, pair.second):
        (vdisks.find(node, "M1").directory / "mark").write_text(node.config.node_name)


def marked(vdisk: VDisk) -> str | None:
    mark = vdisk.directory / "mark"
    return mark.read_text() if mark.exists() else None


def loser(pair: Pair, survivor: str) -> Node:
    return pair.second if survivor == "vm10" else pair.first


def lost_of(node: Node) -> list[VDisk]:
    return [vdisk for vdisk in node.state.vdisks() if vdisk.name.startswith("M1-lost-")]


async def check_resolved(pair: Pair, survivor: str) -> None:
    """Check that the survivor's data serve as M1 everywhere, and that the loser's are kept, not served."""
    await until(lambda: pair.phases() == (Phase.IN_SYNC, Phase.IN_SYNC))
    gave_way = loser(pair, survivor)
    kept = pair.first if survivor == "vm10" else pair.second
    assert marked(vdisks.find(kept, "M1")) == survivor
    assert lost_of(kept) == []
    (lost,) = lost_of(gave_way)
    fresh = vdisks.find(gave_way, "M1")
    assert (marked(lost), marked(fresh)) == (gave_way.config.node_name, None)
    assert (lost.withheld, gave_way.state.mirror(lost.name)) == (True, None)
    assert lost.serial != fresh.serial == vdisks.find(kept, "M1").serial
    assert lost.iqn != fresh.iqn == vdisks.find(kept, "M1").iqn
    assert fresh.group_tag == (2 if gave_way is pair.second else 1)
    known = gave_way.brain_vdisk(lost.name)
    assert known is not None
    assert (known.phase, known.fault) == (Phase.INVALID, Fault.WITHHELD)
    assert gave_way.broken == {}
    role = kept.brain_vdisk("M1")
    assert role is not None
    assert role.role is Role.MASTER


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize("asked", ["vm10", "vm11"])
@pytest.mark.parametrize("survivor", ["vm10", VM11])
async def test_either_copy_goes_on_whichever_node_is_asked_and_the_other_is_kept(
    pair: Pair, asked: str, survivor: str
) -> None:
    await pair.split()
    mark(pair)
    done = await resolving.resolve(pair.nodes.nodes[asked].node, "M1", survivor)
    name = "vm10" if survivor == "vm10" else "vm11"
    await check_resolved(pair, name)
    gave_way = loser(pair, name)
    assert (done.node, done.lost) == (gave_way.config.node_name, lost_of(gave_way)[0].name)
    assert await resolving.resolve(pair.nodes.nodes[asked].node, "M1", survivor) == done, "it may be repeated"
    await check_resolved(pair, name)
    await vdisks.release(gave_way, done.lost)
    assert phase(gave_way, done.lost) is Phase.SINGLE
    (vdisks.find(gave_way, done.lost).directory / "mark").unlink()
    await vdisks.remove(gave_way, done.lost, force=False)
    assert lost_of(gave_way) == []


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize("step", ["rename", "relabel_copy", "create_copy", "open_vdisk"])
@pytest.mark.parametrize("repeated", [True, False])
async def test_a_copy_that_gives_way_does_so_whatever_step_fails(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, *, step: str, repeated: bool
) -> None:
    """After the turn each step may fail: nothing is served or removed before it has ended, by another order or by a restart."""
    await pair.split()
    mark(pair)
    with monkeypatch.context() as broken:
        if step == "rename":
            broken.setattr(setting_aside, "_rename", fails)
        else:
            broken.setattr(pair.nodes.engines["vm11"], step, fails)
        with pytest.raises(RefusedError) as told:
            await resolving.resolve(pair.second, "M1", "vm10")
        assert told.value.problem is RefusedProblem.SET_ASIDE_FAILED
        assert pair.phases() == (Phase.INVALID, None)
        (lost,) = lost_of(pair.second)
        if step != "open_vdisk":
            with pytest.raises(RefusedError) as kept:
                await vdisks.remove(pair.second, lost.name, force=True)
            assert kept.value.problem is RefusedProblem.SETTING_ASIDE
        # The other way round it is too late.
        with pytest.raises(PeerError):
            await resolving.resolve(pair.first, "M1", VM11)
        await pair.nodes.kill("vm11")
    if repeated:
        await pair.nodes.start("vm11")
        assert (await resolving.resolve(pair.first, "M1", "vm10")).lost == lost.name
    else:
        await pair.nodes.kill("vm10")
        await pair.nodes.start("vm11")
        assert phase(pair.second, "M1") is Phase.PEER_WAIT
        await pair.nodes.start("vm10")
    await check_resolved(pair, "vm10")


@pytest.mark.promise("P9")
async def test_an_order_that_was_carried_out_once_is_not_taken_for_one_to_the_opposite_effect_later(pair: Pair) -> None:
    await pair.split()
    await resolving.resolve(pair.second, "M1", "vm11")
    await until(lambda: pair.phases() == (Phase.IN_SYNC, Phase.IN_SYNC))
    await pair.split()
    await resolving.resolve(pair.second, "M1", "vm10")
    for node in (pair.first, pair.second):
        with pytest.raises((RefusedError, PeerError)) as told:
            await resolving.resolve(node, "M1", "vm11")
        assert "not" in str(told.value)
    await until(lambda: pair.phases() == (Phase.IN_SYNC, Phase.IN_SYNC))


@pytest.mark.promise("P2")
@pytest.mark.parametrize("step", ["close_vdisk", "relabel_copy", "open_vdisk"])
async def test_an_order_whose_client_is_gone_is_carried_out(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await pair.split()
    mark(pair)
    began, may_end = threading.Event(), threading.Event()
    really = getattr(pair.nodes.engines["vm11"], step)

    def slow(*words: Any, **named: Any) -> Any:
        began.set()
        assert may_end.wait(30)
        return really(*words, **named)

    monkeypatch.setattr(pair.nodes.engines["vm11"], step, slow)
    order = asyncio.create_task(resolving.resolve(pair.second, "M1", "vm10"))
    assert await asyncio.to_thread(began.wait, 30)
    order.cancel()
    await asyncio.sleep(0.05)
    assert not order.done(), "it holds the lock until it has ended"
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await order
    await check_resolved(pair, "vm10")


@pytest.mark.promise("P9")
async def test_a_disk_that_cannot_be_read_is_found_before_anything_is_done(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.split()

    def fails_to_list(_: Path) -> set[str]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(resolving, "_names_in", fails_to_list)
    with pytest.raises(RefusedError) as told:
        await resolving.resolve(pair.second, "M1", "vm10")
    assert told.value.problem is RefusedProblem.VDISK_FAILED
    assert "Input/output error" in str(told.value)
    assert pair.phases() == (Phase.INVALID, Phase.INVALID)


@pytest.mark.promise("P9")
async def test_an_answer_of_the_peer_that_makes_no_sense_is_its_fault(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.split()
    pair.write("vm10", {1: "a"})
    monkeypatch.setattr(pair.nodes.engines["vm11"], "chunk_hashes", lambda *_: [])
    with pytest.raises(PeerError) as told:
        await differing.part(pair.first, "M1", 0)
    assert told.value.problem is PeerProblem.BAD_ANSWER


@pytest.mark.promise("P2")
async def test_that_copies_have_parted_is_durable_before_anything_is_done_about_it(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.part()
    done: list[str] = []
    engine, state = pair.nodes.engines["vm11"], pair.second.state
    really_set, really_stop = state.set_node_value, engine.stop_serving

    def set_node_value(key: str, value: str | None) -> None:
        really_set(key, value)
        done.append(key.partition(":")[0])

    def stop_serving(name: str, *, state: str) -> None:
        done.append("stopped")
        really_stop(name, state=state)

    monkeypatch.setattr(state, "set_node_value", set_node_value)
    monkeypatch.setattr(engine, "stop_serving", stop_serving)
    pair.nodes.engines["vm10"].link_up(VM11)
    await until(lambda: phase(pair.second, "M1") is Phase.INVALID and "stopped" in done)
    assert done == ["parted", "gave-way", "stopped"]


@pytest.mark.promise("P9")
async def test_an_order_that_was_carried_out_says_nothing_of_copies_that_are_apart_again(pair: Pair) -> None:
    await pair.split()
    mark(pair)
    await resolving.resolve(pair.second, "M1", VM10)
    await check_resolved(pair, "vm10")
    await pair.nodes.kill("vm10")
    await until(lambda: phase(pair.second, "M1") is Phase.ALONE)
    with pytest.raises(RefusedError) as told:
        await resolving.resolve(pair.second, "M1", VM10)
    assert told.value.problem is RefusedProblem.NOT_SPLIT


@pytest.mark.promise("P2")
async def test_a_note_of_files_that_are_out_of_reach_stays_until_its_vdisk_is_removed(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pair.split()
    mark(pair)
    with monkeypatch.context() as broken:
        broken.setattr(setting_aside, "_rename", fails)
        with pytest.raises(RefusedError):
            await resolving.resolve(pair.second, "M1", "vm10")
    directory = vdisks.find(pair.second, "M1").directory
    away = directory.with_name("away")
    directory.rename(away)
    setting_aside.check_settled(pair.second, "M1")
    away.rename(directory)
    with pytest.raises(RefusedError) as kept:
        setting_aside.check_settled(pair.second, "M1")
    assert kept.value.problem is RefusedProblem.SETTING_ASIDE


def fails(*_: object, **__: object) -> None:
    raise EngineIoError("the disk does not answer", errno=5)


@pytest.mark.promise("P1")
async def test_before_the_turn_nothing_has_changed(pair: Pair) -> None:
    await pair.split()
    mark(pair)
    before = pair.second.state.vdisks()
    for call in ("close_vdisk", "turn"):
        with pytest.MonkeyPatch.context() as broken:
            if call == "turn":
                broken.setattr(setting_aside, "turn", fails)
            else:
                broken.setattr(pair.nodes.engines["vm11"], call, fails)
            with pytest.raises(EngineIoError):
                await resolving.resolve(pair.second, "M1", "vm10")
        assert pair.second.state.vdisks() == before
        await pair.nodes.kill("vm11")
        await pair.nodes.start("vm11")
        await until(lambda: pair.phases() == (Phase.INVALID, Phase.INVALID))
    await resolving.resolve(pair.second, "M1", "vm10")
    await check_resolved(pair, "vm10")


@pytest.mark.promise("P1", "P2")
@pytest.mark.parametrize(("left", "right"), [("vm10", "vm11"), ("vm11", "vm10")])
async def test_of_two_orders_to_opposite_effect_at_most_one_is_carried_out(pair: Pair, left: str, right: str) -> None:
    await pair.split()
    mark(pair)
    asked = await asyncio.gather(
        resolving.resolve(pair.first, "M1", left), resolving.resolve(pair.second, "M1", right), return_exceptions=True
    )
    done = [each for each in asked if isinstance(each, resolving.Resolved)]
    assert len(done) <= 1, asked
    assert len(lost_of(pair.first)) + len(lost_of(pair.second)) == len(done)
    if not done:
        assert pair.phases() == (Phase.INVALID, Phase.INVALID)
        done.append(await resolving.resolve(pair.first, "M1", left))
    await check_resolved(pair, "vm11" if done[0].node == "vm10" else "vm10")


async def test_only_a_split_brain_that_both_know_of_is_resolved(pair: Pair) -> None:
    for node, survivor in ((pair.first, "vm10"), (pair.first, "vm11"), (pair.second, VM10)):
        with pytest.raises((RefusedError, PeerError)) as told:
            await resolving.resolve(node, "M1", survivor)
        assert RefusedProblem.NOT_SPLIT in (told.value.problem, told.value.fields.get("told"))
    with pytest.raises(InvalidError):
        await resolving.resolve(pair.first, "M1", "vm12")
    await pair.split()
    await pair.nodes.kill("vm11")
    for survivor in (VM10, VM11):
        with pytest.raises(PeerError):
            await resolving.resolve(pair.first, "M1", survivor)
    assert phase(pair.first, "M1") is Phase.INVALID


async def test_a_node_that_was_started_anew_and_serves_alone_keeps_its_copy(pair: Pair) -> None:
    """Its peer has seen the split and serves nothing; it must not give way to a node that has not."""
    await pair.split()
    pair.nodes.world.cut(pair.nodes.engines["vm10"], pair.nodes.engines["vm11"])
    await until(lambda: all(peer.link is Link.DOWN for peer in pair.first.brain.peers.values()))
    known = pair.first.brain_vdisk("M1")
    assert known is not None
    pair.first.loop._state = replace_vdisk(pair.first.brain, known)
    with pytest.raises(PeerError) as told:
        await resolving.resolve(pair.second, "M1", "vm10")
    assert told.value.fields["told"] == RefusedProblem.NOT_SPLIT
    assert lost_of(pair.second) == []


def replace_vdisk(state: NodeState, known: BrainVDisk) -> NodeState:
    alone = replace(known, phase=Phase.ALONE, fault=None)
    return replace(state, vdisks={**state.vdisks, known.name: alone})


AT = datetime(2026, 11, 23, 7, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("M1", (), "M1-lost-20261123-0701"),
        ("M1", ("m1-lost-20261123-0701",), "M1-lost-20261123-0701-2"),
        ("M1", ("m1-lost-20261123-0701", "m1-lost-20261123-0701-2"), "M1-lost-20261123-0701-3"),
        ("x" * 64, (), "x" * 45 + "-lost-20261123-0701"),
    ],
)
def test_the_name_of_a_copy_that_is_set_aside_is_free_and_allowed(
    name: str, taken: tuple[str, ...], expected: str
) -> None:
    found = setting_aside.lost_name(name, AT, frozenset(taken))
    assert found == expected
    check_name(found, "VDisk")
