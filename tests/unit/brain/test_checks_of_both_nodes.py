"""Mirror checks that do not go together: operators are warned, once, on each node."""

import pytest

from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.effects import Message, Severity
from twindisk.brain.model import Check, CheckKind, Role, Rule
from twindisk.messages import message_text
from unit.brain.one_node import FENCE, IGNORE, MANUAL, PEER, WITNESS, OneNode, in_sync

RULES = {
    "fence": (FENCE, Rule(CheckKind.FENCE)),
    "manual": (MANUAL, Rule(CheckKind.MANUAL)),
    "ignore": (IGNORE, Rule(CheckKind.IGNORE)),
    "witness": (WITNESS, Rule(CheckKind.WITNESS, "w1")),
    "another witness": ((Check(CheckKind.WITNESS, "file:///witness", "w2"),), Rule(CheckKind.WITNESS, "w2")),
    "none": ((), None),
}


def warnings(node: OneNode, event: ev.Event) -> list[str]:
    """Return the warnings that an event leads to; nothing else comes of it."""
    assert node.does(event) == ()
    for word in node.words:
        assert isinstance(word, ef.Notify)
        assert (word.severity, word.vdisk, word.peer) == (Severity.WARNING, None, PEER)
        assert word.message in {Message.CHECKS_MAY_PART, Message.WITNESS_NOT_SHARED}
    return [message_text(word) for word in node.words]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("theirs", RULES)
@pytest.mark.parametrize("ours", RULES)
def test_only_equal_checks_that_hold_one_node_back_are_safe(ours: str, theirs: str) -> None:
    node = in_sync(Role.MASTER, RULES[ours][0])
    safe = "none" in (ours, theirs) or (ours == theirs and ours != "ignore")
    said = warnings(node, ev.PeerCheckTold(PEER, RULES[theirs][1]))
    assert len(said) == (0 if safe else 1)
    if said:
        both_witnesses = "witness" in ours and "witness" in theirs
        here, there = (words.removeprefix("another ") for words in (ours, theirs))
        assert f"{here} here, {'another ' if both_witnesses else ''}{there} there" in said[0]
        assert ("may let both nodes go on" in said[0]) == ("witness" not in ours and "witness" not in theirs)


def test_the_same_is_said_once_until_it_changes() -> None:
    node = in_sync(Role.SLAVE, FENCE)
    manual = ev.PeerCheckTold(PEER, Rule(CheckKind.MANUAL))
    assert len(warnings(node, manual)) == 1
    assert warnings(node, manual) == []
    assert warnings(node, ev.ChecksChanged(PEER, (*FENCE, *MANUAL))) == []  # fence still rules
    assert warnings(node, ev.ChecksChanged(PEER, MANUAL)) == []  # safe now
    assert len(warnings(node, ev.ChecksChanged(PEER, (Check(CheckKind.FENCE, "other"),)))) == 1
    assert warnings(node, ev.PeerCheckTold(PEER, None)) == []
    assert len(warnings(node, manual)) == 1
