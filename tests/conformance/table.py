"""The table of a run: one row per suite, one column per path."""

from collections import Counter
from collections.abc import Iterable

from conformance.suite import Outcome, Result


def table(results: dict[str, list[Result]]) -> str:
    """Return the table as Markdown. A cell: passed, then failed and skipped where there are any."""
    paths = list(results)
    suites = list(dict.fromkeys(_suite(result) for column in results.values() for result in column))
    rows = [_row(suite, (_of_suite(results[path], suite) for path in paths)) for suite in suites]
    total = _row("all", (results[path] for path in paths))
    return "\n".join([f"| suite | {' | '.join(paths)} |", "| --- |" + " --- |" * len(paths), *rows, total])


def counts(results: Iterable[Result]) -> str:
    """Return ``n passed, n failed, n skipped`` without what is 0."""
    counted = Counter(result.outcome for result in results)
    return ", ".join(f"{counted[outcome]} {outcome}" for outcome in Outcome if counted[outcome]) or "none"


def _row(name: str, columns: Iterable[Iterable[Result]]) -> str:
    return f"| {name} | {' | '.join(counts(column) for column in columns)} |"


def _of_suite(results: list[Result], suite: str) -> list[Result]:
    return [result for result in results if _suite(result) == suite]


def _suite(result: Result) -> str:
    return result.test.split(".")[0]
