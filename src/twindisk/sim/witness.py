"""The witness of a simulated pair: slots that are written once, behind a network of its own.

Requests and answers take their time, are lost, or wait; what was sent arrives although nobody waits for it any more. Now and then
a node, or both, cannot reach it for a while, and it may say that a slot is taken which is not: it never says the opposite.
"""

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.model import Check, CheckKind
from twindisk.brain.witness import Claim, Verdict, Walk
from twindisk.sim.clock import MS, SECOND
from twindisk.sim.trace import Failed

if TYPE_CHECKING:
    from twindisk.sim.machine import Machine
    from twindisk.sim.world import World

CHECKS: Final = tuple((Check(CheckKind.WITNESS, f"sim://{name}", name),) for name in ("w1", "w2"))
_WITNESSED: Final = 0.2
"""The part of all runs whose pair has a witness."""


class Witness:
    """The slots, and who reaches them."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} witness")
        self.wanted = self._rng.random() < _WITNESSED
        self._slots: dict[tuple[str, str, int], Claim] = {}
        self._cut: set[int] = set()
        self._loss = self._rng.choice([0.0, 0.0, 0.1, 0.3])
        self._lies = self._rng.choice([0.0, 0.0, 0.0, 0.2])
        self._slow = self._rng.choice([0.02, 0.1])

    def plan(self, span_ns: int) -> None:
        """Draw when the witness cannot be reached, and by whom."""
        for _ in range(self._rng.randint(0, 3)):
            nodes = self._rng.choice([(0,), (1,), (0, 1)])
            self._world.clock.after(self._rng.randrange(span_ns), self._break_off, nodes)

    def _break_off(self, nodes: tuple[int, ...]) -> None:
        self._world.trace.note("**", "fault: no witness for %s", nodes)
        self._cut.update(nodes)
        self._world.clock.after(self._rng.randint(100, 9000) * MS, self._cut.difference_update, nodes)

    def heal(self) -> None:
        """Let everybody reach it."""
        self._cut.clear()
        self._loss = self._lies = 0.0

    def claim(self, machine: "Machine", effect: ef.RunClaim, wanted: Callable[[], bool]) -> None:
        """Walk the slots for a node; post what came of it, if the claim is still wanted."""
        mine, attached_epoch = self._world.mutant.claim(
            Claim(effect.owner, effect.epoch), effect.attached_epoch, machine.index
        )
        self._check_epoch(machine, effect, mine)
        walk = Walk(mine, attached_epoch)
        life, daemon = machine.life, machine.daemon
        over = False

        def tell(event: ev.Event) -> None:
            nonlocal over
            if not over and wanted() and daemon is not None:
                over = True
                daemon.post(event)

        def answered(found: Claim | None) -> None:
            if over or not wanted():
                return
            verdict = walk.written() if found is None else walk.taken(found)
            machine.note("claim %s slot %s: %s %s", effect.vdisk, walk.slot, found, verdict)
            if verdict is Verdict.NEXT:
                ask()
            else:
                outcome = ev.ClaimWon if verdict is Verdict.WON else ev.ClaimLost
                tell(outcome(effect.vdisk, effect.run))

        def ask() -> None:
            self._request(machine, effect, walk, lambda found: machine.enter(life, answered, (found,)))

        ask()
        machine.later(effect.limit_ms * MS, tell, ev.ClaimFailed(effect.vdisk, effect.run, "too late"))

    def _check_epoch(self, machine: "Machine", effect: ef.RunClaim, mine: Claim) -> None:
        """Look that the peer was not attached at a higher epoch than the claim bears: it would take it for spent."""
        daemon = self._world.machines[1 - machine.index].daemon
        theirs = None if daemon is None else daemon.state.vdisks.get(effect.vdisk)
        if theirs is not None and theirs.attached_epoch > mine.epoch:
            raise Failed(
                "P2", f"{machine.name} claims at {mine.epoch}, but the peer was attached at {theirs.attached_epoch}"
            )

    def _request(
        self, machine: "Machine", effect: ef.RunClaim, walk: Walk, reply: Callable[[Claim | None], None]
    ) -> None:
        slot, mine, node = (effect.witness, effect.vdisk, walk.slot), walk.mine, machine.index

        def arrive() -> None:
            found = self._take(slot, mine)
            if node not in self._cut and self._rng.random() >= self._loss:
                self._world.clock.after(self._delay_ns(), reply, found)

        if node not in self._cut and self._rng.random() >= self._loss:
            self._world.clock.after(self._delay_ns(), arrive)

    def _take(self, slot: tuple[str, str, int], mine: Claim) -> Claim | None:
        """Write a slot, or return what is in it."""
        if self._rng.random() < self._lies:
            return Claim("somebody", 1 << 62)
        found = self._slots.get(slot)
        if found is not None and not self._world.mutant.overwrites():
            return found
        self._slots[slot] = mine
        return None

    def _delay_ns(self) -> int:
        if self._rng.random() < self._slow:
            return self._rng.randrange(5 * SECOND)
        return int((0.2 + 20 * self._rng.random()) * MS)
