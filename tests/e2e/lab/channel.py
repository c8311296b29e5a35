"""The host's end of a guest's control port: commands go in, what they print and their exit status come out."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from e2e.lab.command import TIMED_OUT, LabError, Result
from e2e.lab.frames import Frame, Kind, Reader, encode

GUEST_GONE = 255  # the status of a command whose guest ended before it
_SIGTERM, _SIGKILL = 15, 9
_PIECE = 262144


class GuestJob:
    """A command that runs in a guest."""

    def __init__(self, number: int, send: Callable[[Kind, int, bytes], None]) -> None:
        self._number = number
        self._send = send
        self._output = bytearray()
        self._status = 0
        self._ended = threading.Event()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self.output_bytes.decode("utf-8", "replace")

    @property
    def output_bytes(self) -> bytes:
        """What it has printed so far, as bytes."""
        return bytes(self._output)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._ended.is_set()

    def wait(self, timeout_s: float = 60) -> Result:
        """Wait for its end; when the time is up, end it: status 124 with the output so far.

        A command that hangs in the guest's kernel can't be ended; this returns all the same.
        """
        if self._ended.wait(timeout_s):
            return Result(self._status, self.output)
        for number, patience_s in ((_SIGTERM, 1.0), (_SIGKILL, 2.0)):
            self.kill(number)
            if self._ended.wait(patience_s):
                break
        return Result(TIMED_OUT, self.output)

    def kill(self, signal_number: int = _SIGTERM) -> None:
        """Send its whole process group a signal."""
        with contextlib.suppress(LabError):
            self._send(Kind.SIGNAL, self._number, bytes([signal_number]))

    def take(self, output: bytes) -> None:
        """Note what it printed."""
        self._output += output

    def end(self, status: int) -> None:
        """Note its end."""
        self._status = status
        self._ended.set()


class Channel:
    """The control port. One thread reads it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._lock = threading.Lock()
        self._jobs: dict[int, GuestJob] = {}
        self._last_number = 0
        self._closed = threading.Event()
        self._hello = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    @property
    def closed(self) -> bool:
        """Whether the guest is gone."""
        return self._closed.is_set()

    def connect(self, within_s: float, still_there: Callable[[], bool]) -> None:
        """Connect to QEMU's socket and wait until the guest's agent says hello."""
        end = time.monotonic() + within_s
        while True:
            try:
                self._socket.connect(str(self._path))
                break
            except OSError as error:
                if time.monotonic() > end or not still_there():
                    message = f"no control port at {self._path}: {error}"
                    raise LabError(message) from error
                time.sleep(0.02)
        self._thread.start()
        while not self._hello.wait(0.1):
            if time.monotonic() > end or not still_there():
                message = "the guest did not come up"
                raise LabError(message)

    def start(self, command: str, standard_input: bytes = b"") -> GuestJob:
        """Start a shell command."""
        with self._lock:
            self._last_number += 1
            job = self._jobs[self._last_number] = GuestJob(self._last_number, self._send)
            number = self._last_number
        text = command.encode()
        self._send(Kind.RUN, number, struct.pack(">I", len(text)) + text + standard_input)
        return job

    def close(self) -> None:
        """Close the port; the guest, if it is still there, powers itself off."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(5)
        self._socket.close()
        self._end_all()

    def _send(self, kind: Kind, number: int, payload: bytes) -> None:
        with self._lock:
            if self.closed:
                message = "the guest is gone"
                raise LabError(message)
            self._socket.sendall(encode(kind, number, payload))

    def _read(self) -> None:
        reader = Reader()
        with contextlib.suppress(OSError):
            while data := self._socket.recv(_PIECE):
                for frame in reader.feed(data):
                    self._take(frame)
        self._end_all()

    def _take(self, frame: Frame) -> None:
        if frame.kind is Kind.HELLO:
            self._hello.set()
        elif frame.kind is Kind.OUTPUT:
            self._jobs[frame.number].take(frame.payload)
        elif frame.kind is Kind.ENDED:
            self._jobs.pop(frame.number).end(frame.payload[0])

    def _end_all(self) -> None:
        self._closed.set()
        for job in list(self._jobs.values()):
            if not job.done:
                job.end(GUEST_GONE)
