import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fakes.engine import FakeEngine
from fakes.nodes import quiet_log, until
from twindisk.brain import CopyFacts, NodeState, PeerAddress, VDiskName
from twindisk.brain import effects as ef
from twindisk.brain import events as ev
from twindisk.brain.model import Role, Sync
from twindisk.errors import EngineRefusedError, PeerError, PeerProblem
from twindisk.node.answers import Answers
from twindisk.node.claim_runs import ClaimRuns
from twindisk.node.effects import EffectRunner
from twindisk.node.fence_runs import FenceRuns
from twindisk.node.loop import BrainLoop
from twindisk.node.notices import Notices
from twindisk.node.state import State
from twindisk.node.timers import Timers

M1 = VDiskName("M1")
PEER = PeerAddress("10.0.0.2")


class RecordingEngine(FakeEngine):
    """Notes the effects' calls and does nothing else."""

    def _note(self, call: str, argument: Any) -> None:
        self.calls.append((call, argument))
        if call in self.fail:
            raise self.fail.pop(call)

    def serve_single(self, name: str) -> None:
        self._note("serve_single", name)

    def attach(self, name: str, **plan: Any) -> None:
        self._note("attach", plan)

    def go_alone(self, name: str, **how: Any) -> None:
        self._note("go_alone", how)

    def stop_serving(self, name: str, *, state: str) -> None:
        self._note("stop_serving", state)

    def leave(self, name: str) -> None:
        self._note("leave", name)

    def switch_roles(self, name: str) -> None:
        self._note("switch_roles", name)


class AskedPeer:
    """A peer that answers as told."""

    def __init__(self) -> None:
        self.answer: ef.Refusal | PeerError | None = None

    async def switch_to_slave(self, peer: str, vdisk: str) -> ef.Refusal | None:
        assert (peer, vdisk) == (PEER, M1)
        if isinstance(self.answer, PeerError):
            raise self.answer
        return self.answer


