"""One daemon per state directory: a lock on ``twindiskd.pid``, which also tells others (fence commands) the daemon's pid.

The kernel drops the lock when the process ends, however it ends; a pid in a file that is not locked means nothing.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from twindisk.errors import StateError, StateProblem

PID_FILE = "twindiskd.pid"


class PidLock:
    """The held lock. Keep it until the daemon ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> PidLock:
        """Make the directory if needed and lock it. Raises StateError: LOCKED with the other daemon's pid, or UNUSABLE."""
        path = directory / PID_FILE
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StateError(StateProblem.UNUSABLE, directory=str(directory), detail=error.strerror) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise StateError(StateProblem.LOCKED, directory=str(directory), pid=other or "unknown") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        return cls(descriptor)

    def release(self) -> None:
        """Empty the file and drop the lock. The file stays: removing it would let two daemons lock two files."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def running_pid(directory: Path) -> int | None:
    """Return the pid of the daemon that holds the directory, None when none does."""
    try:
        descriptor = os.open(directory / PID_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
        return int(text) if text.isdigit() else None
    finally:
        os.close(descriptor)
    return None
