"""The demo's fence command: ``python -m twindisk.demo.fence STATE_DIR`` ends the daemon that owns a state directory.

It stands in for a power switch: SIGKILL, then wait until the process is gone. Exit status 0 only if no daemon runs there
any more. The pid file alone is not believed: the lock on it must be held, and the process must be that daemon.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from twindisk.node.lock import running_pid

_PATIENCE_S: Final = 10.0
_POLL_S: Final = 0.005


def fence(state_dir: Path) -> bool:
    """Kill the daemon of ``state_dir``; return whether none runs there any more."""
    end = time.monotonic() + _PATIENCE_S
    killed: int | None = None
    while time.monotonic() < end:
        pid = running_pid(state_dir)
        if pid is None:
            return not _lock_is_held(state_dir)
        if pid != killed and _is_daemon(pid):
            os.kill(pid, signal.SIGKILL)
            killed = pid
        time.sleep(_POLL_S)
    return False


def _is_daemon(pid: int) -> bool:
    """Say whether the process is a twindiskd; one that is gone, or another's, is not."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(b"twindiskd" in argument or b"twindisk.node" in argument for argument in arguments)


def _lock_is_held(state_dir: Path) -> bool:
    """Say whether a daemon holds the lock though its pid cannot be read (it has just started)."""
    time.sleep(_POLL_S)
    return running_pid(state_dir) is not None


def main() -> int:
    """Run the command."""
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and its one argument
        sys.stderr.write("usage: python -m twindisk.demo.fence STATE_DIR\n")
        return 2
    return 0 if fence(Path(sys.argv[1])) else 1


if __name__ == "__main__":
    sys.exit(main())
