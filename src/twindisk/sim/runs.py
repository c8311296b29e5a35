"""Running seeds: one, or many on several processors."""

import os
import traceback
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from twindisk.sim.trace import Failed
from twindisk.sim.world import World


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run of one seed ended."""

    seed: int
    problem: str
    """Empty if every promise held."""
    answered: int
    """Commands that initiators got answered."""
    trace: str = ""


def run_seed(seed: int, *, mutant: str = "none", trace: bool = False) -> Outcome:
    """Run one seed."""
    world = World(seed, mutant=mutant, trace=trace)
    problem = ""
    try:
        world.run()
    except Failed as failed:
        problem = str(failed)
    except Exception:  # noqa: BLE001 - whatever goes wrong in a run is a finding, to be shown with its seed
        problem = traceback.format_exc()
    answered = sum(worker.answered for worker in world.workers)
    return Outcome(seed, problem, answered, world.trace.text() if trace else "")


def _run_some(seeds: list[int], mutant: str) -> list[Outcome]:
    return [run_seed(seed, mutant=mutant) for seed in seeds]


def run_seeds(first: int, count: int, *, mutant: str = "none", jobs: int = 0, batch: int = 10) -> Iterator[Outcome]:
    """Run seeds ``first`` to ``first + count - 1`` and yield their outcomes, in order."""
    seeds = list(range(first, first + count))
    batches = [seeds[at : at + batch] for at in range(0, len(seeds), batch)]
    with ProcessPoolExecutor(jobs or os.cpu_count() or 1) as pool:
        try:
            for outcomes in pool.map(_run_some, batches, [mutant] * len(batches)):
                yield from outcomes
        finally:
            pool.shutdown(cancel_futures=True)
