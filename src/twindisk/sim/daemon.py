"""The daemon of a simulated process: one brain, its effects carried out in order, its timers and fence runs.

It does what the shell (``twindisk.node``) does: one event is decided at a time, the effects have run before the next, a
refused engine command is decided before anything that waits. Deciding takes a moment, during which the engine goes on.
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twindisk.brain import FreshIds, NodeState, decide, parting
from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.checks import knows, ruling_rule
from twindisk.brain.invariants import broken_invariants
from twindisk.brain.model import Check, CheckKind, CopyFacts, Link, PeerAddress, Role, Settings, VDiskName
from twindisk.brain.reports import copy_facts, event_from_report
from twindisk.brain.wholeness import is_whole, to_forget, to_remember
from twindisk.sim.clock import MS, SECOND
from twindisk.sim.engine import Engine
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.machine import Machine

_COMMANDS: dict[type[Any], ev.Command] = {
    ef.ServeSingle: ev.Command.SERVE_SINGLE,
    ef.Attach: ev.Command.ATTACH,
    ef.GoAlone: ev.Command.GO_ALONE,
    ef.StopServing: ev.Command.STOP_SERVING,
    ef.Leave: ev.Command.LEAVE,
    ef.SwitchRoles: ev.Command.SWITCH_ROLES,
}


def _arguments(effect: Any) -> dict[str, Any]:
    return {name: getattr(effect, name) for name in type(effect).__dataclass_fields__ if name != "vdisk"}


class Daemon:
    """One life of a daemon, with its engine."""

    def __init__(self, machine: "Machine") -> None:
        self._machine = machine
        self._world = machine.world
        self._peer = PeerAddress(self._world.addresses[1 - machine.index])
        self._queue: deque[ev.Event] = deque()
        self._busy = False
        self._timers: dict[ef.Timer, int] = {}
        self._count = 0
        self._run_number = 0
        self._claims: dict[str, int] = {}
        self._tells = 0
        self._telling: int | None = None
        self._answers: dict[int, tuple[ev.PeerCheckTold, Callable[[], None]]] = {}
        self.engine = Engine(machine, self._on_report)
        settings = Settings(fence_limit_ms=3_000, leave_limit_ms=5_000)
        self.state = NodeState(address=PeerAddress(self._world.addresses[machine.index]), settings=settings)

    def start(self) -> None:
        """Open everything, as the daemon does when it starts."""
        self.post(ev.ChecksChanged(self._peer, self._machine.checks))
        for serial in self._world.vdisks:
            self.open_copy(serial)
        self.engine.add_peer()

    def open_copy(self, serial: str) -> None:
        """Open a copy as its disk has it."""
        self.engine.open_copy(serial, mirrored=True)
        name, parted = self._world.vdisk_name(serial), serial in self._machine.parted
        self.post(ev.VDiskOpened(name, self._peer, self.facts(serial), parted=parted))

    def close_copy(self, serial: str) -> None:
        """Close a copy, as the daemon does to set it aside."""
        self.engine.close_copy(serial)
        self.post(ev.VDiskClosed(self._world.vdisk_name(serial)))

    def facts(self, serial: str) -> CopyFacts:
        """Return the facts of a copy as the engine has them now."""
        return copy_facts(self.engine.node.facts(serial))

    # --- deciding ---

    def _on_report(self, report: dict[str, Any]) -> None:
        event = event_from_report(report)
        if event is not None:
            self.post(event)

    def post(self, event: ev.Event) -> None:
        """Queue an event."""
        heard = self._world.mutant.event(event)
        if heard is not None:
            self._queue.append(heard)
            self._next()

    def hear(self, told: ev.PeerCheckTold, answer: Callable[[], None]) -> None:
        """Decide what the peer tells of its check, and answer if it was taken."""
        self._answers[id(told)] = (told, answer)
        self.post(told)

    def _next(self) -> None:
        if self._queue and not self._busy:
            self._busy = True
            slow = self._world.rng.random() < 0.05
            delay_ms = self._world.rng.random() * (100 if slow else 3)
            self._machine.later(int(delay_ms * MS), self._decide)

    def _decide(self) -> None:
        event = self._queue.popleft()
        fresh = FreshIds(self._world.rng.randbytes(32))
        before = self.state
        self.state, effects = decide(self.state, event, self._world.clock.now_ns, fresh)
        self._note(event, before, effects)
        self._machine.parted.update(map(self._world.serial_of, parting.parted(before, self.state)))
        self._mark_unbroken(before)
        broken = broken_invariants(self.state)
        if broken:
            raise Failed("brain", f"{self._machine.name}: {broken}")
        if isinstance(event, ev.PeerUp | ev.ChecksChanged):
            self._tell_check()
        if isinstance(event, ev.PeerCheckTold):
            _, answer = self._answers.pop(id(event))
            if knows(self.state.peers[self._peer], event.rule):
                answer()
        follow_ups: list[ev.Event] = []
        for effect in effects:
            if isinstance(effect, ef.EngineEffect):
                follow_ups += self._command(effect)
            else:
                self._act(effect)
        self._machine.parted.difference_update(map(self._world.serial_of, parting.met(before, self.state)))
        self._queue.extendleft(reversed(follow_ups))
        self._busy = False
        self._next()

    def _mark_unbroken(self, before: NodeState) -> None:
        """Keep the marks of unbroken copies, as the daemon does: cleared at once, set a little later."""
        names = {name: serial for serial, name in self._world.vdisks.items()}
        for name in to_forget(before, self.state):
            self._machine.unbroken.pop(names[name], None)
        for name in to_remember(before, self.state):
            self._machine.later(2 * MS, self._remember_unbroken, name, names[name])

    def _remember_unbroken(self, name: VDiskName, serial: str) -> None:
        facts = self.engine.node.facts(serial)
        if facts["unbroken"] and is_whole(self.state, name):
            self._machine.unbroken[serial] = facts["current"]

    def check_again(self) -> None:
        """Take over what an operator changed."""
        self.post(ev.ChecksChanged(self._peer, self._machine.checks))

    def _tell_check(self) -> None:
        """Let the peer know by which check this node decides, one request at a time, until it has heard it or the link is down."""
        self._tells += 1
        if self._telling is None:
            self._tell()

    def _tell(self) -> None:
        peer = self.state.peers[self._peer]
        self._telling = self._tells if peer.link is Link.UP else None
        if self._telling is not None:
            rule = ruling_rule(peer.checks)
            heard = ev.CheckHeard(self._peer, rule)
            told = ev.PeerCheckTold(self.state.address, rule)
            number = self._telling
            self._world.tell(1 - self._machine.index, told, lambda: self._told(number, heard))
            self._machine.later(SECOND, self._told, number, None)

    def _told(self, number: int, heard: ev.Event | None) -> None:
        """End a request: answered, or given up."""
        if self._telling != number:
            return
        self._telling = None
        if heard is not None:
            self.post(heard)
        if heard is None or self._tells != number:
            self._tells += 1
            self._tell()

    def _note(self, event: ev.Event, before: NodeState, effects: tuple[ef.Effect, ...]) -> None:
        if not self._world.trace.wanted:
            return
        moves = [
            f"{name}: {old.phase if (old := before.vdisks.get(name)) else '-'} -> {vdisk.phase} {vdisk.role}"
            for name, vdisk in self.state.vdisks.items()
            if before.vdisks.get(name) is None or before.vdisks[name].phase is not vdisk.phase
        ]
        self._machine.note("decide %s | %s | %s", event, ", ".join(moves), effects)

    def _command(self, effect: Any) -> list[ev.Event]:
        command = _COMMANDS[type(effect)]
        name = command.value.replace("-", "_")
        refusal = self.engine.command(
            self._world.serial_of(effect.vdisk), name, self._world.mutant.command(name, _arguments(effect))
        )
        if refusal is None:
            return []
        self._machine.note("refused %s %s: %s", command, effect.vdisk, refusal)
        return [ev.CommandFailed(effect.vdisk, command)]

    def _act(self, effect: Any) -> None:
        match effect:
            case ef.StartTimer(timer, after_ms):
                self._count += 1
                self._timers[timer] = self._count
                self._machine.later(after_ms * MS, self._ring, timer, self._count)
            case ef.CancelTimer(timer):
                self._timers.pop(timer, None)
            case ef.RunFence() | ef.CancelFence() | ef.RunClaim() | ef.CancelClaim():
                self._check(effect)
            case ef.AskPeerSwitch(vdisk):
                self._world.ask(1 - self._machine.index, ev.SetRole(vdisk, Role.SLAVE))
            case ef.Shutdown():
                self._machine.later(MS, self._machine.stopped)
            case _:
                pass

    def _check(self, effect: Any) -> None:
        match effect:
            case ef.RunFence(_, run, commands, limit_ms):
                self._run_number = run
                self._world.fences.run(self._machine, commands, limit_ms, self._fenced, run)
            case ef.CancelFence(_, run):
                if run == self._run_number:
                    self._run_number = 0
            case ef.RunClaim(vdisk=vdisk, run=run):
                self._claims[vdisk] = run
                self._world.witness.claim(self._machine, effect, lambda: self._claims.get(vdisk) == run)
            case ef.CancelClaim(vdisk, run):
                if self._claims.get(vdisk) == run:
                    del self._claims[vdisk]

    def _ring(self, timer: ef.Timer, number: int) -> None:
        if self._timers.get(timer) == number:
            del self._timers[timer]
            self.post(ev.TimerExpired(timer))

    def fence_wanted(self, run: int) -> bool:
        """Whether a fence run was not cancelled."""
        return run == self._run_number

    def _fenced(self, run: int, *, success: bool) -> None:
        if self.fence_wanted(run):
            outcome = ev.FenceSucceeded if success else ev.FenceFailed
            self.post(outcome(self._peer, run))


def checks_of(kinds: tuple[tuple[str, str], ...]) -> tuple[Check, ...]:
    """Return mirror checks from (kind, command) pairs."""
    return tuple(Check(CheckKind(kind), command) for kind, command in kinds)
