"""The fence runs the brain asked for: at most one command per peer at a time, outcomes by run number.

A cancelled run's command is killed and gone before a newer run for the same peer starts its own; it reports nothing.
Every other run reports an outcome, come what may: held I/O waits for it. Passwords in commands and their output are not logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from twindisk.brain.effects import RunFence
from twindisk.brain.events import Event, FenceFailed, FenceSucceeded
from twindisk.brain.model import PeerAddress
from twindisk.node.fence import FenceAttempt, run_fence
from twindisk.node.fence_text import output_without_secrets, without_secrets
from twindisk.node.log import Log


@dataclass(frozen=True, slots=True)
class _Run:
    number: int
    task: asyncio.Task[None]


class FenceRuns:
    """Runs fence commands and posts how they ended."""

    def __init__(self, post: Callable[[Event], None], log: Log) -> None:
        self._post = post
        self._log = log
        self._runs: dict[PeerAddress, _Run] = {}

    def start(self, effect: RunFence) -> None:
        """Start a run; an older one of the same peer is cancelled first."""
        older = self._runs.get(effect.peer)
        if older is not None:
            older.task.cancel()
        task = asyncio.create_task(self._run(effect, older), name=f"fence {effect.peer} {effect.run}")
        self._runs[effect.peer] = _Run(effect.run, task)

    def cancel(self, peer: PeerAddress, number: int) -> None:
        """End a run's command; nothing when the run is over or another one."""
        run = self._runs.get(peer)
        if run is not None and run.number == number:
            run.task.cancel()

    async def stop(self) -> None:
        """End all runs and wait until their commands are gone."""
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, effect: RunFence, older: _Run | None) -> None:
        if older is not None:
            await asyncio.wait({older.task})
        log = self._log.bind(peer=effect.peer, run=effect.run)
        log.warning("fencing the peer", commands=len(effect.commands))

        def report(attempt: FenceAttempt) -> None:
            log.log(
                30 if attempt.succeeded else 40,
                "fence command succeeded" if attempt.succeeded else "fence command failed",
                command=without_secrets(attempt.command),
                exit_status=attempt.exit_status,
                timed_out=attempt.timed_out,
                seconds=round(attempt.seconds, 3),
                output=output_without_secrets(attempt.output, attempt.command) or None,
            )

        try:
            succeeded = await run_fence(effect.peer, effect.commands, effect.limit_ms / 1000, report)
        except Exception:  # no outcome would hold the VDisks' I/O for ever
            log.exception("fencing broke off")
            succeeded = False
        self._post((FenceSucceeded if succeeded else FenceFailed)(effect.peer, effect.run))
