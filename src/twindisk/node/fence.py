"""Run fence commands: one after the other until one exits 0, each with a time limit.

Rules:

* A command is the operator's shell line, run by ``/bin/sh -c`` in a session of its own with no input. Over its time
  limit, or when the run is cancelled, its whole process group is killed.
* Success is exit status 0 and nothing else: not a timeout, not a signal, not a command that cannot be started.
* Nothing is written to a disk, and output is never kept in full: a full or hanging filesystem cannot stop a fence.
* The run reports every attempt; it decides nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

OUTPUT_KEPT_BYTES = 2000
_SHELL = "/bin/sh"
_READ_BYTES = 1 << 16
_AGENT_DIRECTORIES = ("/usr/local/sbin", "/usr/sbin", "/sbin")
"""Where fence agents and their tools are, which is not on the path of a daemon that a user started."""


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
    try:
        words = _LastWords(loop)
    except OSError as error:
        return FenceAttempt(command, None, timed_out=False, output=str(error), seconds=0.0)
    with words:
        try:
            process = await asyncio.create_subprocess_exec(
                _SHELL,
                "-c",
                command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=words.end_of_command,
                stderr=words.end_of_command,
                start_new_session=True,
                env=environment(peer, os.environ),
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
        return FenceAttempt(command, status, timed_out, words.text(), loop.time() - begun)


def environment(peer: str, ours: Mapping[str, str]) -> dict[str, str]:
    """Return what a fence command finds in its environment: ours, the peer's mirror address, a path with the agents on it."""
    path = ours.get("PATH", os.defpath).split(":")
    path += [directory for directory in _AGENT_DIRECTORIES if directory not in path]
    return {**ours, "PATH": ":".join(path), "TWINDISK_PEER": peer}


class _LastWords:
    """A pipe that is always read and of which the end is kept. It is not read to its end, which a child left behind could hold open."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ours, self.end_of_command = os.pipe()
        os.set_blocking(self._ours, False)
        self._loop = loop
        self._kept = b""
        loop.add_reader(self._ours, self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._ours)
        os.close(self._ours)
        os.close(self.end_of_command)

    def text(self) -> str:
        """Return the last words so far."""
        self._read()  # a pipe holds no more than one read takes
        return self._kept.decode("utf-8", "replace").strip()

    def _read(self) -> None:
        with suppress(BlockingIOError):
            self._kept = (self._kept + os.read(self._ours, _READ_BYTES))[-OUTPUT_KEPT_BYTES:]


def _kill_group(pid: int) -> None:
    """Kill the command and its children; it leads a process group of its own number."""
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
