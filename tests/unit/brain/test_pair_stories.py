"""Rare races of a pair, step by step in the abstract world, which checks P1, P2 and P6 after every step."""

import pytest

from twindisk.brain import events as ev
from twindisk.brain.effects import TimerKind
from twindisk.brain.model import CheckKind, Role, Sync
from twindisk.brain.phases import Phase
from unit.brain.pair_engine import Mode
from unit.brain.pair_steps import MASTER, SLAVE, V1, break_link, deliver_all, fence, settled


@pytest.mark.promise("P1", "P2")
def test_an_attach_that_only_the_source_completed_leaves_the_target_out_of_the_race() -> None:
    world = settled(CheckKind.FENCE)
    world.cut()
    world.write(MASTER, V1)
    break_link(world)
    world.mend()
    world.connect()
    deliver_all(world)
    assert world.phase(SLAVE, V1) is Phase.ATTACHING
    world.agree(V1)
    break_link(world, MASTER)
    world.notice(SLAVE)
    world.finish_alone(MASTER, V1)
    world.write(MASTER, V1)
    deliver_all(world)
    fence(world, SLAVE)
    assert world.phase(SLAVE, V1) is Phase.PEER_WAIT or world.phase(MASTER, V1) is Phase.ALONE


@pytest.mark.promise("P1", "P2")
def test_a_source_cut_off_at_the_end_of_the_resync_does_not_go_on_unasked() -> None:
    world = settled(CheckKind.FENCE)
    break_link(world)
    world.decide(SLAVE, ev.Stop())
    fence(world, MASTER)
    world.write(MASTER, V1)
    if not world.alive(SLAVE):
        world.restart(SLAVE)
    world.mend()
    world.connect()
    deliver_all(world)
    world.agree(V1)
    world.hear_go(V1)
    deliver_all(world)
    assert world.phase(MASTER, V1) is Phase.SOURCE
    world.resync_step(V1)
    world.resync_step(V1)
    deliver_all(world)
    assert (world.phase(MASTER, V1), world.phase(SLAVE, V1)) == (Phase.SOURCE, Phase.IN_SYNC)
    break_link(world)
    assert world.phase(MASTER, V1) is Phase.DECIDING
    world.finish_alone(MASTER, V1)
    world.write(MASTER, V1)
    fence(world, SLAVE)
    world.write(SLAVE, V1)
    assert world.phase(SLAVE, V1) is Phase.ALONE
    world.settle()
    assert world.phase(MASTER, V1) is Phase.IN_SYNC


@pytest.mark.promise("P2")
def test_a_link_that_breaks_in_the_middle_of_a_switch_leaves_no_two_masters() -> None:
    world = settled(CheckKind.MANUAL)
    world.decide(MASTER, ev.SetRole(V1, Role.SLAVE))
    world.switch_step(V1)
    world.switch_step(V1)
    deliver_all(world, SLAVE)
    break_link(world)
    for index in (MASTER, SLAVE):
        world.finish_alone(index, V1)
    assert [world.phase(index, V1) for index in (MASTER, SLAVE)] == [Phase.DECIDING] * 2
    world.settle()
    assert world.phase(SLAVE, V1) is Phase.IN_SYNC


@pytest.mark.promise("P2")
def test_a_cancelled_fence_that_strikes_and_reports_late_proves_nothing() -> None:
    world = settled(CheckKind.FENCE)
    break_link(world)
    for timer in [timer for timer in world.nodes[SLAVE].timers if timer.kind is TimerKind.HEAD_START]:
        world.fire(SLAVE, timer)
    world.mend()
    world.connect()
    deliver_all(world)
    world.strike(SLAVE)
    world.restart(MASTER)
    world.notice(SLAVE)
    deliver_all(world)
    world.connect()
    deliver_all(world)
    world.agree(V1)
    world.hear_go(V1)
    deliver_all(world)
    assert world.phase(SLAVE, V1) is Phase.IN_SYNC
    break_link(world, SLAVE)
    world.report_fence(SLAVE, late=True)
    assert world.phase(SLAVE, V1) is Phase.DECIDING
    assert world.engine(MASTER).volumes[V1].mode is Mode.ATTACHED
    assert world.engine(MASTER).volumes[V1].sync is Sync.NONE
