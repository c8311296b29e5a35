"""The one place where the brain's state lives: events in, one decision at a time, effects out in order.

Rules:

* One task decides. The effects of an event have run before the next event is decided.
* What an effect reports back (a refused engine command) is decided before anything that waits.
* Engine reports are taken only while nobody holds them (:meth:`BrainLoop.hold_reports`): who changes the engine and then
  tells the brain about it does both under one hold, so that no report of the change overtakes the news of it.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from twindisk.brain import FreshIds, NodeState, decide
from twindisk.brain.effects import Effect
from twindisk.brain.events import Event
from twindisk.brain.reports import event_from_report
from twindisk.node.engine import EnginePort
from twindisk.node.log import Log

RunEffects = Callable[[Sequence[Effect]], Awaitable[list[Event]]]
Listener = Callable[[dict[str, Any]], None]
Afterwards = Callable[[Event, NodeState], None]
Before = Callable[[NodeState, NodeState], None]


def boottime_ns() -> int:
    """Return CLOCK_BOOTTIME, the brain's and the engine's clock."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _Waiting:
    """An event, and who waits until its effects have run."""

    event: Event
    done: asyncio.Future[None] | None = None


class BrainLoop:
    """Feeds the brain and has its effects run."""

    def __init__(
        self,
        state: NodeState,
        engine: EnginePort,
        run_effects: RunEffects,
        log: Log,
        on_report: Listener | None = None,
        on_decided: Afterwards | None = None,
        before_effects: Before | None = None,
    ) -> None:
        """``on_report`` hears of every report before it is decided, ``on_decided`` of every event after its effects, with the state before.

        ``before_effects`` gets the states before and after a decision when nothing of it has been done yet.
        """
        self._state = state
        self._engine = engine
        self._run_effects = run_effects
        self._log = log
        self._on_report = on_report
        self._on_decided = on_decided
        self._before_effects = before_effects
        self._queue: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._holds = 1
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> NodeState:
        """The brain's present state."""
        return self._state

    def start(self) -> None:
        """Begin to decide; the engine's reports wait for :meth:`take_reports`."""
        self._task = asyncio.create_task(self._run(), name="brain")

    def take_reports(self) -> None:
        """Begin to take the engine's reports."""
        self._release()

    async def stop(self) -> None:
        """End without deciding what still waits."""
        self._hold()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for waiting in self._queue:
            if waiting.done is not None:
                waiting.done.cancel()
        self._queue.clear()

    def post(self, event: Event) -> None:
        """Queue an event."""
        self._queue.append(_Waiting(event))
        self._wake.set()

    async def feed(self, event: Event) -> None:
        """Queue an event and wait until its effects have run."""
        done = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(event, done))
        self._wake.set()
        await done

    @contextmanager
    def hold_reports(self) -> Iterator[None]:
        """Leave the engine's reports where they are for the length of the block."""
        self._hold()
        try:
            yield
        finally:
            self._release()

    def _hold(self) -> None:
        self._holds += 1
        if self._holds == 1:
            asyncio.get_running_loop().remove_reader(self._engine.event_fd())

    def _release(self) -> None:
        self._holds -= 1
        if self._holds == 0:
            asyncio.get_running_loop().add_reader(self._engine.event_fd(), self._take_reports)

    def _take_reports(self) -> None:
        for report in self._engine.take_events():
            if self._on_report is not None:
                self._on_report(report)
            event = event_from_report(report)
            if event is not None:
                self.post(event)

    async def _run(self) -> None:
        while True:
            while self._queue:
                waiting = self._queue.popleft()
                await self._decide(waiting.event)
                if waiting.done is not None and not waiting.done.done():
                    waiting.done.set_result(None)
            self._wake.clear()
            await self._wake.wait()

    async def _decide(self, event: Event) -> None:
        fresh, before = FreshIds(secrets.token_bytes(32)), self._state
        try:
            self._state, effects = decide(self._state, event, boottime_ns(), fresh)
        except Exception:  # noqa: BLE001 - see below
            # A fault of the brain itself: it has decided nothing, the engine goes on as it was, and we say so.
            self._log.exception("the brain failed", decided=repr(event))
            return
        self._log.debug("decided", on=repr(event), effects=[repr(effect) for effect in effects])
        if self._before_effects is not None:
            self._before_effects(before, self._state)
        follow_ups = await self._run_effects(effects)
        self._queue.extendleft(_Waiting(follow_up) for follow_up in reversed(follow_ups))
        if self._on_decided is not None:
            self._on_decided(event, before)
