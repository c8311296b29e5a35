"""What the shell does in the background for the brain: one counted run per key at a time, told apart by their numbers.

A newer run of a key cancels the older one. What a run reports, and that it does so come what may, is the business of its body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Run:
    number: int
    task: asyncio.Task[None]


class Runs(Generic[Key]):
    """The latest run of each key."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._runs: dict[Key, _Run] = {}

    def start(
        self, key: Key, number: int, body: Callable[[asyncio.Task[None] | None], Coroutine[Any, Any, None]]
    ) -> None:
        """Start a run; an older one of the same key is cancelled, and given to the body."""
        older = self._runs.get(key)
        if older is not None:
            older.task.cancel()
        begun = body(None if older is None else older.task)
        self._runs[key] = _Run(number, asyncio.create_task(begun, name=f"{self._kind} {key} {number}"))

    def cancel(self, key: Key, number: int) -> None:
        """Cancel a run; nothing when it is over or another one."""
        run = self._runs.get(key)
        if run is not None and run.number == number:
            run.task.cancel()

    async def stop(self) -> None:
        """Cancel all runs and wait until they have ended."""
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
