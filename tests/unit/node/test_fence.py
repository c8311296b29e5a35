import asyncio
import os
import time
from pathlib import Path

from fakes.nodes import quiet_log, until
from twindisk.brain.effects import RunFence
from twindisk.brain.events import Event, FenceFailed, FenceSucceeded
from twindisk.brain.model import PeerAddress
from twindisk.node.fence import FenceAttempt, run_fence
from twindisk.node.fence_runs import FenceRuns

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


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
