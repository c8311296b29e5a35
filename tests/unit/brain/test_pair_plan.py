"""The pair plan over every pair of copies that a small domain allows."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from twindisk.brain import CopyFacts
from twindisk.brain.generations import AttachPlan, Mismatch, names_every_difference, pair_plan
from twindisk.brain.model import Fault, Role, Sync

OPPOSITE = {
    Sync.NONE: Sync.NONE,
    Sync.SOURCE: Sync.TARGET,
    Sync.TARGET: Sync.SOURCE,
    Sync.FULL_SOURCE: Sync.FULL_TARGET,
    Sync.FULL_TARGET: Sync.FULL_SOURCE,
}


def _every_copy() -> Iterator[CopyFacts]:
    ids = (0, 1, 2, 3)
    lineages = ((), (2,))
    for current, base, lineage, role in product(ids, ids, lineages, (Role.MASTER, Role.SLAVE)):
        if base == current != 0 or (base == 0 and lineage) or (current == 0 and base):
            continue
        flags = product((False, True), (False, True), (False, True), ((0, 1), (0, 2), (1, 1)))
        for inconsistent, ending, unbroken, (active, epoch) in flags:
            if ending and base == 0:
                continue
            yield CopyFacts(
                current=current,
                base=base,
                lineage=lineage,
                role=role,
                inconsistent=inconsistent,
                ending=ending,
                active=active,
                unbroken=unbroken,
                epoch=epoch,
            )


COPIES = tuple(_every_copy())


Plan = AttachPlan | Mismatch


@cache
def _plans() -> tuple[tuple[CopyFacts, CopyFacts, Plan, Plan], ...]:
    """Return every pair of copies with the plan of either side."""
    return tuple(
        (one, two, pair_plan(one, two, local_first=True), pair_plan(two, one, local_first=False))
        for one, two in product(COPIES, COPIES)
    )


def _attaching() -> Iterator[tuple[CopyFacts, CopyFacts, AttachPlan]]:
    for one, two, plan, _ in _plans():
        if isinstance(plan, AttachPlan):
            yield one, two, plan


def test_every_pair_is_planned_alike_from_both_sides() -> None:
    for one, two, mine, theirs in _plans():
        if isinstance(mine, Mismatch) or isinstance(theirs, Mismatch):
            assert mine == theirs, (one, two)
            continue
        assert {mine.role, theirs.role} == {Role.MASTER, Role.SLAVE}, (one, two)
        assert OPPOSITE[mine.sync] is theirs.sync, (one, two)
        assert mine.epoch == theirs.epoch == max(one.epoch, two.epoch) + 1


def test_no_plan_makes_a_blank_or_inconsistent_copy_master() -> None:
    for one, two, plan in _attaching():
        master = one if plan.role is Role.MASTER else two
        assert master.usable, (one, two)
        assert plan.sync.sends == (plan.sync is not Sync.NONE and plan.role is Role.MASTER)


def test_no_plan_overwrites_a_copy_that_went_on_alone_with_one_that_did_not_follow_it() -> None:
    for one, two, plan in _attaching():
        master, slave = (one, two) if plan.role is Role.MASTER else (two, one)
        if slave.surely_current:
            # Same generation: what the Slave wrote alone is what the Master was brought up to.
            assert slave.current == master.current, (one, two)
        if slave.usable and slave.current != master.current:
            assert slave.current in (master.base, *master.lineage), (one, two)


def test_nothing_is_copied_only_between_equal_generations_without_suspects() -> None:
    for one, two, plan in _attaching():
        if plan.sync is Sync.NONE:
            assert one.current == two.current
            assert one.active == two.active == one.dirty == two.dirty == 0
            assert one.usable
            assert two.usable


def test_a_full_copy_is_made_only_to_a_blank_one() -> None:
    for one, two, plan in _attaching():
        if plan.sync in {Sync.FULL_SOURCE, Sync.FULL_TARGET}:
            assert one.blank != two.blank, (one, two)


MASTER = CopyFacts(current=1, epoch=2, role=Role.MASTER)
SLAVE = CopyFacts(current=1, epoch=2, role=Role.SLAVE)
AHEAD = CopyFacts(current=2, base=1, epoch=3, role=Role.MASTER)


@pytest.mark.parametrize(
    ("local", "remote", "role", "sync"),
    [
        (MASTER, SLAVE, Role.MASTER, Sync.NONE),
        (SLAVE, MASTER, Role.SLAVE, Sync.NONE),
        (replace(MASTER, active=1), SLAVE, Role.MASTER, Sync.SOURCE),
        (MASTER, replace(SLAVE, active=1), Role.MASTER, Sync.SOURCE),
        (replace(SLAVE, epoch=3), SLAVE, Role.MASTER, Sync.NONE),
        (SLAVE, SLAVE, Role.MASTER, Sync.NONE),
        (AHEAD, SLAVE, Role.MASTER, Sync.SOURCE),
        (AHEAD, MASTER, Role.MASTER, Sync.SOURCE),
        (SLAVE, AHEAD, Role.SLAVE, Sync.TARGET),
        (AHEAD, replace(SLAVE, inconsistent=True), Role.MASTER, Sync.SOURCE),
        (replace(AHEAD, ending=True), replace(SLAVE, current=2), Role.MASTER, Sync.NONE),
        (replace(AHEAD, ending=True), CopyFacts(current=3, base=2), Role.SLAVE, Sync.TARGET),
        (replace(AHEAD, current=3, lineage=(2,)), replace(SLAVE, current=2), Role.MASTER, Sync.SOURCE),
        (MASTER, CopyFacts(current=0), Role.MASTER, Sync.FULL_SOURCE),
        (CopyFacts(current=0), AHEAD, Role.SLAVE, Sync.FULL_TARGET),
    ],
)
def test_plan(local: CopyFacts, remote: CopyFacts, role: Role, sync: Sync) -> None:
    plan = pair_plan(local, remote, local_first=True)
    assert isinstance(plan, AttachPlan)
    assert (plan.role, plan.sync) == (role, sync)


@pytest.mark.parametrize(
    ("local", "remote", "fault"),
    [
        (AHEAD, CopyFacts(current=3, base=1), Fault.SPLIT_BRAIN),
        (AHEAD, CopyFacts(current=3, base=2), Fault.SPLIT_BRAIN),
        (MASTER, CopyFacts(current=9), Fault.UNRELATED),
        (CopyFacts(current=0), CopyFacts(current=0), Fault.NO_GOOD_COPY),
        (CopyFacts(current=0), replace(MASTER, inconsistent=True), Fault.NO_GOOD_COPY),
        (MASTER, replace(SLAVE, size_bytes=512), Fault.SIZE_DIFFERS),
    ],
)
def test_mismatch(local: CopyFacts, remote: CopyFacts, fault: Fault) -> None:
    assert pair_plan(local, remote, local_first=True) == Mismatch(fault)


def test_suspects_name_every_difference_of_what_they_would_be_copied_by_and_of_copies_that_parted_at_one_state() -> (
    None
):
    parted = 0
    for one, two, plan, _ in _plans():
        named = names_every_difference(one, two)
        assert named is names_every_difference(two, one)
        if isinstance(plan, AttachPlan):
            assert named is (plan.sync not in {Sync.FULL_SOURCE, Sync.FULL_TARGET})
        elif named:
            parted += 1
            assert plan.fault is Fault.SPLIT_BRAIN
            assert {one.base, *one.lineage} & {two.base, *two.lineage}
    assert parted
    assert names_every_difference(CopyFacts(current=3, base=1), CopyFacts(current=2, base=1))
    assert not names_every_difference(CopyFacts(current=3, base=1), CopyFacts(current=3, base=2))
