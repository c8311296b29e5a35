"""A witness on a share (NFS, SMB, a cluster filesystem): files that come into being whole, or not at all.

Rules:

1. A file is written under a name of its own, flushed, and then linked to its key: the link is the one step that can only succeed
   once, on the server, and what it makes visible is complete. (``O_EXCL`` alone would show an empty file first.)
2. The answer to a link may be lost and the call be repeated by the kernel: whether it succeeded is told by what stands
   in the key, and by the number of links, never by the call's error.
3. A share that is not mounted shows as an empty directory: nothing is written before the witness's name was found in the very
   directory that is held open.
4. A server that does not answer holds a call for as long as it likes: calls run in threads that nobody waits for. Each directory has
   places for so many of its own, so that a dead share takes none from another.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import os
import secrets
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final, TypeVar

from twindisk.errors import WitnessError, WitnessProblem
from twindisk.witness.place import SharePlace

_RUNNING_MAX: Final = 16
"""Calls that may run, or hang, at a time for one directory; others wait for their turn."""
_TURN_PAUSE_S: Final = 0.01
_STALE_PAUSE_S: Final = 0.05
Result = TypeVar("Result")
_running: defaultdict[str, threading.BoundedSemaphore] = defaultdict(lambda: threading.BoundedSemaphore(_RUNNING_MAX))
"""By directory; those that a node ever asked are few."""


@asynccontextmanager
async def share_store(place: SharePlace) -> AsyncIterator[ShareStore]:
    """Hold the directory of a share open. Raises WitnessError(UNREACHABLE)."""
    where = str(place.directory)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    directory = await _in_thread(where, lambda: os.open(place.directory, flags), discard=os.close)
    try:
        yield ShareStore(where, directory)
    finally:
        os.close(directory)


class ShareStore:
    """The files of one directory."""

    def __init__(self, where: str, directory: int) -> None:
        self._where = where
        self._directory = directory

    async def write_once(self, key: str, value: bytes) -> bytes | None:
        """Write a file that nobody has written; return None, or what stands there already."""
        if await self._run(lambda directory: _link(directory, key, value)):
            return None
        # Another machine wrote it; this one may remember for a moment that it was not there.
        found = await self.read(key)
        while found is None:
            await asyncio.sleep(_STALE_PAUSE_S)
            found = await self.read(key)
        return found

    async def read(self, key: str) -> bytes | None:
        """Return what stands in a file, None if nobody has written it."""
        return await self._run(lambda directory: _read(directory, key))

    async def remove(self, key: str) -> None:
        """Remove a file."""
        await self._run(lambda directory: os.unlink(key, dir_fd=directory))

    async def _run(self, call: Callable[[int], Result]) -> Result:
        # Of its own, for a call that hangs and that nobody waits for any more.
        directory = os.dup(self._directory)

        def with_directory() -> Result:
            try:
                return call(directory)
            finally:
                os.close(directory)

        return await _in_thread(self._where, with_directory)


def _link(directory: int, key: str, value: bytes) -> bool:
    """Return whether the file was written by this call."""
    own = f".{key}-{secrets.token_hex(8)}"
    file = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    try:
        with os.fdopen(file, "wb") as stream:
            stream.write(value)
            stream.flush()
            os.fsync(file)
        with contextlib.suppress(FileExistsError):
            os.link(own, key, src_dir_fd=directory, dst_dir_fd=directory)
        written = os.stat(own, dir_fd=directory).st_nlink == 2  # noqa: PLR2004 - its own name, and the key
        if written:
            os.fsync(directory)
        return written
    finally:
        with contextlib.suppress(OSError):
            os.unlink(own, dir_fd=directory)


def _read(directory: int, key: str) -> bytes | None:
    try:
        file = os.open(key, os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    with os.fdopen(file, "rb") as stream:
        return stream.read()


async def _in_thread(
    where: str, call: Callable[[], Result], discard: Callable[[Result], None] = lambda _: None
) -> Result:
    """Run a call in a thread that does not keep the process from ending. Raises WitnessError.

    ``discard`` gets what comes when nobody waits for it any more.
    """
    running = _running[where]
    our_turn = running.acquire(blocking=False)
    while not our_turn:
        await asyncio.sleep(_TURN_PAUSE_S)
        our_turn = running.acquire(blocking=False)
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Result] = loop.create_future()

    def settle(result: Result) -> None:
        if outcome.done():
            discard(result)
        else:
            outcome.set_result(result)

    def fail(error: Exception) -> None:
        if not outcome.done():
            outcome.set_exception(error)

    def run() -> None:
        try:
            told = functools.partial(settle, call())
        except Exception as error:  # noqa: BLE001 - whoever waits is to see it
            told = functools.partial(fail, error)
        finally:
            running.release()
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(told)

    threading.Thread(target=run, name=f"witness {where}", daemon=True).start()
    try:
        return await outcome
    except OSError as error:
        problem = WitnessProblem.DENIED if error.errno in (errno.EACCES, errno.EROFS) else WitnessProblem.UNREACHABLE
        if error.errno in (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            problem = WitnessProblem.NO_LINKS
        raise WitnessError(problem, detail=f"{where}: {error.strerror}") from error
