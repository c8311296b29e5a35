"""From a notification to the bytes of a message, as the settings say. Used by several threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from twindisk.snmp.message import Engine, Fresh, v2c_message, v3_message
from twindisk.snmp.notification import ENTERPRISE, Notification
from twindisk.snmp.settings import TrapSettings, User
from twindisk.snmp.usm import Secrets, localize

_OUR_FORMAT: Final = 0x80000000
_FORMAT_OCTETS: Final = b"\x05"
_ENGINE_NUMBER_MAX: Final = (1 << 31) - 1
_REQUEST_IDS: Final = 1 << 31
_SALTS: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Start:
    """What is fixed when a node starts. ``boots``: how often it has, 1 at first; ``request_id``, ``salt``: random beginnings."""

    node_id: str
    boots: int
    request_id: int
    salt: int


def engine_id(settings: TrapSettings, node_id: str) -> bytes:
    """Return the SNMP engine id: the configured one, or one made of the node's id (hex digits; RFC 3411 §5, format 5)."""
    if settings.user is not None and settings.user.engine_id is not None:
        return settings.user.engine_id
    return (_OUR_FORMAT | ENTERPRISE).to_bytes(4, "big") + _FORMAT_OCTETS + bytes.fromhex(node_id)


class Encoder:
    """Makes messages; no two have the same request id or salt. ``up_time_s``: seconds since the node started."""

    def __init__(self, settings: TrapSettings, start: Start, up_time_s: Callable[[], float]) -> None:
        self._settings = settings
        self._engine = Engine(engine_id(settings, start.node_id), min(start.boots, _ENGINE_NUMBER_MAX))
        self._secrets = None if settings.user is None else _secrets(settings.user, self._engine.id)
        self._up_time_s = up_time_s
        self._numbers = itertools.count()
        self._start = start
        self._lock = threading.Lock()

    def __call__(self, notification: Notification) -> bytes:
        """Return a message, to be sent at once: its time stands in it."""
        with self._lock:
            number = next(self._numbers)
        request_id = (self._start.request_id + number) % _REQUEST_IDS
        user = self._settings.user
        if user is None:
            return v2c_message(notification, community=self._settings.community, request_id=request_id)
        time_s = min(int(self._up_time_s()), _ENGINE_NUMBER_MAX)
        fresh = Fresh(request_id, (self._start.salt + number) % _SALTS, time_s)
        return v3_message(notification, engine=self._engine, user=user.name, secrets=self._secrets, fresh=fresh)


def _secrets(user: User, engine: bytes) -> Secrets | None:
    if user.auth is None:
        return None
    auth_key = localize(user.auth, user.auth_passphrase, engine)
    if user.priv is None:
        return Secrets(user.auth, auth_key)
    return Secrets(user.auth, auth_key, user.priv, localize(user.auth, user.priv_passphrase, engine))
