"""Talking to the service manager that started the daemon: sd_notify(3) and sd_watchdog_enabled(3), without its library.

Rules:

* No service manager, no talk: every call does nothing then.
* Nothing said here can harm the node: a message that cannot be delivered is dropped.
* The environment's words for it are taken out, so that no fence command speaks in the daemon's name.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import MutableMapping
from contextlib import suppress

_US_PER_S = 1_000_000
_SHARE = 3
"""How many signs of life fall into the time that the service manager allows."""


class Supervisor:
    """The service manager's ear. ``address`` None: there is none. ``watchdog_s`` None: it asks for no sign of life."""

    def __init__(self, address: str | None, watchdog_s: float | None) -> None:
        self._address = "\0" + address[1:] if address and address.startswith("@") else address
        self.watchdog_s = watchdog_s if address else None

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str], pid: int) -> Supervisor:
        """Read, and take out of the environment, where and how often the process ``pid`` is to report."""
        address = environment.pop("NOTIFY_SOCKET", None)
        microseconds = environment.pop("WATCHDOG_USEC", "")
        meant_for = environment.pop("WATCHDOG_PID", str(pid))
        watched = microseconds.isdigit() and int(microseconds) > 0 and meant_for == str(pid)
        return cls(address or None, int(microseconds) / _US_PER_S if watched else None)

    def ready(self) -> None:
        """Say that the node serves."""
        self._say("READY=1")

    def stopping(self) -> None:
        """Say that the node hands over and ends."""
        self._say("STOPPING=1")

    async def show_life(self) -> None:
        """Say, until cancelled, that this event loop turns; return at once when nobody asked."""
        if self.watchdog_s is None:
            return
        while True:
            self._say("WATCHDOG=1")
            await asyncio.sleep(self.watchdog_s / _SHARE)

    def _say(self, message: str) -> None:
        if self._address is None:
            return
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as door:
            door.setblocking(False)
            door.connect(self._address)
            door.send(message.encode())
