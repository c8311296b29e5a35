"""Fence commands: they take their time, kill the peer and say so, or fail. They never lie.

The command's words: ``kill`` ends the peer's process, ``power`` takes its power, ``fail`` does nothing, ``hang`` runs into its
time limit, ``late`` does its work after it was given up (and so counts as failed).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twindisk.sim.clock import MS

if TYPE_CHECKING:
    from twindisk.sim.machine import Machine
    from twindisk.sim.world import World


class Told(Protocol):
    """Takes the outcome of a run."""

    def __call__(self, run: int, *, success: bool) -> None:
        """Take it."""


class Fences:
    """Runs the commands."""

    def __init__(self, world: "World") -> None:
        self._world = world

    def run(self, machine: "Machine", commands: tuple[str, ...], limit_ms: int, told: Told, run: int) -> None:
        """Run the commands in turn until one succeeds.

        A command under way outlives the process that ran it, or its run, or not; the one after it then never begins.
        """
        life = machine.life
        outlives = self._world.rng.random() < 0.5
        daemon = machine.daemon

        def wanted() -> bool:
            return daemon is None or daemon.fence_wanted(run)

        def still() -> bool:
            alive = machine.life == life and not machine.frozen
            return (alive and wanted()) or outlives

        def next_one(left: tuple[str, ...]) -> None:
            if not wanted():
                return
            if not left:
                _tell(told, run, success=False)
                return
            self._begin(left[0], limit_ms, lambda success: ended(left, success=success), still, machine)

        def ended(left: tuple[str, ...], *, success: bool) -> None:
            if success:
                machine.enter(life, _tell, (told, run, True))
            else:
                machine.enter(life, next_one, (left[1:],))

        next_one(commands)

    def _begin(
        self, command: str, limit_ms: int, ended: Callable[[bool], None], still: Callable[[], bool], machine: "Machine"
    ) -> None:
        victim = self._world.machines[1 - machine.index]
        took = int((20 + 600 * self._world.rng.random()) * MS)

        def work() -> None:
            if not still():
                return
            machine.note("fence command %s", command)
            if command in {"kill", "late"}:
                victim.kill("fenced")
            elif command == "power":
                victim.power_off("fenced")
            if command != "late":
                self._world.clock.after(MS, ended, command in {"kill", "power"})

        if command == "late":
            self._world.clock.after(limit_ms * MS, ended, False)
            self._world.clock.after(limit_ms * MS + took, work)
        elif command == "hang":
            self._world.clock.after(limit_ms * MS, ended, False)
        else:
            self._world.clock.after(took, work)


def _tell(told: Told, run: int, success: Any) -> None:
    told(run, success=success)
