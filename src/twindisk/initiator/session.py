"""One iSCSI session on asyncio's event loop, any number of commands in flight.

Rules:

* A session is used from one event loop; every command is a coroutine, answered in whatever order the target answers.
* It never reconnects. Once the connection ends, every command in flight and every later one raises
  :class:`ConnectionLostError`; what was in flight may or may not have been carried out.
* A command that is not answered in time ends the session: nobody knows any more what the target will still do.
* A session that is given up with commands in flight resets its connection: what the kernel has not sent yet must not arrive later,
  when the command was repeated on another path. Linux' initiator does so too.
* libiscsi's context is destroyed outside of its callbacks, never inside.
"""

import asyncio
import contextlib
import os
import secrets
import select
import socket
import struct
from collections.abc import Callable
from ctypes import POINTER, byref, c_uint32, cast
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Self

from twindisk.initiator import answers, cdb, library
from twindisk.initiator.errors import (
    CheckConditionError,
    CommandTimeoutError,
    ConnectionLostError,
    LoginError,
    StatusError,
)

_LOGIN_TIMEOUT_S = 5.0
_UNIT_ATTENTIONS_MAX = 8
_CHECK_CONDITION, _RESERVATION_CONFLICT = 0x02, 0x18


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to log in, and how long to wait for an answer (``timeout_s``; the login has its own, shorter limit)."""

    initiator: str = "iqn.2024-01.invalid.twindisk:initiator"
    timeout_s: float = 60.0
    header_digest: bool = False
    immediate_data: bool = True
    initial_r2t: bool = False
    isid_number: int | None = None
    """24 bits of the ISID; the same ones and the same name are the same initiator port. None: at random."""
    block_bytes: int = 512
    """Of the disk's logical blocks."""


@dataclass(frozen=True, slots=True)
class DiscoveredTarget:
    """A target that SendTargets told: its name and its portals as ``host:port,group``."""

    iqn: str
    portals: tuple[str, ...]


@dataclass(slots=True)
class _Pending:
    """A call in flight: who waits, what to make of the answer, what C points into."""

    future: asyncio.Future[bytes]
    finish: Callable[[int, int | None], bytes]
    task: int | None
    kept: object


