"""Sends notifications to one destination, from a thread of its own: a name server that stalls holds up nobody else.

Rules:

1. :meth:`Delivery.submit` never waits. When too many notifications wait, the oldest goes.
2. Nothing that goes wrong here leaves the thread; trouble is logged as :mod:`twindisk.snmp.health` says.
3. A name is resolved anew now and then. While that fails, the last address that it had is used.
"""

from __future__ import annotations

import ipaddress
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from twindisk.node.log import Log
from twindisk.snmp.health import Health, News, Problem
from twindisk.snmp.notification import Notification
from twindisk.snmp.settings import Destination

WAITING_MAX: Final = 256
_ADDRESS_GOOD_S: Final = 300.0
_ADDRESS_RETRY_S: Final = 60.0
_REFUSAL_WAIT_MS: Final = 500

Address = tuple[socket.AddressFamily, Any]
Resolve = Callable[[Destination], Address]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one notification fared. ``problem`` None: it was sent, which over UDP does not say that it arrived."""

    problem: Problem | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Waiting:
    notification: Notification
    outcome: Future[Outcome] | None


def resolve(destination: Destination) -> Address:
    """Return where a destination is. Raises OSError when its name does not resolve."""
    flags = 0
    try:
        ipaddress.ip_address(destination.host)
        flags = socket.AI_NUMERICHOST
    except ValueError:
        pass
    found = socket.getaddrinfo(destination.host, destination.port, type=socket.SOCK_DGRAM, flags=flags)
    family, _, _, _, address = found[0]
    return family, address


class Delivery:
    """One destination and its thread."""

    def __init__(
        self,
        destination: Destination,
        encode: Callable[[Notification], bytes],
        log: Log,
        *,
        find: Resolve = resolve,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.destination = destination
        self.sent = 0
        """Notifications handed to the network."""
        self.dropped = 0
        """Notifications that were not."""
        self._health = Health()
        self._encode = encode
        self._log = log.bind(destination=str(destination))
        self._find = find
        self._clock_s = clock_s
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._address: Address | None = None
        self._resolve_after_s = float("-inf")
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name=f"trap {destination}", daemon=True)

    @property
    def problem(self) -> Problem | None:
        """What is wrong with this destination, None when nothing is known to be."""
        return self._health.problem

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def submit(self, notification: Notification, outcome: Future[Outcome] | None = None) -> None:
        """Have a notification sent; ``outcome``: who wants to know how it fared."""
        with self._changed:
            if len(self._waiting) >= WAITING_MAX:
                lost = self._waiting.popleft()
                self.dropped += 1
                _tell(lost.outcome, Outcome(Problem.OVERFLOW))
                self._note(Outcome(Problem.OVERFLOW))
            self._waiting.append(_Waiting(notification, outcome))
            self._changed.notify()

    def close(self) -> None:
        """Send what waits, then end; :meth:`join` waits for that."""
        with self._changed:
            self._closing = True
            self._changed.notify()

    def join(self, limit_s: float) -> None:
        """Wait for the end, but not for ever; the thread does not keep the process alive."""
        if self._thread.is_alive():
            self._thread.join(limit_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if not self._waiting:
                    break
                waiting = self._waiting.popleft()
            outcome = self._send(waiting)
            with self._changed:
                self._note(outcome)
            _tell(waiting.outcome, outcome)
        self._close_socket()

    def _send(self, waiting: _Waiting) -> Outcome:
        try:
            outcome = self._try_to_send(waiting)
        except socket.gaierror as error:
            outcome = Outcome(Problem.NO_ADDRESS, error.strerror or str(error))
        except OSError as error:
            self._close_socket()
            outcome = Outcome(Problem.NOT_SENT, error.strerror or str(error))
        except Exception as error:  # noqa: BLE001 - notifications must go on whatever is wrong with one
            self._log.exception("a notification could not be made")
            outcome = Outcome(Problem.NOT_SENT, str(error))
        if outcome.problem in (None, Problem.REFUSED):
            self.sent += 1
        else:
            self.dropped += 1
        return outcome

    def _try_to_send(self, waiting: _Waiting) -> Outcome:
        channel = self._open()
        message = self._encode(waiting.notification)
        outcome = Outcome()
        try:
            channel.send(message)
        except ConnectionRefusedError as error:
            # The network tells now that an earlier one was refused; this one was not sent yet.
            outcome = Outcome(Problem.REFUSED, str(error.strerror))
            channel.send(message)
        if waiting.outcome is None:
            return outcome
        return _refused(channel)

    def _open(self) -> socket.socket:
        now_s = self._clock_s()
        if now_s >= self._resolve_after_s:
            try:
                address = self._find(self.destination)
                self._resolve_after_s = now_s + _ADDRESS_GOOD_S
                if address != self._address:
                    self._close_socket()
                self._address = address
            except OSError:
                if self._address is None:
                    raise
                self._resolve_after_s = now_s + _ADDRESS_RETRY_S
        if self._address is None:
            raise socket.gaierror(socket.EAI_NONAME, "no address")
        if self._socket is None:
            family, where = self._address
            channel = socket.socket(family, socket.SOCK_DGRAM)
            try:
                channel.setblocking(False)
                channel.connect(where)
            except OSError:
                channel.close()
                raise
            self._socket = channel
        return self._socket

    def _close_socket(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _note(self, outcome: Outcome) -> None:
        news = self._health.note(outcome.problem, self._clock_s())
        if news is News.TROUBLE and outcome.problem is not None:
            self._log.warning(
                "SNMP notifications may not arrive", problem=outcome.problem.value, detail=outcome.detail or None
            )
        elif news is News.RECOVERED:
            self._log.info("SNMP notifications are sent again")


def _refused(channel: socket.socket) -> Outcome:
    """Wait a moment for the network to say that nobody listens."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    if not poll.poll(_REFUSAL_WAIT_MS):
        return Outcome()
    try:
        channel.recv(1)
    except BlockingIOError:
        return Outcome()
    except ConnectionRefusedError as error:
        return Outcome(Problem.REFUSED, str(error.strerror))
    return Outcome()


def _tell(outcome: Future[Outcome] | None, told: Outcome) -> None:
    if outcome is not None and outcome.set_running_or_notify_cancel():
        outcome.set_result(told)
