"""A node of the run: its daemon in its own network namespace, behind a power switch.

Rules

* The switch alone starts and fences the daemon (see :mod:`torture.power`); everything else here is done by pid.
* :meth:`Machine.keep_running` starts the daemon again whenever it is down, after a while; nobody else does.
* A daemon may end because we killed it, because it was fenced or because it was told to stop. Any other end is a fault.
"""

import asyncio
import contextlib
import os
import random
import re
import shlex
import signal
import sys
import time
from pathlib import Path

from torture import power
from torture.timeline import Timeline
from twindisk.demo.node import Node, NodeStartError
from twindisk.demo.place import NodePlace

_POLL_S = 0.05
_STOP_LIMIT_S = 40.0
_UNFORESEEN = re.compile(r"Traceback|panicked|internal error|broke off|CRITICAL")


class DaemonEndedError(Exception):
    """A daemon ended though nobody ended it."""


def fence_command(victim: NodePlace) -> str:
    """Return the command that switches a node off."""
    return shlex.join([sys.executable, "-I", "-S", power.__file__, "off", str(victim.root)])


class Machine(Node):
    """One node."""

    def __init__(self, place: NodePlace, namespace: str, timeline: Timeline) -> None:
        super().__init__(place)
        self._namespace = namespace
        self._timeline = timeline
        self._frozen = 0
        self.down_until = 0.0
        """When it may be started again (``time.monotonic``), if somebody took it down."""
        self.stopping = False
        self.repair_s = (0.05, 4.0)
        self._told_to_stop = False
        self._was_up = True
        self._read_bytes = 0

    @property
    def start_argv(self) -> list[str]:
        """The command that starts the daemon in its namespace, if the power is on."""
        inside = ["nsenter", f"--net={self._namespace}", *super().start_argv]
        return [sys.executable, "-I", "-S", power.__file__, "run", str(self.place.root), *inside]

    def note(self, text: str) -> None:
        """Put something into the timeline."""
        self._timeline.note(self.name, text)

    def bmc(self, words: str) -> None:
        """Say how fence commands against this node go from now on."""
        draft = self.place.root / "bmc.new"
        draft.write_text(words)
        draft.replace(self.place.root / "bmc")

    @property
    def witness(self) -> Path:
        """The directory as which this node sees the witness; see :meth:`see_witness`."""
        return self.place.root / "witness"

    def see_witness(self, words: str) -> None:
        """Let the node see the witness (``works``), nothing (``gone``) or an empty directory (``empty``)."""
        share = self.place.root.parent / "share"
        for directory in (share, share.with_name("unmounted")):
            directory.mkdir(exist_ok=True)
        if words == "gone":
            self.witness.unlink(missing_ok=True)
            return
        draft = self.place.root / "witness.new"
        draft.symlink_to(share if words == "works" else share.with_name("unmounted"))
        draft.replace(self.witness)

    @property
    def runs(self) -> bool:
        """Whether the daemon's process is there."""
        return self._process is not None and self._process.returncode is None

    def send(self, what: signal.Signals) -> None:
        """Send the daemon a signal, if it runs."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, what)

    async def take_down(self, seconds: float) -> None:
        """Kill -9; it may be started again after so many seconds."""
        self.down_until = time.monotonic() + seconds
        self.send(signal.SIGKILL)
        if self._process is not None:
            await self._process.wait()

    async def switch_on(self) -> None:
        """Allow the daemon to be started again after it was fenced."""
        await asyncio.to_thread(power.main, ["on", str(self.place.root)])

    async def stop_cleanly(self, seconds: float) -> None:
        """Tell the daemon to stop; it may be started again so many seconds after its end."""
        process = self._process
        if process is None or process.returncode is not None or self.stopping:
            return
        self.stopping = self._told_to_stop = True
        try:
            self.send(signal.SIGTERM)
            began = time.monotonic()
            try:
                async with asyncio.timeout(_STOP_LIMIT_S):
                    await process.wait()
            except TimeoutError:
                self.note(f"has not stopped within {_STOP_LIMIT_S} s")
                raise
            self.note(f"stopped after {time.monotonic() - began:.2f} s with status {process.returncode}")
            self.down_until = max(self.down_until, time.monotonic() + seconds)
        finally:
            self.stopping = False

    async def freeze(self, seconds: float) -> None:
        """Stop the process in its tracks for so long."""
        self._frozen += 1
        self.send(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self._frozen -= 1
            if not self._frozen:
                self.send(signal.SIGCONT)

    async def keep_running(self, chance: random.Random) -> None:
        """Start the daemon whenever it is down; ends with an exception when it ended by itself."""
        while True:
            await asyncio.sleep(_POLL_S)
            if self.runs or self.stopping:
                continue
            self._check_end()
            now = time.monotonic()
            if self.down_until <= now and self._process is not None:
                self.down_until = now + chance.uniform(*self.repair_s)
                self.note("is down")
            self._process = None
            if now < self.down_until:
                continue
            await self.switch_on()
            self.note("starts")
            self._told_to_stop = self._was_up = False
            try:
                await self.start()
                self._was_up = True
            except NodeStartError:
                self.note("does not answer")

    def complaints(self) -> list[str]:
        """Return the lines since the last call in which the daemon says that it met what it did not foresee."""
        with self.place.output.open("rb") as log:
            log.seek(self._read_bytes)
            news = log.read()
            self._read_bytes = log.tell()
        return [line for line in news.decode("utf-8", "replace").splitlines() if _UNFORESEEN.search(line)]

    def _check_end(self) -> None:
        status = None if self._process is None else self._process.returncode
        expected = {None, power.POWER_IS_OFF, -signal.SIGKILL}
        if self._told_to_stop:
            # One that is told before it listens to signals ends by them.
            expected |= {0} if self._was_up else {0, -signal.SIGTERM}
        if status not in expected:
            message = f"the daemon of {self.name} ended by itself with status {status}:\n{self.log_tail()}"
            raise DaemonEndedError(message)
