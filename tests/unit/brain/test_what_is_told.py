"""What operators are told, and how grave it is; the texts of the described product, word for word."""

from dataclasses import replace

import pytest

from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.effects import Message, Severity
from twindisk.brain.model import FenceStage, Role, Sync
from twindisk.messages import message_text
from unit.brain.one_node import EQUAL_SLAVE, M1, M2, MANUAL, PEER, SPLIT, OneNode, alone, in_sync, lost, syncing

WARNINGS_KNOWN_ELSEWHERE = {
    Message.SWITCHING_TO_MASTER: "VDisk M1 switching over to master role",
    Message.PEER_FAILED: "VDisk M1 peer has failed",
    Message.MANUAL_MASTER: "Manual fencing and VDisk M1 in master role. Continuing writes",
    Message.FENCE_FAILED: "Fencing VDisk M1 peer failed. Cannot take over as master",
}


def told(node: OneNode, event: ev.Event) -> list[tuple[Severity, str]]:
    """Return what an event has operators told (not only logged)."""
    node.does(event)
    return [(word.severity, message_text(word)) for word in node.words if isinstance(word, ef.Notify)]


@pytest.mark.parametrize(
    ("node", "event", "message"),
    [
        (lost(Role.SLAVE), ev.FenceSucceeded(PEER, 1), Message.SWITCHING_TO_MASTER),
        (lost(Role.MASTER), ev.FenceSucceeded(PEER, 1), Message.PEER_FAILED),
        (lost(Role.MASTER), ev.FenceFailed(PEER, 1), Message.FENCE_FAILED),
        (in_sync(Role.MASTER, MANUAL), ev.PeerDown(PEER), Message.MANUAL_MASTER),
    ],
)
def test_the_known_texts_are_warnings(node: OneNode, event: ev.Event, message: Message) -> None:
    fence = node.state.peers[PEER].fence
    if fence is not None and fence.stage is FenceStage.HEAD_START:
        node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.HEAD_START, PEER)))
    assert (Severity.WARNING, WARNINGS_KNOWN_ELSEWHERE[message]) in told(node, event)


def test_the_link_is_told_once_for_all_vdisks_of_a_peer() -> None:
    node = in_sync(Role.MASTER, MANUAL, M1, M2)
    said = [text for _, text in told(node, ev.PeerDown(PEER, ev.LinkLoss.SILENT))]
    assert said.count(f"Link to peer {PEER} lost: silent") == 1
    assert told(node, ev.PeerDown(PEER, ev.LinkLoss.REFUSED)) == [], "it was down already"
    assert told(node, ev.PeerUp(PEER)) == [(Severity.INFORMATION, f"Link to peer {PEER} is up")]
    assert told(node, ev.PeerUp(PEER)) == []
    closed = told(node, ev.PeerDown(PEER, ev.LinkLoss.CLOSED))
    assert closed[0] == (Severity.INFORMATION, f"Link to peer {PEER} lost: closed"), "this node's own doing"


def test_a_resync_is_told_from_start_to_end() -> None:
    node = syncing(Sync.TARGET)
    assert Message.RESYNC_STARTED in node.said
    assert told(node, ev.Resynced(M1, Role.SLAVE)) == [(Severity.INFORMATION, "VDisk M1 resync ended")]


def test_a_hand_over_is_told_on_both_sides() -> None:
    leaver, stayer = in_sync(), in_sync(Role.SLAVE)
    leaver.does(ev.Stop())
    assert told(leaver, ev.Left(M1)) == [(Severity.INFORMATION, f"VDisk M1 handed over to peer {PEER}")]
    assert (Severity.INFORMATION, "VDisk M1 peer handed over") in told(stayer, ev.PeerLeft(M1))


@pytest.mark.parametrize(
    "event",
    [
        ev.TimerExpired(ef.Timer(ef.TimerKind.LEAVE_LIMIT)),
        ev.CommandFailed(M1, ev.Command.LEAVE),
        ev.PeerDown(PEER),
    ],
)
def test_a_hand_over_that_fails_is_a_warning(event: ev.Event) -> None:
    node = in_sync()
    node.does(ev.Stop())
    failed = f"VDisk M1 could not be handed over to peer {PEER}. The peer goes on by its mirror checks"
    assert (Severity.WARNING, failed) in told(node, event)
    assert told(node, ev.TimerExpired(ef.Timer(ef.TimerKind.LEAVE_LIMIT))) == [], "once is enough"


def test_split_brain_is_an_error_with_a_name_of_its_own() -> None:
    node = alone(link=True)
    facts = replace(node.vdisk().facts, epoch=50)
    said = told(node, ev.PeerFacts(M1, facts, replace(SPLIT, base=facts.base)))
    assert said == [(Severity.ERROR, f"VDisk M1 split brain: this node and peer {PEER} went on apart. Serving stopped")]


def test_a_failed_disk_is_an_error() -> None:
    assert told(in_sync(), ev.DiskFailed(M1, "fdatasync", 5)) == [(Severity.ERROR, "VDisk M1 disk failed: fdatasync 5")]


def test_a_vdisk_that_waits_for_its_peer_says_nothing() -> None:
    node = OneNode()
    assert told(node, ev.VDiskOpened(M1, PEER, EQUAL_SLAVE)) == []
