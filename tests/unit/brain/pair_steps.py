"""Steps that several stories of the abstract world take."""

from twindisk.brain.effects import TimerKind
from twindisk.brain.model import CheckKind
from twindisk.brain.phases import Phase
from unit.brain.pair_world import NAMES, World

V1 = NAMES[0]
MASTER, SLAVE = 0, 1
BOTH = (MASTER, SLAVE)


def settled(kind: CheckKind) -> World:
    """Return a pair in sync."""
    world = World(kind)
    world.settle()
    assert [world.phase(index, V1) for index in BOTH] == [Phase.IN_SYNC] * 2
    return world


def deliver_all(world: World, *indices: int) -> None:
    """Let brains hear all that their engines report."""
    for index in indices or BOTH:
        node = world.nodes[index]
        while node.engine is not None and node.engine.queue:
            world.deliver(index)


def break_link(world: World, *indices: int) -> None:
    """Cut the link; these nodes, or both, notice."""
    world.cut()
    for index in indices or BOTH:
        world.notice(index)
        deliver_all(world, index)


def fence(world: World, index: int) -> None:
    """Let a node's fence run take place, and what follows of it."""
    for timer in [timer for timer in world.nodes[index].timers if timer.kind is TimerKind.HEAD_START]:
        world.fire(index, timer)
    if world.nodes[index].job is not None:
        world.strike(index)
        world.report_fence(index)
    world.finish_alone(index, V1)
    deliver_all(world, index)
