"""Verifications at random moments: they must find nothing but what was planted, and repair that.

Rules:

1. While a run goes on, a verification of a pair in sync finds nothing, whatever happens meanwhile and however it ends.
2. In a healed, idle pair one block of one copy is changed behind everybody's back: a verification finds exactly that one, on
   request it is repaired, and a third one finds nothing.
"""

import random
from typing import TYPE_CHECKING, Any, Final

from twindisk.sim.clock import MS, SECOND
from twindisk.sim.disk import BLOCK, Disk
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.world import World

_LIMIT_NS: Final = 60 * SECOND
_CORRUPT: Final = b"\xbd" * BLOCK


class Verifier:
    """The operator who verifies."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} verify")
        self._expected: dict[str, list[tuple[int, int]]] = {}
        self._ended: dict[str, dict[str, Any]] = {}
        self._active = self._rng.random() < 0.7
        self.completed = 0
        """Verifications that came to their end."""

    def plan(self) -> None:
        """Begin to verify now and then."""
        self._again()

    def _again(self) -> None:
        self._world.clock.after(self._rng.randint(20, 4000) * MS, self._now_and_then)

    def _now_and_then(self) -> None:
        for serial in self._world.vdisks if self._active else ():
            name, arguments = "verify", {"repair": self._rng.choice([None, "master", "slave"])}
            if self._rng.random() < 0.1:
                name, arguments = "end_verify", {}
            self._ask(serial, name, arguments)
        self._again()

    def _ask(self, serial: str, name: str, arguments: dict[str, Any]) -> bool:
        """Ask both nodes, of which at most one will do it; return whether one did."""
        daemons = [machine.daemon for machine in self._world.machines if not machine.frozen]
        done = [daemon.engine.command(serial, name, arguments) is None for daemon in daemons if daemon is not None]
        return any(done)

    def verified(self, serial: str, report: dict[str, Any]) -> None:
        """Look at what a verification found."""
        found, expected = report["ranges"], self._expected.get(serial, [])
        whole = report["state"] == "completed"
        if found != expected if whole else not set(found) <= set(expected):
            raise Failed("P4", f"a verification found {found[:8]} to differ, not {expected}: {report}")
        self._ended[serial] = report
        self.completed += whole

    def prove(self) -> None:
        """Plant a difference in each VDisk of a pair in sync, have it found, repaired and not found again."""
        active, self._active = self._active, False
        for serial in self._world.vdisks:
            self._end(serial)
            node = self._rng.randrange(2)
            disk = self._world.machines[node].disks[serial]
            number = self._corrupt(disk)
            self._world.trace.note("**", "block %s of %s's disk is corrupt", number, "AB"[node])
            self._expected[serial] = [(number * BLOCK, BLOCK)]
            self._verify(serial, None, 0)
            self._verify(serial, self._role(1 - node, serial), BLOCK)
            self._expected[serial] = []
            self._verify(serial, None, 0)
        self._active = active

    def _end(self, serial: str) -> None:
        clock = self._world.clock
        self._ask(serial, "end_verify", {})
        clock.run_until(clock.now_ns + _LIMIT_NS, lambda: not self._runs(serial))

    def _runs(self, serial: str) -> bool:
        daemons = [machine.daemon for machine in self._world.machines]
        found = [daemon.engine.node.status(serial)["verify"] for daemon in daemons if daemon is not None]
        return any(verify is not None and verify["state"] == "running" for verify in found)

    def _corrupt(self, disk: Disk) -> int:
        number = self._rng.choice([*self._world.places, self._rng.randrange(self._world.size_bytes // BLOCK)])
        block = bytes(BLOCK) if number in disk.seen.map and self._rng.random() < 0.3 else _CORRUPT
        disk.prefill(number, block)
        return number

    def _role(self, node: int, serial: str) -> str:
        daemon = self._world.machines[node].daemon
        return "none" if daemon is None else str(daemon.engine.node.status(serial)["role"])

    def _verify(self, serial: str, repair: str | None, repaired_bytes: int) -> None:
        clock = self._world.clock
        for _ in range(5):
            # One that began before may not have ended.
            clock.run_until(clock.now_ns + _LIMIT_NS, lambda: self._ask(serial, "verify", {"repair": repair}))
            self._ended.pop(serial, None)
            clock.run_until(clock.now_ns + _LIMIT_NS, lambda: serial in self._ended)
            report = self._ended.get(serial)
            if report is not None and report["state"] == "completed":
                break
        else:
            raise Failed("liveness", f"a verification of an idle pair did not come to its end: {report}")
        if report["repaired_bytes"] != repaired_bytes:
            raise Failed("P4", f"a verification repaired {report['repaired_bytes']} bytes, not {repaired_bytes}")
