"""Operators who change the mirror checks of the nodes at any moment: each node by itself, also while they are apart.

In some runs the nodes are moved, one at a time or both shortly after each other, between kinds of checks; in others of those that
have a witness, between two witnesses. What a node was given is kept while it is down. Both are given the same when all is healed.
"""

import random
from typing import TYPE_CHECKING, Final

from twindisk.brain.model import Check, CheckKind
from twindisk.sim.clock import MS
from twindisk.sim.witness import CHECKS

if TYPE_CHECKING:
    from twindisk.sim.machine import Machine
    from twindisk.sim.world import World

_KINDS: Final[tuple[tuple[Check, ...], ...]] = (
    *CHECKS,
    (Check(CheckKind.FENCE, "kill"),),
    (Check(CheckKind.FENCE, "power"),),
    (Check(CheckKind.MANUAL),),
    (*CHECKS[0], Check(CheckKind.MANUAL)),
    (),
)
_CHANGING: Final = 0.25
"""The part of all runs in which kinds of checks are changed."""


class Operators:
    """Who gives checks to the nodes of one run."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = random.Random(f"{world.seed} operators")
        changing = self._rng.random() < _CHANGING
        self._changes = self._rng.choice([2, 6, 20]) if changing else 0
        self._moves = self._rng.choice([0, 0, 0, 3, 12]) if world.witness.wanted else 0
        self.manual: bool = changing
        """Whether a node of this run may come to be under the manual check."""

    def plan(self, span_ns: int) -> None:
        """Draw the changes."""
        for number in range(self._changes + self._moves):
            node = self._world.machines[self._rng.randrange(2)]
            both = self._rng.random() < 0.4
            at_ns = self._rng.randrange(span_ns)
            choices = self._kinds(node) if number < self._changes else CHECKS
            checks = self._rng.choice(choices)
            self._world.clock.after(at_ns, self._give, node, checks)
            if both and checks in self._kinds(other := self._world.machines[1 - node.index]):
                self._world.clock.after(at_ns + self._rng.randrange(3000) * MS, self._give, other, checks)
            elif self._rng.random() < 0.3:
                again = self._rng.choice(choices)
                self._world.clock.after(at_ns + self._rng.randrange(200) * MS, self._give, node, again)

    @staticmethod
    def _kinds(node: "Machine") -> tuple[tuple[Check, ...], ...]:
        """Return what a node may be given. Two nodes under `ignore` both go on, and are meant to: one alone has it."""
        return (*_KINDS, (Check(CheckKind.IGNORE),)) if node.index == 0 else _KINDS

    def heal(self) -> None:
        """Give both nodes the same."""
        for machine in self._world.machines:
            self._give(machine, self._world.first_checks)

    @staticmethod
    def _give(node: "Machine", checks: tuple[Check, ...]) -> None:
        if checks != node.checks:
            node.note("OPERATOR %s", checks)
            node.checks = checks
            if node.daemon is not None:
                node.enter(node.life, node.daemon.check_again, ())
