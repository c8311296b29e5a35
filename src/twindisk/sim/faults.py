"""What goes wrong in a run, and when: drawn once at its beginning."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twindisk.brain import events as ev
from twindisk.brain.model import CheckKind, Role, VDiskName
from twindisk.brain.phases import Phase
from twindisk.sim.clock import MS, SECOND

if TYPE_CHECKING:
    from twindisk.sim.machine import Machine
    from twindisk.sim.world import World

_WEIGHTS: Final = {
    "kill": 4,
    "power": 3,
    "power-both": 1,
    "freeze": 3,
    "cut": 3,
    "cut-one-way": 3,
    "reset": 3,
    "switch": 3,
    "stop": 2,
    "slow-disk": 1,
}


class Faults:
    """The plan of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._clock = world.clock
        self._rng = world.rng
        self.end_ns = self._clock.now_ns + self._rng.randint(6, 25) * SECOND

    def plan(self) -> None:
        """Draw the faults and put them into the clock's queue."""
        kinds = self._rng.sample(sorted(_WEIGHTS), self._rng.randint(2, len(_WEIGHTS)))
        weights = [_WEIGHTS[kind] for kind in kinds]
        span_ns = self.end_ns - self._clock.now_ns
        for _ in range(self._rng.randint(1, 8)):
            kind = self._rng.choices(kinds, weights)[0]
            node = self._world.machines[self._rng.randrange(2)]
            self._clock.after(self._rng.randrange(span_ns), self._do, kind, node)
        if any(check.kind is CheckKind.MANUAL for check in self._world.machines[0].checks):
            self._clock.after(SECOND, self._operate)

    def heal(self) -> None:
        """End all faults: everything runs, is thawed, connected and fast."""
        for machine in self._world.machines:
            for disk in machine.disks.values():
                disk.slow = 1
            self._world.network.heal(machine.index)
            machine.thaw()
            machine.start()
            machine.stays_down = False
        self._clock.after(12 * SECOND, self._start_stopped)

    def _start_stopped(self) -> None:
        """Start what a stop or a fence command ended after the faults had been healed."""
        for machine in self._world.machines:
            machine.start()

    def _after(self, low_ms: int, high_ms: int, call: Callable[..., None], *args: object) -> None:
        self._clock.after(self._rng.randint(low_ms, high_ms) * MS, call, *args)

    def _do(self, kind: str, node: "Machine") -> None:
        self._world.trace.note("**", "fault: %s %s", kind, node.name)
        other = self._world.machines[1 - node.index]
        if kind == "kill":
            node.kill()
            self._after(10, 6000, node.start)
        elif kind == "power":
            node.power_off()
            self._after(200, 8000, node.start)
        elif kind == "power-both":
            node.power_off()
            self._after(0, 1000, other.power_off)
            self._after(1200, 6000, node.start)
            self._after(1200, 6000, other.start)
        elif kind == "freeze":
            node.freeze()
            self._after(50, 9000, node.thaw)
        elif kind in {"cut", "cut-one-way"}:
            self._cut({0, 1} if kind == "cut" else {node.index})
        elif kind == "reset":
            self._world.network.reset_all()
        elif kind == "switch":
            self._order(node)
        elif kind == "stop":
            node.stop()
            self._after(500, 9000, node.start)
        elif kind == "slow-disk":
            self._slow(node)

    def _cut(self, ways: set[int]) -> None:
        for way in ways:
            self._world.network.cut.add(way)
            self._after(100, 9000, self._world.network.heal, way)

    def _slow(self, node: "Machine") -> None:
        for disk in node.disks.values():
            disk.slow = self._rng.choice([5, 50])
        self._after(1000, 6000, self._fast, node)

    @staticmethod
    def _fast(node: "Machine") -> None:
        for disk in node.disks.values():
            disk.slow = 1

    def _order(self, node: "Machine") -> None:
        if node.daemon is not None:
            role = self._rng.choice([Role.MASTER, Role.SLAVE])
            name = VDiskName(self._rng.choice(sorted(self._world.vdisks.values())))
            vdisk = node.daemon.state.vdisks.get(name)
            if vdisk is not None and vdisk.phase is not Phase.DECIDING:
                # Under the manual check that order would say that the peer is dead: see _operate.
                node.enter(node.life, self._switch, (node, name, role))

    @staticmethod
    def _switch(node: "Machine", name: VDiskName, role: Role) -> None:
        if node.daemon is not None and node.daemon.state.vdisks[name].phase is Phase.IN_SYNC:
            node.daemon.post(ev.SetRole(name, role))

    def _operate(self) -> None:
        """Be the operator of the manual check: make a waiting Slave Master, having seen that the peer is dead and behind."""
        self._after(500, 3000, self._operate)
        for node in self._world.machines:
            other = self._world.machines[1 - node.index]
            if node.daemon is None or node.frozen or other.running:
                continue
            for serial, name in self._world.vdisks.items():
                vdisk = node.daemon.state.vdisks.get(VDiskName(name))
                ahead = other.disks[serial].record.facts["base"] != 0
                if vdisk is not None and vdisk.phase is Phase.DECIDING and vdisk.role is Role.SLAVE and not ahead:
                    node.daemon.post(ev.SetRole(vdisk.name, Role.MASTER))
