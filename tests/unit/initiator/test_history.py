import math
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from twindisk.initiator.history import INITIAL, History, Operation, check


def write(value: int, began: float, ended: float) -> Operation:
    return Operation(is_write=True, value=value, began=began, ended=ended)


def doubtful(value: int, began: float, ended: float = math.inf) -> Operation:
    return Operation(is_write=True, value=value, began=began, ended=ended, certain=False)


def read(value: int, began: float, ended: float) -> Operation:
    return Operation(is_write=False, value=value, began=began, ended=ended)


def test_a_read_after_an_acknowledged_write_must_see_it() -> None:
    assert check([write(1, 0, 1), read(INITIAL, 2, 3)]) is not None
    assert check([write(1, 0, 1), read(1, 2, 3)]) is None


def test_a_read_beside_a_write_may_see_either_value() -> None:
    assert check([write(1, 0, 4), read(INITIAL, 1, 2), read(1, 2.5, 3)]) is None


def test_once_the_new_value_was_read_the_old_one_is_gone() -> None:
    assert check([write(1, 0, 9), read(1, 1, 2), read(INITIAL, 3, 4)]) is not None


def test_a_write_of_unknown_outcome_may_take_effect_late_or_never() -> None:
    unknown = doubtful(2, 0)
    assert check([write(1, 0, 1), unknown, read(1, 2, 3)]) is None
    assert check([write(1, 0, 1), unknown, read(1, 2, 3), read(2, 4, 5)]) is None
    assert check([write(1, 0, 1), unknown, read(2, 4, 5), read(1, 6, 7)]) is not None


def test_a_write_that_failed_must_not_surface_after_its_repetition_was_acknowledged() -> None:
    first, repetition = doubtful(1, 0, 3), write(2, 1, 3)
    assert check([first, repetition, read(2, 4, 5)]) is None
    assert check([first, repetition, read(1, 2, 3.5), read(2, 4, 5)]) is None
    assert check([first, repetition, write(3, 4, 5), read(1, 6, 7)]) is not None


def test_a_value_that_nobody_wrote_is_found() -> None:
    history = History()
    history.read(7, 99, 0, 1)
    assert [(found.block, found.values) for found in history.violations()] == [(7, (99,))]


def test_a_value_read_before_it_was_written_is_found() -> None:
    assert check([read(1, 0, 1), write(1, 2, 3)]) is not None


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Up to six operations with distinct times: some linearizable, some not."""
    count = draw(st.integers(1, 6))
    times = draw(st.permutations(range(2 * count)))
    kinds = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    writes = [index + 1 for index, is_write in enumerate(kinds) if is_write]
    operations = []
    for index, is_write in enumerate(kinds):
        began, ended = sorted(times[2 * index : 2 * index + 2])
        if is_write:
            end = draw(st.sampled_from([ended, ended, math.inf]))
            kind = draw(st.sampled_from([write, doubtful])) if end == ended else doubtful
            operations.append(kind(index + 1, began, end))
        else:
            operations.append(read(draw(st.sampled_from([INITIAL, *writes])), began, ended))
    return operations


def linearizable_by_trying(operations: list[Operation]) -> bool:
    """Try every order that respects real time; a write of unknown outcome may be left out."""

    @cache
    def possible(left: frozenset[int], value: int) -> bool:
        if not any(operations[index].certain for index in left):
            return True
        for index in left:
            candidate = operations[index]
            if not candidate.certain and possible(left - {index}, value):
                return True
            if any(operations[other].ended < candidate.began for other in left):
                continue
            if not candidate.is_write and candidate.value != value:
                continue
            if possible(left - {index}, candidate.value if candidate.is_write else value):
                return True
        return False

    return possible(frozenset(range(len(operations))), INITIAL)


@settings(max_examples=1500, deadline=None)
@given(histories())
def test_the_check_agrees_with_trying_every_order(operations: list[Operation]) -> None:
    assert (check(operations) is None) == linearizable_by_trying(operations)
