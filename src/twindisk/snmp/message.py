"""The messages that carry a notification: v2c (RFC 1901, RFC 3416) and v3 (RFC 3412 §6, RFC 3414 §2.4). Pure.

A trap's sender is its authoritative engine: its own id, boots and time stand in the message, and a receiver refuses a
message whose boots and time lie behind what it has seen. So the boots must rise with every start of a node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from twindisk.snmp import ber, usm
from twindisk.snmp.notification import Notification, trap_pdu

_VERSION_2C: Final = 1
_VERSION_3: Final = 3
_SECURITY_USM: Final = 3
_FLAG_AUTH: Final = 0x01
_FLAG_PRIV: Final = 0x02
_SIZE_MAX: Final = 65507


@dataclass(frozen=True, slots=True)
class Engine:
    """The sender: its id (5 to 32 octets) and how often it has started."""

    id: bytes
    boots: int


@dataclass(frozen=True, slots=True)
class Fresh:
    """What differs between two messages. ``request_id``: 31 bits; ``salt``: 64 bits that no message of this start had before."""

    request_id: int
    salt: int
    engine_time_s: int


def v2c_message(notification: Notification, *, community: str, request_id: int) -> bytes:
    """Return an SNMPv2c message."""
    return ber.sequence(ber.integer(_VERSION_2C), ber.octets(community.encode()), trap_pdu(notification, request_id))


def v3_message(
    notification: Notification, *, engine: Engine, user: str, secrets: usm.Secrets | None, fresh: Fresh
) -> bytes:
    """Return an SNMPv3 message: plain without ``secrets``, else authenticated, and encrypted if they say so."""
    scoped = ber.sequence(ber.octets(engine.id), ber.octets(b""), trap_pdu(notification, fresh.request_id))
    flags, salt = 0, b""
    if secrets is not None:
        flags |= _FLAG_AUTH
        if secrets.priv is not None:
            flags |= _FLAG_PRIV
            salt = fresh.salt.to_bytes(8, "big")
            scoped = ber.octets(usm.encrypt(secrets, scoped, boots=engine.boots, time_s=fresh.engine_time_s, salt=salt))

    def whole(tag: bytes) -> bytes:
        security = ber.sequence(
            ber.octets(engine.id),
            ber.integer(engine.boots),
            ber.integer(fresh.engine_time_s),
            ber.octets(user.encode()),
            ber.octets(tag),
            ber.octets(salt),
        )
        header = ber.sequence(
            ber.integer(fresh.request_id),
            ber.integer(_SIZE_MAX),
            ber.octets(bytes((flags,))),
            ber.integer(_SECURITY_USM),
        )
        return ber.sequence(ber.integer(_VERSION_3), header, ber.octets(security), scoped)

    if secrets is None:
        return whole(b"")
    return whole(usm.authenticate(secrets, whole(bytes(secrets.auth.tag_bytes))))
