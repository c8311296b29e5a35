"""The rules for a peer that is lost: fences, the other checks, a loss in mid-resync, each told as a story of one node."""

from dataclasses import replace

import pytest

from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.effects import Message
from twindisk.brain.model import Check, CheckKind, Role, Sync
from twindisk.brain.phases import Phase
from twindisk.brain.status import Status, role_word, status_of
from unit.brain.one_node import (
    AHEAD,
    EQUAL_MASTER,
    EQUAL_SLAVE,
    FENCE,
    IGNORE,
    M1,
    M2,
    MANUAL,
    PEER,
    OneNode,
    agree,
    alone,
    attach,
    goes_alone,
    in_sync,
    lost,
    only,
    opened,
    syncing,
)


class TestFence:
    def test_the_master_fences_at_once_and_goes_on_when_the_peer_is_dead(self) -> None:
        node = in_sync()
        assert node.does(ev.PeerDown(PEER)) == (ef.RunFence(PEER, 1, ("fence-peer",), 30_000),)
        order = goes_alone(node.does(ev.FenceSucceeded(PEER, 1)))
        assert order is not None
        assert order.fenced
        assert node.vdisk().facts.base == 7
        assert node.vdisk().facts.current == order.generation != 7
        assert node.said == (Message.PEER_FAILED,)

    def test_the_slave_leaves_the_master_a_head_start(self) -> None:
        node = in_sync(Role.SLAVE)
        timer = ef.Timer(ef.TimerKind.HEAD_START, PEER)
        assert node.does(ev.PeerDown(PEER)) == (ef.StartTimer(timer, 500),)
        assert only(node.does(ev.TimerExpired(timer)), ef.RunFence)
        assert goes_alone(node.does(ev.FenceSucceeded(PEER, 1)))
        assert set(node.said) == {Message.SWITCHING_TO_MASTER, Message.PEER_FAILED}
        assert role_word(node.vdisk()) == "Master"
        node.does(ev.Alone(M1, 4))
        assert node.said == (Message.TAKEOVER_CONTINUES,)
        assert status_of(node.state, node.vdisk()) is Status.DISABLED

    def test_all_fence_commands_are_handed_over_in_order(self) -> None:
        checks = (Check(CheckKind.FENCE, "a"), Check(CheckKind.IGNORE), Check(CheckKind.FENCE, "b"))
        effects = in_sync(Role.MASTER, checks).does(ev.PeerDown(PEER))
        assert effects == (ef.RunFence(PEER, 1, ("a", "b"), 30_000),)

    @pytest.mark.promise("P2")
    @pytest.mark.parametrize("role", [Role.MASTER, Role.SLAVE])
    def test_a_failed_fence_demotes_and_serves_nothing(self, role: Role) -> None:
        node = lost(role)
        node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.HEAD_START, PEER)))
        assert node.does(ev.FenceFailed(PEER, 1)) == (ef.StopServing(M1, ef.NotReady.STANDBY),)
        assert node.phase() is Phase.STOPPED
        assert role_word(node.vdisk()) == "Slave"
        assert Message.FENCE_FAILED in node.said

    def test_after_a_failed_fence_on_both_nodes_they_attach_as_before(self) -> None:
        node = lost()
        node.does(ev.FenceFailed(PEER, 1))
        node.does(ev.PeerUp(PEER))
        attach(node, EQUAL_MASTER, EQUAL_SLAVE)
        assert (node.phase(), node.vdisk().role) == (Phase.IN_SYNC, Role.MASTER)

    def test_one_run_serves_all_vdisks_of_the_peer(self) -> None:
        node = in_sync(Role.SLAVE, FENCE, M1, M2)
        node.does(ev.PeerDown(PEER))
        node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.HEAD_START, PEER)))
        orders = only(node.does(ev.FenceSucceeded(PEER, 1)), ef.GoAlone)
        assert {order.vdisk for order in orders if isinstance(order, ef.GoAlone)} == {M1, M2}
        assert len({order.generation for order in orders if isinstance(order, ef.GoAlone)}) == 2

    def test_the_first_vdisk_by_name_decides_about_the_head_start(self) -> None:
        node = OneNode()
        for name in (M2, M1):
            node.does(ev.VDiskOpened(name, PEER, EQUAL_MASTER))
        node.does(ev.PeerUp(PEER))
        agree(node)
        attach(node, EQUAL_SLAVE, EQUAL_MASTER, M1)
        attach(node, EQUAL_MASTER, EQUAL_SLAVE, M2)
        assert only(node.does(ev.PeerDown(PEER)), ef.StartTimer)

    def test_vdisks_in_other_phases_take_no_part_in_a_run(self) -> None:
        node = OneNode()
        for name in (M1, M2):
            node.does(ev.VDiskOpened(name, PEER, EQUAL_SLAVE))
        node.does(ev.PeerUp(PEER))
        agree(node)
        attach(node, EQUAL_MASTER, EQUAL_SLAVE, M1)
        attach(node, EQUAL_SLAVE, AHEAD, M2)
        node.does(ev.PeerDown(PEER))
        effects = node.does(ev.FenceSucceeded(PEER, 1))
        assert [e.vdisk for e in effects if isinstance(e, ef.GoAlone)] == [M1]
        assert node.phase(M2) is Phase.PEER_WAIT

    def test_a_link_that_is_back_cancels_the_run_and_attaches(self) -> None:
        node = lost()
        assert ef.CancelFence(PEER, 1) in node.does(ev.PeerUp(PEER))
        assert only(node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE)), ef.Attach)

    def test_a_link_that_is_back_cancels_the_head_start(self) -> None:
        node = lost(Role.SLAVE)
        assert ef.CancelTimer(ef.Timer(ef.TimerKind.HEAD_START, PEER)) in node.does(ev.PeerUp(PEER))
        assert not node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.HEAD_START, PEER)))

    @pytest.mark.promise("P2")
    def test_a_success_after_the_link_came_back_means_nothing(self) -> None:
        node = lost()
        node.does(ev.PeerUp(PEER))
        assert node.does(ev.FenceSucceeded(PEER, 1)) == ()
        assert node.phase() is Phase.DECIDING

    @pytest.mark.promise("P2")
    def test_a_late_success_does_not_count_for_the_next_loss(self) -> None:
        node = lost()
        node.does(ev.PeerUp(PEER))
        assert only(node.does(ev.PeerDown(PEER)), ef.RunFence)
        assert node.does(ev.FenceSucceeded(PEER, 1)) == ()
        assert goes_alone(node.does(ev.FenceSucceeded(PEER, 2)))

    def test_held_io_is_answered_if_a_returned_peer_tells_nothing(self) -> None:
        node = lost()
        node.does(ev.PeerUp(PEER))
        effects = node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.SETTLE, M1)))
        assert effects == (ef.StopServing(M1, ef.NotReady.TRANSITIONING),)

    def test_a_link_that_comes_back_before_alone_is_confirmed_attaches_afterwards_as_the_source(self) -> None:
        node = lost()
        node.does(ev.FenceSucceeded(PEER, 1))
        node.does(ev.PeerUp(PEER))
        assert node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE)) == (), "from before going alone"
        assert node.does(ev.Alone(M1, 1)) == ()
        (order,) = node.does(ev.PeerFacts(M1, replace(node.vdisk().facts, seq=70), EQUAL_SLAVE))
        assert isinstance(order, ef.Attach)
        assert (order.role, order.sync) == (Role.MASTER, Sync.SOURCE)

    def test_facts_of_the_copy_gone_alone_may_come_before_the_confirmation(self) -> None:
        node = lost()
        node.does(ev.FenceSucceeded(PEER, 1))
        node.does(ev.PeerUp(PEER))
        node.does(ev.PeerFacts(M1, replace(node.vdisk().facts, seq=70), EQUAL_SLAVE))
        assert only(node.does(ev.Alone(M1, 1)), ef.Attach)

    @pytest.mark.promise("P2")
    def test_an_attach_as_target_that_breaks_never_takes_over(self) -> None:
        node = lost(Role.SLAVE)
        node.does(ev.PeerUp(PEER))
        node.does(ev.PeerFacts(M1, replace(EQUAL_SLAVE, active=1), EQUAL_MASTER))
        effects = node.does(ev.PeerDown(PEER))
        assert effects == (ef.StopServing(M1, ef.NotReady.STANDBY),)
        assert node.phase() is Phase.PEER_WAIT

    def test_an_attach_that_breaks_between_equal_copies_runs_the_checks(self) -> None:
        node = lost()
        node.does(ev.PeerUp(PEER))
        node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE))
        assert only(node.does(ev.PeerDown(PEER)), ef.RunFence)


