"""When a pool counts as low on space."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.nodes import cluster, until
from twindisk.brain.effects import Severity
from twindisk.node import disks, pool_watch, pools
from twindisk.node.disks import DiskSpace
from twindisk.node.pool_space import MARGIN_PERCENT, Low, PoolSpace, SpaceNotice, judge
from twindisk.node.vdisks import NewVDisk, create

GIB = 1 << 30
NOTHING: Low = frozenset()
M1_LOW: Low = frozenset({("HA", "M1")})


def pool(free_percent: float, *vdisks: str) -> PoolSpace:
    return PoolSpace("HA", 100 * GIB, int(free_percent * GIB), vdisks or ("M1",))


def test_space_below_the_threshold_is_told_in_the_known_words() -> None:
    low, notices = judge(NOTHING, [pool(9.5)], 10)
    assert low == M1_LOW
    text = "Available space 9.5 GiB in Pool HA below VDisk M1 threshold of 10%"
    assert notices == [SpaceNotice(Severity.WARNING, "pool-low", "HA", "M1", text)]


def test_it_is_told_for_each_vdisk_once() -> None:
    low, notices = judge(M1_LOW, [pool(9, "M1", "M2")], 10)
    assert [notice.vdisk for notice in notices] == ["M2"]
    assert judge(low, [pool(8, "M1", "M2")], 10) == (low, [])


def test_it_counts_as_low_until_clearly_more_is_there() -> None:
    assert judge(M1_LOW, [pool(10 + MARGIN_PERCENT - 0.1)], 10) == (M1_LOW, [])
    low, notices = judge(M1_LOW, [pool(10 + MARGIN_PERCENT)], 10)
    assert low == NOTHING
    assert [(notice.severity, notice.text) for notice in notices] == [
        (Severity.INFORMATION, "Available space 12 GiB in Pool HA above VDisk M1 threshold of 10% again")
    ]


def test_exactly_the_threshold_is_enough() -> None:
    assert judge(NOTHING, [pool(10)], 10) == (NOTHING, [])


def test_a_threshold_of_0_is_never_reached() -> None:
    assert judge(NOTHING, [pool(0)], 0) == (NOTHING, [])


def test_missing_disks_change_nothing() -> None:
    gone = PoolSpace("HA", 0, 0, ("M1",))
    assert judge(NOTHING, [gone], 10) == (NOTHING, [])
    assert judge(M1_LOW, [gone], 10) == (M1_LOW, [])


def test_a_removed_vdisk_is_forgotten() -> None:
    assert judge(M1_LOW, [pool(5, "M2")], 10)[0] == {("HA", "M2")}
    assert judge(M1_LOW, [], 10) == (NOTHING, [])


@given(st.lists(st.floats(0, 100), max_size=30), st.integers(1, 90))
def test_warnings_and_their_ends_alternate(course: list[float], threshold: int) -> None:
    low, said = NOTHING, list[Severity]()
    for free in course:
        low, notices = judge(low, [pool(free)], threshold)
        said += [notice.severity for notice in notices]
    assert said == [Severity.WARNING if index % 2 == 0 else Severity.INFORMATION for index in range(len(said))]
    assert bool(low) == (len(said) % 2 == 1)


async def test_a_node_tells_its_operators_when_a_pool_runs_low(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free_gib = 50
    monkeypatch.setattr(pool_watch, "CHECK_S", 0.01)
    monkeypatch.setattr(disks, "space", lambda _: DiskSpace(True, 100 * GIB, free_gib * GIB))
    async with cluster(tmp_path) as nodes:
        node = await nodes.start("vm10")
        pools.add(node, "HA")
        await disks.add(node, tmp_path / "vm10" / "disk", "HA")
        await create(node, NewVDisk("M1", 1 << 20, pool="HA"))

        def told() -> list[tuple[str, str, str]]:
            return [(event.kind, event.fields["pool"], event.fields["vdisk"]) for event in node.state.events()]

        await asyncio.sleep(0.1)
        assert told() == []
        free_gib = 5
        await until(lambda: told() == [("pool-low", "HA", "M1")])
        await asyncio.sleep(0.1)
        free_gib = 50
        await until(lambda: told() == [("pool-low", "HA", "M1"), ("pool-enough", "HA", "M1")])
