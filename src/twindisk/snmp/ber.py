"""The Basic Encoding Rules of ASN.1 (X.690), as far as SNMP messages need them (RFC 3417 §8). Pure; definite lengths only."""

from __future__ import annotations

from typing import Final

_INTEGER: Final = 0x02
_OCTET_STRING: Final = 0x04
_OBJECT_IDENTIFIER: Final = 0x06
_SEQUENCE: Final = 0x30
_TIME_TICKS: Final = 0x43
_SHORT_LENGTH: Final = 0x80
_FIRST_ARCS: Final = 40
_SEVEN_BITS: Final = 0x7F

Oid = tuple[int, ...]


def tagged(tag: int, content: bytes) -> bytes:
    """Return a value with its tag and length."""
    size = len(content)
    if size < _SHORT_LENGTH:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, _SHORT_LENGTH | len(length))) + length + content


def integer(value: int) -> bytes:
    """Return an INTEGER, in as few octets as two's complement allows."""
    size = (value if value >= 0 else ~value).bit_length() // 8 + 1
    return tagged(_INTEGER, value.to_bytes(size, "big", signed=True))


def octets(value: bytes) -> bytes:
    """Return an OCTET STRING."""
    return tagged(_OCTET_STRING, value)


def sequence(*parts: bytes) -> bytes:
    """Return a SEQUENCE of encoded parts."""
    return tagged(_SEQUENCE, b"".join(parts))


def time_ticks(hundredths_s: int) -> bytes:
    """Return TimeTicks: hundredths of a second, modulo 2^32."""
    ticks = hundredths_s % (1 << 32)
    return tagged(_TIME_TICKS, ticks.to_bytes(ticks.bit_length() // 8 + 1, "big"))


def object_identifier(oid: Oid) -> bytes:
    """Return an OBJECT IDENTIFIER of at least two arcs."""
    first, second, *rest = oid
    return tagged(_OBJECT_IDENTIFIER, b"".join(_arc(arc) for arc in (first * _FIRST_ARCS + second, *rest)))


def _arc(value: int) -> bytes:
    groups = [value & _SEVEN_BITS]
    while value := value >> 7:
        groups.append(value & _SEVEN_BITS | _SHORT_LENGTH)
    return bytes(reversed(groups))
