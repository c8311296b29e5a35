"""One disk over several paths: round-robin, and on to the next path when one fails, as dm-multipath does.

Rules:

* A command goes to the next path that is up; a path that fails it is down until a check finds it ready again.
* What was in flight on a path that died is sent again on another. A write may so be carried out twice, with the same
  data; it counts as acknowledged once one path acknowledged it.
* A unit that is not ready (transitioning, standby, unavailable) is a failed path, never an error of the disk.
* A command ends with :class:`NoPathError` only when no path served it within ``deadline_s``.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from types import TracebackType
from typing import Final, Self, TypeVar

from twindisk.initiator.answers import SenseKey
from twindisk.initiator.errors import CheckConditionError, InitiatorError, NoPathError
from twindisk.initiator.session import Session, SessionOptions

CHECK_INTERVAL_S: Final = 0.25
_RETRY_PAUSE_S: Final = 0.02
_UNIT_ATTENTIONS_MAX: Final = 8
_RETRIED: Final = frozenset({SenseKey.NOT_READY, SenseKey.ABORTED_COMMAND, SenseKey.UNIT_ATTENTION})

_Result = TypeVar("_Result")


class PathState(StrEnum):
    """Whether a path is used."""

    UP = "up"
    DOWN = "down"


@dataclass(slots=True)
class PathStatus:
    """One path.

    ``served`` counts commands that it answered, ``failures`` the times it went down; ``last`` is what took it down, None
    if it never was.
    """

    portal: str
    state: PathState = PathState.DOWN
    served: int = 0
    failures: int = 0
    last: InitiatorError | None = None
    session: Session | None = field(default=None, repr=False)


class MultipathDisk:
    """A disk that several portals offer under one target name."""

    def __init__(
        self, portals: list[str], iqn: str, *, options: SessionOptions | None = None, deadline_s: float = 60.0
    ) -> None:
        self.iqn = iqn
        self.paths = tuple(PathStatus(portal) for portal in portals)
        self._options = options or SessionOptions(timeout_s=20.0)
        self._deadline_s = deadline_s
        self._turn = count()
        self._checkers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await asyncio.gather(*(self._check(path) for path in self.paths))
        self._checkers = [asyncio.create_task(self._keep_checking(path)) for path in self.paths]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for checker in self._checkers:
            checker.cancel()
        await asyncio.gather(*self._checkers, return_exceptions=True)
        for path in self.paths:
            if path.session is not None:
                await path.session.close()

    async def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """Read from whichever path serves it."""
        return await self.run(lambda session: session.read(offset_bytes, length_bytes))

    async def write(self, offset_bytes: int, data: bytes) -> None:
        """Write through whichever path serves it; returns once one of them acknowledged."""
        await self.run(lambda session: session.write(offset_bytes, data))

    async def flush(self) -> None:
        """Flush the disk."""
        await self.run(lambda session: session.flush())

    async def run(self, command: Callable[[Session], Awaitable[_Result]]) -> _Result:
        """Call ``command`` with the session of one path after the other until it succeeds on one."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline_s
        last: InitiatorError | None = None
        while loop.time() < end:
            path = self._next_path()
            if path is None or path.session is None:
                await asyncio.sleep(_RETRY_PAUSE_S)
                continue
            session = path.session
            try:
                result = await command(session)
            except CheckConditionError as error:
                if error.sense.key not in _RETRIED:
                    raise
                last = error
                if error.sense.key is SenseKey.NOT_READY:
                    self._fail(path, session, error)
            except InitiatorError as error:
                last = error
                self._fail(path, session, error)
            else:
                path.served += 1
                return result
        raise NoPathError(self._deadline_s, last)

    def _next_path(self) -> PathStatus | None:
        up = [path for path in self.paths if path.state is PathState.UP]
        return up[next(self._turn) % len(up)] if up else None

    def _fail(self, path: PathStatus, session: Session, error: InitiatorError) -> None:
        """Take a path down, unless it has another session by now."""
        if path.session is not session:
            return
        if path.state is PathState.UP:
            path.failures += 1
            path.state = PathState.DOWN
        path.last = error

    async def _keep_checking(self, path: PathStatus) -> None:
        while True:
            await asyncio.sleep(CHECK_INTERVAL_S)
            if path.state is PathState.DOWN:
                await self._check(path)

    async def _check(self, path: PathStatus) -> None:
        """Bring a path up if it is ready."""
        try:
            if path.session is None or not path.session.connected:
                path.session = None
                path.session = await Session.connect(path.portal, self.iqn, self._options)
            await _ready(path.session)
        except InitiatorError as error:
            path.last = error
        else:
            path.state = PathState.UP


async def _ready(session: Session) -> None:
    """Raise what keeps a path from being used. Unit attentions do not: where others reset again and again, there is always one."""
    for _ in range(_UNIT_ATTENTIONS_MAX):
        try:
            return await session.test_unit_ready()
        except CheckConditionError as error:
            if error.sense.key is not SenseKey.UNIT_ATTENTION:
                raise
    return None
