"""What operators are told: sent as SNMP notifications, written to the log, then kept in the events table.

The texts are :mod:`twindisk.messages`' and the same in all three. In this order: what cannot wait or fail comes first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from twindisk.brain.effects import Log as LogEffect
from twindisk.brain.effects import Notify, Severity
from twindisk.messages import message_text
from twindisk.node.log import Log
from twindisk.node.state import State
from twindisk.snmp.notification import NotifyType

_LEVELS = {Severity.INFORMATION: 20, Severity.WARNING: 30, Severity.ERROR: 40}
_TYPES = {
    Severity.INFORMATION: NotifyType.INFORMATION,
    Severity.WARNING: NotifyType.WARNING,
    Severity.ERROR: NotifyType.ERROR,
}

Send = Callable[[NotifyType, str], None]


class Notices:
    """Tells operators. ``send``: has a notification sent without waiting for it."""

    def __init__(self, state: State, log: Log, send: Send | None = None) -> None:
        self._state = state
        self._log = log
        self._send = send

    def notify(self, effect: Notify) -> None:
        """Tell what the brain wants told."""
        fields = {
            key: value
            for key, value in (("vdisk", effect.vdisk), ("peer", effect.peer), ("detail", effect.detail))
            if value
        }
        self.tell(effect.severity, effect.message.value, message_text(effect), fields)

    def tell(self, severity: Severity, kind: str, text: str, fields: Mapping[str, Any]) -> None:
        """Send, log and keep a text. ``kind`` names it for programs; ``fields``: vdisk, peer and the like."""
        if self._send is not None:
            self._send(_TYPES[severity], text)
        self._log.log(_LEVELS[severity], text, kind=kind, notified=True, **fields)
        self._state.add_event(
            at_ms=time.time_ns() // 1_000_000, severity=severity.value, kind=kind, text=text, fields=fields
        )

    def log(self, effect: LogEffect) -> None:
        """Log only."""
        self._log.log(
            _LEVELS[effect.severity],
            message_text(effect),
            kind=effect.message.value,
            vdisk=effect.vdisk,
            peer=effect.peer,
            detail=effect.detail or None,
        )
