import asyncio
import os
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from fakes.nodes import quiet_log, until
from twindisk.brain.effects import RunFence
from twindisk.brain.events import Event, FenceFailed, FenceSucceeded
from twindisk.brain.model import PeerAddress
from twindisk.node.fence import FenceAttempt, environment, run_fence
from twindisk.node.fence_runs import FenceRuns
from twindisk.node.log import Log

PEER = PeerAddress("10.0.0.2")


async def fence(*commands: str, limit_s: float = 5.0) -> tuple[bool, list[FenceAttempt]]:
    attempts: list[FenceAttempt] = []
    return await run_fence(PEER, commands, limit_s, attempts.append), attempts


async def test_the_first_command_that_exits_0_ends_the_run() -> None:
    succeeded, attempts = await fence("echo no; exit 3", "echo $TWINDISK_PEER", "exit 1")
    assert succeeded
    assert [(attempt.exit_status, attempt.output) for attempt in attempts] == [(3, "no"), (0, PEER)]


async def test_no_command_that_exits_0_is_a_failure() -> None:
    succeeded, attempts = await fence("false", "kill -9 $$", "no-such-command-anywhere")
    assert not succeeded
    assert [attempt.exit_status for attempt in attempts] == [1, -9, 127]
    assert not (await fence())[0]


async def test_a_command_over_its_limit_is_killed_with_all_its_children(tmp_path: Path) -> None:
    pid_file = tmp_path / "child"
    begun = time.monotonic()
    succeeded, attempts = await fence(f"sleep 60 & echo $! > {pid_file}; wait", limit_s=0.3)
    assert not succeeded
    assert attempts[0].timed_out
    assert time.monotonic() - begun < 5
    await until(lambda: is_gone(int(pid_file.read_text())))


async def test_a_child_left_behind_does_not_delay_success() -> None:
    begun = time.monotonic()
    succeeded, _ = await fence("sleep 3 & exit 0")
    assert succeeded
    assert time.monotonic() - begun < 2


async def test_a_command_that_talks_without_end_is_cut_to_its_last_words() -> None:
    _, attempts = await fence("yes | head -c 1000000; echo end; exit 1")
    assert attempts[0].output.endswith("end")
    assert len(attempts[0].output) <= 2000


async def test_output_that_comes_after_much_else_is_kept_whatever_the_command_does_with_it() -> None:
    _, attempts = await fence("echo out; echo err >&2; exit 1", "exec >&-; exec 2>&-; sleep 0.1; exit 4")
    assert [(attempt.exit_status, attempt.output) for attempt in attempts] == [(1, "out\nerr"), (4, "")]


async def test_agents_are_found_where_administrators_have_them() -> None:
    given = environment(PEER, {"PATH": "/bin:/usr/sbin", "HOME": "/root"})
    assert given == {"PATH": "/bin:/usr/sbin:/usr/local/sbin:/sbin", "HOME": "/root", "TWINDISK_PEER": PEER}


async def test_a_run_that_breaks_off_is_a_failure_and_not_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> bool:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr("twindisk.node.fence_runs.run_fence", broken)
    events: list[Event] = []
    runs = FenceRuns(events.append, quiet_log())
    runs.start(RunFence(PEER, 3, ("true",), 30_000))
    await until(lambda: bool(events))
    assert events == [FenceFailed(PEER, 3)]


async def test_no_password_is_logged() -> None:
    logger, lines = recording_log()
    events: list[Event] = []
    runs = FenceRuns(events.append, logger)
    runs.start(RunFence(PEER, 1, ("sh -c 'echo got $1; exit 1' agent -p geheim; false -p geheim",), 30_000))
    await until(lambda: bool(events))
    assert events == [FenceFailed(PEER, 1)]
    assert any("fence command failed" in str(line) for line in lines)
    assert "geheim" not in str(lines)


async def test_a_newer_run_waits_until_the_older_ones_command_is_gone(tmp_path: Path) -> None:
    events: list[Event] = []
    runs = FenceRuns(events.append, quiet_log())
    pid_file = tmp_path / "pid"
    runs.start(RunFence(PEER, 1, (f"echo $$ > {pid_file}; exec sleep 60",), 30_000))
    await until(lambda: pid_file.exists() and pid_file.read_text() != "")
    pid = pid_file.read_text().strip()
    runs.start(RunFence(PEER, 2, (f"kill -0 {pid} && exit 1; exit 0",), 30_000))
    await until(lambda: bool(events))
    assert events == [FenceSucceeded(PEER, 2)]
    await runs.stop()


async def test_a_cancelled_run_reports_nothing_and_other_numbers_are_left_alone() -> None:
    events: list[Event] = []
    runs = FenceRuns(events.append, quiet_log())
    runs.start(RunFence(PEER, 7, ("sleep 60",), 30_000))
    runs.cancel(PEER, 6)
    await asyncio.sleep(0.05)
    runs.cancel(PEER, 7)
    await asyncio.sleep(0.1)
    assert events == []
    runs.start(RunFence(PEER, 8, ("false",), 30_000))
    await until(lambda: bool(events))
    assert events == [FenceFailed(PEER, 8)]
    await runs.stop()


def recording_log() -> tuple[Log, list[MutableMapping[str, Any]]]:
    capture = LogCapture()
    logger: Log = structlog.wrap_logger(
        structlog.PrintLogger(), processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    return logger, capture.entries


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
