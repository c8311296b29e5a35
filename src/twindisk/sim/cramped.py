"""The last space of two disks: what some runs end with.

Both disks of a healed pair that is idle have room for equally many blocks, and hosts of both nodes write more than that at once.

Rules:

1. Every command is answered: done, or that there is no space. Of writes of a single block as many are done as there was room for, and at most what was
   unmapped meanwhile more.
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

_WANTED: Final = 0.3
"""The part of all runs that comes to this."""
_ROUNDS: Final = 4
_WRITES: Final = 8
"""Writes of a round, at most."""
_NEAR: Final = 12
"""Blocks among which they are."""
_LONGEST: Final = 4
"""Blocks of a read, at most."""
_ANSWERED_NS: Final = 5 * SECOND
"""How long a round's commands may take."""


class Cramped:
    """Full disks, in a pair that nothing else troubles."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} cramped")
        self.wanted = self._rng.random() < _WANTED
        self._asked = 0
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
        room, longest = self._rng.randrange(_WRITES), self._rng.choice([1, 3])
        for disk in disks:
            disk.room = room
        holes = self._holes(serial)
        freed = [block for block in held if self._rng.random() < 0.3]
        self._asked, self._answers = 0, []
        self._world.trace.note("**", "room for %s blocks: write %s, unmap %s", room, holes, freed)
        for block in holes:
            count = self._rng.randint(1, longest)
            data = b"".join(block_of(self._world.fresh_value()) for _ in range(count))
            self._later(serial, "host_write", (block * BLOCK, data, self._rng.random() < 0.2))
        for block in freed:
            self._later(serial, "host_unmap", (block * BLOCK, BLOCK))
        for block in holes[: self._rng.randint(0, _WRITES)]:
            self._later(serial, "host_read", (block * BLOCK, self._rng.randint(1, _LONGEST) * BLOCK))
        clock.run_until(clock.now_ns + _ANSWERED_NS, lambda: len(self._answers) == self._asked)
        self._see(serial, room, None if longest > 1 else len(holes), len(freed))
        return [block for block in {*holes, *held} if block in disks[0].seen.map]

    def _holes(self, serial: str) -> list[int]:
        """Draw blocks that hold nothing, near each other."""
        first = self._rng.randrange(self._world.size_bytes // BLOCK - _NEAR - _LONGEST)
        drawn = self._rng.sample(range(first, first + _NEAR), _WRITES)
        return [block for block in drawn if block not in self._world.machines[0].disks[serial].seen.map]

    def _later(self, serial: str, call: str, arguments: tuple[Any, ...]) -> None:
        """Ask one of the nodes, in a moment."""
        machine = self._world.machines[self._rng.randrange(2)]

        def reply(how: str, _: Any) -> None:
            self._answers.append((call, how))

        def ask() -> None:
            if machine.daemon is not None:
                machine.daemon.engine.host(serial, call, arguments, reply)

        self._asked += 1
        self._world.clock.after(self._rng.randrange(2 * MS), machine.enter, machine.life, ask, ())

    def _see(self, serial: str, room: int, asked: int | None, freed: int) -> None:
        """Compare what became of a round with the rules; ``asked``: how many writes of a single block, if none was longer."""
        if not self._world.in_sync():
            raise Failed("space", f"{self._world.name_of(serial)} is not in sync any more, with room for {room} blocks")
        if len(self._answers) != self._asked:
            raise Failed("space", f"{self._asked} commands, but {len(self._answers)} answers")
        wrong = sorted({how for _, how in self._answers} - {"done", "data", "no-space"})
        if wrong:
            raise Failed("space", f"commands ended with {wrong}")
        done = self._answers.count(("host_write", "done"))
        if asked is not None and not min(asked, room) <= done <= min(asked, room + freed):
            raise Failed("space", f"room for {room} blocks, {freed} freed: {done} of {asked} written")
