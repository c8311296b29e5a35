"""Weighted random stories of a pair, from a seed: cheap enough for thousands."""

from collections.abc import Callable
from random import Random

from twindisk.brain import events as ev
from twindisk.brain.model import CheckKind, Role
from twindisk.brain.phases import Phase
from unit.brain.pair_world import NAMES, World

Step = Callable[[World, Random], None]


def _node(rng: Random) -> int:
    return rng.randrange(2)


def deliver(world: World, rng: Random) -> None:
    node = _node(rng)
    for _ in range(rng.choice((1, 1, 2, 5))):
        world.deliver(node)


def protocol(world: World, rng: Random) -> None:
    """One durable step of attach, resync, switch, hand-over or going alone."""
    name, node = rng.choice(NAMES), _node(rng)
    both = world.alive(0) and world.alive(1)
    kind = rng.randrange(6)
    if kind == 0 and both:
        world.agree(name)
    elif kind == 1 and both:
        world.hear_go(name)
    elif kind == 2 and both:
        world.resync_step(name)
    elif kind == 3 and both:
        world.switch_step(name)
    elif kind == 4:
        world.finish_alone(node, name)
    else:
        world.leave_step(node, name)


def flow(world: World, rng: Random) -> None:
    """Let the pair run undisturbed for a while, but not to rest."""
    for _ in range(rng.randrange(40)):
        rng.choice((deliver, protocol))(world, rng)


def write(world: World, rng: Random) -> None:
    world.write(_node(rng), rng.choice(NAMES))


def cut(world: World, _rng: Random) -> None:
    world.cut()


def mend(world: World, _rng: Random) -> None:
    world.mend()
    world.connect()


def notice(world: World, rng: Random) -> None:
    world.notice(_node(rng))


def crash(world: World, rng: Random) -> None:
    node = _node(rng)
    if world.alive(node):
        world.crash(node)


def restart(world: World, rng: Random) -> None:
    node = _node(rng)
    if not world.alive(node):
        world.restart(node)
        world.connect()


def fire(world: World, rng: Random) -> None:
    node = _node(rng)
    timers = sorted(world.nodes[node].timers, key=lambda timer: (timer.kind, timer.subject))
    if timers:
        world.fire(node, rng.choice(timers))


def strike(world: World, rng: Random) -> None:
    world.strike(_node(rng))


def report(world: World, rng: Random) -> None:
    world.report_fence(_node(rng), late=rng.random() < 0.3)


def stop(world: World, rng: Random) -> None:
    node = _node(rng)
    if world.alive(node):
        world.decide(node, ev.Stop())


def set_role(world: World, rng: Random) -> None:
    """The operator tells the truth: a waiting Slave is promoted only if the other node is dead and never went on."""
    node, name, role = _node(rng), rng.choice(NAMES), rng.choice((Role.MASTER, Role.SLAVE))
    other = world.nodes[1 - node]
    waiting = world.phase(node, name) is Phase.DECIDING and role is Role.MASTER
    if waiting and (other.engine is not None or other.copies[name].base != 0):
        return
    if world.alive(node):
        world.decide(node, ev.SetRole(name, role))


TROUBLE: tuple[tuple[Step, int], ...] = ((cut, 6), (crash, 4), (set_role, 2), (stop, 1))
"""What begins an episode."""

CONSEQUENCES: tuple[tuple[Step, int], ...] = (
    (deliver, 12),
    (protocol, 10),
    (write, 6),
    (notice, 6),
    (fire, 3),
    (strike, 3),
    (report, 4),
    (set_role, 1),
    (crash, 1),
)
"""What follows while the trouble lasts."""

RECOVERY: tuple[tuple[Step, int], ...] = (
    (deliver, 16),
    (protocol, 16),
    (write, 4),
    (mend, 5),
    (restart, 3),
    (notice, 3),
    (fire, 2),
    (report, 2),
    (strike, 1),
    (cut, 1),
)
"""What follows once it may end."""

STEPS: tuple[Step, ...] = tuple(dict.fromkeys(step for step, _ in (*TROUBLE, *CONSEQUENCES, *RECOVERY, (flow, 1))))


def _some(world: World, rng: Random, steps: tuple[tuple[Step, int], ...], count: int) -> None:
    choices, weights = zip(*steps, strict=True)
    for step in rng.choices(choices, weights, k=count):
        step(world, rng)


def walk(seed: int, kind: CheckKind | None, episodes: int) -> World:
    """Run one story and return the world at its end, not at rest."""
    rng = Random(seed)
    world = World(kind, split_roles=rng.random() < 0.5)
    for _ in range(episodes):
        if rng.random() < 0.5:
            world.settle()
            _some(world, rng, ((set_role, 1), (write, 3)), 1)
        else:
            for index in (0, 1):
                if not world.alive(index):
                    world.restart(index)
                world.notice(index)
            mend(world, rng)
        flow(world, rng)
        write(world, rng)
        _some(world, rng, TROUBLE, 1)
        _some(world, rng, CONSEQUENCES, rng.randrange(100))
        _some(world, rng, RECOVERY, rng.randrange(100))
    return world


def assert_comes_together(world: World) -> None:
    """A mended pair is in sync in the end, or split where the check allows it, and has every acknowledged write."""
    world.settle()
    for name in NAMES:
        phases = [world.phase(index, name) for index in (0, 1)]
        together = phases == [Phase.IN_SYNC] * 2
        split = world.kind is CheckKind.IGNORE and phases == [Phase.INVALID] * 2
        assert together or split, (name, phases, world.story())
        if together and world.kind is not CheckKind.IGNORE:
            for node in world.nodes:
                assert world.acked[name] <= node.copies[name].data, ("P1", name, node.index, world.story())
