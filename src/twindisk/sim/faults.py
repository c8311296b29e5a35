"""What goes wrong in a run, and when: drawn once at its beginning, or aimed at what the nodes have just begun."""

import random
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

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
    "disk": 1,
}

_AIMED_AT: Final = {"attached", "resynced", "alone", "switching", "peer_left"}
"""Reports of a core after which little time is left to find it in the middle of something."""
_AIMED: Final = ("power", "power", "power-both", "kill", "cut", "reset", "freeze")
_AIMED_NS: Final = 80 * MS
"""A fault that is aimed comes within this time."""

_JUST_SYNCED_NS: Final = 10 * MS
"""A loss of power that is aimed at a copy that was just brought up to date comes within this time."""
_FLUSHING_NS: Final = 100 * MS
"""One that is aimed at a flush comes within this time."""

_TOGETHER: Final = ("deaf", "stall", "part")
_TOGETHER_WANTED: Final = 0.5
"""The part of all runs in which faults come together."""

_FULL_WANTED: Final = 0.5
"""The part of all runs without copies in which disks are full for a while."""
_ROOM_BLOCKS: Final = 4
"""How much space there is left then at most."""


class Faults:
    """The plan of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._clock = world.clock
        self._rng = world.rng
        self._manual = world.operators.manual or any(check.kind is CheckKind.MANUAL for check in world.first_checks)
        self.end_ns = self._clock.now_ns + self._rng.randint(6, 25) * SECOND
        self._aim = random.Random(f"{world.seed} aim")
        self._aims = self._aim.choice([0, 1, 2, 5])
        self._target_aims = self._aim.choice([0, 1, 3])
        self._flush_aims = self._aim.choice([0, 1, 2, 4])
        self._pairs = random.Random(f"{world.seed} together")
        self._full = random.Random(f"{world.seed} full")

    def plan(self) -> None:
        """Draw the faults and put them into the clock's queue."""
        kinds = self._rng.sample(sorted(_WEIGHTS), self._rng.randint(2, len(_WEIGHTS)))
        weights = [_WEIGHTS[kind] for kind in kinds]
        span_ns = self.end_ns - self._clock.now_ns
        for _ in range(self._rng.randint(1, 8)):
            kind = self._rng.choices(kinds, weights)[0]
            node = self._world.machines[self._rng.randrange(2)]
            self._clock.after(self._rng.randrange(span_ns), self._do, kind, node)
        if self._pairs.random() < _TOGETHER_WANTED:
            for _ in range(self._pairs.randint(1, 3)):
                kind = self._pairs.choice(_TOGETHER)
                node = self._world.machines[self._pairs.randrange(2)]
                self._clock.after(self._pairs.randrange(span_ns), self._do, kind, node)
        if not self._world.copiers and self._full.random() < _FULL_WANTED:
            for machine in self._full.choice([self._world.machines, *([machine] for machine in self._world.machines)]):
                self._clock.after(self._full.randrange(span_ns), self._do, "full-disk", machine)
        self._world.witness.plan(span_ns)
        self._world.operators.plan(span_ns)
        self._world.cables.plan(span_ns)
        if self._manual:
            self._clock.after(SECOND, self._operate)

    def told(self, node: "Machine", report: Mapping[str, Any]) -> None:
        """Aim a fault at what a node's core has just begun or ended."""
        kind = report["kind"]
        if (
            kind == "resynced"
            and report["role"] == "slave"
            and self._target_aims > 0
            and self._clock.now_ns < self.end_ns
        ):
            self._target_aims -= 1
            self._clock.after(self._aim.randrange(_JUST_SYNCED_NS), self._do, "power", node)
        if kind not in _AIMED_AT or (kind == "attached" and report["sync"] == "none"):
            return
        if self._aims > 0 and self._clock.now_ns < self.end_ns and self._aim.random() < 0.5:
            self._aims -= 1
            victim = self._world.machines[self._aim.randrange(2)]
            delay_ns = int(self._aim.random() ** 2 * _AIMED_NS)
            self._clock.after(delay_ns, self._do, self._aim.choice(_AIMED), victim)

    def flushing(self, node: "Machine", *, resync: bool) -> None:
        """Aim a loss of power at a node that has just begun to flush while one copy is brought up to date."""
        if resync and self._flush_aims > 0 and self._clock.now_ns < self.end_ns and self._aim.random() < 0.3:
            self._flush_aims -= 1
            kind = self._aim.choice(["power", "power", "power-both"])
            self._clock.after(self._aim.randrange(_FLUSHING_NS), self._do, kind, node)

    def heal(self) -> None:
        """End all faults: everything runs, is thawed, connected and fast."""
        self._world.witness.heal()
        self._world.operators.heal()
        self._world.cables.heal()
        for machine in self._world.machines:
            for disk in machine.disks.values():
                disk.slow = 1
                disk.room = None
            self._world.network.heal(machine.index)
            machine.thaw()
            self._empty(machine)
            self._replace(machine)
            machine.start()
        for after_s in (12, 24, 36):
            # Each start may bring the peer to look for it anew, and with it one more fence command that comes late.
            self._clock.after(after_s * SECOND, self._start_stopped)

    def _start_stopped(self) -> None:
        """Start what a stop or a fence command ended after the faults had been healed."""
        for machine in self._world.machines:
            machine.start()

    def _after(self, low_ms: int, high_ms: int, call: Callable[..., None], *args: object) -> None:
        self._clock.after(self._rng.randint(low_ms, high_ms) * MS, call, *args)

    def _do(self, kind: str, node: "Machine") -> None:
        self._world.trace.note("**", "fault: %s %s", kind, node.name)
        faults: dict[str, Callable[[Machine], None]] = {
            "kill": self._kill,
            "power": self._power,
            "power-both": self._power_both,
            "freeze": self._freeze,
            "cut": self._cut_both,
            "cut-one-way": self._cut_one_way,
            "reset": lambda _: self._world.network.reset_all(),
            "switch": self._order,
            "stop": self._stop,
            "slow-disk": self._slow,
            "disk": self._fail_disk,
            "full-disk": self._fill,
            "deaf": self._deafen,
            "stall": self._stall,
            "part": self._part,
        }
        faults[kind](node)

    def _kill(self, node: "Machine") -> None:
        node.kill()
        self._after(10, 6000, node.start)

    def _power(self, node: "Machine") -> None:
        node.power_off()
        self._after(200, 8000, node.start)

    def _power_both(self, node: "Machine") -> None:
        other = self._world.machines[1 - node.index]
        node.power_off()
        self._after(0, 1000, other.power_off)
        self._after(1200, 6000, node.start)
        self._after(1200, 6000, other.start)

    def _freeze(self, node: "Machine") -> None:
        node.freeze()
        self._after(50, 9000, node.thaw)

    def _deafen(self, node: "Machine") -> None:
        """Break the link for the peer, of which the node hears nothing: it serves on while its lease lasts."""
        self._world.network.cut.add(node.index)
        self._world.network.reset_all()
        self._clock.after(self._pairs.randint(100, 4000) * MS, self._world.network.heal, node.index)

    def _stall(self, node: "Machine") -> None:
        """Freeze a node for a moment in which its link is broken: thawed, it has commands to answer before it hears of that."""
        node.freeze()
        self._clock.after(self._pairs.randrange(20 * MS), self._world.network.reset_all)
        self._clock.after(self._pairs.randint(50, 2500) * MS, node.thaw)

    def _part(self, node: "Machine") -> None:
        """Lose a node while its peer has heard nothing of it for a while: it dies with changes that it alone has applied."""
        self._world.network.cut.add(1 - node.index)
        self._clock.after(self._pairs.randint(5000, 9000) * MS, self._world.network.heal, 1 - node.index)
        self._clock.after(self._pairs.randint(20, 1800) * MS, self._do, self._pairs.choice(["kill", "power"]), node)

    def _stop(self, node: "Machine") -> None:
        node.stop()
        self._after(500, 9000, node.start)

    def _cut_both(self, _node: "Machine") -> None:
        self._cut({0, 1})

    def _cut_one_way(self, node: "Machine") -> None:
        self._cut({node.index})

    def _fail_disk(self, node: "Machine") -> None:
        """Let every operation fail until the daemon is started anew, with the disk as it was left."""
        if node.daemon is not None:
            node.broken = True
            for disk in node.disks.values():
                disk.failing = True
            self._after(500, 9000, self._replace, node)

    def _fill(self, node: "Machine") -> None:
        """Leave little space for a while. A copy that could not follow its peer is opened anew when there is some again."""
        for disk in node.disks.values():
            disk.room = self._full.randrange(_ROOM_BLOCKS)
        self._clock.after(self._full.randint(500, 9000) * MS, self._empty, node)

    def _empty(self, node: "Machine") -> None:
        for disk in node.disks.values():
            disk.room = None
        known = node.daemon.state.vdisks.values() if node.daemon is not None else ()
        if any(vdisk.phase is Phase.FAILED for vdisk in known):
            node.broken = True
            self._replace(node)

    @staticmethod
    def _replace(node: "Machine") -> None:
        if node.broken:
            node.kill("to replace its disk")
            node.start()

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
            # Under the manual check "be Master" may come to mean that the peer is dead: see _operate.
            role = Role.SLAVE if self._manual else self._rng.choice([Role.MASTER, Role.SLAVE])
            name = VDiskName(self._rng.choice(sorted(self._world.vdisks.values())))
            node.enter(node.life, node.daemon.post, (ev.SetRole(name, role),))

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
