"""A node's notifications: one to every destination, without ever waiting for any of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final

from twindisk.node.log import Log
from twindisk.snmp.delivery import Delivery, Outcome
from twindisk.snmp.encoder import Encoder, Start, engine_id
from twindisk.snmp.health import Problem
from twindisk.snmp.notification import Notification, NotifyType
from twindisk.snmp.settings import Destination, TrapSettings

CLOSE_LIMIT_S: Final = 2.0
TEST_LIMIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Tested:
    """How a test notification to one destination fared."""

    destination: Destination
    outcome: Outcome


class Traps:
    """Sends notifications. ``now_s``: a clock that runs while the machine sleeps."""

    def __init__(self, settings: TrapSettings, start: Start, log: Log, now_s: Callable[[], float]) -> None:
        self.settings = settings
        self.engine_id = engine_id(settings, start.node_id)
        self._now_s = now_s
        self._started_s = now_s()
        encode = Encoder(settings, start, self._up_time_s)
        self.deliveries = tuple(Delivery(destination, encode, log) for destination in settings.destinations)

    def start(self) -> None:
        """Begin to send."""
        for delivery in self.deliveries:
            delivery.start()

    def send(self, type_: NotifyType, message: str) -> None:
        """Have a notification sent to every destination; returns at once."""
        notification = self._made(type_, message)
        for delivery in self.deliveries:
            delivery.submit(notification)

    async def test(self, message: str) -> list[Tested]:
        """Send a test notification to every destination and return what happened, within TEST_LIMIT_S."""
        notification = self._made(NotifyType.INFORMATION, message)
        asked: list[tuple[Delivery, Future[Outcome]]] = []
        for delivery in self.deliveries:
            outcome: Future[Outcome] = Future()
            delivery.submit(notification, outcome)
            asked.append((delivery, outcome))
        answers = [asyncio.wrap_future(outcome) for _, outcome in asked]
        if answers:
            await asyncio.wait(answers, timeout=TEST_LIMIT_S)
        tested = []
        for (delivery, _), answer in zip(asked, answers, strict=True):
            told = answer.result() if answer.done() else Outcome(Problem.NO_ANSWER)
            answer.cancel()
            tested.append(Tested(delivery.destination, told))
        return tested

    def close(self) -> None:
        """Send what waits, within CLOSE_LIMIT_S, and end. Blocks: use a thread."""
        for delivery in self.deliveries:
            delivery.close()
        end_s = time.monotonic() + CLOSE_LIMIT_S
        for delivery in self.deliveries:
            delivery.join(max(0.0, end_s - time.monotonic()))

    def _up_time_s(self) -> float:
        return self._now_s() - self._started_s

    def _made(self, type_: NotifyType, message: str) -> Notification:
        return Notification(type_, message, int(self._up_time_s() * 1000))
