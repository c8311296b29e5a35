"""Commands on the lab's machines: what all of them, guests and nodes, have in common."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

TIMED_OUT = 124  # the status of a command that was ended because its time was up, as timeout(1) has it


@dataclass(frozen=True)
class Result:
    """What a command came to: its exit status (128 + n when signal n ended it) and all that it printed."""

    status: int
    output: str


class LabError(Exception):
    """The lab itself, or a command that had to succeed, failed."""


class Job(Protocol):
    """A command that runs."""

    @property
    def output(self) -> str:
        """What it has printed so far, standard output and error in one."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""

    def wait(self, timeout_s: float = 60) -> Result:
        """Wait for its end; when the time is up, end it: status 124 with the output so far."""

    def kill(self, signal_number: int = 15) -> None:
        """Send its whole process group a signal."""


class Host(Protocol):
    """A machine that runs shell commands."""

    name: str

    def spawn(self, command: str) -> Job:
        """Start a shell command and return at once."""

    def run(self, command: str, *, check: bool = True, timeout_s: float = 60) -> Result:
        """Run a shell command to its end; with ``check`` a status other than 0 raises LabError."""


def checked(host: str, command: str, result: Result, *, check: bool) -> Result:
    """Return the result, or raise when it had to be a success and is none."""
    if check and result.status != 0:
        message = f"{host}# {command}\nexit status {result.status}\n{result.output}"
        raise LabError(message)
    return result


def eventually(truth: Callable[[], bool], what: str, *, within_s: float = 30, every_s: float = 0.3) -> None:
    """Ask until it is true; raise LabError when it has not become true in that time."""
    end = time.monotonic() + within_s
    while not truth():
        if time.monotonic() > end:
            message = f"not within {within_s:g} s: {what}"
            raise LabError(message)
        time.sleep(every_s)
