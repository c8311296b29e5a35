"""Two simulated nodes and their troubles: the promises hold, and planted bugs are found."""

import pytest

from twindisk.sim.mutants import MUTANTS
from twindisk.sim.runs import run_seed, run_seeds

SEEDS = 200

REGRESSIONS = (113, 249, 452, 523, 1074, 2005, 13479)
"""Seeds that once showed a fault, of the product or of the simulator. What a seed does changes with the simulator: the rules
that were found have tests of their own, here, in native/mirror and with the brain's."""


@pytest.mark.promise("P1", "P2", "P3", "P4", "P6")
@pytest.mark.timeout(600)
def test_every_seed_keeps_the_promises() -> None:
    problems = [f"seed {outcome.seed}: {outcome.problem}" for outcome in run_seeds(0, SEEDS) if outcome.problem]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("seed", REGRESSIONS)
def test_seeds_that_once_failed_keep_the_promises(seed: int) -> None:
    assert run_seed(seed).problem == ""


def test_a_seed_is_the_same_run_every_time() -> None:
    first, second = run_seed(3, trace=True), run_seed(3, trace=True)
    assert first == second
    assert first.answered > 0


@pytest.mark.parametrize("mutant", sorted(set(MUTANTS) - {"none"}))
@pytest.mark.timeout(600)
def test_a_planted_bug_is_found(mutant: str) -> None:
    outcomes = run_seeds(0, 500, mutant=mutant, batch=6)
    assert any(outcome.problem for outcome in outcomes)
