"""``make sim-mutants``: plant each bug, and count the seeds that the simulator needs to find it.

Prints a table in Markdown; the exit status is 0 when each bug was found and the core without one was not blamed.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from mutants.core import BUG, build, core_bugs
from twindisk.sim.mutants import MUTANTS

FOUND = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Bug:
    """One planted bug and how to run with it."""

    name: str
    where: str
    """``core``: the mirror core; ``shell``: what is around it in a node, or a part of the site."""
    what: str
    promise: str

    def environment(self, core: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of its runs; ``core``: the one that takes the planted library."""
        return {**core, BUG: self.name} if self.where == "core" else dict(os.environ)

    def options(self) -> list[str]:
        """Return the simulator's options."""
        return ["--mutant", self.name] if self.where == "shell" else []


def bugs() -> list[Bug]:
    """Return all of them."""
    shell = [
        Bug(name, "shell", (mutant.__doc__ or "").splitlines()[0].rstrip("."), mutant.promise)
        for name, mutant in MUTANTS.items()
        if name != "none"
    ]
    return [Bug(bug.name, "core", bug.what, bug.promise) for bug in core_bugs()] + shell


def search(bug: Bug, core: Mapping[str, str], seeds: int) -> tuple[int, str] | None:
    """Return how many seeds, from 0, it took to find a bug, and what was seen; None: it was not found."""
    command = [sys.executable, "-m", "twindisk.sim", "--seeds", str(seeds), "--stop-after", "1", *bug.options()]
    ran = subprocess.run(command, env=bug.environment(core), capture_output=True, text=True, check=False)
    found = FOUND.search(ran.stdout)
    if found is not None:
        return int(found[1]) + 1, found[2]
    if ran.returncode != 0:
        raise RuntimeError(f"{bug.name}: {ran.stdout}{ran.stderr}")
    return None


def main() -> int:
    """Run; return the exit status."""
    parser = argparse.ArgumentParser(prog="make sim-mutants", description="Plant bugs and find them.")
    parser.add_argument("--seeds", type=int, default=500, help="seeds within which each must be found")
    parser.add_argument("--sound", type=int, default=20, help="seeds of the core without a bug")
    parser.add_argument("names", nargs="*", help="bugs; none: all")
    options = parser.parse_args()
    core = build()
    write = sys.stdout.write
    missed = []
    if search(Bug("none", "core", "", ""), core, options.sound) is not None:
        missed.append("none")
    write("| bug | where | what is broken | promise | seeds | seen as |\n| --- | --- | --- | --- | ---: | --- |\n")
    for bug in bugs():
        if options.names and bug.name not in options.names:
            continue
        found = search(bug, core, options.seeds)
        seeds, seen = ("not found", "") if found is None else (str(found[0]), found[1].split(":")[0])
        write(f"| {bug.name} | {bug.where} | {bug.what} | {bug.promise} | {seeds} | {seen} |\n")
        sys.stdout.flush()
        if found is None:
            missed.append(bug.name)
    if missed:
        write(f"\nNot found, or found where there is none: {', '.join(missed)}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
