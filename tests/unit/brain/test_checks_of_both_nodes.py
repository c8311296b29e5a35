"""Mirror checks that do not go together: operators are warned, once, on each node."""

from dataclasses import replace

import pytest

from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.checks import knows
from twindisk.brain.effects import Message, Severity
from twindisk.brain.model import Check, CheckKind, Role, Rule, Sync
from twindisk.brain.phases import Phase
from twindisk.messages import message_text
from unit.brain.one_node import (
    EQUAL_MASTER,
    EQUAL_SLAVE,
    FENCE,
    IGNORE,
    M1,
    MANUAL,
    PEER,
    WITNESS,
    OneNode,
    attach,
    goes_alone,
    in_sync,
    only,
    wait_over,
)

RULES = {
    "fence": (FENCE, Rule(CheckKind.FENCE)),
    "manual": (MANUAL, Rule(CheckKind.MANUAL)),
    "ignore": (IGNORE, Rule(CheckKind.IGNORE)),
    "witness": (WITNESS, Rule(CheckKind.WITNESS, "w1")),
    "another witness": ((Check(CheckKind.WITNESS, "file:///witness", "w2"),), Rule(CheckKind.WITNESS, "w2")),
    "none": ((), None),
}


def warnings(node: OneNode, event: ev.Event) -> list[str]:
    """Return the warnings that an event leads to; nothing else comes of it but the time that an exchange gets."""
    assert all(isinstance(effect, ef.StartTimer) for effect in node.does(event))
    for word in node.words:
        assert isinstance(word, ef.Notify)
        assert (word.severity, word.vdisk, word.peer) == (Severity.WARNING, None, PEER)
        assert word.message in {Message.CHECKS_MAY_PART, Message.CHECKS_DIFFER}
    return [message_text(word) for word in node.words]


def goes_on_without(node: OneNode) -> bool:
    """Return whether a Master in sync does anything but stop when its peer is lost."""
    assert node.phase() is Phase.IN_SYNC
    node.does(ev.PeerDown(PEER))
    return node.phase() is not Phase.STOPPED


def between(ours: str, theirs: str) -> OneNode:
    """Return a Master in sync that knows its peer's check, and whose own is known there."""
    node = in_sync(Role.MASTER, RULES[ours][0])
    node.does(ev.PeerCheckTold(PEER, RULES[theirs][1]))
    return node


@pytest.mark.promise("P2")
def test_of_two_nodes_with_different_checks_at_most_one_acts() -> None:
    acting = {(ours, theirs) for ours in RULES for theirs in RULES if goes_on_without(between(ours, theirs))}
    both = {pair for pair in acting if pair[::-1] in acting}
    assert both == {(rule, rule) for rule in RULES if rule != "none"}
    order = ["fence", "manual", "ignore", "none"]
    stricter = {(ours, theirs) for at, ours in enumerate(order) for theirs in order[at + 1 :]}
    assert acting - both == stricter | {("fence", "witness"), ("fence", "another witness")}


@pytest.mark.promise("P2")
@pytest.mark.parametrize("after", RULES)
@pytest.mark.parametrize("before", RULES)
@pytest.mark.parametrize("when", ["before the loss", "after it", "after the link is back"])
def test_a_check_that_the_peer_does_not_know_yet_is_not_acted_by(before: str, after: str, when: str) -> None:
    if before == after:
        return
    node = in_sync(Role.MASTER if before != "manual" else Role.SLAVE, RULES[before][0])
    loss: tuple[ev.Event, ...] = (ev.PeerDown(PEER), ev.PeerUp(PEER))
    for event in loss[: {"before the loss": 0, "after it": 1, "after the link is back": 2}[when]]:
        node.does(event)
    if node.phase() is Phase.GOING_ALONE:
        return  # it acted by the check that both knew
    effects = node.does(ev.ChecksChanged(PEER, RULES[after][0]))
    effects += node.does(ev.PeerDown(PEER))
    assert not only(effects, ef.RunFence)
    assert not only(effects, ef.RunClaim)
    assert goes_alone(effects) is None
    assert node.phase() is Phase.STOPPED


