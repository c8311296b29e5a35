"""Processes of this machine that the lab starts: they end with the test process, whatever ends that, and only by their id."""

import contextlib
import os
import signal
import subprocess
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from e2e.lab.command import TIMED_OUT, Result

# The kernel kills such a process when the thread that started it ends: one thread starts them all, and lives as long as we do.
_END_WITH_US = ("setpriv", "--pdeathsig", "KILL")
_starter = ThreadPoolExecutor(1, thread_name_prefix="starter")


def start_process(
    command: Sequence[str],
    *,
    output: IO[bytes],
    errors: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that is killed when this one ends. ``output``: where it writes, also errors when ``errors`` is None."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*_END_WITH_US, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors if errors is not None else subprocess.STDOUT,
            env=environment,
        )

    return _starter.submit(start).result()


class ProcessJob:
    """A command as a process of this machine (in whatever namespaces), with its output in a file of its own."""

    def __init__(self, command: Sequence[str], standard_input: bytes = b"") -> None:
        # Files in memory: no reader has to keep up, and a child that stays behind holds nobody up.
        self._output = os.memfd_create("output")
        weakref.finalize(self, os.close, self._output)
        source = os.memfd_create("input")
        try:
            _write_all(source, standard_input)
            self._process = subprocess.Popen(
                command, stdin=source, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True
            )
        finally:
            os.close(source)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.output_bytes.decode("utf-8", "replace")

    @property
    def output_bytes(self) -> bytes:
        """What it has printed so far, as bytes."""
        return os.pread(self._output, os.fstat(self._output).st_size, 0)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def wait(self, timeout_s: float = 60) -> Result:
        """Wait for its end; when the time is up, end it: status 124 with the output so far."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill(signal.SIGKILL)
            self._process.wait()
            status = TIMED_OUT
        return Result(status if status >= 0 else 128 - status, self.output)

    def kill(self, signal_number: int = signal.SIGTERM) -> None:
        """Send its whole process group a signal."""
        if not self.done:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal_number)


def _write_all(descriptor: int, data: bytes) -> None:
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)


def start_time(pid: int) -> str | None:
    """Return when a process was started, in clock ticks since boot (tells it from a later one of its number); None: no such."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return None
    return after_name.split()[19]
