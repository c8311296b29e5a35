"""The last space of two disks: what some runs end with.

Both disks of a healed pair that is idle have room for equally many blocks, and hosts of both nodes write more than that at once.

Rules:

1. Every command is answered: done, or that there is no space. As many writes are done as there was room for, and at most what was unmapped meanwhile more.
2. However the disks' orders differ, the pair stays in sync: a copy that has as much space as its peer's never gives up for want of it.
"""

import random
from typing import TYPE_CHECKING, Any, Final

from twindisk.sim.clock import MS, SECOND
from twindisk.sim.disk import BLOCK
from twindisk.sim.initiator import block_of
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.world import World

_WANTED: Final = 0.15
"""The part of all runs that comes to this."""
_ROUNDS: Final = 4
_WRITES: Final = 8
"""Writes of a round."""
_ANSWERED_NS: Final = 5 * SECOND
"""How long a round's commands may take."""


class Cramped:
    """Full disks, in a pair that nothing else troubles."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} cramped")
        self.wanted = self._rng.random() < _WANTED
        self._answers: list[tuple[str, str]] = []

    def check(self) -> None:
        """Fill both disks of each VDisk, some times."""
        for serial in self._world.vdisks:
            held: list[int] = []
            for _ in range(_ROUNDS):
                held = self._fill(serial, held)
        for machine in self._world.machines:
            for disk in machine.disks.values():
                disk.room = None

    def _fill(self, serial: str, held: list[int]) -> list[int]:
        """Ask for more than there is room for; return the blocks that hold data of that now."""
        clock, disks = self._world.clock, [machine.disks[serial] for machine in self._world.machines]
        room = self._rng.randrange(_WRITES)
        for disk in disks:
            disk.room = room
        holes = self._holes(serial)
        freed = [block for block in held if self._rng.random() < 0.3]
        self._answers = []
        self._world.trace.note("**", "room for %s blocks: write %s, unmap %s", room, holes, freed)
        for block in holes:
            data = block_of(self._world.fresh_value())
            self._later(serial, "host_write", (block * BLOCK, data, self._rng.random() < 0.2))
        for block in freed:
            self._later(serial, "host_unmap", (block * BLOCK, BLOCK))
        limit_ns = clock.now_ns + _ANSWERED_NS
        clock.run_until(limit_ns, lambda: len(self._answers) == len(holes) + len(freed))
        self._see(serial, room, len(holes), len(freed))
        return [block for block in {*holes, *held} if block in disks[0].seen.map]

    def _holes(self, serial: str) -> list[int]:
        """Draw blocks that hold nothing."""
        total = self._world.size_bytes // BLOCK
        drawn = {self._rng.randrange(total) for _ in range(_WRITES)}
        return sorted(drawn - self._world.machines[0].disks[serial].seen.map.keys())

    def _later(self, serial: str, call: str, arguments: tuple[Any, ...]) -> None:
        """Ask one of the nodes, in a moment."""
        machine = self._world.machines[self._rng.randrange(2)]

        def reply(how: str, _: Any) -> None:
            self._answers.append((call, how))

        def ask() -> None:
            if machine.daemon is not None:
                machine.daemon.engine.host(serial, call, arguments, reply)

        self._world.clock.after(self._rng.randrange(2 * MS), machine.enter, machine.life, ask, ())

    def _see(self, serial: str, room: int, asked: int, freed: int) -> None:
        """Compare what became of a round with the rules."""
        if not self._world.in_sync():
            raise Failed("space", f"{self._world.name_of(serial)} is not in sync any more, with room for {room} blocks")
        if len(self._answers) != asked + freed:
            raise Failed("space", f"{asked + freed} commands, but {len(self._answers)} answers")
        wrong = sorted({how for _, how in self._answers} - {"done", "no-space"})
        done = self._answers.count(("host_write", "done"))
        if wrong or not min(asked, room) <= done <= min(asked, room + freed):
            raise Failed("space", f"room for {room} blocks, {freed} freed: {done} of {asked} written, {wrong}")
