"""A notification of QUADSTOR-TRAPS-MIB and its PDU (RFC 3416 §4.2.6). Pure.

The two objects are sent without an instance identifier, as the described product did and as its receivers expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from twindisk.snmp import ber

ENTERPRISE: Final = 35815
MESSAGE_BYTES_MAX: Final = 255
"""What a DisplayString holds (RFC 2579)."""

_SYS_UP_TIME: Final = (1, 3, 6, 1, 2, 1, 1, 3, 0)
_SNMP_TRAP_OID: Final = (1, 3, 6, 1, 6, 3, 1, 1, 4, 1, 0)
_MIB: Final = (1, 3, 6, 1, 4, 1, ENTERPRISE, 2, 1)
_QUADSTOR_NOTIFICATION: Final = (*_MIB, 0, 2)
_NOTIFY_TYPE: Final = (*_MIB, 1, 1)
_NOTIFY_MESSAGE: Final = (*_MIB, 1, 2)

_SNMPV2_TRAP: Final = 0xA7
_ELLIPSIS: Final = b"..."


class NotifyType(IntEnum):
    """How grave it is; the values are the MIB's."""

    INFORMATION = 1
    WARNING = 2
    ERROR = 3


@dataclass(frozen=True, slots=True)
class Notification:
    """What is told. ``up_time_ms``: how long the node was up when it happened."""

    type: NotifyType
    message: str
    up_time_ms: int


def display_string(text: str) -> bytes:
    """Return text as a DisplayString: one line of printable ASCII, cut at 255 octets."""
    line = " ".join(text.split()).encode("ascii", "replace")
    if len(line) <= MESSAGE_BYTES_MAX:
        return line
    return line[: MESSAGE_BYTES_MAX - len(_ELLIPSIS)] + _ELLIPSIS


def trap_pdu(notification: Notification, request_id: int) -> bytes:
    """Return the SNMPv2-Trap-PDU. ``request_id``: 0 to 2^31 - 1, new for each."""
    bindings = (
        (_SYS_UP_TIME, ber.time_ticks(notification.up_time_ms // 10)),
        (_SNMP_TRAP_OID, ber.object_identifier(_QUADSTOR_NOTIFICATION)),
        (_NOTIFY_TYPE, ber.integer(notification.type)),
        (_NOTIFY_MESSAGE, ber.octets(display_string(notification.message))),
    )
    error_status = error_index = ber.integer(0)
    listed = ber.sequence(*(ber.sequence(ber.object_identifier(oid), value) for oid, value in bindings))
    return ber.tagged(_SNMPV2_TRAP, ber.integer(request_id) + error_status + error_index + listed)
