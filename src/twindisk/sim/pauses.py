"""P7: the last thing of some runs, where one node or the link of a healed pair is lost, and nobody waits for longer than the bound.

Rules:

1. One fault, in an idle pair that is in sync and whose site is sound; what is asked just then, of every node that lives, is answered
   within the bound: with success, or NOT READY, which lets the initiator take the other path.
2. The bound is 5 s, and what the site's own checks take: the fence commands until one succeeds, or the witness.
3. A node that was started again and then meets the fence command that its loss began is lost a second time: everybody may wait anew.
"""

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from twindisk.brain.model import Check, CheckKind
from twindisk.sim.clock import MS, SECOND
from twindisk.sim.disk import BLOCK
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.machine import Machine
    from twindisk.sim.world import World

BOUND_NS: Final = 5 * SECOND
"""Detection and decision, by default."""
_CHECK_NS: Final = {"kill": SECOND, "power": SECOND, "fail": SECOND, "hang": 3 * SECOND, "late": 3 * SECOND}
"""What a fence command takes at most; see :mod:`twindisk.sim.fences`."""
_WITNESS_NS: Final = 3 * SECOND
"""What one more question takes: its time limit, and the pause before it."""
_WANTED: Final = 0.25
"""The part of all runs that ends so."""


@dataclass(slots=True)
class _Asked:
    """A command that nobody may have to wait for."""

    machine: "Machine"
    life: int
    what: str
    at_ns: int
    answer: str = ""


class Pauses:
    """The last fault of a run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} pauses")
        self.wanted = self._rng.random() < _WANTED
        self._asked: list[_Asked] = []

    def check(self) -> None:
        """Lose something, and see that everybody is answered in time."""
        clock = self._world.clock
        bound_ns = BOUND_NS + _taken_ns(self._world.machines[0].checks)
        deaths = [machine.deaths for machine in self._world.machines]
        self._lose()
        for _ in range(3):
            for machine in self._world.machines:
                if machine.daemon is not None and not machine.frozen:
                    self._ask(machine)
            clock.run_until(clock.now_ns + self._rng.randrange(300) * MS)
        clock.run_until(clock.now_ns + bound_ns)
        if any(machine.deaths - before > 1 for machine, before in zip(self._world.machines, deaths, strict=True)):
            clock.run_until(clock.now_ns + bound_ns)
        for asked in self._asked:
            alive = asked.machine.life == asked.life and not asked.machine.frozen
            if alive and not asked.answer:
                raise Failed("P7", f"{asked.machine.name} holds a {asked.what} for more than {bound_ns / SECOND} s")

    def _lose(self) -> None:
        victim = self._world.machines[self._rng.randrange(2)]
        kind = self._rng.choice(["kill", "power", "freeze", "cut", "mute"])
        self._world.trace.note("**", "last fault: %s %s", kind, victim.name)
        match kind:
            case "kill":
                victim.kill()
            case "power":
                victim.power_off()
            case "freeze":
                victim.freeze()
            case "mute":
                self._world.network.mute.update(range(self._world.cables.paths))
            case _:
                self._world.network.cut.update({0, 1})

    def _ask(self, machine: "Machine") -> None:
        serial = self._rng.choice(list(self._world.vdisks))
        place = self._rng.choice(self._world.places)
        calls: list[tuple[str, tuple[Any, ...]]] = [("host_read", (place * BLOCK, BLOCK)), ("host_flush", ())]
        for call, arguments in calls:
            asked = _Asked(machine, machine.life, call.removeprefix("host_"), self._world.clock.now_ns)
            self._asked.append(asked)

            def reply(how: str, _what: Any, asked: _Asked = asked) -> None:
                asked.answer = how
                took_ms = (self._world.clock.now_ns - asked.at_ns) // MS
                asked.machine.note("%s answered after %s ms: %s", asked.what, took_ms, how)

            if machine.daemon is not None:
                machine.daemon.engine.host(serial, call, arguments, reply)


def _taken_ns(checks: tuple[Check, ...]) -> int:
    """Return what a site's checks may take."""
    fences = sum(_CHECK_NS[check.command] for check in checks if check.kind is CheckKind.FENCE)
    return fences + (_WITNESS_NS if any(check.kind is CheckKind.WITNESS for check in checks) else 0)
