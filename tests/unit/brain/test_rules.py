"""The rules for start, attach, hand-over, roles and mirrors, each told as a story of one node."""

from dataclasses import replace

import pytest

from twindisk.brain import CopyFacts, FreshIds, decide
from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.effects import Message
from twindisk.brain.model import Check, Fault, Role, Sync
from twindisk.brain.phases import Phase
from twindisk.brain.status import Status, status_of
from unit.brain.one_node import (
    AHEAD,
    BLANK,
    EQUAL_MASTER,
    EQUAL_SLAVE,
    FENCE,
    IGNORE,
    M1,
    M2,
    MANUAL,
    PEER,
    SPLIT,
    UNRELATED,
    OneNode,
    agree,
    alone,
    attach,
    goes_alone,
    in_sync,
    lost,
    only,
    opened,
    rejoining,
    syncing,
)


class TestStart:
    def test_without_a_mirror_it_serves(self) -> None:
        node = OneNode()
        assert node.does(ev.VDiskOpened(M1, None, EQUAL_MASTER)) == (ef.ServeSingle(M1),)

    @pytest.mark.promise("P6")
    def test_a_copy_in_mid_resync_is_not_served_even_without_a_mirror(self) -> None:
        node = opened(replace(EQUAL_SLAVE, inconsistent=True), peer=None)
        assert (node.phase(), node.vdisk().fault) == (Phase.INVALID, Fault.UNUSABLE)

    def test_a_surely_current_copy_waits_for_its_peer_then_serves_alone(self) -> None:
        node = OneNode()
        timer = ef.Timer(ef.TimerKind.STARTUP_WAIT, M1)
        assert node.does(ev.VDiskOpened(M1, PEER, AHEAD)) == (ef.StartTimer(timer, 3_000),)
        order = goes_alone(node.does(ev.TimerExpired(timer)))
        assert order is not None
        assert not order.fenced
        assert node.vdisk().facts.current == AHEAD.current, "the peer is outdated already: the generation stays"
        assert Message.STARTED_ALONE in node.said

    @pytest.mark.promise("P2", "P6")
    def test_a_copy_that_had_parted_from_its_peers_waits_until_they_fit(self) -> None:
        node = OneNode()
        stop = ef.StopServing(M1, ef.NotReady.UNAVAILABLE)
        assert node.does(ev.VDiskOpened(M1, PEER, AHEAD, parted=True)) == (stop,)
        for event in (ev.TimerExpired(ef.Timer(ef.TimerKind.STARTUP_WAIT, M1)), ev.PeerUp(PEER)):
            node.does(event)
            assert (node.phase(), node.vdisk().fault) == (Phase.INVALID, Fault.SPLIT_BRAIN)
        agree(node)
        node.does(ev.PeerFacts(M1, AHEAD, SPLIT))
        assert (node.phase(), node.said) == (Phase.INVALID, ()), "that is known already"
        assert only(node.does(ev.PeerFacts(M1, AHEAD, BLANK)), ef.Attach)

    def test_a_peer_that_connects_in_time_is_attached_instead(self) -> None:
        node = opened(AHEAD, link=True)
        node.does(ev.PeerFacts(M1, AHEAD, EQUAL_SLAVE))
        assert not node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.STARTUP_WAIT, M1)))
        assert node.phase() is Phase.ATTACHING

    @pytest.mark.promise("P6")
    @pytest.mark.parametrize("checks", [FENCE, MANUAL, IGNORE, ()])
    @pytest.mark.parametrize(
        "facts", [EQUAL_MASTER, EQUAL_SLAVE, replace(AHEAD, inconsistent=True), replace(AHEAD, ending=True), BLANK]
    )
    def test_any_other_copy_waits_whatever_the_checks_say(self, facts: CopyFacts, checks: tuple[Check, ...]) -> None:
        node = OneNode(checks)
        assert node.does(ev.VDiskOpened(M1, PEER, facts)) == ()
        assert node.does(ev.PeerDown(PEER)) == ()
        assert node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.STARTUP_WAIT, M1))) == ()
        assert node.phase() is Phase.PEER_WAIT


