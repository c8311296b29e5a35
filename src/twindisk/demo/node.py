"""One node of a demo: its daemon as a child process, and commands run on it as an operator would.

Rules:

* The daemon is ended by its process id, never by name; a daemon that somebody else started in its place is found by
  its pid file.
* Commands are the installed ones, found beside the running Python, with ``TWINDISK_ETC`` set to the node's directory.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from twindisk.api.schemas import MirrorView
from twindisk.client import NodeClient
from twindisk.demo.place import NodePlace
from twindisk.errors import ApiError, TwindiskError, UnreachableError
from twindisk.node.lock import running_pid

_START_S: Final = 20.0
_STOP_S: Final = 20.0
_COMMAND_S: Final = 60.0
_POLL_S: Final = 0.02
_LOG_TAIL_LINES: Final = 15


class NodeStartError(TwindiskError):
    """The daemon ended, or did not answer in time. ``log``: the last lines it printed."""

    def __init__(self, name: str, log: str) -> None:
        super().__init__(name, log)
        self.name = name
        self.log = log

    def __str__(self) -> str:
        return f"the daemon of {self.name} did not start:\n{self.log}"


class CommandFailedError(TwindiskError):
    """A command did not exit with 0. ``output``: what it printed, errors included."""

    def __init__(self, argv: tuple[str, ...], status: int, output: str) -> None:
        super().__init__(argv, status, output)
        self.argv = argv
        self.status = status
        self.output = output

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}: exit status {self.status}\n{self.output}"


class Node:
    """A node: :meth:`start` it, :meth:`run` commands on it, :meth:`kill` it."""

    def __init__(self, place: NodePlace, environment: Mapping[str, str] | None = None) -> None:
        self.place = place
        self._environment = {**os.environ, **(environment or {}), "TWINDISK_ETC": str(place.etc)}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        """The node's name."""
        return self.place.name

    @property
    def pid(self) -> int | None:
        """The process id of the daemon that runs, None when none does."""
        return running_pid(self.place.state_dir)

    @property
    def start_argv(self) -> list[str]:
        """The command that starts the daemon in the foreground, whatever the environment."""
        return [str(command_path("twindiskd")), "--etc", str(self.place.etc)]

    async def start(self) -> None:
        """Start the daemon and wait until it answers on its control socket. Raises :class:`NodeStartError`."""
        with self.place.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *self.start_argv, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        try:
            async with asyncio.timeout(_START_S):
                while not await self._answers():
                    if self._process.returncode is not None:
                        raise NodeStartError(self.name, self.log_tail())
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise NodeStartError(self.name, self.log_tail()) from None

    async def kill(self) -> None:
        """End the daemon with SIGKILL and wait until it is gone."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """Stop the daemon cleanly (it hands over to its peer); SIGKILL if that takes too long."""
        await self._end(signal.SIGTERM)

    async def run(self, *argv: str, status: int | None = 0) -> str:
        """Run one of our commands on this node and return what it printed, errors included.

        Raises :class:`CommandFailedError` unless it exits with ``status`` (None: any).
        """
        process = await asyncio.create_subprocess_exec(
            str(command_path(argv[0])),
            *argv[1:],
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
        )
        try:
            async with asyncio.timeout(_COMMAND_S):
                printed, _ = await process.communicate()
        except (TimeoutError, asyncio.CancelledError):
            process.kill()
            await process.wait()
            raise
        output = printed.decode("utf-8", "replace")
        if status is not None and process.returncode != status:
            raise CommandFailedError(argv, process.returncode or 0, output)
        return output

    async def mirror(self, vdisk: str) -> MirrorView | None:
        """Return how a VDisk's mirror stands, None when it has none or the node cannot be asked."""
        return await asyncio.to_thread(self._ask_mirror, vdisk)

    def log_tail(self) -> str:
        """Return the last lines that the daemon printed."""
        with contextlib.suppress(OSError):
            return "\n".join(self.place.output.read_text("utf-8", "replace").splitlines()[-_LOG_TAIL_LINES:])
        return ""

    def _ask_mirror(self, vdisk: str) -> MirrorView | None:
        with contextlib.suppress(ApiError, UnreachableError), NodeClient(self.place.socket_path) as client:
            return next((mirror for mirror in client.mirrors() if mirror.vdisk == vdisk), None)
        return None

    async def _answers(self) -> bool:
        try:
            _, writer = await asyncio.open_unix_connection(self.place.socket_path)
        except OSError:
            return False
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return self.pid is not None

    async def _end(self, how: signal.Signals) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + _STOP_S
        sent: int | None = None
        while (pid := self.pid) is not None:
            if pid != sent:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, how)
                sent = pid
            if loop.time() > end:
                how, sent, end = signal.SIGKILL, None, loop.time() + _STOP_S
            await asyncio.sleep(_POLL_S)
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.send_signal(how)
            await self._process.wait()
            self._process = None


def command_path(name: str) -> Path:
    """Return the path of an installed command of this package."""
    return Path(sys.executable).parent / name
