"""One run: two nodes, their network and disks, initiators, an operator, faults; all from one seed."""

import random
from collections.abc import Callable
from typing import Any, Final

from twindisk.brain import events as ev
from twindisk.brain.model import VDiskName
from twindisk.brain.phases import Phase
from twindisk.sim.cables import Cables
from twindisk.sim.checks import Checks
from twindisk.sim.clock import MS, SECOND, Clock
from twindisk.sim.cold import Cold
from twindisk.sim.copier import Copier, Copies, check_copies, choose_targets
from twindisk.sim.cramped import Cramped
from twindisk.sim.daemon import checks_of
from twindisk.sim.disk import BLOCK, Disk
from twindisk.sim.disk import Record as DiskRecord
from twindisk.sim.faults import Faults
from twindisk.sim.fences import Fences
from twindisk.sim.fencing_initiator import FencingWorker, Record, bound_notes, bound_writes, check_log
from twindisk.sim.initiator import PREFILL, Recorder, Worker, block_of
from twindisk.sim.machine import Machine
from twindisk.sim.mutants import MUTANTS
from twindisk.sim.network import Network
from twindisk.sim.operators import Operators
from twindisk.sim.partings import Partings
from twindisk.sim.pauses import Pauses
from twindisk.sim.rights import encode
from twindisk.sim.trace import Failed, Trace
from twindisk.sim.verifying import Verifier
from twindisk.sim.witness import CHECKS, Witness

_CHECKS: Final = (
    (("fence", "kill"),),
    (("fence", "kill"),),
    (("fence", "fail"), ("fence", "kill")),
    (("fence", "power"),),
    (("fence", "hang"), ("fence", "power")),
    (("fence", "fail"),),
    (("fence", "late"),),
    (("manual", ""),),
    (),
)
PACES: Final = ((8 << 20, (1 << 64) - 1, 50 * MS), (4 << 20, 8 << 20, MS), (64 << 20, 64 << 20, 50 * MS))
"""How fast resync may go: at least, at most (bytes per second), slower while hosts wait longer than (nanoseconds)."""
RESYNC_BYTES: Final = min(slowest for slowest, _, _ in PACES)
"""What a resync goes through in a second at least."""
SETTLE_NS: Final = 60 * SECOND
"""How long a healed pair may take to be in sync again, besides the resync of all that there is."""


_WHOLE: Final[dict[str, Any]] = {
    "current": 77,
    "base": 0,
    "lineage": [],
    "epoch": 1,
    "inconsistent": False,
    "ending": False,
}
_BLANK: Final = _WHOLE | {"current": 0, "epoch": 0, "role": "slave"}