class Session:
    """A login to a target (or, with no ``iqn``, a discovery session). Made by :meth:`connect`."""

    def __init__(self, portal: str, iqn: str | None, options: SessionOptions) -> None:
        self.portal = portal
        self.iqn = iqn
        self._options = options
        self._lib = library.load()
        self._loop = asyncio.get_running_loop()
        self._ids = count(1)
        self._pending: dict[int, _Pending] = {}
        self._callback = library.COMMAND_CALLBACK(self._answered)
        self._watched: int | None = None
        self._writing = False
        self._in_service = False
        self._last_reason = ""
        self._context: int | None = self._create_context()

    @classmethod
    async def connect(cls, portal: str, iqn: str | None, options: SessionOptions | None = None) -> Self:
        """Connect and log in. Raises :class:`LoginError`."""
        session = cls(portal, iqn, options or SessionOptions())
        try:
            async with asyncio.timeout(min(_LOGIN_TIMEOUT_S, session._options.timeout_s)):
                await session._log_in()
        except (ConnectionLostError, StatusError, TimeoutError) as error:
            reason = session._reason() or type(error).__name__
            session._end()
            raise LoginError(portal, reason) from None
        except BaseException:
            session._end()
            raise
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def connected(self) -> bool:
        """Whether the session still stands, as far as is known here."""
        return self._context is not None

    async def close(self) -> None:
        """Log out if possible and end the session. Idempotent."""
        if self._context is not None and not self._pending:
            with contextlib.suppress(ConnectionLostError, StatusError, TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._call("iscsi_logout_async")
        self._end()

    def drop(self) -> None:
        """End the session at once, without a logout, as a crashing initiator does. Idempotent."""
        self._end()

    # ---- commands

    async def command(
        self,
        block: bytes,
        *,
        data_out: bytes = b"",
        data_in_bytes: int = 0,
        lun: int = 0,
        timeout_s: float | None = None,
    ) -> bytes:
        """Send one SCSI command and return the data it answers.

        Raises :class:`CheckConditionError`, :class:`StatusError`, :class:`ConnectionLostError`,
        :class:`CommandTimeoutError`.
        """
        if self._context is None:
            raise ConnectionLostError(self.portal)
        limit_s = self._options.timeout_s if timeout_s is None else timeout_s
        future = self._submit(block, data_out, data_in_bytes, lun)
        timer = self._loop.call_later(limit_s, self._time_out, future, limit_s)
        try:
            return await future
        finally:
            timer.cancel()

    async def test_unit_ready(self) -> None:
        """TEST UNIT READY; raises :class:`CheckConditionError` when it is not."""
        await self.command(cdb.test_unit_ready())

    async def clear_unit_attentions(self) -> None:
        """Take the unit attentions that a new session meets; a unit that is not ready, or reserved, is no error here."""
        for _ in range(_UNIT_ATTENTIONS_MAX):
            try:
                await self.test_unit_ready()
            except StatusError as error:
                unit_attention = answers.SenseKey.UNIT_ATTENTION
                if isinstance(error, CheckConditionError) and error.sense.key is unit_attention:
                    continue
                if error.status not in (_CHECK_CONDITION, _RESERVATION_CONFLICT):
                    raise
            return

    async def inquiry(self) -> answers.Inquiry:
        """Ask for the standard INQUIRY data."""
        return answers.Inquiry.parse(await self.command(cdb.inquiry(), data_in_bytes=255))

    async def vital_product_data(self, page: int) -> bytes:
        """INQUIRY of a vital product data page, as it came."""
        return await self.command(cdb.inquiry(page), data_in_bytes=255)

    async def target_port_groups(self) -> tuple[answers.TargetPortGroup, ...]:
        """REPORT TARGET PORT GROUPS, by tag."""
        return answers.parse_target_port_groups(await self.command(cdb.report_target_port_groups(), data_in_bytes=255))

    async def read_capacity(self) -> answers.Capacity:
        """READ CAPACITY (16)."""
        return answers.Capacity.parse(await self.command(cdb.read_capacity_16(), data_in_bytes=32))

    async def read(self, offset_bytes: int, length_bytes: int) -> bytes:
        """READ (16); both numbers are whole blocks."""
        size = self._options.block_bytes
        block = cdb.read_16(offset_bytes // size, length_bytes // size)
        return await self.command(block, data_in_bytes=length_bytes)

    async def write(self, offset_bytes: int, data: bytes, *, force_unit_access: bool = False) -> None:
        """WRITE (16); offset and length are whole blocks."""
        size = self._options.block_bytes
        block = cdb.write_16(offset_bytes // size, len(data) // size, force_unit_access=force_unit_access)
        await self.command(block, data_out=data)

    async def compare_and_write(self, offset_bytes: int, compare: bytes, write: bytes) -> None:
        """COMPARE AND WRITE of whole blocks; raises :class:`CheckConditionError` with MISCOMPARE when the disk holds something else."""
        size = self._options.block_bytes
        block = cdb.compare_and_write(offset_bytes // size, len(write) // size)
        await self.command(block, data_out=compare + write)

    async def flush(self) -> None:
        """SYNCHRONIZE CACHE (16) of the whole disk."""
        await self.command(cdb.synchronize_cache_16())

    async def unmap(self, ranges: list[tuple[int, int]]) -> None:
        """UNMAP of ``(offset_bytes, length_bytes)`` ranges, whole blocks."""
        block_bytes = self._options.block_bytes
        parameters = cdb.unmap_parameters([(at // block_bytes, size // block_bytes) for at, size in ranges])
        await self.command(cdb.unmap(len(parameters)), data_out=parameters)

    async def reset_logical_unit(self) -> int:
        """LOGICAL UNIT RESET of LUN 0; return the response code (RFC 7143 §11.6.1), 0 when done."""
        answer = await self._call("iscsi_task_mgmt_lun_reset_async", 0, finish=_uint32)
        return int.from_bytes(answer, "little")

    async def send_targets(self) -> list[DiscoveredTarget]:
        """SendTargets=All, on a discovery session."""
        found: list[DiscoveredTarget] = []

        def finish(status: int, data: int | None) -> bytes:
            if status == library.STATUS_GOOD:
                found.extend(DiscoveredTarget(iqn, tuple(portals)) for iqn, portals in library.discovered(data))
            return b""

        await self._call("iscsi_discovery_async", finish=finish)
        return found

    # ---- the connection with libiscsi

    def _create_context(self) -> int:
        lib, options = self._lib, self._options
        context = lib.iscsi_create_context(options.initiator.encode())
        if not context:
            raise LoginError(self.portal, "libiscsi could not make a context")
        number = secrets.randbits(24) if options.isid_number is None else options.isid_number
        lib.iscsi_set_isid_random(context, number, 0)
        lib.iscsi_set_noautoreconnect(context, 1)
        lib.iscsi_set_session_type(context, library.SESSION_NORMAL if self.iqn else library.SESSION_DISCOVERY)
        if self.iqn:
            lib.iscsi_set_targetname(context, self.iqn.encode())
        lib.iscsi_set_header_digest(context, 3 if options.header_digest else 1)
        lib.iscsi_set_immediate_data(context, int(options.immediate_data))
        lib.iscsi_set_initial_r2t(context, int(options.initial_r2t))
        return int(context)

    async def _log_in(self) -> None:
        await self._call("iscsi_connect_async", self.portal.encode())
        await self._call("iscsi_login_async")
        if self.iqn:
            await self.clear_unit_attentions()

    def _reason(self) -> str:
        """Return what libiscsi said last, also after the end of the session."""
        if self._context is not None:
            text = self._lib.iscsi_get_error(self._context)
            self._last_reason = text.decode("utf-8", "replace").strip() if text else ""
        return self._last_reason

    def _call(
        self, function: str, *arguments: object, finish: Callable[[int, int | None], bytes] | None = None
    ) -> asyncio.Future[bytes]:
        """Call one of libiscsi's own asynchronous operations."""
        if self._context is None:
            raise ConnectionLostError(self.portal)
        key, future = self._enlist(finish or _nothing, None, None)
        if getattr(self._lib, function)(self._context, *arguments, self._callback, key) < 0:
            self._pending.pop(key, None)
            raise ConnectionLostError(self.portal)
        self._service(0)
        return future

    def _submit(self, block: bytes, data_out: bytes, data_in_bytes: int, lun: int) -> asyncio.Future[bytes]:
        direction = library.TRANSFER_NONE
        if data_out:
            direction = library.TRANSFER_WRITE
        elif data_in_bytes:
            direction = library.TRANSFER_READ
        task = self._lib.scsi_create_task(len(block), block, direction, len(data_out) or data_in_bytes)
        data = library.Data(len(data_out), data_out) if data_out else None

        def finish(status: int, _: int | None) -> bytes:
            if status == library.STATUS_CHECK_CONDITION:
                raise CheckConditionError(self.portal, library.sense(task))
            return library.data_in(task)

        key, future = self._enlist(finish, task, data)
        pointer = byref(data) if data is not None else None
        if self._lib.iscsi_scsi_command_async(self._context, lun, task, self._callback, pointer, key) < 0:
            self._pending.pop(key, None)
            self._lib.scsi_free_scsi_task(task)
            raise ConnectionLostError(self.portal)
        self._service(select.POLLOUT)
        return future

    def _enlist(
        self, finish: Callable[[int, int | None], bytes], task: int | None, kept: object
    ) -> tuple[int, asyncio.Future[bytes]]:
        key = next(self._ids)
        future = self._loop.create_future()
        self._pending[key] = _Pending(future, finish, task, kept)
        return key, future

    def _answered(self, _context: int, status: int, data: int | None, key: int | None) -> None:
        """Take an answer (called by C: must not raise). A connection's end is told under the connect's key again."""
        pending = self._pending.pop(key or 0, None)
        if pending is None:
            return
        future = pending.future
        try:
            result = self._outcome(pending, status, data)
        except Exception as error:  # noqa: BLE001 - handed to who waits; nothing may be raised into C
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)
        if pending.task is not None:
            self._lib.scsi_free_scsi_task(pending.task)

    def _outcome(self, pending: _Pending, status: int, data: int | None) -> bytes:
        if status >= library.STATUS_LOCAL:
            raise ConnectionLostError(self.portal)
        result = pending.finish(status, data)
        if status != library.STATUS_GOOD:
            raise StatusError(self.portal, status)
        return result

    def _service(self, events: int) -> None:
        """Let libiscsi work, then watch what it waits for; end the session when the connection is gone."""
        if self._context is None or self._in_service:
            return
        self._in_service = True
        try:
            failed = self._lib.iscsi_service(self._context, events) < 0 if events else False
        finally:
            self._in_service = False
        wanted = self._lib.iscsi_which_events(self._context)
        if failed or wanted == 0:
            self._end()
            return
        self._watch(self._lib.iscsi_get_fd(self._context), writing=bool(wanted & select.POLLOUT))

    def _watch(self, fd: int, *, writing: bool) -> None:
        if self._watched != fd:
            self._unwatch()
            self._loop.add_reader(fd, self._service, select.POLLIN)
            self._watched = fd
        if writing != self._writing:
            if writing:
                self._loop.add_writer(fd, self._service, select.POLLOUT)
            else:
                self._loop.remove_writer(fd)
            self._writing = writing

    def _unwatch(self) -> None:
        if self._watched is not None:
            self._loop.remove_reader(self._watched)
            self._loop.remove_writer(self._watched)
            self._watched, self._writing = None, False

    def _time_out(self, future: asyncio.Future[bytes], timeout_s: float) -> None:
        if not future.done():
            future.set_exception(CommandTimeoutError(self.portal, timeout_s))
            self._end()

    def _end(self) -> None:
        """Give the session up: fail what is in flight, free libiscsi's context."""
        self._reason()
        context, self._context = self._context, None
        if context is None:
            return
        self._unwatch()
        if self._pending:
            self._reset_when_closed(context)
        self._lib.iscsi_destroy_context(context)
        for pending in list(self._pending.values()):
            if not pending.future.done():
                pending.future.set_exception(ConnectionLostError(self.portal))
        self._pending.clear()

    def _reset_when_closed(self, context: int) -> None:
        descriptor = self._lib.iscsi_get_fd(context)
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _nothing(_status: int, _data: int | None) -> bytes:
    return b""


def _uint32(status: int, data: int | None) -> bytes:
    if status != library.STATUS_GOOD or not data:
        return b"\xff"
    return bytes(cast(data, POINTER(c_uint32)).contents)


async def discover(portal: str, options: SessionOptions | None = None) -> list[DiscoveredTarget]:
    """Ask a portal (``host:port``) for its targets. Raises :class:`LoginError` or :class:`ConnectionLostError`."""
    async with await Session.connect(portal, None, options) as session:
        return await session.send_targets()
