"""The guest's process 1 once it is up: runs the commands that come over the control port and adopts orphans.

Frames as in ``frames.py``. When the host's side of the port closes, the guest powers itself off: it has nothing worth keeping.
"""

import contextlib
import os
import select
import signal
import struct
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from frames import Frame, Kind, Reader, encode  # type: ignore[import-not-found,unused-ignore]

PORT_NAME = "e2e.control"
_PIECE = 65536


@dataclass
class Job:
    """A command that runs: its process group, and the pipe of its output (None when that was closed)."""

    number: int
    output: int | None


def power_off() -> None:
    Path("/proc/sysrq-trigger").write_text("o", "ascii")
    time.sleep(60)


def open_port() -> int:
    """Open the control port, which appears some time after boot."""
    for _ in range(500):
        for device in Path("/sys/class/virtio-ports").glob("*"):
            with contextlib.suppress(OSError):
                if (device / "name").read_text("ascii").strip() == PORT_NAME:
                    return os.open(f"/dev/{device.name}", os.O_RDWR | os.O_CLOEXEC)
        time.sleep(0.02)
    return -1


class Agent:
    def __init__(self, port: int) -> None:
        self.port = port
        self.jobs: dict[int, Job] = {}  # by process id
        self.reader = Reader()
        self.woken, waker = os.pipe()
        for end in (self.woken, waker):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        self.send(Kind.HELLO, 0)
        while True:
            pipes = {job.output: job for job in self.jobs.values() if job.output is not None}
            ready, _, _ = select.select([self.port, self.woken, *pipes], [], [], 1.0)
            if self.woken in ready:
                os.read(self.woken, 4096)
            for pipe in ready:
                if pipe in pipes:
                    self.pass_on(pipes[pipe])
            self.reap()
            if self.port in ready:
                data = os.read(self.port, _PIECE)
                if not data:
                    return
                for frame in self.reader.feed(data):
                    self.obey(frame)

    def send(self, kind: Kind, number: int, payload: bytes = b"") -> None:
        data = encode(kind, number, payload)
        while data:
            data = data[os.write(self.port, data) :]

    def obey(self, frame: Frame) -> None:
        if frame.kind is Kind.RUN:
            self.start(frame.number, frame.payload)
        elif frame.kind is Kind.SIGNAL:
            for process, job in self.jobs.items():
                if job.number == frame.number:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process, frame.payload[0])

    def start(self, number: int, payload: bytes) -> None:
        """Start ``sh -c``; the payload is the command's length (4 bytes, big-endian), the command, its standard input."""
        (length,) = struct.unpack_from(">I", payload)
        command, standard_input = payload[4 : 4 + length], payload[4 + length :]
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        process = os.fork()
        if process == 0:
            try:
                become(command, standard_input, write_end)
            finally:
                os._exit(127)
        os.close(write_end)
        self.jobs[process] = Job(number, read_end)

    def pass_on(self, job: Job) -> bool:
        """Send one piece of a job's output; return whether there may be more."""
        if job.output is None:
            return False
        try:
            data = os.read(job.output, _PIECE)
        except BlockingIOError:
            return False
        if not data:
            os.close(job.output)
            job.output = None
            return False
        self.send(Kind.OUTPUT, job.number, data)
        return True

    def reap(self) -> None:
        """Take leave of processes that ended. A job is over when its shell is, whoever still holds its output."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if process == 0:
                return
            job = self.jobs.pop(process, None)
            if job is None:
                continue
            while self.pass_on(job):
                pass
            if job.output is not None:
                os.close(job.output)
            code = os.waitstatus_to_exitcode(status)
            self.send(Kind.ENDED, job.number, bytes([code if code >= 0 else 128 - code]))


def become(command: bytes, standard_input: bytes, output: int) -> None:
    """Turn a forked child into the command."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    source = os.open("/dev/null", os.O_RDONLY)
    if standard_input:
        source = os.memfd_create("input")
        with open(source, "wb", closefd=False) as file:
            file.write(standard_input)
        os.lseek(source, 0, os.SEEK_SET)
    os.dup2(source, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir("/root")
    os.execv("/bin/sh", [b"/bin/sh", b"-c", command])  # noqa: S606 - it is the shell


if __name__ == "__main__":
    port = open_port()
    try:
        if port >= 0:
            Agent(port).serve()
    except Exception as error:  # noqa: BLE001 - process 1 must not end: its last words go to the console
        sys.stderr.write(f"agent: {error!r}\n")
    power_off()
