"""Run all of iscsi-test-cu against a pair: over vm10, over vm11, over both paths to one VDisk, and so to one of 4,096-byte blocks.

    python -m conformance [--only PATTERN] [--keep DIRECTORY]

Each of the four has a VDisk of its own, so they run side by side. Tests of write-protected disks get another VDisk, whose software
write protection is set and saved. When all are done the copies are compared byte for
byte. Exits with 0 when every test did what docs/protocols/conformance.md says and the copies are equal.
"""

import argparse
import asyncio
import sys
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from conformance.expectations import PAGE, complaints, read_rows
from conformance.suite import Outcome, Result, list_tests, run_test
from conformance.table import table
from integration.conftest import running_pair
from integration.mode_client import SWP, ModePort
from twindisk.demo.copies import compare
from twindisk.demo.pair import POOL, Pair, iqn

SIZE_GIB: Final = "0.25"
PATHS: Final = {"vm10": ("C10", (0,)), "vm11": ("C11", (1,)), "both": ("CBOTH", (0, 1)), "4Kn": ("C4KN", (1, 0))}
PROTECTED: Final = {"vm10": "CRO", "vm11": "CRO", "both": "CRO", "4Kn": "CRO4KN"}
"""The write-protected VDisk of each path."""
NEEDS_PROTECTED: Final = "ReadOnly.*"
VDISKS: Final = (*(vdisk for vdisk, _ in PATHS.values()), *dict.fromkeys(PROTECTED.values()))


async def mirror(pair: Pair, vdisk: str) -> None:
    """Make one more VDisk, mirrored and Enabled on both nodes."""
    first, second = pair.nodes
    block_size = "4096" if vdisk.endswith("4KN") else "512"
    await first.run("twindisk", "vdisk", "create", vdisk, f"{SIZE_GIB}G", "--pool", POOL, "--block-size", block_size)
    await first.run("qsync", "-s", vdisk, "-d", vdisk, "-r", second.place.mirror_address, "-g", POOL)
    one = Pair(first, second, vdisk=vdisk)
    await one.wait_enabled()
    if vdisk in PROTECTED.values():
        port = await ModePort.log_in(one, first, 1)
        await port.set_field(SWP, value=True, save=True)
        await port.session.close()


async def run_path(pair: Pair, path: str, tests: list[str], kept: Path) -> list[Result]:
    """Run the tests over one path and keep what those that did not pass printed."""
    own, places = PATHS[path]
    results = []
    for test in tests:
        vdisk = PROTECTED[path] if fnmatchcase(test, NEEDS_PROTECTED) else own
        urls = [pair.nodes[place].place.url(iqn(vdisk)) for place in places]
        result = await run_test(test, urls, f"iqn.2010-01.org.example:{path}")
        results.append(result)
        if result.outcome is Outcome.FAILED:
            (kept / f"{path}-{test}.txt").write_text(result.printed)
    return results


async def run(only: str, kept: Path) -> int:
    """Run everything and print the table; the exit status."""
    tests = [test for test in await list_tests() if fnmatchcase(test, only)]
    rows = read_rows(PAGE.read_text(), frozenset(PATHS))
    with tempfile.TemporaryDirectory(prefix="twindisk-conformance-") as directory:
        async with running_pair(Path(directory)) as pair:
            await pair.configure(SIZE_GIB)
            for vdisk in VDISKS:
                await mirror(pair, vdisk)
            columns = await asyncio.gather(*(run_path(pair, path, tests, kept) for path in PATHS))
            results = dict(zip(PATHS, columns, strict=True))
            problems = complaints(rows, results) if only == "*" else []
            await pair.stop()
            for vdisk in VDISKS:
                found = compare(*(node.place.copy_directory(vdisk) for node in pair.nodes))
                if found.first_difference is not None:
                    problems.append(f"the copies of {vdisk} differ from byte {found.first_difference} on")
    print(table(results))
    for path, column in results.items():
        for result in column:
            if result.outcome is not Outcome.PASSED:
                print(f"{path} {result.test}: {result.outcome}: {result.why}")
    for problem in problems:
        print(f"WRONG: {problem}")
    return 1 if problems else 0


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="conformance", description="Run iscsi-test-cu against a pair.")
    parser.add_argument("--only", default="*", help="tests to run, such as 'Verify*'; the page is not checked then")
    parser.add_argument("--keep", type=Path, default=Path("build/conformance"), help="where failed tests' output goes")
    arguments = parser.parse_args()
    arguments.keep.mkdir(parents=True, exist_ok=True)
    for old in arguments.keep.glob("*.txt"):
        old.unlink()
    return asyncio.run(run(arguments.only, arguments.keep))


if __name__ == "__main__":
    sys.exit(main())
