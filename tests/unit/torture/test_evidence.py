import math

from torture.evidence import Evidence, Seen

PORTALS = ("192.0.2.10:3260", "192.0.2.11:3260")


def seen(kind: str, began: float, ended: float, outcome: str = "good", expected: tuple[int, ...] = ()) -> Seen:
    return Seen("hot0", kind, PORTALS[0], began, ended, outcome, expected)


def evidence(*entries: tuple[int, Seen]) -> Evidence:
    found = Evidence()
    for value, one in entries:
        found.add(7, [value], one)
    return found


def reasons(*entries: tuple[int, Seen]) -> list[str]:
    return [violation.reason for violation in evidence(*entries).violations()]


def test_what_one_disk_shows_is_no_violation() -> None:
    assert (
        reasons(
            (1, seen("write", 0, 1)),
            (1, seen("read", 2, 3)),
            (2, seen("swap", 4, 5, expected=(1,))),
            (2, seen("read", 6, 7)),
        )
        == []
    )


def test_an_acknowledged_write_that_is_gone_is_found() -> None:
    assert reasons((1, seen("write", 0, 1)), (2, seen("write", 2, 3)), (1, seen("read", 4, 5))) == ["a write was lost"]


def test_an_attempt_that_surfaces_after_its_repetition_was_answered_is_found() -> None:
    first = seen("write", 0, 3, "no answer")
    assert reasons(
        (1, first), (2, seen("write", 2, 3)), (2, seen("read", 4, 5)), (3, seen("write", 6, 7)), (1, seen("read", 8, 9))
    )


def test_an_attempt_of_unknown_end_may_surface_any_time() -> None:
    first = seen("write", 0, math.inf, "no answer")
    assert reasons((1, first), (2, seen("write", 2, 3)), (2, seen("read", 4, 5)), (1, seen("read", 8, 9))) == []


def test_one_value_gives_way_to_one_compare_and_write() -> None:
    assert reasons(
        (1, seen("write", 0, 1)), (2, seen("swap", 2, 9, expected=(1,))), (3, seen("swap", 2, 9, expected=(1,)))
    ) == ["one value gave way to several COMPARE AND WRITE"]


def test_one_without_an_answer_counts_once_its_value_was_seen() -> None:
    lost = seen("swap", 2, math.inf, "no answer", expected=(1,))
    won = seen("swap", 2, 9, expected=(1,))
    assert reasons((1, seen("write", 0, 1)), (2, lost), (3, won)) == []
    assert reasons((1, seen("write", 0, 1)), (2, lost), (3, won), (2, seen("read", 10, 11))) != []


def test_a_value_that_gave_way_does_not_come_back() -> None:
    assert reasons(
        (1, seen("write", 0, 1)),
        (2, seen("swap", 2, 3, expected=(1,))),
        (1, seen("read", 4, 5)),
    )


def test_the_story_marks_what_is_concerned_and_names_the_paths() -> None:
    found = evidence((1, seen("write", 10, 11)), (2, seen("write", 12, 13)), (1, seen("read", 14, 15)))
    story = found.story(found.violations()[0], began=10.0)
    lines = story.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["*", "*", "*"]
    assert all(PORTALS[0] in line for line in lines[1:])
    assert "0.000" in lines[1]