@pytest.mark.promise("P2")
def test_a_check_that_was_changed_since_the_loss_is_not_acted_by_though_the_peer_knows_it() -> None:
    node = in_sync(Role.SLAVE, MANUAL)
    node.does(ev.PeerDown(PEER))
    node.does(ev.PeerUp(PEER))
    node.does(ev.PeerFacts(M1, EQUAL_SLAVE, EQUAL_MASTER))
    assert node.phase() is Phase.ATTACHING
    node.does(ev.ChecksChanged(PEER, FENCE))
    node.does(ev.CheckHeard(PEER, Rule(CheckKind.FENCE)))
    assert not only(node.does(ev.PeerDown(PEER)), ef.RunFence)
    assert node.phase() is Phase.PEER_WAIT


@pytest.mark.promise("P2")
def test_nothing_is_agreed_to_while_the_link_is_down() -> None:
    node = in_sync(Role.MASTER, MANUAL)
    node.does(ev.PeerDown(PEER))
    node.does(ev.PeerCheckTold(PEER, Rule(CheckKind.FENCE)))
    assert not knows(node.state.peers[PEER], Rule(CheckKind.FENCE))
    node.does(ev.PeerUp(PEER))
    node.does(ev.PeerCheckTold(PEER, Rule(CheckKind.FENCE)))
    assert knows(node.state.peers[PEER], Rule(CheckKind.FENCE))


@pytest.mark.promise("P2")
@pytest.mark.parametrize("rule", sorted(set(RULES) - {"none"}))
def test_a_node_that_was_started_anew_stops_until_both_were_told(rule: str) -> None:
    def started(*events: ev.Event) -> OneNode:
        node = OneNode(RULES[rule][0])
        node.does(ev.VDiskOpened(M1, PEER, EQUAL_MASTER))
        node.does(ev.PeerUp(PEER))
        for event in events:
            node.does(event)
        wait_over(node)
        attach(node, EQUAL_MASTER, EQUAL_SLAVE)
        return node

    told, heard = ev.PeerCheckTold(PEER, RULES[rule][1]), ev.CheckHeard(PEER, RULES[rule][1])
    assert [goes_on_without(started(*events)) for events in ((), (told,), (heard,), (told, heard))] == [
        False,
        False,
        False,
        True,
    ]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("theirs", RULES)
@pytest.mark.parametrize("ours", RULES)
def test_only_equal_checks_that_hold_one_node_back_are_safe(ours: str, theirs: str) -> None:
    node = OneNode(RULES[ours][0])
    node.does(ev.VDiskOpened(M1, PEER, EQUAL_MASTER))
    node.does(ev.PeerUp(PEER))
    safe = "none" in (ours, theirs) or (ours == theirs and ours != "ignore")
    said = warnings(node, ev.PeerCheckTold(PEER, RULES[theirs][1]))
    assert len(said) == (0 if safe else 1)
    if said:
        both_witnesses = "witness" in ours and "witness" in theirs
        here, there = (words.removeprefix("another ") for words in (ours, theirs))
        assert f"{here} here, {'another ' if both_witnesses else ''}{there} there" in said[0]
        assert ("may let both nodes go on" in said[0]) == (ours == theirs)


def test_the_same_is_said_once_until_it_changes() -> None:
    node = in_sync(Role.SLAVE, FENCE)
    manual = ev.PeerCheckTold(PEER, Rule(CheckKind.MANUAL))
    said = warnings(node, manual)
    assert len(said) == 1
    assert "may let both" not in said[0]
    assert warnings(node, manual) == []
    assert warnings(node, ev.ChecksChanged(PEER, (*FENCE, *MANUAL))) == []  # fence still rules
    assert warnings(node, ev.ChecksChanged(PEER, MANUAL)) == []  # safe now
    assert len(warnings(node, ev.ChecksChanged(PEER, (Check(CheckKind.FENCE, "other"),)))) == 1
    assert warnings(node, ev.PeerCheckTold(PEER, None)) == []
    assert len(warnings(node, manual)) == 1


