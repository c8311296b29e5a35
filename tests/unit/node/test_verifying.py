"""Verifications as an operator and the calendar begin them, over the fake engine."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fakes.engine import FakeEngine
from fakes.nodes import ADDRESSES, cluster, phase, until
from twindisk.brain.effects import Severity
from twindisk.brain.phases import Phase
from twindisk.errors import NotFoundError, NotFoundProblem, RefusedError, RefusedProblem
from twindisk.node import disks, mirrors, vdisks, verifying
from twindisk.node.context import Node
from twindisk.node.reload import reload
from twindisk.node.verifying import DAY_MS, Candidate, VerifySchedule, due
from twindisk.verify_sentences import told

NOW_MS = 100 * DAY_MS
EQUAL: dict[str, Any] = {
    "state": "completed",
    "repair": None,
    "done_bytes": 1 << 20,
    "compared_bytes": 1 << 20,
    "differing_bytes": 0,
    "repaired_bytes": 0,
    "ranges": [],
    "truncated": False,
}
DIFFERENT = {**EQUAL, "differing_bytes": 1024, "ranges": [(512, 512), (8192, 512)]}


@pytest.mark.parametrize(
    ("last_days", "every_days", "expected"),
    [
        ({"A": 3, "B": 9}, 0, None),
        ({"A": 3, "B": 6}, 7, None),
        ({"A": 3, "B": 7}, 7, "B"),
        ({"A": 9, "B": 8}, 7, "A"),
        ({"A": 9, "B": None}, 7, "B"),
        ({"A": None, "B": None}, 7, "A"),
        ({"A": -1, "B": 1}, 7, "A"),
    ],
)
def test_the_one_verified_longest_ago_is_due(
    last_days: dict[str, int | None], every_days: int, expected: str | None
) -> None:
    candidates = [Candidate(name, None if days is None else NOW_MS - days * DAY_MS) for name, days in last_days.items()]
    assert due(candidates, every_days, NOW_MS) == expected


@pytest.mark.parametrize(
    ("found", "severity", "kind", "words"),
    [
        (EQUAL, Severity.INFORMATION, "verified", "both copies are equal, 1 MiB compared"),
        (
            {**EQUAL, "state": "cancelled"},
            Severity.INFORMATION,
            "verify-ended-early",
            "cancelled, no difference so far",
        ),
        (DIFFERENT, Severity.ERROR, "verify-differs", "1024 bytes in 2 ranges, the first at byte 512"),
        ({**DIFFERENT, "truncated": True}, Severity.ERROR, "verify-differs", "2 or more ranges"),
        ({**DIFFERENT, "state": "interrupted"}, Severity.ERROR, "verify-differs", "interrupted at 1 MiB"),
        ({**DIFFERENT, "repair": "slave"}, Severity.WARNING, "verify-repaired", "Both are now what peer 10.0.0.2 held"),
        ({**DIFFERENT, "repair": "slave", "state": "interrupted"}, Severity.ERROR, "verify-differs", "differ: 1024"),
    ],
)
def test_what_was_found_is_told(found: dict[str, Any], severity: Severity, kind: str, words: str) -> None:
    said = told("M1", found, "peer 10.0.0.2")
    assert said[:2] == (severity, kind)
    assert words in said[2]


@dataclass
class Mirrored:
    """M1 on both nodes, vm10 its Master."""

    master: Node
    slave: Node
    engine: FakeEngine

    def kinds(self) -> list[str]:
        return [event.kind for event in self.master.state.events(limit=100)]

    async def ends(self, **found: object) -> None:
        """End the verification and wait until the node has heard of it."""
        before = len(self.master.state.events(limit=100))
        self.engine.verification_ends("M1", **{**EQUAL, **found})
        await until(lambda: len(self.master.state.events(limit=100)) > before)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Mirrored]:
    async with cluster(tmp_path) as nodes:
        both = await nodes.start("vm10"), await nodes.start("vm11")
        for name, node in zip(("vm10", "vm11"), both, strict=True):
            node.state.add_pool("HA")
            await disks.add(node, tmp_path / name / "disk", "HA")
        await vdisks.create(both[0], vdisks.NewVDisk("M1", 10 << 20, "HA"))
        await mirrors.add(both[0], mirrors.NewMirror("M1", ADDRESSES["vm11"], "M1"))
        await until(lambda: all(phase(node, "M1") is Phase.IN_SYNC for node in both))
        yield Mirrored(*both, nodes.engines["vm10"])


async def test_only_the_master_in_sync_verifies_and_one_at_a_time(pair: Mirrored) -> None:
    with pytest.raises(RefusedError) as refused:
        await verifying.begin(pair.slave, "M1", None)
    assert refused.value.problem is RefusedProblem.VERIFY_ON_SLAVE
    await verifying.begin(pair.master, "M1", None)
    with pytest.raises(RefusedError) as refused:
        await verifying.begin(pair.master, "M1", None)
    assert refused.value.problem is RefusedProblem.VERIFY_RUNS
    await verifying.cancel(pair.master, "M1")
    with pytest.raises(NotFoundError) as missing:
        await verifying.cancel(pair.master, "M1")
    assert missing.value.problem is NotFoundProblem.VERIFICATION
    pair.engine.lose_link(ADDRESSES["vm11"], "silent")
    await until(lambda: phase(pair.master, "M1") is not Phase.IN_SYNC)
    with pytest.raises(RefusedError) as refused:
        await verifying.begin(pair.master, "M1", None)
    assert refused.value.problem is RefusedProblem.VERIFY_NOT_IN_SYNC


@pytest.mark.parametrize(
    ("repair", "right"), [(None, None), ("master", "master"), ("here", "master"), ("peer", "slave")]
)
async def test_the_copy_that_counts_is_told_by_its_role(
    pair: Mirrored, repair: verifying.Source | None, right: str | None
) -> None:
    await verifying.begin(pair.master, "M1", repair)
    assert pair.engine.verified["M1"]["repair"] == right


async def test_a_difference_is_told_and_one_that_was_cut_short_does_not_count(pair: Mirrored) -> None:
    serial = pair.engine.vdisks["M1"].copy.serial
    await verifying.begin(pair.master, "M1", None)
    await pair.ends(state="interrupted")
    assert pair.master.state.verified_ms(serial) is None
    await verifying.begin(pair.master, "M1", None)
    await pair.ends(differing_bytes=512, ranges=[(512, 512)])
    assert {"verify-differs", "verify-ended-early"} <= set(pair.kinds())
    assert pair.master.state.verified_ms(serial) is not None


async def test_the_calendar_begins_what_is_due_and_repairs_nothing(pair: Mirrored) -> None:
    schedule = VerifySchedule(pair.master)
    await schedule.look(NOW_MS)
    assert pair.engine.verified == {}, "off by default"
    with (pair.master.config.etc / "ndrecv.conf").open("a") as file:
        file.write("VerifyDays=7\n")
    assert (await reload(pair.master)).changed == ("VerifyDays",)
    await schedule.look(NOW_MS)
    assert pair.engine.verified["M1"]["repair"] is None
    await pair.ends()
    began_ms = pair.master.state.verified_ms(pair.engine.vdisks["M1"].copy.serial)
    assert began_ms is not None
    await schedule.look(began_ms + 7 * DAY_MS - 1)
    assert pair.engine.verified["M1"]["state"] == "completed"
    await schedule.look(began_ms + 7 * DAY_MS)
    assert pair.engine.verified["M1"]["state"] == "running"


async def test_the_pace_is_the_configurations_at_start_and_at_a_reload(pair: Mirrored) -> None:
    paces = [pair.engine.pace]
    with (pair.master.config.etc / "ndrecv.conf").open("a") as file:
        file.write("SyncMinMiB=2\nSyncMaxMiB=100\nSyncLatencyMs=5\n")
    await reload(pair.master)
    paces.append(pair.engine.pace)
    assert paces == [(8 << 20, None, 50), (2 << 20, 100 << 20, 5)]