class TestOtherChecks:
    def test_manual_master_goes_on_after_the_lease(self) -> None:
        node = in_sync(Role.MASTER, MANUAL)
        order = goes_alone(node.does(ev.PeerDown(PEER)))
        assert order is not None
        assert not order.fenced
        assert node.said == (Message.LINK_LOST, Message.MANUAL_MASTER)

    def test_manual_slave_waits_for_the_operator(self) -> None:
        node = in_sync(Role.SLAVE, MANUAL)
        assert node.does(ev.PeerDown(PEER)) == (ef.StopServing(M1, ef.NotReady.STANDBY),)
        assert node.phase() is Phase.DECIDING
        effects = node.does(ev.SetRole(M1, Role.MASTER, request=5))
        assert ef.Answer(5, None) in effects
        assert goes_alone(effects)
        assert Message.MANUAL_MASTER in node.said

    def test_ignore_goes_on_and_says_so(self) -> None:
        node = in_sync(Role.SLAVE, IGNORE)
        assert goes_alone(node.does(ev.PeerDown(PEER)))
        assert Message.WENT_ALONE_UNCHECKED in node.said

    @pytest.mark.promise("P2")
    def test_without_checks_it_stops(self) -> None:
        node = in_sync(Role.MASTER, ())
        assert node.does(ev.PeerDown(PEER)) == (ef.StopServing(M1, ef.NotReady.STANDBY),)
        assert node.phase() is Phase.STOPPED

    @pytest.mark.promise("P2")
    def test_a_fence_rules_over_weaker_checks(self) -> None:
        node = in_sync(Role.MASTER, (*IGNORE, *MANUAL, *FENCE))
        assert only(node.does(ev.PeerDown(PEER)), ef.RunFence)
        node.does(ev.FenceFailed(PEER, 1))
        assert node.phase() is Phase.STOPPED

    @pytest.mark.promise("P2")
    def test_a_check_that_is_changed_while_deciding_stops_the_copy(self) -> None:
        # The peer, Master under manual as both knew, goes on: killing it would lose what it wrote.
        node = in_sync(Role.SLAVE, MANUAL)
        node.does(ev.PeerDown(PEER))
        assert node.does(ev.ChecksChanged(PEER, FENCE)) == (ef.StopServing(M1, ef.NotReady.STANDBY),)
        assert node.phase() is Phase.STOPPED
        node = lost()
        assert ef.CancelFence(PEER, 1) in node.does(ev.ChecksChanged(PEER, ()))
        assert node.phase() is Phase.STOPPED


