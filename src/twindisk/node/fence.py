"""Run fence commands: one after the other until one exits 0, each with a time limit.

Rules:

* A command is the operator's shell line, run by ``/bin/sh -c`` in a session of its own with no input. Over its time
  limit, or when the run is cancelled, its whole process group is killed.
* Success is exit status 0 and nothing else: not a timeout, not a signal, not a command that cannot be started.
* The run reports every attempt; it decides nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

OUTPUT_KEPT_BYTES = 2000
_SHELL = "/bin/sh"


@dataclass(frozen=True, slots=True)
class FenceAttempt:
    """How one command went. ``exit_status`` None: killed at its time limit, or not started. ``output``: its last words."""

    command: str
    exit_status: int | None
    timed_out: bool
    output: str
    seconds: float

    @property
    def succeeded(self) -> bool:
        """Return whether the peer counts as fenced."""
        return self.exit_status == 0 and not self.timed_out


async def run_fence(peer: str, commands: Sequence[str], limit_s: float, report: Callable[[FenceAttempt], None]) -> bool:
    """Try the commands in turn; return True at the first that exits 0, False when none did.

    ``report`` is called after each attempt. Cancelling kills the command that runs.
    """
    for command in commands:
        attempt = await _attempt(peer, command, limit_s)
        report(attempt)
        if attempt.succeeded:
            return True
    return False


async def _attempt(peer: str, command: str, limit_s: float) -> FenceAttempt:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    # A file, not a pipe: a child that the command leaves behind could hold a pipe open beyond the command's end.
    with tempfile.TemporaryFile() as output:
        try:
            process = await asyncio.create_subprocess_exec(
                _SHELL,
                "-c",
                command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "TWINDISK_PEER": peer},
            )
        except OSError as error:
            return FenceAttempt(command, None, timed_out=False, output=str(error), seconds=loop.time() - begun)
        timed_out = False
        try:
            await asyncio.wait_for(process.wait(), limit_s)
        except TimeoutError:
            timed_out = True
        finally:
            if process.returncode is None:
                _kill_group(process.pid)
                await process.wait()
        status = None if timed_out else process.returncode
        return FenceAttempt(command, status, timed_out, _last_words(output), loop.time() - begun)


def _last_words(output: IO[bytes]) -> str:
    end = output.seek(0, os.SEEK_END)
    output.seek(max(0, end - OUTPUT_KEPT_BYTES))
    return output.read().decode("utf-8", "replace").strip()


def _kill_group(pid: int) -> None:
    """Kill the command and its children; it leads a process group of its own number."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
