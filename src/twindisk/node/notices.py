"""What operators are told: kept in the events table, then written to the log.

The texts are :mod:`twindisk.messages`'; SNMP notifications will carry the same ones.
"""

from __future__ import annotations

import time

from twindisk.brain.effects import Log as LogEffect
from twindisk.brain.effects import Notify, Severity
from twindisk.messages import message_text
from twindisk.node.log import Log
from twindisk.node.state import State

_LEVELS = {Severity.INFORMATION: 20, Severity.WARNING: 30, Severity.ERROR: 40}


class Notices:
    """Records what the brain wants told."""

    def __init__(self, state: State, log: Log) -> None:
        self._state = state
        self._log = log

    def notify(self, effect: Notify) -> None:
        """Keep an event and log it."""
        fields = {
            key: value
            for key, value in (("vdisk", effect.vdisk), ("peer", effect.peer), ("detail", effect.detail))
            if value
        }
        text = message_text(effect)
        self._state.add_event(
            at_ms=time.time_ns() // 1_000_000,
            severity=effect.severity.value,
            kind=effect.message.value,
            text=text,
            fields=fields,
        )
        self._log.log(_LEVELS[effect.severity], text, kind=effect.message.value, notified=True, **fields)

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
