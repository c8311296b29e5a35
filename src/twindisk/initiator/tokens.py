"""Offloaded data transfer (ODX) as an initiator asks for it: parameter lists and answers. Pure: numbers in, bytes out.

Ranges are (block address, count) in logical blocks, as on the wire. Values out of a field's range raise ``struct.error``.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

TOKEN_BYTES = 512
POINT_IN_TIME, CHANGE_VULNERABLE = 0x0080FFFF, 0x00800001
"""ROD types: any kind of point in time copy, and the kind that a change ends."""
DONE, FAILED, PARTIAL, FOREGROUND, BACKGROUND, TERMINATED = 0x01, 0x02, 0x03, 0x11, 0x12, 0x60
"""COPY OPERATION STATUS."""

_THIRD_PARTY_COPY_OUT, _THIRD_PARTY_COPY_IN = 0x83, 0x84
_POPULATE_TOKEN, _WRITE_USING_TOKEN, _RECEIVE_TOKEN_INFORMATION = 0x10, 0x11, 0x07
_INFORMATION = struct.Struct(">IBBHIBBBBQHxxxxxx")

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TokenInformation:
    """How a command that makes or uses a token went.

    ``status``: COPY OPERATION STATUS; ``blocks`` are written, or are what the token stands for; ``sense``: key, code and
    qualifier, None without; ``token``: None when none was made, or it was told before.
    """

    action: int
    status: int
    blocks: int
    sense: tuple[int, int, int] | None
    token: bytes | None

    @classmethod
    def parse(cls, data: bytes) -> "TokenInformation":
        """Read the answer of RECEIVE ROD TOKEN INFORMATION (SPC-5 §6.26)."""
        _, action, status, _, _, _, field_bytes, sense_bytes, _, blocks, _ = _INFORMATION.unpack_from(data)
        sense = data[_INFORMATION.size :][:sense_bytes]
        at = _INFORMATION.size + field_bytes
        token_bytes = int.from_bytes(data[at : at + 4])
        return cls(
            action,
            status,
            blocks,
            (sense[2] & 0x0F, sense[12], sense[13]) if sense else None,
            data[at + 6 :][: token_bytes - 2] if token_bytes else None,
        )


def populate_token(identifier: int, parameter_length: int) -> bytes:
    """Build POPULATE TOKEN with a parameter list of so many bytes (SBC-4 §5.12)."""
    return struct.pack(">BB4xIIxx", _THIRD_PARTY_COPY_OUT, _POPULATE_TOKEN, identifier, parameter_length)


def write_using_token(identifier: int, parameter_length: int) -> bytes:
    """Build WRITE USING TOKEN with a parameter list of so many bytes (SBC-4 §5.59)."""
    return struct.pack(">BB4xIIxx", _THIRD_PARTY_COPY_OUT, _WRITE_USING_TOKEN, identifier, parameter_length)


def receive_token_information(identifier: int, allocation: int = 1024) -> bytes:
    """Build RECEIVE ROD TOKEN INFORMATION of the command with this list identifier (SPC-5 §6.26)."""
    return struct.pack(">BBI4xIxx", _THIRD_PARTY_COPY_IN, _RECEIVE_TOKEN_INFORMATION, identifier, allocation)


def populate_parameters(
    ranges: Sequence[Range], *, immediate: bool = False, timeout_s: int = 0, kind: int | None = None
) -> bytes:
    """Build the parameter list of POPULATE TOKEN; ``kind``: a ROD type, if one is asked for."""
    descriptors = _descriptors(ranges)
    flags = immediate | (kind is not None) << 1
    head = struct.pack(">HBxIIxxH", 14 + len(descriptors), flags, timeout_s, kind or 0, len(descriptors))
    return head + descriptors


def write_parameters(
    token: bytes, ranges: Sequence[Range], *, offset: int = 0, immediate: bool = False, delete: bool = False
) -> bytes:
    """Build the parameter list of WRITE USING TOKEN; ``offset``: into what the token stands for, in blocks."""
    descriptors = _descriptors(ranges)
    flags = immediate | delete << 1
    head = struct.pack(">HB5xQ512s6xH", 534 + len(descriptors), flags, offset, token, len(descriptors))
    return head + descriptors


def zero_token() -> bytes:
    """Return the token that stands for zeros (SBC-4 §4.28.4)."""
    return struct.pack(">IxxH504x", 0xFFFF0001, TOKEN_BYTES - 8)


def _descriptors(ranges: Sequence[Range]) -> bytes:
    return b"".join(struct.pack(">QI4x", lba, blocks) for lba, blocks in ranges)