class TestAttach:
    def test_it_tells_the_engine_the_plan_and_the_facts_it_was_made_from(self) -> None:
        node = opened(AHEAD, link=True)
        (order,) = node.does(ev.PeerFacts(M1, AHEAD, EQUAL_SLAVE))
        assert isinstance(order, ef.Attach)
        assert (order.role, order.sync, order.epoch) == (Role.MASTER, Sync.SOURCE, 5)
        assert (order.local_seq, order.remote_seq) == (AHEAD.seq, EQUAL_SLAVE.seq)

    def test_facts_that_come_before_the_link_is_reported_wait_for_it(self) -> None:
        node = opened(EQUAL_MASTER, link=True)
        node.does(ev.PeerDown(PEER))
        assert node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE)) == ()
        assert only(node.does(ev.PeerUp(PEER)), ef.Attach)

    def test_facts_from_before_a_loss_of_the_link_are_not_used_after_it(self) -> None:
        node = opened(EQUAL_MASTER, link=True)
        node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE))
        node.does(ev.PeerDown(PEER))
        assert node.does(ev.PeerUp(PEER)) == ()

    def test_refused_with_newer_facts_tries_those_at_once(self) -> None:
        node = opened(EQUAL_MASTER, link=True)
        node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE))
        node.does(ev.PeerFacts(M1, EQUAL_MASTER, replace(EQUAL_SLAVE, seq=23)))
        (order,) = node.does(ev.AttachRefused(M1, "stale"))
        assert isinstance(order, ef.Attach)
        assert order.remote_seq == 23

    def test_refused_without_newer_facts_waits_for_them_and_tries_again_later(self) -> None:
        node = opened(EQUAL_MASTER, link=True)
        node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE))
        timer = ef.Timer(ef.TimerKind.ATTACH_RETRY, M1)
        assert node.does(ev.AttachRefused(M1, "stale")) == (ef.StartTimer(timer, 1_000),)
        assert node.phase() is Phase.PEER_WAIT
        assert only(node.does(ev.TimerExpired(timer)), ef.Attach)

    def test_a_node_that_serves_alone_attaches_as_the_source_and_goes_on_serving(self) -> None:
        node = rejoining()
        assert node.vdisk().phase is Phase.REJOINING
        node.does(ev.AttachRefused(M1, "stale"))
        assert node.phase() is Phase.ALONE
        attachment = rejoining().vdisk().attachment
        assert attachment is not None
        assert (attachment.role, attachment.sync) == (Role.MASTER, Sync.SOURCE)

    def test_a_resync_ends_in_sync_and_says_so(self) -> None:
        node = syncing(Sync.TARGET)
        assert status_of(node.state, node.vdisk()) is Status.RESYNCING
        node.does(ev.Resynced(M1, Role.SLAVE))
        assert node.phase() is Phase.IN_SYNC
        assert node.vdisk().facts.usable
        assert Message.RESYNC_ENDED in node.said

    @pytest.mark.promise("P2", "P6")
    @pytest.mark.parametrize("node", [opened(AHEAD, link=True), alone(link=True), rejoining()])
    def test_split_brain_serves_nothing(self, node: OneNode) -> None:
        facts = replace(node.vdisk().facts, epoch=50)
        effects = node.does(ev.PeerFacts(M1, facts, replace(SPLIT, base=facts.base)))
        assert effects == (ef.StopServing(M1, ef.NotReady.UNAVAILABLE),)
        assert node.vdisk().fault is Fault.SPLIT_BRAIN
        assert status_of(node.state, node.vdisk()) is Status.INVALID_STATE

    def test_a_strange_copy_that_cannot_be_serving_does_not_stop_who_serves_alone(self) -> None:
        node = alone(link=True)
        assert node.does(ev.PeerFacts(M1, replace(node.vdisk().facts, epoch=50), UNRELATED)) == ()
        assert node.phase() is Phase.ALONE
        assert Message.COPIES_MISMATCH in node.said

    def test_a_mismatch_ends_when_the_peers_copy_is_made_anew(self) -> None:
        node = opened(AHEAD, link=True)
        node.does(ev.PeerFacts(M1, AHEAD, SPLIT))
        (order,) = node.does(ev.PeerFacts(M1, AHEAD, BLANK))
        assert isinstance(order, ef.Attach)
        assert order.sync is Sync.FULL_SOURCE


