"""The power switch of a node: what a machine's management controller is to a real one. Run as a script, by path.

    power.py run DIRECTORY COMMAND...   become the command, if the power is on; its pid is noted
    power.py off DIRECTORY              end what runs and keep it off, as the file ``bmc`` in the directory says
    power.py on DIRECTORY               allow it to be started again

Rules

* Everything happens under one lock: what ``off`` reported as off was not started meanwhile, and is not until ``on``.
* ``off`` succeeds only when the process, all its threads included, is gone. It never says so when it is not.

``bmc`` holds one word, and maybe seconds: ``works``; ``slow S``: works after S seconds; ``fails``: does nothing and says so;
``hangs``: does nothing for long; ``denies``: switches off, but says that it failed; ``stalls``: switches off and then hangs.
"""

import fcntl
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

LONG_S = 30.0
"""Far longer than any time limit of a fence command; one whose daemon died meanwhile is not left for ever."""
POWER_IS_OFF = 75
"""The exit status of a start that the switch did not allow."""


def locked(directory: Path) -> int:
    """Take the switch's lock; it is dropped with the process, or when the descriptor is closed."""
    descriptor = os.open(directory / "power.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def begun(pid: int) -> str:
    """Return when a process began, as the kernel counts it; empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def run(directory: Path, argv: list[str]) -> NoReturn:
    """Become a command, or exit if the power is off."""
    lock = locked(directory)
    if (directory / "off").exists():
        sys.stderr.write("the power is off\n")
        sys.exit(POWER_IS_OFF)
    (directory / "running").write_text(f"{os.getpid()} {begun(os.getpid())}")
    os.close(lock)
    os.execvp(argv[0], argv)  # noqa: S606 - the lock must not outlive this, and the pid must stay


def end_running(directory: Path) -> None:
    """End the process that was noted, if it is still the same, and wait until it is gone."""
    try:
        pid, since = (directory / "running").read_text().split()
        descriptor = os.pidfd_open(int(pid))
    except (OSError, ValueError):
        return
    if begun(int(pid)) == since:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [])
    os.close(descriptor)


def off(directory: Path) -> int:
    """Switch off."""
    mode, _, seconds = (directory / "bmc").read_text().partition(" ")
    if mode in ("hangs", "slow"):
        time.sleep(float(seconds or LONG_S))
    if mode in ("hangs", "fails"):
        return 1
    lock = locked(directory)
    (directory / "off").touch()
    end_running(directory)
    os.close(lock)
    if mode == "stalls":
        time.sleep(LONG_S)
    return 1 if mode == "denies" else 0


def main(arguments: list[str]) -> int:
    """Do what the arguments say."""
    what, directory = arguments[0], Path(arguments[1])
    if what == "run":
        run(directory, arguments[2:])
    if what == "off":
        return off(directory)
    lock = locked(directory)
    (directory / "off").unlink(missing_ok=True)
    os.close(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
