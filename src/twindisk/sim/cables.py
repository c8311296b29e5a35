"""The cables between the nodes, and what goes wrong with one of them: in half of all runs the link has several connections.

Rules:

1. A path may be slower than the other one. Each is cut by itself, one way or both; a connection may break by itself, with all that is on it; a path may
   let heartbeats through and nothing else.
2. While one path stands, the loss of the other one parts nothing: the last thing before the end of some runs.
"""

import random
from typing import TYPE_CHECKING, Final

from twindisk.sim.clock import MS, SECOND
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.world import World

_LINKS: Final = ((0,), (0,), (0,), (0, 0), (0, 1), (0, 1), (0, 0, 1, 1))
"""The path of each connection."""
_SLOWER: Final = (1.0, 1.0, 4.0, 30.0)
_LONGEST_MS: Final = 20.0
_TRIES: Final = 500
_CUT_NS: Final = 6 * SECOND


class Cables:
    """The cables of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} cables")
        self.connections = self._rng.choice(_LINKS)
        self.paths = 1 + max(self.connections)
        self.several = len(self.connections) > 1
        self._slower = self._rng.choice(_SLOWER)
        self._mutes = self._rng.choice([0, 0, 1, 3])
        self._faults = self._rng.choice([0, 3, 9]) if self.several else 0
        self.spare_wanted = self.paths > 1 and self._rng.random() < 0.3
        """Whether the run is to come to :meth:`spare`."""

    @property
    def factors(self) -> tuple[float, ...]:
        """How much longer what goes over each path takes; nothing takes longer than a peer may be silent."""
        most = _LONGEST_MS / self._world.network.delay_ms
        return (1.0, min(self._slower, most))[: self.paths]

    def round_trip_ns(self, path: int) -> int:
        """Return how long an answer takes over a path, about."""
        return int(2 * self._world.network.delay_ms * self.factors[path] * MS)

    def plan(self, span_ns: int) -> None:
        """Draw the faults."""
        for _ in range(self._faults):
            self._world.clock.after(self._rng.randrange(span_ns), self._lose)
        for _ in range(self._mutes):
            self._world.clock.after(self._rng.randrange(span_ns), self._mute)

    def heal(self) -> None:
        """Make all cables whole."""
        for path in range(self.paths):
            self._world.network.unmute(path)
            for to in range(2):
                self._world.network.heal_path(path, to)

    def _lose(self) -> None:
        network, clock = self._world.network, self._world.clock
        if self.paths == 1 or self._rng.random() < 0.5:
            self._break(_TRIES)
            return
        path = self._rng.randrange(self.paths)
        for to in self._rng.choice([(0,), (1,), (0, 1), (0, 1)]):
            self._note(f"path {path} to {'AB'[to]} is cut")
            network.cut_paths.add((path, to))
            clock.after(self._rng.randint(100, 9000) * MS, network.heal_path, path, to)

    def _mute(self) -> None:
        path = self._rng.randrange(self.paths)
        self._note(f"path {path} lets only heartbeats through")
        self._world.network.mute.add(path)
        self._world.clock.after(self._rng.randint(100, 9000) * MS, self._world.network.unmute, path)

    def _break(self, tries: int) -> None:
        """Break a connection as soon as something is under way over one."""
        if self._world.network.reset_busy(self._rng):
            self._note("a connection breaks")
        elif tries:
            self._world.clock.after(MS, self._break, tries - 1)

    def spare(self) -> None:
        """Cut one path of a pair in sync under load: nobody parts."""
        path = self._rng.randrange(2)
        self._note(f"only path {1 - path} is left")
        world, deaths = self._world, [machine.deaths for machine in self._world.machines]
        world.load = True
        losses = self._losses()
        world.network.cut_paths.update({(path, 0), (path, 1)})
        world.clock.run_until(world.clock.now_ns + _CUT_NS)
        # What had been ordered before the pair was healed may come as late as this: a fence command.
        if self._losses() != losses and [machine.deaths for machine in world.machines] == deaths:
            raise Failed("P7", f"the link was lost although path {1 - path} stood")

    def _losses(self) -> int:
        daemons = [machine.daemon for machine in self._world.machines]
        return sum(daemon.engine.link.losses for daemon in daemons if daemon is not None)

    def _note(self, what: str) -> None:
        self._world.trace.note("**", "cables: %s", what)