class TestHandOver:
    @pytest.mark.parametrize("role", [Role.MASTER, Role.SLAVE])
    def test_a_peer_that_left_is_succeeded_without_a_check(self, role: Role) -> None:
        order = goes_alone(in_sync(role).does(ev.PeerLeft(M1)))
        assert order is not None
        assert order.fenced

    def test_a_peer_that_left_ends_a_fence_run(self) -> None:
        node = lost()
        effects = node.does(ev.PeerLeft(M1))
        assert goes_alone(effects)
        assert ef.CancelFence(PEER, 1) in effects

    def test_stop_hands_over_what_is_attached_and_then_ends(self) -> None:
        node = in_sync(Role.MASTER, FENCE, M1, M2)
        assert only(node.does(ev.Stop()), ef.Leave) == [ef.Leave(M1), ef.Leave(M2)]
        assert node.does(ev.PeerLeft(M1)) == ()
        assert node.does(ev.Left(M1)) == ()
        assert node.does(ev.Left(M2)) == (ef.Shutdown(),)

    def test_stop_gives_up_after_its_time(self) -> None:
        node = in_sync()
        node.does(ev.Stop())
        effects = node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.LEAVE_LIMIT)))
        assert effects[-1] == ef.Shutdown()

    def test_stop_while_deciding_ends_the_fence_and_serves_nothing(self) -> None:
        node = lost()
        effects = node.does(ev.Stop())
        assert {ef.StopServing(M1, ef.NotReady.TRANSITIONING), ef.CancelFence(PEER, 1), ef.Shutdown()} <= set(effects)
        assert node.does(ev.FenceSucceeded(PEER, 1)) == ()

    def test_stop_while_attaching_hands_over_once_attached(self) -> None:
        node = opened(AHEAD, link=True)
        node.does(ev.PeerFacts(M1, AHEAD, EQUAL_SLAVE))
        assert ef.Shutdown() not in node.does(ev.Stop())
        assert node.does(ev.Attached(M1, Role.MASTER, Sync.SOURCE)) == (ef.Leave(M1),)
        assert node.does(ev.Left(M1)) == (ef.Shutdown(),)

    def test_a_failed_disk_hands_over_and_stays_failed(self) -> None:
        node = in_sync()
        assert node.does(ev.DiskFailed(M1, "write", 5)) == (ef.Leave(M1),)
        assert node.does(ev.Left(M1)) == (ef.StopServing(M1, ef.NotReady.UNAVAILABLE),)
        assert node.does(ev.PeerFacts(M1, EQUAL_MASTER, EQUAL_SLAVE)) == ()
        assert node.phase() is Phase.FAILED


class TestRoles:
    def answer(self, node: OneNode, role: Role, *, force: bool = False) -> ef.Refusal | None:
        effects = node.does(ev.SetRole(M1, role, force=force, request=9))
        (answer,) = only(effects, ef.Answer)
        assert isinstance(answer, ef.Answer)
        return answer.refusal

    def test_the_same_role_is_fine(self) -> None:
        assert in_sync().does(ev.SetRole(M1, Role.MASTER, request=9)) == (ef.Answer(9, None),)

    def test_the_master_switches_and_attaches_anew_as_slave(self) -> None:
        node = in_sync()
        assert ef.SwitchRoles(M1) in node.does(ev.SetRole(M1, Role.SLAVE))
        node.does(ev.Switching(M1))
        attach(node, replace(EQUAL_SLAVE, epoch=4), replace(EQUAL_MASTER, epoch=4))
        assert (node.phase(), node.vdisk().role) == (Phase.IN_SYNC, Role.SLAVE)
        assert Message.ROLES_SWITCHED in node.said

    def test_the_slave_has_its_peer_asked_and_becomes_master(self) -> None:
        node = in_sync(Role.SLAVE)
        assert node.does(ev.SetRole(M1, Role.MASTER, request=9)) == (ef.AskPeerSwitch(M1, PEER, 9),)
        node.does(ev.Switching(M1))
        attach(node, replace(EQUAL_MASTER, epoch=4), replace(EQUAL_SLAVE, epoch=4))
        assert node.vdisk().role is Role.MASTER

    @pytest.mark.promise("P2")
    def test_a_node_that_lost_its_peer_while_switching_does_not_count_as_master(self) -> None:
        node = in_sync(Role.MASTER, MANUAL)
        node.does(ev.SetRole(M1, Role.SLAVE))
        assert not goes_alone(node.does(ev.PeerDown(PEER)))
        assert goes_alone(node.does(ev.SetRole(M1, Role.MASTER)))

    def test_a_switch_that_the_engine_refuses_changes_nothing(self) -> None:
        node = in_sync()
        node.does(ev.SetRole(M1, Role.SLAVE))
        node.does(ev.CommandFailed(M1, ev.Command.SWITCH_ROLES))
        assert (node.phase(), node.vdisk().role) == (Phase.IN_SYNC, Role.MASTER)

    def test_refused_while_a_resync_is_pending(self) -> None:
        assert self.answer(syncing(Sync.SOURCE), Role.SLAVE, force=True) is ef.Refusal.RESYNC_PENDING
        assert self.answer(syncing(Sync.TARGET), Role.MASTER, force=True) is ef.Refusal.RESYNC_PENDING
        assert self.answer(alone(link=True), Role.SLAVE) is ef.Refusal.RESYNC_PENDING

    def test_refused_while_a_fence_runs(self) -> None:
        assert self.answer(lost(Role.SLAVE), Role.MASTER, force=True) is ef.Refusal.CHECKS_RUNNING

    def test_a_waiting_node_becomes_master_only_by_force_and_without_its_peer(self) -> None:
        assert self.answer(opened(EQUAL_SLAVE), Role.MASTER) is ef.Refusal.NEEDS_FORCE
        assert self.answer(opened(EQUAL_SLAVE, link=True), Role.MASTER, force=True) is ef.Refusal.PEER_PRESENT
        node = opened(EQUAL_SLAVE)
        assert goes_alone(node.does(ev.SetRole(M1, Role.MASTER, force=True)))
        assert Message.FORCED_MASTER in node.said

    def test_an_inconsistent_copy_never_becomes_master(self) -> None:
        node = opened(replace(EQUAL_SLAVE, inconsistent=True))
        assert self.answer(node, Role.MASTER, force=True) is ef.Refusal.COPY_INCONSISTENT

    def test_unknown_and_single_vdisks_are_refused(self) -> None:
        assert self.answer(OneNode(), Role.MASTER) is ef.Refusal.NO_SUCH_VDISK
        assert self.answer(opened(EQUAL_MASTER, peer=None), Role.MASTER) is ef.Refusal.NOT_MIRRORED


