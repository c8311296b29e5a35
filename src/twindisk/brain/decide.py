"""The brain's only entry: one event in, the next state and the effects out."""

from twindisk.brain.effects import Effect
from twindisk.brain.events import Event
from twindisk.brain.fresh import FreshIds
from twindisk.brain.model import NodeState


def decide(state: NodeState, event: Event, now_ns: int, fresh: FreshIds) -> tuple[NodeState, tuple[Effect, ...]]:
    """Decide what an event means; return the next state and the effects, to be run in order.

    ``now_ns`` is CLOCK_BOOTTIME in nanoseconds; ``fresh`` holds ids no other decision was given.
    """
    raise NotImplementedError
