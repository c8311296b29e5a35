"""A node whose mirror check is a witness, and that loses its peer."""

from dataclasses import replace

import pytest

from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.effects import Message
from twindisk.brain.model import Check, CheckKind, Role, Rule
from twindisk.brain.phases import Phase
from unit.brain.one_node import (
    EQUAL_MASTER,
    EQUAL_SLAVE,
    FENCE,
    HERE,
    IGNORE,
    M1,
    M2,
    MANUAL,
    PEER,
    SAME_WITNESS,
    WITNESS,
    OneNode,
    attach,
    goes_alone,
    in_sync,
    lost,
    only,
    wait_over,
)

CLAIM_TIME = ev.TimerExpired(ef.Timer(ef.TimerKind.CLAIM, M1))


def claim(effects: tuple[ef.Effect, ...]) -> ef.RunClaim:
    (found,) = only(effects, ef.RunClaim)
    assert isinstance(found, ef.RunClaim)
    return found


def test_the_master_claims_at_once_and_goes_on_after_the_lease() -> None:
    node = in_sync(Role.MASTER, WITNESS)
    told = claim(node.does(ev.PeerDown(PEER)))
    assert (told.owner, told.place, told.witness) == (HERE, "file:///witness", "w1")
    assert told.epoch == told.attached_epoch == node.vdisk().facts.epoch
    went = goes_alone(node.does(ev.ClaimWon(M1, told.run)))
    assert went is not None
    assert not went.fenced
    assert Message.PEER_FAILED in node.said


def test_the_slave_leaves_the_master_a_head_start() -> None:
    node = in_sync(Role.SLAVE, WITNESS)
    effects = node.does(ev.PeerDown(PEER))
    assert not only(effects, ef.RunClaim)
    assert effects == (ef.StartTimer(ef.Timer(ef.TimerKind.CLAIM, M1), node.state.settings.head_start_ms),)
    assert claim(node.does(CLAIM_TIME)).vdisk == M1


@pytest.mark.promise("P2")
def test_who_lost_serves_nothing() -> None:
    node = lost(checks=WITNESS)
    effects = node.does(ev.ClaimLost(M1, node.run()))
    assert effects == (ef.StopServing(M1, ef.NotReady.STANDBY),)
    assert node.phase() is Phase.STOPPED
    assert node.said == (Message.CLAIM_LOST,)


def test_a_witness_that_is_not_reached_is_asked_again_and_said_once() -> None:
    node = lost(checks=WITNESS)
    effects = node.does(ev.ClaimFailed(M1, node.run(), "no route"))
    assert ef.StopServing(M1, ef.NotReady.STANDBY) in effects
    assert node.phase() is Phase.DECIDING
    assert node.said == (Message.WITNESS_UNREACHED,)
    again = claim(node.does(CLAIM_TIME))
    node.does(ev.ClaimFailed(M1, again.run, "no route"))
    assert not node.words
    third = claim(node.does(CLAIM_TIME))
    assert goes_alone(node.does(ev.ClaimWon(M1, third.run))) is not None


@pytest.mark.promise("P2")
def test_an_outcome_of_another_attempt_does_not_count() -> None:
    node = lost(checks=WITNESS)
    first = node.run()
    node.does(ev.ClaimFailed(M1, first, "no route"))
    assert node.does(ev.ClaimWon(M1, first)) == ()
    node.does(CLAIM_TIME)
    assert node.does(ev.ClaimWon(M1, first)) == ()
    assert node.does(ev.ClaimLost(M1, first)) == ()
    assert node.phase() is Phase.DECIDING


def test_the_peer_that_is_back_ends_the_claim() -> None:
    node = lost(checks=WITNESS)
    run = node.run()
    assert ef.CancelClaim(M1, run) in node.does(ev.PeerUp(PEER))
    assert node.does(ev.ClaimWon(M1, run)) == ()
    waiting = lost(Role.SLAVE, WITNESS)
    assert ef.CancelTimer(ef.Timer(ef.TimerKind.CLAIM, M1)) in waiting.does(ev.PeerUp(PEER))
    assert waiting.does(CLAIM_TIME) == ()


def test_a_claim_bears_the_epoch_of_an_attach_that_did_not_come_about() -> None:
    node = lost(checks=WITNESS)
    before = node.vdisk().facts.epoch
    node.does(ev.PeerUp(PEER))
    local, remote = (replace(facts, epoch=before) for facts in (EQUAL_MASTER, EQUAL_SLAVE))
    node.does(ev.PeerFacts(M1, local, remote))
    assert node.phase() is Phase.ATTACHING
    node.does(ev.PeerCheckTold(PEER, SAME_WITNESS))
    node.does(ev.CheckHeard(PEER, SAME_WITNESS))
    told = claim(node.does(ev.PeerDown(PEER)))
    # The peer may be attached at the new epoch; this node knows of the old attach only.
    assert (told.epoch, told.attached_epoch) == (before + 1, before)


def test_each_vdisk_claims_for_itself() -> None:
    node = in_sync(Role.MASTER, WITNESS, M1, M2)
    first, second = only(node.does(ev.PeerDown(PEER)), ef.RunClaim)
    assert isinstance(first, ef.RunClaim)
    assert isinstance(second, ef.RunClaim)
    assert {first.vdisk, second.vdisk} == {M1, M2}
    assert first.run != second.run
    node.does(ev.ClaimLost(first.vdisk, first.run))
    node.does(ev.ClaimWon(second.vdisk, second.run))
    assert {node.phase(M1), node.phase(M2)} == {Phase.STOPPED, Phase.GOING_ALONE}


