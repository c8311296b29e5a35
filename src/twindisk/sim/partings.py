"""Split brains: the last thing of some runs, in which both nodes go on apart, meet again, and operators choose one copy.

Rules:

1. Both nodes are under the check `ignore` and lose each other: both serve, and hosts write to both. That this breaks P2 is what operators
   asked for; it is not looked at until both copies are one again.
2. Once they meet, both know that they have parted, and neither serves: not after a restart, and not while the other one is down.
3. Operators have one copy give way: a blank one takes its place, in the midst of life or between two lives of the daemon. The pair comes to be in
   sync by itself, with the very blocks of the copy that was to go on.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twindisk.brain.model import Check, CheckKind, Fault
from twindisk.brain.phases import Phase
from twindisk.sim.clock import MS, SECOND
from twindisk.sim.disk import BLOCK
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.daemon import Daemon
    from twindisk.sim.machine import Machine
    from twindisk.sim.world import World

_WANTED: Final = 0.2
"""The part of all runs that ends so, if not with a pause."""
_LIMIT_NS: Final = 60 * SECOND
_IGNORE: Final = (Check(CheckKind.IGNORE),)
_STAND_NS: Final = 6 * SECOND
"""Longer than a node that starts waits for its peer before it serves alone."""


class Partings:
    """How one run ends, if it ends so."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} partings")
        self.wanted = self._rng.random() < _WANTED
        self.apart = False
        """The copies have parted, or may."""
        self._kept: dict[str, tuple[int, dict[int, bytes]]] = {}
        """By serial: the node whose copy goes on, and its blocks."""

    def part(self) -> None:
        """Let the copies part, meet, and be made one; the resync is not awaited."""
        self._go_apart()
        self._meet()
        if self._rng.random() < 0.5:
            self._stand()
        self._resolve()

    def check(self) -> None:
        """See that both copies are the one that was to go on."""
        self.apart = False
        for serial, (node, blocks) in self._kept.items():
            machines = self._world.machines
            for machine in machines:
                held = machine.disks[serial].seen.map
                if held != blocks:
                    differ = sorted(n for n in held.keys() | blocks.keys() if held.get(n) != blocks.get(n))
                    message = (
                        f"{machine.name}'s blocks {differ[:8]} are not those of {'AB'[node]}, whose copy was to go on"
                    )
                    raise Failed("P4", message)
            records = [machine.daemon.engine.node.shared(serial) for machine in machines if machine.daemon]
            if records[0] != records[1]:
                raise Failed("P5", f"the nodes hold different records after a split brain: {records}")

    # --- apart ---

    def _go_apart(self) -> None:
        self._note("part")
        world, clock = self._world, self._world.clock
        for machine in world.machines:
            machine.checks = _IGNORE
            self._daemon(machine).check_again()
        clock.run_until(clock.now_ns + 3 * SECOND)
        self.apart = True
        world.load = True
        world.network.cut.update({0, 1})
        self._await(lambda: all(self._modes(machine) == {"alone"} for machine in world.machines), "goes on alone")
        clock.run_until(clock.now_ns + self._rng.randrange(4000) * MS)
        self._lose(world.machines[self._rng.randrange(2)])
        clock.run_until(clock.now_ns + self._rng.randrange(2000) * MS)
        world.load = False
        clock.run_until(clock.now_ns + 10 * SECOND)

    def _lose(self, machine: "Machine") -> None:
        """Lose a node's process, its power, or nothing; it comes back after a while."""
        self._rng.choice([lambda: None, machine.kill, machine.power_off])()
        self._world.clock.after(self._rng.randrange(3000) * MS, machine.start)

    # --- together ---

    def _meet(self) -> None:
        self._note("meet")
        for node in range(2):
            self._world.network.heal(node)
        self._await(lambda: all(map(self._is_split, self._world.machines)), "is known to have parted")
        for machine in self._world.machines:
            self._refuses(machine)

    def _stand(self) -> None:
        """Lose both nodes, and have only one come back: it has not forgotten."""
        self._note("stand")
        clock = self._world.clock
        for machine in self._world.machines:
            self._rng.choice([machine.kill, machine.power_off])()
        back, late = self._rng.sample(self._world.machines, 2)
        clock.run_until(clock.now_ns + self._rng.randrange(1000) * MS)
        back.start()
        clock.run_until(clock.now_ns + _STAND_NS)
        if not self._is_split(back):
            raise Failed("P2", f"{back.name} has forgotten that its copies have parted: {self._modes(back)}")
        self._refuses(back)
        late.start()
        self._await(lambda: all(map(self._is_split, self._world.machines)), "is known to have parted")

    def _refuses(self, machine: "Machine") -> None:
        """See that a node serves nothing."""
        clock = self._world.clock
        for serial in self._world.vdisks:
            answers: list[str] = []
            place = self._rng.choice(self._world.places) * BLOCK

            def reply(how: str, _what: Any, answers: list[str] = answers) -> None:
                answers.append(how)

            self._daemon(machine).engine.host(serial, "host_read", (place, BLOCK), reply)
            clock.run_until(clock.now_ns + SECOND)
            if answers != ["not-ready"]:
                raise Failed("P2", f"{machine.name} answers although its copies have parted: {answers}")

    # --- one again ---

    def _resolve(self) -> None:
        world, clock = self._world, self._world.clock
        for serial in world.vdisks:
            survivor, loser = self._rng.sample(world.machines, 2)
            self._note(f"resolve {serial[-1]}: {survivor.name} goes on")
            self._kept[serial] = survivor.index, dict(survivor.disks[serial].seen.map)
            self._set_aside(loser, serial)
            clock.run_until(clock.now_ns + int(self._rng.random() ** 3 * 2 * SECOND))
            self._rng.choice([lambda: None, survivor.kill, loser.kill, loser.power_off])()
            clock.run_until(clock.now_ns + self._rng.randrange(1000) * MS)
            for machine in world.machines:
                machine.start()

    def _set_aside(self, machine: "Machine", serial: str) -> None:
        """Have a blank copy take the place of a node's own."""
        disk = self._world.blank_disk()
        live = self._rng.random() < 0.5
        if live:
            self._daemon(machine).close_copy(serial)
        else:
            machine.kill("while a copy is set aside")
        machine.disks[serial].kill()
        machine.disks[serial] = disk
        machine.parted.discard(serial)
        clock = self._world.clock
        clock.run_until(clock.now_ns + self._rng.randrange(1, 300) * MS)
        if live:
            self._daemon(machine).open_copy(serial)
        else:
            machine.start()

    # --- looking ---

    def _await(self, reached: Callable[[], bool], what: str) -> None:
        clock = self._world.clock
        clock.run_until(clock.now_ns + _LIMIT_NS, reached)
        if not reached():
            modes = [self._modes(machine) for machine in self._world.machines]
            raise Failed("liveness", f"not every copy {what} after {_LIMIT_NS // SECOND} s: {modes}")

    def _modes(self, machine: "Machine") -> set[str]:
        daemon = machine.daemon
        serials = self._world.vdisks if daemon is not None else ()
        return {str(self._daemon(machine).engine.node.status(serial)["mode"]) for serial in serials}

    def _is_split(self, machine: "Machine") -> bool:
        known = machine.daemon.state.vdisks.values() if machine.daemon is not None else ()
        split = [vdisk.phase is Phase.INVALID and vdisk.fault is Fault.SPLIT_BRAIN for vdisk in known]
        return len(split) == len(self._world.vdisks) and all(split) and "alone" not in self._modes(machine)

    @staticmethod
    def _daemon(machine: "Machine") -> "Daemon":
        if machine.daemon is None:
            raise Failed("liveness", f"{machine.name} does not run, although nothing ended it")
        return machine.daemon

    def _note(self, what: str) -> None:
        self._world.trace.note("**", "partings: %s", what)
