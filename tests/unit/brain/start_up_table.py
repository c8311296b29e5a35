"""The start-up table of docs/protocols/brain.md, made from the code: who died when, who is back first, who serves.

Every row is a story of the abstract world, which checks P1, P2 and P6 after each of its steps. At its end the other node comes back as
well, and both must mirror again without an operator.
"""

from collections.abc import Callable

from twindisk.brain import events as ev
from twindisk.brain.effects import TimerKind
from twindisk.brain.model import CheckKind, Role
from twindisk.brain.phases import Phase
from unit.brain.pair_engine import Mode
from unit.brain.pair_steps import BOTH, MASTER, SLAVE, V1, break_link, deliver_all, fence, settled
from unit.brain.pair_world import World


def _idle(_world: World) -> None:
    """In sync."""


def _writing(world: World) -> None:
    world.cut()
    world.write(MASTER, V1)
    world.write(SLAVE, V1)


def _alone(world: World) -> None:
    world.crash(SLAVE)
    break_link(world, MASTER)
    fence(world, MASTER)
    world.write(MASTER, V1)


def _resync(world: World) -> None:
    _alone(world)
    world.restart(SLAVE)
    world.mend()
    world.connect()
    deliver_all(world)
    world.agree(V1)
    world.hear_go(V1)
    deliver_all(world)
    assert [world.phase(index, V1) for index in BOTH] == [Phase.SOURCE, Phase.TARGET]
    world.write(MASTER, V1)


def _resync_ending(world: World) -> None:
    _resync(world)
    world.resync_step(V1)


def _resync_ended_at_the_target(world: World) -> None:
    _resync_ending(world)
    world.resync_step(V1)
    deliver_all(world)
    assert [world.phase(index, V1) for index in BOTH] == [Phase.SOURCE, Phase.IN_SYNC]


def _switching(world: World) -> None:
    world.decide(MASTER, ev.SetRole(V1, Role.SLAVE))
    world.switch_step(V1)
    assert world.volumes(V1)[MASTER].mode is Mode.SWITCHED


STAGES: dict[str, Callable[[World], None]] = {
    "in sync": _idle,
    "in sync, writes under way": _writing,
    "Master alone": _alone,
    "resync from the Master": _resync,
    "resync about to end": _resync_ending,
    "resync ended at the Slave": _resync_ended_at_the_target,
    "roles half switched": _switching,
}


def _die(world: World, index: int) -> None:
    """End a process, if it lives; what outlives it notices, fences and goes on as its rules say."""
    if not world.alive(index):
        return
    world.crash(index)
    other = 1 - index
    if world.alive(other):
        break_link(world, other)
        fence(world, other)
        world.write(other, V1)


def _master_then_slave(world: World) -> None:
    _die(world, MASTER)
    _die(world, SLAVE)


def _slave_then_master(world: World) -> None:
    _die(world, SLAVE)
    _die(world, MASTER)


def _at_once(world: World) -> None:
    for index in BOTH:
        if world.alive(index):
            world.crash(index)


DEATHS: dict[str, Callable[[World], None]] = {
    "both at once": _at_once,
    "Master, later Slave": _master_then_slave,
    "Slave, later Master": _slave_then_master,
}


def _is_back_alone(world: World, index: int) -> bool:
    """Start a node, let its time to wait for the peer pass; return whether it serves."""
    world.restart(index)
    for timer in [timer for timer in world.nodes[index].timers if timer.kind is TimerKind.STARTUP_WAIT]:
        world.fire(index, timer)
    world.finish_alone(index, V1)
    deliver_all(world, index)
    world.write(index, V1)
    return world.phase(index, V1) is Phase.ALONE


def row(stage: str, death: str, first: int | None) -> str:
    """Play a story; return who serves before the other node is back. None: both are back at once."""
    world = settled(CheckKind.FENCE)
    STAGES[stage](world)
    DEATHS[death](world)
    assert not any(map(world.alive, BOTH))
    serves = first is not None and _is_back_alone(world, first)
    world.settle()
    for index in BOTH:
        assert world.phase(index, V1) is Phase.IN_SYNC, (stage, death, first, world.story())
        assert world.acked[V1] <= world.nodes[index].copies[V1].data, (stage, death, first, world.story())
    return "serves" if serves else "waits"


def render() -> str:
    """Return the table as Markdown."""
    lines = ["| was | died | Master back first | Slave back first |", "| --- | --- | --- | --- |"]
    for stage in STAGES:
        for death in DEATHS:
            assert row(stage, death, None) == "waits"
            lines.append(f"| {stage} | {death} | {row(stage, death, MASTER)} | {row(stage, death, SLAVE)} |")
    return "\n".join(lines)
