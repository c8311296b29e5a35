"""libiscsi's conformance suite, one test at a time.

Rules:

* Each test is a process of its own with a time limit: one that hangs or crashes costs itself only.
* What the suite says outside a test (it cleans up before and after) is no part of the test's outcome.
* A test that says SKIPPED anywhere counts as skipped, whatever else it did.
* A test that may end with a reset still under way comes last: both nodes carry that reset out after the test's session is closed, and it
  would abort a command of the next test or meet it with a unit attention.
"""

import asyncio
import contextlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PROGRAM: Final = "iscsi-test-cu"
FAMILY: Final = "ALL"
LEAVES_A_RESET: Final = "iSCSITMF.LUNResetSimpleAsync"
LIMIT_S: Final = 60.0
_TEST: Final = re.compile(
    r"^ {2}Test: \S+ \.\.\.(?P<said>.*?)(?:(?<=\.\.\.)|^)(?P<end>passed|FAILED)", re.MULTILINE | re.DOTALL
)
_SKIPPED: Final = re.compile(r"\[SKIPPED\]\s*(.*)")
_ASSERTION: Final = re.compile(r"^ +\d+\. (.*?)(?: {4}\[SKIPPED\].*)?$", re.MULTILINE)


class Outcome(StrEnum):
    """How a test ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One test's outcome. ``why``: what it said when it did not pass; ``printed``: all of it."""

    test: str
    outcome: Outcome
    why: str = ""
    printed: str = ""


async def list_tests() -> list[str]:
    """Return all tests as ``Suite.Test``, in the suite's order but for the one that leaves a reset, which comes last."""
    process = await asyncio.create_subprocess_exec(PROGRAM, "-l", stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    return read_listing(printed.decode())


def read_listing(listing: str) -> list[str]:
    """Return the tests of the family that has all of them, in the order in which they are to be run."""
    names = (line.strip().split(".", 2) for line in listing.splitlines())
    tests = [".".join(parts[1:]) for parts in names if len(parts) == 3 and parts[0] == FAMILY]
    return sorted(tests, key=lambda test: test == LEAVES_A_RESET)


def judge(test: str, printed: str) -> Result:
    """Say how a test ended from what the program printed."""
    found = _TEST.search(printed)
    if found is None:
        lines = printed.split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing")
        return Result(test, Outcome.FAILED, f"did not end; last words: {last}", printed)
    if found["end"] == "FAILED":
        reasons = _ASSERTION.findall(printed, found.end())
        return Result(test, Outcome.FAILED, reasons[0].strip() if reasons else "no reason given", printed)
    skipped = _SKIPPED.search(found["said"])
    if skipped is not None:
        return Result(test, Outcome.SKIPPED, skipped[1].strip(), printed)
    return Result(test, Outcome.PASSED, "", printed)


async def run_test(test: str, urls: list[str], initiator: str, limit_s: float = LIMIT_S) -> Result:
    """Run one test against one URL, or two that lead to the same logical unit."""
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        *("--dataloss", "--allow-sanitize", "--verbose"),
        *("--initiator-name", f"{initiator}-1", "--initiator-name-2", f"{initiator}-2"),
        *("--test", f"{FAMILY}.{test}"),
        *urls,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = asyncio.ensure_future(process.communicate())
    try:
        printed, _ = await asyncio.wait_for(asyncio.shield(said), limit_s)
    except TimeoutError:
        process.kill()
        printed, _ = await said
        return Result(test, Outcome.FAILED, f"did not end within {limit_s:.0f} s", printed.decode(errors="replace"))
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await said
        raise
    return judge(test, printed.decode(errors="replace"))
