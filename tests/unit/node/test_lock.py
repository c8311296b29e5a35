import os
import subprocess
import sys
from pathlib import Path

import pytest

from twindisk.errors import StateError, StateProblem
from twindisk.node.lock import PID_FILE, PidLock, running_pid

HOLD = """
import sys, time
from pathlib import Path
from twindisk.node.lock import PidLock
lock = PidLock.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


@pytest.mark.promise("P9")
def test_a_second_daemon_on_the_directory_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateError) as raised:
            PidLock.take(tmp_path)
        assert raised.value.problem is StateProblem.LOCKED
        assert raised.value.fields["pid"] == str(holder.pid)
        assert running_pid(tmp_path) == holder.pid
        holder.kill()
    assert running_pid(tmp_path) is None
    PidLock.take(tmp_path).release()


def test_the_file_holds_the_pid_while_the_lock_is_held(tmp_path: Path) -> None:
    lock = PidLock.take(tmp_path / "new")
    assert (tmp_path / "new" / PID_FILE).read_text() == f"{os.getpid()}\n"
    lock.release()
    assert (tmp_path / "new" / PID_FILE).read_text() == ""


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateError) as raised:
        PidLock.take(tmp_path / "file" / "below")
    assert raised.value.problem is StateProblem.UNUSABLE
