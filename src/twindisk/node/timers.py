"""The brain's timers: one per name, the newest counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twindisk.brain.effects import Timer


class Timers:
    """Running timers. ``expired`` is called with the timer's name, never after it was cancelled or replaced."""

    def __init__(self, expired: Callable[[Timer], None]) -> None:
        self._expired = expired
        self._running: dict[Timer, asyncio.TimerHandle] = {}

    def start(self, timer: Timer, after_ms: int) -> None:
        """Start a timer, or start it anew."""
        self.cancel(timer)
        self._running[timer] = asyncio.get_running_loop().call_later(after_ms / 1000, self._ring, timer)

    def cancel(self, timer: Timer) -> None:
        """Forget a timer; one that does not run is none."""
        handle = self._running.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        """Forget all timers."""
        for timer in list(self._running):
            self.cancel(timer)

    def _ring(self, timer: Timer) -> None:
        del self._running[timer]
        self._expired(timer)