class World:
    """Everything of one run."""

    def __init__(self, seed: int, *, mutant: str = "none", trace: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.clock = Clock()
        self.trace = Trace(self.clock, wanted=trace)
        self.mutant = MUTANTS[mutant]()
        self.addresses = ("10.0.0.1", "10.0.0.2")
        count = 2 if self.rng.random() < 0.2 else 1
        self.vdisks = {f"6e{at:030x}": f"M{at}" for at in range(1, count + 1)}
        self.fresh = {serial for serial in self.vdisks if self.rng.random() < 0.15}
        self._serials = {name: serial for serial, name in self.vdisks.items()}
        self._indices = {serial: int(serial, 16) - (0x6E << 120) for serial in self.vdisks}
        self.size_bytes = self.rng.choice([3 << 20, (9 << 20) + 70 * BLOCK, (17 << 20) + BLOCK, 160 << 20])
        self.log_extents = self.rng.choice([2, 4, 1024])
        self.think_ms = self.rng.choice([10, 40, 120])
        self.load = True
        self.unmappable: list[tuple[str, int]] = []
        self._values = 0
        self.places = self._choose_places()
        self.targets = choose_targets(random.Random(f"{seed} targets"), self.places, self.size_bytes)
        busy = [*self.places, *self.targets]
        self.cold = Cold(random.Random(f"{seed} cold"), list(self.vdisks), self.size_bytes, busy)
        self.copies = Copies()
        self.network = Network(self.clock, self.rng)
        self.cables = Cables(self)
        self.network.loss = self.rng.choice([0.0, 0.0, 0.02, 0.1])
        self.network.delay_ms = self.rng.choice([0.1, 0.5, 3.0])
        self.network.factors = self.cables.factors
        self.fences = Fences(self)
        self.recorder = Recorder()
        self.partings = Partings(self)
        self.checks = Checks(self)
        self.witness = Witness(self)
        drawn = checks_of(self.rng.choice(_CHECKS))
        self.first_checks = checks = CHECKS[0] if self.witness.wanted else drawn
        self.operators = Operators(self)
        self.machines = [Machine(self, at, self._make_disks(at), checks) for at in range(2)]
        self.network.ends = list(self.machines)
        names = [f"i{at}{worker}" for at in range(2) for worker in range(self.rng.randint(1, 2))]
        self.workers = [Worker(self, name) for name in names]
        self.fencing = Record()
        count = 3 if random.Random(f"{seed} fencers").random() < 0.5 else 0
        self.fencers = [FencingWorker(self, f"f{number}", self.fencing) for number in range(count)]
        count = 2 if random.Random(f"{seed} copiers").random() < 0.5 else 0
        self.copiers = [Copier(self, f"c{number}") for number in range(count)]
        self.faults = Faults(self)
        self.verifier = Verifier(self)
        self.pace = random.Random(f"{seed} pace").choice(PACES)
        self.cramped = Cramped(self)
        self.pauses = Pauses(self)
        self.trace.note("**", "seed %s checks %s size %s", seed, checks, self.size_bytes)

    # --- names ---

    def serial_of(self, name: str) -> str:
        """Return a VDisk's serial."""
        return self._serials[name]

    def name_of(self, serial: str) -> str:
        """Return a VDisk's name."""
        return self.vdisks[serial]

    def vdisk_name(self, serial: str) -> VDiskName:
        """Return a VDisk's name as the brain knows it."""
        return VDiskName(self.vdisks[serial])

    def index_of(self, serial: str) -> int:
        """Return a VDisk's number."""
        return self._indices[serial]

    def block_name(self, serial: str, number: int) -> int:
        """Return a block's name in the histories."""
        return self.index_of(serial) * 10**9 + number

    def fresh_value(self) -> int:
        """Return a value that was never written."""
        self._values += 1
        return self._values

    def unmapped_value(self, serial: str, number: int) -> int:
        """Return the value that zeros stand for."""
        return self.zeros_of(self.block_name(serial, number))

    def zeros_of(self, block: int) -> int:
        """Return the same by the block's name in the histories."""
        return (1 << 50) + block

    def hop_ns(self) -> int:
        """Return how long a message between initiator and node takes."""
        return int((0.05 + 0.5 * self.rng.random()) * MS)

    # --- making ---

    def _choose_places(self) -> list[int]:
        total = self.size_bytes // BLOCK
        bases = [0, 127, total - 2, *(self.rng.randrange(total) for _ in range(8))]
        return sorted(
            {min(base + at, total - 1) for base in self.rng.sample(bases, self.rng.choice([3, 8])) for at in range(3)}
        )

    def _make_disks(self, node: int) -> dict[str, Disk]:
        disks = {}
        for serial in self.vdisks:
            fresh = serial in self.fresh
            # If the mirror was just made, node 0 holds the data, and node 1 is blank.
            facts = _BLANK if fresh and node == 1 else _WHOLE | {"role": "master" if node == 0 else "slave"}
            if fresh and node == 0:
                facts |= {"current": 78, "base": 77}
            disk = Disk(self.clock, self.rng, DiskRecord(dict(facts), [], {}))
            for place in [*self.places, *self.targets] if node == 0 or not fresh else ():
                disk.prefill(place, block_of(PREFILL))
            if node == 0:
                self.unmappable += [(serial, place) for place in self.places]
            disks[serial] = disk
        return disks

    def blank_disk(self) -> Disk:
        """Make a disk for a copy that may only become a resync's target."""
        return Disk(self.clock, self.rng, DiskRecord(dict(_BLANK), [], {}))

    # --- what nodes and initiators do to each other ---

    def sessions_end(self, node: int, *, after_ns: int) -> None:
        """Let initiators notice that a node's process is gone."""
        for worker in self.workers:
            attempt = worker.attempt
            if attempt is not None and attempt.node == node and not attempt.over:
                self.clock.after(after_ns + self.hop_ns(), worker.failed, attempt, "connection lost")

    def ask(self, node: int, event: ev.Event) -> None:
        """Let one node's daemon ask the other's over REST."""
        if node in self.network.cut or 1 - node in self.network.cut:
            return
        self.clock.after(self.hop_ns(), self._asked, node, event)

    def _asked(self, node: int, event: ev.Event) -> None:
        machine = self.machines[node]
        if machine.daemon is not None:
            machine.enter(machine.life, machine.daemon.post, (event,))

    def tell(self, node: int, told_check: ev.PeerCheckTold, heard: Callable[[], None]) -> None:
        """Let one node's daemon tell the other's its mirror check over REST, and hear that it was taken."""
        machine = self.machines[1 - node]
        life = machine.life

        def answer() -> None:
            if node not in self.network.cut and 1 - node not in self.network.cut and machine.daemon is not None:
                self.clock.after(self.hop_ns(), machine.enter, life, heard, ())

        def told() -> None:
            listener = self.machines[node]
            if listener.daemon is not None:
                listener.enter(listener.life, listener.daemon.hear, (told_check, answer))

        if node not in self.network.cut and 1 - node not in self.network.cut:
            self.clock.after(self.hop_ns(), told)

    # --- running ---

    def run(self) -> None:
        """Run it all; raise :class:`Failed` if a promise is broken."""
        for machine in self.machines:
            self.clock.after(self.rng.randrange(500) * MS, machine.start)
        for worker in self.workers:
            worker.start()
        for fencer in self.fencers:
            fencer.start()
        for copier in self.copiers:
            copier.start()
        self.faults.plan()
        self.verifier.plan()
        self.clock.run_until(self.faults.end_ns)
        for _ in range(2 if self.rng.random() < 0.3 else 1):
            self._settle()
            self.checks.equal()
            self.verifier.prove()
            self.checks.equal()
            self._read_all()
            for serial in self.vdisks:
                log = self._logs(serial)[0]
                bound_writes(serial, self.fencing, log)
                notes = [note for note in self.recorder.notes if note.block // 10**9 == self.index_of(serial)]
                notes += [one.note for one in self.copies.copied if one.note.block // 10**9 == self.index_of(serial)]
                bound_notes(serial, self.fencing, log, notes)
            self.checks.histories()
            check_copies(self)
            self._check_logs()
            if self.rng.random() < 0.5:
                self._lose_both()
        self._end()

    def _end(self) -> None:
        """Come to what only some runs come to."""
        troubles = ((self.cables.spare_wanted, self.cables.spare), (self.cramped.wanted, self.cramped.check))
        for wanted, trouble in troubles:
            if wanted:
                self._settle()
                trouble()
                self._settle()
                self.checks.equal()
        if self.pauses.wanted:
            self._settle()
            self.pauses.check()
        elif self.partings.wanted:
            self._part()

    def _part(self) -> None:
        """Let both nodes go on apart, and resolve it; afterwards all is as before."""
        self._settle()
        self.partings.part()
        self._settle()
        self.partings.check()
        self.clock.run_until(self.clock.now_ns + self.rng.randrange(3000) * MS)
        self._settle()
        self.checks.equal()

    def _settle(self) -> None:
        """Heal everything and wait until the pair is in sync and idle."""
        self.trace.note("**", "HEAL")
        self.faults.heal()
        # A resync gives way to the initiators that go on meanwhile.
        settle_ns = SETTLE_NS + len(self.vdisks) * self.size_bytes * SECOND // RESYNC_BYTES
        limit_ns = self.clock.now_ns + settle_ns
        while self.clock.now_ns < limit_ns:
            # A lease that was not renewed before the healing may still cost the link once, a late fence command the peer.
            self.clock.run_until(limit_ns, self.in_sync)
            self.clock.run_until(self.clock.now_ns + 3 * SECOND)
            self.load = False
            self.clock.run_until(self.clock.now_ns + 10 * SECOND, self._idle)
            # What a host gave up may still be on its way between the nodes.
            self.clock.run_until(self.clock.now_ns + SECOND)
            if self.in_sync():
                break
            self.load = True
        else:
            raise Failed("liveness", f"healed, but not in sync after {settle_ns // SECOND} s: {self._phases()}")
        busy = [worker.name for worker in self.workers if worker.attempt and not worker.attempt.over]
        if busy:
            raise Failed("liveness", f"commands of {busy} have no answer in a healed pair")

    def _phases(self) -> str:
        daemons = [machine.daemon for machine in self.machines]
        return str(
            [
                {name: str(vdisk.phase) for name, vdisk in daemon.state.vdisks.items()} if daemon else None
                for daemon in daemons
            ]
        )

    def in_sync(self) -> bool:
        """Whether both brains say so and both cores mirror without a resync."""
        for machine in self.machines:
            daemon = machine.daemon
            if daemon is None or len(daemon.state.vdisks) != len(self.vdisks):
                return False
            for serial, name in self.vdisks.items():
                if daemon.state.vdisks[VDiskName(name)].phase is not Phase.IN_SYNC:
                    return False
                status = daemon.engine.node.status(serial)
                if status["mode"] != "mirroring" or status["sync"] != "none":
                    return False
        return True

    def _idle(self) -> bool:
        busy = any(worker.busy for worker in self.fencers) or any(copier.busy for copier in self.copiers)
        return not busy and all(worker.attempt is None or worker.attempt.over for worker in self.workers)

    def _check_logs(self) -> None:
        seen = {(block, value) for block, value, _, _ in self.recorder.reads}
        for serial in self.vdisks:
            check_log(serial, self.fencing, self._logs(serial), seen)

    def _logs(self, serial: str) -> list[bytes]:
        """Return the record and what is in force, of both nodes."""
        engines = [machine.daemon.engine for machine in self.machines if machine.daemon is not None]
        found = [(engine.node.shared(serial), encode(engine.units[serial].log)) for engine in engines]
        return [log for logs in found for log in logs]

    def _read_all(self) -> None:
        """Read every block through both disks, as the last operations of the histories."""
        for serial in self.vdisks:
            reads = [(place, self.recorder.reads) for place in self.places]
            reads += [(number, self.recorder.reads) for number in self.cold.written[serial]]
            reads += [(target, self.copies.reads) for target in self.targets]
            for place, seen in reads:
                for machine in self.machines:
                    block = machine.disks[serial].seen.read(place * BLOCK, BLOCK)
                    value = self.workers[0].value_of(serial, place, block)
                    now = self.clock.now_ns
                    seen.append((self.block_name(serial, place), value, now, now + 1))
        self.clock.run_until(self.clock.now_ns + MS)

    def _lose_both(self) -> None:
        self.load = True
        self.clock.run_until(self.clock.now_ns + self.rng.randrange(1, 1000) * MS)
        for machine in self.machines:
            machine.power_off()
            self.clock.run_until(self.clock.now_ns + self.rng.choice([0, 0, 100, 3000]) * MS)
        for machine in self.machines:
            machine.start()
            self.clock.run_until(self.clock.now_ns + self.rng.choice([0, 100, 3000]) * MS)
