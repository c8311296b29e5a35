"""Mirror checks that do not go together: operators are warned, once, on each node."""

import pytest

from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.effects import Message, Severity
from twindisk.brain.model import Check, CheckKind, Role
from twindisk.messages import message_text
from unit.brain.one_node import FENCE, IGNORE, MANUAL, PEER, OneNode, in_sync

KINDS = {CheckKind.FENCE: FENCE, CheckKind.MANUAL: MANUAL, CheckKind.IGNORE: IGNORE, None: ()}


def warnings(node: OneNode, event: ev.Event) -> list[str]:
    """Return the warnings that an event leads to; nothing else comes of it."""
    assert node.does(event) == ()
    for word in node.words:
        assert isinstance(word, ef.Notify)
        assert (word.severity, word.message, word.vdisk, word.peer) == (
            Severity.WARNING,
            Message.CHECKS_MAY_PART,
            None,
            PEER,
        )
    return [message_text(word) for word in node.words]


@pytest.mark.promise("P2")
@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("ours", KINDS)
def test_only_equal_kinds_that_hold_one_node_back_are_safe(ours: CheckKind | None, theirs: CheckKind | None) -> None:
    node = in_sync(Role.MASTER, KINDS[ours])
    safe = None in (ours, theirs) or (ours is theirs and ours is not CheckKind.IGNORE)
    said = warnings(node, ev.PeerCheckTold(PEER, theirs))
    assert len(said) == (0 if safe else 1)
    if said:
        assert f"{ours} here, {theirs} there" in said[0]


def test_the_same_is_said_once_until_it_changes() -> None:
    node = in_sync(Role.SLAVE, FENCE)
    manual = ev.PeerCheckTold(PEER, CheckKind.MANUAL)
    assert len(warnings(node, manual)) == 1
    assert warnings(node, manual) == []
    assert warnings(node, ev.ChecksChanged(PEER, (*FENCE, *MANUAL))) == []  # fence still rules
    assert warnings(node, ev.ChecksChanged(PEER, MANUAL)) == []  # safe now
    assert len(warnings(node, ev.ChecksChanged(PEER, (Check(CheckKind.FENCE, "other"),)))) == 1
    assert warnings(node, ev.PeerCheckTold(PEER, None)) == []
    assert len(warnings(node, manual)) == 1