class Bench:
    """An effect runner among fakes."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.engine = RecordingEngine()
        self.answers, self.peer = Answers(), AskedPeer()
        self.rung: list[ef.Timer] = []
        self.events: list[ev.Event] = []
        self.shut_down = 0
        self.timers = Timers(self.rung.append)
        log = quiet_log()
        self.fences = FenceRuns(self.events.append, log)
        self.claims = ClaimRuns(self.events.append, state, Path("/nowhere"), "vm10", log)
        self.runner = EffectRunner(
            engine=self.engine,
            timers=self.timers,
            fences=self.fences,
            claims=self.claims,
            notices=Notices(state, log),
            answers=self.answers,
            peer=self.peer,
            shutdown=self._shutdown,
            log=log,
        )

    def _shutdown(self) -> None:
        self.shut_down += 1


@pytest.fixture
def bench(tmp_path: Any) -> Any:
    state = State.open(tmp_path)
    yield Bench(state)
    state.close()


async def test_engine_effects_become_calls_in_their_order(bench: Bench) -> None:
    follow_ups = await bench.runner.run(
        (
            ef.ServeSingle(M1),
            ef.Attach(vdisk=M1, role=Role.MASTER, sync=Sync.SOURCE, epoch=3, generation=7, local_seq=1, remote_seq=2),
            ef.GoAlone(vdisk=M1, generation=9, epoch=4, fenced=True),
            ef.StopServing(M1, ef.NotReady.STANDBY),
            ef.Leave(M1),
            ef.SwitchRoles(M1),
        )
    )
    assert follow_ups == []
    plan = {"role": "master", "sync": "source", "epoch": 3, "generation": 7, "local_seq": 1, "remote_seq": 2}
    assert bench.engine.calls == [
        ("serve_single", M1),
        ("attach", plan),
        ("go_alone", {"generation": 9, "epoch": 4, "fenced": True}),
        ("stop_serving", "standby"),
        ("leave", M1),
        ("switch_roles", M1),
    ]


async def test_a_refused_command_is_reported_and_the_effects_after_it_still_run(bench: Bench) -> None:
    bench.engine.fail["go_alone"] = EngineRefusedError("the copy is inconsistent", M1)
    follow_ups = await bench.runner.run(
        (ef.GoAlone(vdisk=M1, generation=9, epoch=4, fenced=True), ef.StopServing(M1, ef.NotReady.STANDBY))
    )
    assert follow_ups == [ev.CommandFailed(M1, ev.Command.GO_ALONE)]
    assert bench.engine.calls[-1] == ("stop_serving", "standby")


async def test_a_fault_in_a_command_does_not_end_the_deciding(bench: Bench) -> None:
    bench.engine.fail["leave"] = ZeroDivisionError()
    assert await bench.runner.run((ef.Leave(M1),)) == [ev.CommandFailed(M1, ev.Command.LEAVE)]


async def test_a_notification_is_kept_with_the_exact_text(bench: Bench) -> None:
    notify = ef.Notify(severity=ef.Severity.WARNING, message=ef.Message.SWITCHING_TO_MASTER, vdisk=M1, peer=PEER)
    log = ef.Log(severity=ef.Severity.WARNING, message=ef.Message.TAKEOVER_CONTINUES, vdisk=M1)
    await bench.runner.run((notify, log))
    (event,) = bench.state.events()
    assert (event.severity, event.text) == ("warning", "VDisk M1 switching over to master role")
    assert event.fields == {"vdisk": M1, "peer": PEER}


async def test_one_timer_per_name_and_the_newest_counts(bench: Bench) -> None:
    one, other = ef.Timer(ef.TimerKind.SETTLE, M1), ef.Timer(ef.TimerKind.HEAD_START, PEER)
    await bench.runner.run(
        (ef.StartTimer(one, 1), ef.StartTimer(one, 30), ef.StartTimer(other, 1), ef.CancelTimer(other))
    )
    await asyncio.sleep(0.015)
    assert bench.rung == []
    await until(lambda: bool(bench.rung))
    assert bench.rung == [one]
    await bench.runner.run((ef.CancelTimer(one),))


async def test_answers_reach_who_asked_and_a_question_handed_on_brings_the_peers_answer(bench: Bench) -> None:
    number, answer = bench.answers.open()
    await bench.runner.run((ef.Answer(number, ef.Refusal.NEEDS_FORCE), ef.Answer(999, None)))
    assert await answer is ef.Refusal.NEEDS_FORCE
    for told in (None, ef.Refusal.RESYNC_PENDING):
        bench.peer.answer = told
        number, answer = bench.answers.open()
        await bench.runner.run((ef.AskPeerSwitch(M1, PEER, number),))
        assert await answer is told
    bench.peer.answer = PeerError(PeerProblem.UNREACHABLE, peer=PEER)
    number, answer = bench.answers.open()
    await bench.runner.run((ef.AskPeerSwitch(M1, PEER, number),))
    with pytest.raises(PeerError):
        await answer


async def test_an_effect_that_fails_otherwise_does_not_stop_the_others(bench: Bench) -> None:
    bench.state.close()
    notify = ef.Notify(severity=ef.Severity.WARNING, message=ef.Message.PEER_FAILED, vdisk=M1)
    await bench.runner.run((notify, ef.Shutdown()))
    assert bench.shut_down == 1


def facts(**changes: Any) -> CopyFacts:
    return CopyFacts(current=5, role=Role.MASTER, size_bytes=1 << 20, **changes)


async def test_effects_of_an_event_have_run_before_the_next_is_decided() -> None:
    running = 0
    order: list[ef.Effect] = []

    async def run(effects: Sequence[ef.Effect]) -> list[ev.Event]:
        nonlocal running
        assert running == 0
        running += 1
        await asyncio.sleep(0.01)
        order.extend(effects)
        running -= 1
        return []

    engine = FakeEngine()
    loop = BrainLoop(NodeState(address=PeerAddress("10.0.0.1")), engine, run, quiet_log())
    loop.start()
    loop.post(ev.VDiskOpened(M1, None, facts()))
    await loop.feed(ev.VDiskOpened(VDiskName("M2"), None, facts()))
    assert order == [ef.ServeSingle(M1), ef.ServeSingle(VDiskName("M2"))]
    await loop.stop()


async def test_a_refused_command_is_decided_before_what_waited_longer() -> None:
    seen: list[ef.Effect] = []

    async def run(effects: Sequence[ef.Effect]) -> list[ev.Event]:
        seen.extend(effects)
        return [ev.CommandFailed(M1, ev.Command.SERVE_SINGLE)] if effects == (ef.ServeSingle(M1),) else []

    loop = BrainLoop(NodeState(address=PeerAddress("10.0.0.1")), FakeEngine(), run, quiet_log())
    loop.start()
    loop.post(ev.VDiskOpened(M1, None, facts()))
    await loop.feed(ev.VDiskOpened(VDiskName("M2"), None, facts()))
    engine_effects = [effect for effect in seen if isinstance(effect, ef.ServeSingle | ef.StopServing)]
    assert engine_effects == [
        ef.ServeSingle(M1),
        ef.StopServing(M1, ef.NotReady.UNAVAILABLE),
        ef.ServeSingle(VDiskName("M2")),
    ]
    await loop.stop()


async def test_held_reports_wait_until_the_news_was_told() -> None:
    async def run(_effects: Sequence[ef.Effect]) -> list[ev.Event]:
        return []

    engine = FakeEngine()
    loop = BrainLoop(NodeState(address=PeerAddress("10.0.0.1")), engine, run, quiet_log())
    loop.start()
    engine.tell("peer_up", peer=PEER)
    await asyncio.sleep(0.02)
    assert PEER not in loop.state.peers, "reports are taken before the node says so"
    loop.take_reports()
    with loop.hold_reports():
        await asyncio.sleep(0.02)
        assert PEER not in loop.state.peers
        with loop.hold_reports():
            await loop.feed(ev.VDiskOpened(M1, PEER, facts()))
        await asyncio.sleep(0.02)
        assert loop.state.peers[PEER].link.value == "down"
    await until(lambda: loop.state.peers[PEER].link.value == "up")
    await loop.stop()