def waiting(checks: tuple[Check, ...] = FENCE) -> OneNode:
    """Return a node that was started anew, with its link up and its peer's facts there."""
    node = OneNode(checks)
    node.does(ev.VDiskOpened(M1, PEER, EQUAL_MASTER))
    (timer,) = only(node.does(ev.PeerUp(PEER)), ef.StartTimer)
    assert isinstance(timer, ef.StartTimer)
    assert timer.timer == ef.Timer(ef.TimerKind.CHECKS_WAIT, PEER)
    assert node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE)) == ()
    return node


@pytest.mark.promise("P7")
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("first", ["told", "heard"])
def test_an_attach_waits_until_both_nodes_know_each_others_check(rule: str, first: str) -> None:
    told, heard = ev.PeerCheckTold(PEER, RULES[rule][1]), ev.CheckHeard(PEER, RULES[rule][1])
    node = waiting(RULES[rule][0])
    before, last = (told, heard) if first == "told" else (heard, told)
    assert node.does(before) == ()
    assert node.phase() is Phase.PEER_WAIT
    assert only(node.does(last), ef.Attach)
    node.does(ev.Attached(M1, Role.MASTER, Sync.NONE))
    assert goes_on_without(node) == (rule != "none")


@pytest.mark.promise("P7")
def test_an_exchange_that_takes_too_long_is_told_and_holds_up_nothing() -> None:
    node = waiting()
    wait_over_event = ev.TimerExpired(ef.Timer(ef.TimerKind.CHECKS_WAIT, PEER))
    assert only(node.does(wait_over_event), ef.Attach)
    assert node.said == (Message.CHECKS_NOT_EXCHANGED,)
    node.does(ev.Attached(M1, Role.MASTER, Sync.NONE))
    node.does(ev.PeerDown(PEER))
    assert node.phase() is Phase.STOPPED
    # The next link gets its own time.
    assert only(node.does(ev.PeerUp(PEER)), ef.StartTimer)
    assert node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE)) == ()


def test_a_changed_check_that_does_not_reach_the_peer_is_told() -> None:
    node = in_sync(Role.MASTER, MANUAL)
    timer = ef.Timer(ef.TimerKind.CHECKS_WAIT, PEER)
    assert node.does(ev.ChecksChanged(PEER, FENCE)) == (ef.StartTimer(timer, 2_000),)
    assert node.does(ev.TimerExpired(timer)) == ()
    assert node.said == (Message.CHECKS_NOT_EXCHANGED,)
    node.does(ev.CheckHeard(PEER, Rule(CheckKind.FENCE)))
    assert node.does(ev.TimerExpired(timer)) == ()
    assert not node.said


@pytest.mark.promise("P7")
def test_another_check_is_given_its_own_time() -> None:
    node = waiting()
    timer = ef.Timer(ef.TimerKind.CHECKS_WAIT, PEER)
    assert only(node.does(ev.TimerExpired(timer)), ef.Attach)
    node.does(ev.AttachRefused(M1, "busy"))
    assert node.does(ev.ChecksChanged(PEER, MANUAL)) == (ef.StartTimer(timer, 2_000),)
    retry = ev.TimerExpired(ef.Timer(ef.TimerKind.ATTACH_RETRY, M1))
    assert not only(node.does(retry), ef.Attach)
    assert only(node.does(ev.TimerExpired(timer)), ef.Attach)


def test_copies_that_do_not_fit_are_found_before_the_checks_are_exchanged() -> None:
    node = waiting()
    node.does(ev.PeerFacts(M1, EQUAL_MASTER, replace(EQUAL_SLAVE, current=99)))
    assert node.phase() is Phase.INVALID
