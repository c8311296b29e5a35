import subprocess
import sys
import time
from pathlib import Path

import pytest

from torture import power

SWITCH = [sys.executable, "-I", "-S", power.__file__]


def start(directory: Path) -> "subprocess.Popen[bytes]":
    running = [
        *SWITCH,
        "run",
        str(directory),
        sys.executable,
        "-I",
        "-S",
        "-c",
        "import time; print(flush=True); time.sleep(60)",
    ]
    process = subprocess.Popen(running, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    with process.stdout as printed:
        printed.readline()
    return process


def run(*argv: str) -> int:
    return subprocess.run([*SWITCH, *argv], check=False, timeout=60).returncode


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "bmc").write_text("works")
    return tmp_path


@pytest.mark.parametrize(("words", "status"), [("works", 0), ("slow 0.1", 0), ("denies", 1)])
def test_off_ends_the_process_and_keeps_it_from_starting(directory: Path, words: str, status: int) -> None:
    (directory / "bmc").write_text(words)
    process = start(directory)
    assert run("off", str(directory)) == status
    assert process.wait(timeout=1) == -9
    refused = start(directory)
    assert refused.wait(timeout=60) == power.POWER_IS_OFF
    assert run("on", str(directory)) == 0
    again = start(directory)
    again.kill()
    assert again.wait(timeout=60) == -9


def test_a_switch_that_fails_ends_nothing(directory: Path) -> None:
    (directory / "bmc").write_text("fails")
    process = start(directory)
    assert run("off", str(directory)) == 1
    assert process.poll() is None
    process.kill()
    process.wait(timeout=60)


def test_off_when_nothing_runs_is_success(directory: Path) -> None:
    assert run("off", str(directory)) == 0


def test_a_pid_that_another_process_has_by_now_is_left_alone(directory: Path) -> None:
    process = start(directory)
    (directory / "running").write_text(f"{process.pid} 1")
    assert run("off", str(directory)) == 0
    time.sleep(0.05)
    assert process.poll() is None
    process.kill()
    process.wait(timeout=60)
