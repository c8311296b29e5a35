"""Random stories of a pair: whatever happens, P1, P2, P4 and P6 hold, and a mended pair comes together again."""

from random import Random

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from twindisk.brain.model import CheckKind
from unit.brain import random_walk
from unit.brain.pair_world import World


class Pair(RuleBasedStateMachine):
    """The same steps as the random walks, chosen and shrunk by hypothesis."""

    kind: CheckKind | None = None
    world: World

    @initialize(split=st.booleans(), together=st.booleans())
    def begin(self, split: bool, together: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        self.world = World(self.kind, split_roles=split)
        if together:
            self.world.settle()

    @rule(step=st.sampled_from(random_walk.STEPS), seed=st.integers(0, 31))
    def step(self, step: random_walk.Step, seed: int) -> None:
        step(self.world, Random(seed))

    @rule()
    def rest(self) -> None:
        self.world.settle()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            random_walk.assert_comes_together(self.world)


KINDS = [*CheckKind, None]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.promise("P1", "P2", "P4", "P6")
def test_a_pair_keeps_its_promises_in_any_short_story(kind: CheckKind | None) -> None:
    machine = type("Machine", (Pair,), {"kind": kind})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.promise("P1", "P2", "P4", "P6")
def test_a_pair_keeps_its_promises_in_long_stories(kind: CheckKind | None) -> None:
    for seed in range(300):
        try:
            random_walk.assert_comes_together(random_walk.walk(seed, kind, episodes=5))
        except AssertionError as failure:
            failure.add_note(f"seed {seed}")
            raise