class TestMirrorMadeAndEnded:
    def test_the_sending_side_goes_on_serving_and_fills_its_peer(self) -> None:
        node = opened(EQUAL_MASTER, peer=None)
        order = goes_alone(node.does(ev.MirrorConfigured(M1, PEER, EQUAL_MASTER, accepting=False)))
        assert order is not None
        assert order.fenced
        node.does(ev.Alone(M1))
        node.does(ev.PeerUp(PEER))
        agree(node)
        (attached,) = node.does(ev.PeerFacts(M1, node.vdisk().facts, BLANK))
        assert isinstance(attached, ef.Attach)
        assert attached.sync is Sync.FULL_SOURCE

    def test_the_receiving_side_must_be_blank(self) -> None:
        node = opened(BLANK, peer=None)
        node.does(ev.MirrorConfigured(M1, PEER, BLANK, accepting=True))
        assert node.phase() is Phase.PEER_WAIT
        node = opened(EQUAL_MASTER, peer=None)
        node.does(ev.MirrorConfigured(M1, PEER, EQUAL_MASTER, accepting=True))
        assert (node.phase(), node.vdisk().fault) == (Phase.INVALID, Fault.NOT_BLANK)

    def test_the_side_that_ends_the_mirror_serves_on_and_the_other_is_withheld(self) -> None:
        assert in_sync().does(ev.MirrorRemoved(M1, EQUAL_MASTER)) == (ef.ServeSingle(M1),)
        node = in_sync(Role.SLAVE)
        node.does(ev.MirrorRemoved(M1, EQUAL_SLAVE, by_peer=True))
        assert node.vdisk().fault is Fault.WITHHELD
        assert ef.ServeSingle(M1) in node.does(ev.SetRole(M1, Role.MASTER, force=True))

    @pytest.mark.promise("P6")
    def test_ending_the_mirror_does_not_make_a_stale_copy_current(self) -> None:
        node = opened(EQUAL_SLAVE)
        node.does(ev.MirrorRemoved(M1, EQUAL_SLAVE))
        assert node.phase() is Phase.INVALID

    def test_ending_the_mirror_of_the_last_waiting_vdisk_ends_the_fence(self) -> None:
        assert ef.CancelFence(PEER, 1) in lost().does(ev.MirrorRemoved(M1, EQUAL_MASTER))


def test_going_alone_that_the_engine_refuses_stops_serving() -> None:
    node = lost()
    node.does(ev.FenceSucceeded(PEER, 1))
    effects = node.does(ev.CommandFailed(M1, ev.Command.GO_ALONE))
    assert effects == (ef.StopServing(M1, ef.NotReady.UNAVAILABLE),)
    assert node.phase() is Phase.STOPPED


def test_engine_commands_come_before_words() -> None:
    node = lost(Role.SLAVE)
    node.does(ev.TimerExpired(ef.Timer(ef.TimerKind.HEAD_START, PEER)))
    _, effects = decide(node.state, ev.FenceSucceeded(PEER, 1), 1, FreshIds(b"0123456789abcdef"))
    assert isinstance(effects[0], ef.GoAlone)
    assert all(isinstance(effect, ef.Notify | ef.Log) for effect in effects[1:])
