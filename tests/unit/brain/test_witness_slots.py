"""What a witness's slots decide: of two nodes that lost each other at most one wins, whatever was left there before."""

import itertools

import pytest

from twindisk.brain.witness import Claim, Verdict, Walk, judge

A, B = "10.0.0.1", "10.0.0.2"


def walk_on(walk: Walk, slots: dict[int, Claim]) -> Verdict:
    """Let a walk take one step."""
    found = slots.get(walk.slot)
    if found is None:
        slots[walk.slot] = walk.mine
        return walk.written()
    return walk.taken(found)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Claim(A, 5), Verdict.WON),  # heard twice
        (Claim(A, 6), Verdict.WON),
        (Claim(A, 4), Verdict.NEXT),  # the peer may write over it
        (Claim(B, 4), Verdict.LOST),
        (Claim(B, 3), Verdict.LOST),
        (Claim(B, 2), Verdict.NEXT),  # of before the last attach
    ],
)
def test_a_claim_in_the_way(found: Claim, verdict: Verdict) -> None:
    assert judge(found, Claim(A, 5), 3) is verdict


def test_a_walk_goes_on_to_the_first_free_slot() -> None:
    slots = {1: Claim(B, 2), 2: Claim(A, 3)}
    walk = Walk(Claim(A, 5), 4)
    verdicts = [walk_on(walk, slots) for _ in range(3)]
    assert verdicts == [Verdict.NEXT, Verdict.NEXT, Verdict.WON]
    assert slots[3] == Claim(A, 5)


def orders(a: Walk, b: Walk, slots: dict[int, Claim]) -> None:
    """Let two walks take their steps in every order; at most one of them wins."""
    for order in itertools.product((0, 1), repeat=6):
        left = dict(slots)
        walks = [Walk(a.mine, a.attached_epoch), Walk(b.mine, b.attached_epoch)]
        verdicts = [Verdict.NEXT, Verdict.NEXT]
        for node in order:
            if verdicts[node] is Verdict.NEXT:
                verdicts[node] = walk_on(walks[node], left)
        assert verdicts != [Verdict.WON, Verdict.WON], (a, b, slots, order)


@pytest.mark.promise("P2")
def test_at_most_one_wins_whatever_stands_there() -> None:
    # A node's claim bears at least the epoch at which the other was attached with it: that is what an attach means.
    epochs = range(1, 5)
    left = [Claim(owner, epoch) for owner in (A, B) for epoch in epochs]
    for attached_a, attached_b, more_a, more_b in itertools.product(epochs, epochs, range(2), range(2)):
        known = max(attached_a, attached_b)
        a, b = Walk(Claim(A, known + more_a), attached_a), Walk(Claim(B, known + more_b), attached_b)
        for count in range(3):
            for before in itertools.product(left, repeat=count):
                orders(a, b, dict(enumerate(before, start=1)))


@pytest.mark.promise("P2")
def test_a_node_that_knows_less_of_its_attaches_could_win_twice() -> None:
    # The rule above is needed: a claim of an older epoch than the other's attach is taken for spent.
    slots: dict[int, Claim] = {}
    assert walk_on(Walk(Claim(A, 2), 2), slots) is Verdict.WON
    late = Walk(Claim(B, 3), 3)
    assert [walk_on(late, slots), walk_on(late, slots)] == [Verdict.NEXT, Verdict.WON]


@pytest.mark.promise("P2")
def test_a_claim_that_arrives_late_never_wins_for_its_owner_again() -> None:
    # A's claim of epoch 2 was on its way when both attached anew, at 3; then B was lost, and A claims afresh.
    slots = {1: Claim(A, 2)}
    b, a = Walk(Claim(B, 3), 3), Walk(Claim(A, 3), 3)
    assert [walk_on(b, slots), walk_on(b, slots)] == [Verdict.NEXT, Verdict.WON]
    assert [walk_on(a, slots), walk_on(a, slots)] == [Verdict.NEXT, Verdict.LOST]
