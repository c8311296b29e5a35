"""Run what the brain decided: in order, each effect done before the next, what is durable before what is seen.

Rules:

* An engine command that raises becomes ``CommandFailed`` for the brain; the effects after it still run.
* Nothing here waits for the network, a fence command or a witness: those run as tasks of their own and report by events.
* An effect that fails in any other way is logged with its traceback; it must not stop the effects after it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol, assert_never

from twindisk.brain import effects as ef
from twindisk.brain.events import Command, CommandFailed, Event
from twindisk.errors import EngineError, TwindiskError
from twindisk.node.answers import Answers
from twindisk.node.claim_runs import ClaimRuns
from twindisk.node.engine import EnginePort
from twindisk.node.fence_runs import FenceRuns
from twindisk.node.log import Log
from twindisk.node.notices import Notices
from twindisk.node.timers import Timers

_COMMANDS: dict[type[ef.EngineEffect], Command] = {
    ef.ServeSingle: Command.SERVE_SINGLE,
    ef.Attach: Command.ATTACH,
    ef.GoAlone: Command.GO_ALONE,
    ef.StopServing: Command.STOP_SERVING,
    ef.Leave: Command.LEAVE,
    ef.SwitchRoles: Command.SWITCH_ROLES,
}


class AsksPeer(Protocol):
    """Asks a peer to give up the Master role of a VDisk."""

    async def switch_to_slave(self, peer: str, vdisk: str) -> ef.Refusal | None:
        """Return the peer's refusal, None when it does it. Raises PeerError."""
        ...


class EffectRunner:
    """Carries out effects. ``shutdown`` is called once the brain is done with a stop."""

    def __init__(
        self,
        *,
        engine: EnginePort,
        timers: Timers,
        fences: FenceRuns,
        claims: ClaimRuns,
        notices: Notices,
        answers: Answers,
        peer: AsksPeer,
        shutdown: Callable[[], None],
        log: Log,
    ) -> None:
        self._engine = engine
        self._timers = timers
        self._fences = fences
        self._claims = claims
        self._notices = notices
        self._answers = answers
        self._peer = peer
        self._shutdown = shutdown
        self._log = log
        self._asking: set[asyncio.Task[None]] = set()

    async def run(self, effects: Sequence[ef.Effect]) -> list[Event]:
        """Run the effects of one decision; return what the brain must know at once."""
        follow_ups: list[Event] = []
        for effect in effects:
            if isinstance(effect, ef.EngineEffect):
                failed = await self._command(effect)
                if failed is not None:
                    follow_ups.append(failed)
                continue
            try:
                self._act(effect)
            except Exception:  # noqa: BLE001 - one effect must not stop the others
                self._log.exception("an effect failed", effect=repr(effect))
        return follow_ups

    async def _command(self, effect: ef.EngineEffect) -> CommandFailed | None:
        try:
            await asyncio.to_thread(self._call_engine, effect)
        except EngineError as error:
            command = _COMMANDS[type(effect)]
            self._log.warning(
                "the engine refused",
                command=command.value,
                vdisk=effect.vdisk,
                problem=error.problem,
                errno=error.errno,
            )
            return CommandFailed(effect.vdisk, command)
        except Exception:  # noqa: BLE001 - see below
            # A fault of ours. The brain must go on deciding: to it, a command that was not carried out.
            self._log.exception("an engine command failed", effect=repr(effect))
            return CommandFailed(effect.vdisk, _COMMANDS[type(effect)])
        return None

    def _call_engine(self, effect: ef.EngineEffect) -> None:
        engine = self._engine
        match effect:
            case ef.ServeSingle(vdisk):
                engine.serve_single(vdisk)
            case ef.Attach():
                engine.attach(
                    effect.vdisk,
                    role=effect.role.value,
                    sync=effect.sync.value,
                    epoch=effect.epoch,
                    generation=effect.generation,
                    local_seq=effect.local_seq,
                    remote_seq=effect.remote_seq,
                )
            case ef.GoAlone():
                engine.go_alone(effect.vdisk, generation=effect.generation, epoch=effect.epoch, fenced=effect.fenced)
            case ef.StopServing(vdisk, not_ready):
                engine.stop_serving(vdisk, state=not_ready.value)
            case ef.Leave(vdisk):
                engine.leave(vdisk)
            case ef.SwitchRoles(vdisk):
                engine.switch_roles(vdisk)
            case _ as never:
                assert_never(never)

    def _act(
        self,
        effect: ef.RunFence
        | ef.CancelFence
        | ef.RunClaim
        | ef.CancelClaim
        | ef.StartTimer
        | ef.CancelTimer
        | ef.Notify
        | ef.Log
        | ef.Answer
        | ef.AskPeerSwitch
        | ef.Shutdown,
    ) -> None:
        match effect:
            case ef.RunFence() | ef.CancelFence() | ef.RunClaim() | ef.CancelClaim():
                self._check(effect)
            case ef.StartTimer(timer, after_ms):
                self._timers.start(timer, after_ms)
            case ef.CancelTimer(timer):
                self._timers.cancel(timer)
            case ef.Notify():
                self._notices.notify(effect)
            case ef.Log():
                self._notices.log(effect)
            case ef.Answer(request, refusal):
                self._answers.give(request, refusal)
            case ef.AskPeerSwitch():
                task = asyncio.create_task(self._ask(effect), name=f"ask {effect.peer} to switch {effect.vdisk}")
                self._asking.add(task)
                task.add_done_callback(self._asking.discard)
            case ef.Shutdown():
                self._shutdown()
            case _ as never:
                assert_never(never)

    def _check(self, effect: ef.RunFence | ef.CancelFence | ef.RunClaim | ef.CancelClaim) -> None:
        match effect:
            case ef.RunFence():
                self._fences.start(effect)
            case ef.CancelFence(peer, run):
                self._fences.cancel(peer, run)
            case ef.RunClaim():
                self._claims.start(effect)
            case ef.CancelClaim(vdisk, run):
                self._claims.cancel(vdisk, run)
            case _ as never:
                assert_never(never)

    async def _ask(self, effect: ef.AskPeerSwitch) -> None:
        try:
            self._answers.give(effect.request, await self._peer.switch_to_slave(effect.peer, effect.vdisk))
        except TwindiskError as error:
            self._answers.fail(effect.request, error)
