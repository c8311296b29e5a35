"""``python -m twindisk.sim``: run seeds, tell which broke a promise, show the trace of one."""

import argparse
import sys

from twindisk.sim.mutants import MUTANTS
from twindisk.sim.runs import run_seed, run_seeds


def main() -> int:
    """Run; return the exit status: 0 if every promise held."""
    parser = argparse.ArgumentParser(prog="make sim", description="Run the simulator.")
    parser.add_argument("--seeds", type=int, default=300, help="how many seeds")
    parser.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, default=None, help="run this seed alone and print its trace")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), default="none", help="plant a bug")
    parser.add_argument("--jobs", type=int, default=0, help="processes; 0: one per processor")
    parser.add_argument("--stop-after", type=int, default=10, help="end after so many failures")
    options = parser.parse_args()
    write = sys.stdout.write
    if options.seed is not None:
        outcome = run_seed(options.seed, mutant=options.mutant, trace=True)
        write(f"{outcome.trace}\n\nseed {outcome.seed}: {outcome.problem or 'every promise held'}\n")
        return 1 if outcome.problem else 0
    failures = ran = answered = 0
    # Whoever wants the first failure alone does not wait for a long batch of seeds behind it.
    batch = 10 if options.stop_after > 1 else 2
    for outcome in run_seeds(options.first, options.seeds, mutant=options.mutant, jobs=options.jobs, batch=batch):
        ran += 1
        answered += outcome.answered
        if outcome.problem:
            failures += 1
            write(f"seed {outcome.seed}: {outcome.problem[-500:]}\n    replay: make sim SEED={outcome.seed}\n")
            sys.stdout.flush()
            if failures >= options.stop_after:
                break
    write(f"{ran} seeds, {answered} commands answered, {failures} broke a promise\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