@pytest.mark.promise("P2")
@pytest.mark.parametrize(
    "events",
    [
        (),
        (ev.PeerCheckTold(PEER, SAME_WITNESS),),
        (ev.CheckHeard(PEER, SAME_WITNESS),),
        (ev.PeerCheckTold(PEER, Rule(CheckKind.WITNESS, "w2")), ev.CheckHeard(PEER, SAME_WITNESS)),
        (ev.PeerCheckTold(PEER, Rule(CheckKind.FENCE)), ev.CheckHeard(PEER, SAME_WITNESS)),
        (ev.PeerCheckTold(PEER, SAME_WITNESS), ev.CheckHeard(PEER, Rule(CheckKind.WITNESS, "w2"))),
    ],
)
def test_a_witness_that_the_peer_is_not_known_to_share_is_not_asked(events: tuple[ev.Event, ...]) -> None:
    node = OneNode(WITNESS)
    node.does(ev.VDiskOpened(M1, PEER, EQUAL_MASTER))
    node.does(ev.PeerUp(PEER))
    wait_over(node)
    attach(node, EQUAL_MASTER, EQUAL_SLAVE)
    for event in events:
        node.does(event)
    assert node.does(ev.PeerDown(PEER)) == (ef.StopServing(M1, ef.NotReady.STANDBY),)
    assert node.phase() is Phase.STOPPED
    assert Message.STOPPED_WITHOUT_SHARED_WITNESS in node.said


@pytest.mark.promise("P2")
def test_what_the_peer_heard_counts_until_the_check_changes() -> None:
    other = (Check(CheckKind.WITNESS, "file:///other", "w2"),)
    node = in_sync(Role.MASTER, WITNESS)
    node.does(ev.ChecksChanged(PEER, other))
    node.does(ev.ChecksChanged(PEER, WITNESS))
    node.does(ev.PeerDown(PEER))
    assert node.phase() is Phase.STOPPED

    node = in_sync(Role.MASTER, WITNESS)
    node.does(ev.PeerDown(PEER))
    node.does(ev.PeerUp(PEER))
    assert claim(node.does(ev.PeerDown(PEER))).run == node.run()

    node = in_sync(Role.MASTER, WITNESS)
    moved = (Check(CheckKind.WITNESS, "etcd://w/t", "w1"),)  # the same witness by another URL
    node.does(ev.ChecksChanged(PEER, moved))
    assert claim(node.does(ev.PeerDown(PEER))).place == "etcd://w/t"


@pytest.mark.promise("P2")
@pytest.mark.parametrize("other", [FENCE, MANUAL, IGNORE, ()])
def test_a_check_that_changes_while_it_decides_stops_the_copy(other: tuple[Check, ...]) -> None:
    node = lost(checks=WITNESS)
    run = node.run()
    # The peer may win at the witness, which it still asks, and serve.
    assert node.does(ev.ChecksChanged(PEER, other)) == (
        ef.StopServing(M1, ef.NotReady.STANDBY),
        ef.CancelClaim(M1, run),
    )
    assert node.phase() is Phase.STOPPED
    assert node.does(ev.SetRole(M1, Role.MASTER)) == (ef.Answer(0, ef.Refusal.NEEDS_FORCE),)
    assert goes_alone(node.does(ev.SetRole(M1, Role.MASTER, force=True))) is not None


def test_what_the_peer_tells_while_the_link_is_down_changes_nothing() -> None:
    node = lost(checks=WITNESS)
    assert node.does(ev.PeerCheckTold(PEER, Rule(CheckKind.IGNORE))) == ()
    assert goes_alone(node.does(ev.ClaimWon(M1, node.run()))) is not None


def test_the_operator_may_decide_for_a_witness_that_is_not_reached() -> None:
    node = lost(Role.SLAVE, WITNESS)
    force = ev.SetRole(M1, Role.MASTER, force=True)
    assert node.does(force) == (ef.Answer(0, ef.Refusal.CHECKS_RUNNING),)
    run = claim(node.does(CLAIM_TIME)).run
    assert node.does(force) == (ef.Answer(0, ef.Refusal.CHECKS_RUNNING),)
    node.does(ev.ClaimFailed(M1, run, "no route"))
    assert node.does(ev.SetRole(M1, Role.MASTER)) == (ef.Answer(0, ef.Refusal.NEEDS_FORCE),)
    effects = node.does(force)
    assert goes_alone(effects) is not None
    assert Message.FORCED_MASTER in node.said


def test_a_vdisk_that_is_closed_or_opened_anew_gives_up_its_claim() -> None:
    node = lost(checks=WITNESS)
    assert node.does(ev.VDiskClosed(M1)) == (ef.CancelClaim(M1, 1),)
    node = lost(checks=WITNESS)
    assert node.does(ev.VDiskOpened(M1, PEER, EQUAL_MASTER)) == (ef.CancelClaim(M1, 1),)
    assert node.does(ev.ClaimWon(M1, 1)) == ()


def test_a_peer_that_handed_over_needs_no_witness() -> None:
    node = lost(checks=WITNESS)
    effects = node.does(ev.PeerLeft(M1))
    went = goes_alone(effects)
    assert went is not None
    assert went.fenced
    assert ef.CancelClaim(M1, 1) in effects
