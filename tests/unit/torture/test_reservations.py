import random
import struct
from itertools import count

import pytest

from torture.reservations import (
    EXCLUSIVE_ACCESS,
    WRITE_EXCLUSIVE,
    WRITE_EXCLUSIVE_REGISTRANTS,
    Cluster,
    State,
    draw,
)
from torture.wrong import Wrong

A, B, OUTSIDE = (0, 0), (1, 1), (2, 0)


def held(kind: int) -> State:
    return State(frozenset({(A, 1), (B, 2)}), A, kind)


def test_the_holder_of_a_reservation_is_always_registered() -> None:
    chance, keys, state = random.Random(5), count(1), State()
    seen = set()
    for _ in range(2000):
        change = draw(chance, state, lambda: next(keys))
        seen.add(change.action)
        state = change.after
        assert state.holder is None or state.key_of(state.holder)
        assert len({nexus for nexus, _ in state.keys}) == len(state.keys)
    assert seen == {1, 2, 3, 4, 5, 6}


@pytest.mark.parametrize(
    ("kind", "registered", "outside_reads"),
    [(WRITE_EXCLUSIVE, True, False), (EXCLUSIVE_ACCESS, True, True), (WRITE_EXCLUSIVE_REGISTRANTS, False, False)],
)
def test_a_reservation_forbids_what_its_type_says(kind: int, registered: bool, outside_reads: bool) -> None:  # noqa: FBT001
    state = held(kind)
    assert not state.forbids(A, write=True)
    assert state.forbids(B, write=True) is registered
    assert state.forbids(OUTSIDE, write=True)
    assert state.forbids(OUTSIDE, write=False) is outside_reads


def test_preempting_the_holder_takes_the_reservation() -> None:
    assert held(1).preempted(B, A, 5) == State(frozenset({(B, 2)}), B, 5)
    assert held(1).preempted(A, B, 5) == State(frozenset({(A, 1)}), A, 1)
    assert held(1).registered(A, 0) == State(frozenset({(B, 2)}), None, 1)


class Shown(Cluster):
    """A cluster whose nodes show what the test says."""

    keys: tuple[int, ...] = ()

    async def _send(
        self, nexus: tuple[int, int], block: bytes, *, data_out: bytes = b"", data_in_bytes: int = 0
    ) -> tuple[str, bytes]:
        if block[1] == 0:
            return "good", struct.pack(">II", 0, 8 * len(self.keys)) + b"".join(
                struct.pack(">Q", key) for key in self.keys
            )
        return "good", bytes(24)


async def test_a_change_without_an_answer_is_made_or_not_and_stays_so() -> None:
    cluster = Shown(["one", "two"], "iqn", lambda _: None)
    cluster.possible = {State(), State().registered(A, 7)}
    cluster.keys = (7,)
    assert await cluster.look(A)
    assert cluster.possible == {State().registered(A, 7)}
    cluster.keys = ()
    with pytest.raises(Wrong, match="shows keys"):
        await cluster.look(B)
