"""What docs/protocols/conformance.md says of tests that do not pass, held against what they did.

Rules:

* A test that is skipped or fails without a row of its own kind fails the run.
* A row whose tests did something else, or that names no test, fails the run too, so that no row goes stale.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from conformance.suite import Outcome, Result

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "protocols" / "conformance.md"
_SECTIONS: Final = {"Skipped": Outcome.SKIPPED, "Failing": Outcome.FAILED, "Faults of the suite": Outcome.FAILED}
_ROW: Final = re.compile(r"^\| `(?P<test>[^`]+)` \| (?P<paths>[^|]+) \| (?P<reason>[^|]+) \|$")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the tests that match ``test`` (with ``*``) end with ``outcome`` over these ``paths``."""

    test: str
    paths: frozenset[str]
    outcome: Outcome
    reason: str

    def covers(self, path: str, result: Result) -> bool:
        """Say whether the row is about this test over this path."""
        return path in self.paths and fnmatchcase(result.test, self.test)


def read_rows(page: str, every_path: frozenset[str]) -> list[Row]:
    """Return the rows of the page. ``all`` stands for every path. Raises ValueError for a row that cannot be read."""
    rows = []
    outcome: Outcome | None = None
    for line in page.splitlines():
        if line.startswith("#"):
            outcome = _SECTIONS.get(line.lstrip("# "))
        elif outcome is not None and line.startswith("| `"):
            row = _ROW.match(line)
            if row is None:
                raise ValueError(f"not a row of test, paths and reason: {line}")
            named = frozenset(word.strip() for word in row["paths"].split(","))
            paths = every_path if named == {"all"} else named
            if not paths <= every_path:
                raise ValueError(f"unknown path: {line}")
            rows.append(Row(row["test"], paths, outcome, row["reason"].strip()))
    return rows


def complaints(rows: list[Row], results: dict[str, list[Result]]) -> list[str]:
    """Return what does not agree, one sentence each; none when all is as the page says."""
    found = []
    for path, path_results in results.items():
        for result in path_results:
            row = next((row for row in rows if row.covers(path, result)), None)
            expected = row.outcome if row else Outcome.PASSED
            if result.outcome is not expected:
                note = f": {result.why}" if result.why else ""
                found.append(f"{path} {result.test}: {result.outcome}, the page says {expected}{note}")
    for row in rows:
        found += [
            f"{path} {row.test}: the page has a row, the suite no such test"
            for path in sorted(row.paths & results.keys())
            if not any(row.covers(path, result) for result in results[path])
        ]
    return found
