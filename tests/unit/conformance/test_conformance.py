import pytest

from conformance.expectations import PAGE, Row, complaints, read_rows
from conformance.suite import LEAVES_A_RESET, Outcome, Result, judge, read_listing
from conformance.table import table

BEFORE = "    [SKIPPED] PERSISTENT RESERVE IN is not implemented.\n\n\nSuite: Read10\n"
AFTER = "    [SKIPPED] PERSISTENT RESERVE IN is not implemented.\n\n\nRun Summary:    Type  Total\n"
PATHS = frozenset({"vm10", "vm11", "both", "4Kn"})


def test_what_is_said_outside_a_test_does_not_count() -> None:
    assert judge("Read10.Simple", f"{BEFORE}  Test: Simple ...passed{AFTER}").outcome is Outcome.PASSED


def test_a_test_that_skips_anything_is_skipped() -> None:
    printed = f"{BEFORE}  Test: Simple ...    Read\n    [SKIPPED] READ10 is not implemented.\npassed{AFTER}"
    result = judge("Read10.Simple", printed)
    assert (result.outcome, result.why) == (Outcome.SKIPPED, "READ10 is not implemented.")


def test_a_failed_test_gives_its_first_assertion() -> None:
    said = "    [FAILED] READ10 failed\n    Test the rest\n"
    printed = f"{BEFORE}  Test: Simple ...{said}FAILED\n    1. test_read10.c:60  - CU_ASSERT_EQUAL(ret,0){AFTER}"
    result = judge("Read10.Simple", printed)
    assert (result.outcome, result.why) == (Outcome.FAILED, "test_read10.c:60  - CU_ASSERT_EQUAL(ret,0)")


@pytest.mark.parametrize(
    "printed", ["", BEFORE, f"{BEFORE}  Test: Simple ...    Read\n    [FAILED] and then it died\n"]
)
def test_a_test_that_never_ends_has_failed(printed: str) -> None:
    assert judge("Read10.Simple", printed).outcome is Outcome.FAILED


def test_tests_are_those_of_the_family_with_all_of_them() -> None:
    assert read_listing("ALL\nALL.Read10\nALL.Read10.Simple\nSCSI.Read10.Simple\n") == ["Read10.Simple"]


def test_the_test_that_leaves_a_reset_under_way_is_run_last() -> None:
    tests = ["iSCSITMF.AbortTaskSimpleAsync", LEAVES_A_RESET, "MultipathIO.Simple", "MultipathIO.Reset"]
    told = "".join(f"ALL.{test}\n" for test in tests)
    assert read_listing(told) == [tests[0], *tests[2:], LEAVES_A_RESET]


def test_the_run_agrees_with_the_page_only_when_every_row_is_true() -> None:
    rows = [
        Row("Reserve6.*", PATHS, Outcome.SKIPPED, "gone"),
        Row("Write10.Bad", frozenset({"vm10"}), Outcome.FAILED, "known"),
    ]
    good = [
        Result("Reserve6.Simple", Outcome.SKIPPED),
        Result("Write10.Bad", Outcome.FAILED),
        Result("Read10.Simple", Outcome.PASSED),
    ]
    assert complaints(rows, {"vm10": good}) == []
    for changed, told in (
        (Result("Reserve6.Simple", Outcome.PASSED), "passed, the page says skipped"),
        (Result("Reserve6.Simple", Outcome.FAILED), "failed, the page says skipped"),
        (Result("Write10.Bad", Outcome.PASSED), "passed, the page says failed"),
        (Result("Read10.Simple", Outcome.SKIPPED, "why"), "skipped, the page says passed: why"),
    ):
        one = [changed if result.test == changed.test else result for result in good]
        assert [told in sentence for sentence in complaints(rows, {"vm10": one})] == [True]
    assert "no such test" in complaints(rows, {"vm10": good[1:]})[0]


def test_rows_are_read_with_their_paths_and_kinds() -> None:
    page = (
        "## Skipped\n\n| tests | paths | reason |\n| --- | --- | --- |\n| `A.*` | all | x |\n## Failing\n"
        "| `B.C` | vm10, both | y |\n## Else\n| `no row` |\n"
    )
    assert read_rows(page, PATHS) == [
        Row("A.*", PATHS, Outcome.SKIPPED, "x"),
        Row("B.C", frozenset({"vm10", "both"}), Outcome.FAILED, "y"),
    ]
    for broken in ("| `A.*` | vm12 | x |", "| `A.*` | all |"):
        with pytest.raises(ValueError, match=r"A\.\*"):
            read_rows(f"## Skipped\n{broken}\n", PATHS)


def test_the_page_can_be_read() -> None:
    read_rows(PAGE.read_text(), PATHS)


def test_the_table_counts_by_suite_and_path() -> None:
    results = {
        "vm10": [Result("A.x", Outcome.PASSED), Result("A.y", Outcome.SKIPPED)],
        "vm11": [Result("A.x", Outcome.FAILED), Result("A.y", Outcome.SKIPPED)],
    }
    assert table(results).splitlines()[2:] == [
        "| A | 1 passed, 1 skipped | 1 failed, 1 skipped |",
        "| all | 1 passed, 1 skipped | 1 failed, 1 skipped |",
    ]