class TestLossDuringResync:
    def test_the_source_goes_on_without_a_check_while_the_peer_knows_it_is_behind(self) -> None:
        node = syncing(Sync.SOURCE)
        order = goes_alone(node.does(ev.Held(M1, peer_outdated=True)))
        assert order is not None
        assert not order.fenced
        assert node.vdisk().facts.current == AHEAD.current

    @pytest.mark.promise("P2")
    def test_the_source_asks_the_checks_once_the_end_was_offered(self) -> None:
        node = syncing(Sync.SOURCE)
        node.does(ev.PeerDown(PEER))
        assert node.phase() is Phase.SOURCE, "the engine's word decides"
        assert only(node.does(ev.Held(M1, peer_outdated=False)), ef.RunFence)

    def test_the_source_asks_the_checks_if_the_engine_stays_silent(self) -> None:
        node = syncing(Sync.SOURCE)
        node.does(ev.PeerDown(PEER))
        assert only(node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.SETTLE, M1))), ef.RunFence)

    @pytest.mark.promise("P6")
    @pytest.mark.parametrize("loss", [ev.PeerDown(PEER), ev.Held(M1), ev.PeerLeft(M1)])
    @pytest.mark.parametrize("checks", [FENCE, MANUAL, IGNORE])
    def test_the_target_never_takes_over(self, loss: ev.Event, checks: tuple[Check, ...]) -> None:
        node = syncing(Sync.TARGET)
        node.does(ev.ChecksChanged(PEER, checks))
        assert node.does(loss) == (ef.StopServing(M1, ef.NotReady.STANDBY),)
        assert node.phase() is Phase.PEER_WAIT
        assert ef.Answer(0, ef.Refusal.COPY_INCONSISTENT) in (
            *node.does(ev.PeerDown(PEER)),
            *node.does(ev.SetRole(M1, Role.MASTER, force=True)),
        )

    def test_alone_and_waiting_nodes_take_a_loss_calmly(self) -> None:
        assert alone(link=True).does(ev.PeerDown(PEER)) == ()
        assert opened(EQUAL_MASTER, link=True).does(ev.PeerDown(PEER)) == ()
