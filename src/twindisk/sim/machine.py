"""One node's machine: power, the daemon's process, its disks.

Rules:

1. What a process began is forgotten when it dies: every call into it names the life it belongs to.
2. A frozen process does nothing; what comes for it waits in order and is taken when it is thawed.
3. Disks outlive processes; the network is told how a process ended.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twindisk.brain import events as ev
from twindisk.brain.model import Check
from twindisk.sim.clock import MS
from twindisk.sim.daemon import Daemon
from twindisk.sim.disk import Disk
from twindisk.sim.network import RESET, Session

if TYPE_CHECKING:
    from twindisk.sim.world import World


class Machine:
    """One node."""

    def __init__(self, world: "World", index: int, disks: dict[str, Disk], checks: tuple[Check, ...]) -> None:
        self.world = world
        self.index = index
        self.name = "AB"[index]
        self.disks = disks
        self.checks = checks
        self.life = 0
        self.deaths = 0
        """How often a process of this machine ended."""
        self.frozen = False
        self.powered = True
        self.daemon: Daemon | None = None
        self.broken = False
        """A disk of this machine failed: the process must be started anew on a good one."""
        self.unbroken: dict[str, int] = {}
        """Generations with which copies were unbroken; outlives the process, not a loss of power."""
        self.parted: set[str] = set()
        """Copies that were last seen to have parted from the peer's; outlives a loss of power."""
        self._waiting: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._dangling = False

    def note(self, words: str, *args: Any) -> None:
        """Take note of something for the trace."""
        if self.world.trace.wanted:
            self.world.trace.note(self.name, words, *args)

    @property
    def running(self) -> bool:
        """Whether the process lives (it may be frozen)."""
        return self.daemon is not None

    # --- calls into the process ---

    def enter(self, life: int, call: Callable[..., None], args: tuple[Any, ...]) -> None:
        """Call into the process of a certain life, now or when it is thawed."""
        if life != self.life or self.daemon is None:
            return
        if self.frozen:
            self._waiting.append((call, args))
        else:
            call(*args)

    def later(self, delay_ns: int, call: Callable[..., None], *args: Any) -> None:
        """Have the process of now do something later."""
        self.world.clock.after(delay_ns, self.enter, self.life, call, args)

    # --- the network's end ---

    def arrived(self, session: Session, data: Any) -> None:
        """Take data of a session."""
        if self.daemon is not None:
            self.enter(self.life, self.daemon.engine.arrived, (session, data))
        elif self.powered and data is not RESET:
            session.close(self.index)

    def confirmed(self, session: Session, len_bytes: int) -> None:
        """Note that the other machine has taken data of a session; the kernel does, whatever the process does."""
        if self.daemon is not None:
            self.daemon.engine.link.confirmed(session, len_bytes)

    def datagram(self, data: bytes) -> None:
        """Take a datagram."""
        if self.daemon is not None:
            self.enter(self.life, self.daemon.engine.datagram, (data,))

    # --- lives and deaths ---

    def start(self) -> None:
        """Start the daemon; nothing if it runs."""
        if self.daemon is not None:
            return
        self.note("START")
        self.powered = True
        if self._dangling:
            self._dangling = False
            self.world.network.reboot(self.index)
        if self.broken:
            self.broken = False
            for disk in self.disks.values():
                disk.failing = False
        self.life += 1
        self.frozen = False
        self.daemon = Daemon(self)
        self.daemon.start()

    def kill(self, why: str = "killed") -> None:
        """End the process at once (SIGKILL)."""
        if self.daemon is None:
            return
        self.note("KILL %s", why)
        self.world.checks.lost(self.index, power=False)
        self._end()
        for disk in self.disks.values():
            disk.kill()
        self.world.network.process_died(self.index)
        self.world.sessions_end(self.index, after_ns=MS)

    def power_off(self, why: str = "power loss") -> None:
        """Lose power."""
        if not self.powered:
            return
        self.note("POWER OFF %s", why)
        self.world.checks.lost(self.index, power=True)
        self._end()
        self.powered = False
        self._dangling = True
        self.unbroken.clear()
        for disk in self.disks.values():
            disk.power_loss()
        self.world.network.power_lost(self.index)
        self.world.sessions_end(self.index, after_ns=self.world.rng.randrange(1, 4000) * MS)

    def _end(self) -> None:
        self.life += 1
        self.deaths += self.daemon is not None
        self.daemon = None
        self.frozen = False
        self._waiting.clear()

    def stop(self) -> None:
        """Ask the daemon to stop cleanly."""
        if self.daemon is not None:
            self.note("STOP")
            self.enter(self.life, self.daemon.post, (ev.Stop(),))

    def stopped(self) -> None:
        """End the process, which has handed over."""
        self.note("STOPPED")
        self.kill("stopped")

    def freeze(self) -> None:
        """Stop the process from running (SIGSTOP)."""
        if self.daemon is not None and not self.frozen:
            self.note("FREEZE")
            self.frozen = True

    def thaw(self) -> None:
        """Let it run on (SIGCONT): what waited is taken in order."""
        if not self.frozen:
            return
        self.note("THAW")
        self.frozen = False
        waiting, self._waiting = self._waiting, []
        life = self.life
        for call, args in waiting:
            self.world.clock.after(0, self.enter, life, call, args)
