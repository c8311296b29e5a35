"""Simulated time: a queue of calls, in order of time and, at the same time, of scheduling."""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Final

MS: Final = 1_000_000
"""Nanoseconds of a millisecond."""
SECOND: Final = 1_000 * MS
"""Nanoseconds of a second."""


class Clock:
    """The one clock of a run. Time moves only in :meth:`run_until`."""

    def __init__(self) -> None:
        self.now_ns = 100 * SECOND
        self._queue: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def after(self, delay_ns: int, call: Callable[..., None], *args: Any) -> None:
        """Call something once, that much later."""
        self._count += 1
        heappush(self._queue, (self.now_ns + delay_ns, self._count, call, args))

    def run_until(self, end_ns: int, stop: Callable[[], bool] | None = None) -> None:
        """Let time pass until ``end_ns``, or until ``stop`` says so after a call."""
        queue = self._queue
        while queue and queue[0][0] <= end_ns:
            self.now_ns, _, call, args = heappop(queue)
            call(*args)
            if stop is not None and stop():
                return
        self.now_ns = end_ns
