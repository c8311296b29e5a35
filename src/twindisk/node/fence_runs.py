"""The fence runs the brain asked for: at most one command per peer at a time, outcomes by run number.

A cancelled run's command is killed and gone before a newer run for the same peer starts its own; it reports nothing.
Every other run reports an outcome, come what may: held I/O waits for it. Passwords in commands and their output are not logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from twindisk.brain.effects import RunFence
from twindisk.brain.events import Event, FenceFailed, FenceSucceeded
from twindisk.brain.model import PeerAddress
from twindisk.node.fence import FenceAttempt, run_fence
from twindisk.node.fence_text import output_without_secrets, without_secrets
from twindisk.node.log import Log
from twindisk.node.runs import Runs


class FenceRuns:
    """Runs fence commands and posts how they ended."""

    def __init__(self, post: Callable[[Event], None], log: Log) -> None:
        self._post = post
        self._log = log
        self._runs: Runs[PeerAddress] = Runs("fence")

    def start(self, effect: RunFence) -> None:
        """Start a run; an older one of the same peer is cancelled first."""
        self._runs.start(effect.peer, effect.run, lambda older: self._run(effect, older))

    def cancel(self, peer: PeerAddress, number: int) -> None:
        """End a run's command; nothing when the run is over or another one."""
        self._runs.cancel(peer, number)

    async def stop(self) -> None:
        """End all runs and wait until their commands are gone."""
        await self._runs.stop()

    async def _run(self, effect: RunFence, older: asyncio.Task[None] | None) -> None:
        if older is not None:
            await asyncio.wait({older})
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
