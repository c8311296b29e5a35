"""Third-party copies as an initiator asks for them: parameter lists of EXTENDED COPY. Pure: numbers in, bytes out.

Block addresses and counts are in logical blocks, as on the wire. Values out of a field's range raise ``struct.error``.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_EXTENDED_COPY = 0x83
_RECEIVE_COPY_RESULTS = 0x84
_NAA = 0x03
_NAA_BYTES = 16
COPY_STATUS = 0x00
OPERATING_PARAMETERS = 0x03
FAILURE_DETAILS = 0x04


@dataclass(frozen=True, slots=True)
class Segment:
    """Blocks to be copied. ``source`` and ``target`` count in the list of logical units."""

    source: int
    target: int
    blocks: int
    source_lba: int
    target_lba: int


@dataclass(frozen=True, slots=True)
class CopyStatus:
    """How a copy is: ``outcome`` 0 in progress, 1 done, 2 failed; ``segments`` of its list are done."""

    outcome: int
    segments: int

    @classmethod
    def parse(cls, data: bytes) -> "CopyStatus":
        """Read the answer of RECEIVE COPY STATUS (LID1) (SPC-4 §6.20)."""
        outcome, segments = struct.unpack_from(">xxxxBH", data)
        return cls(outcome & 0x7F, segments)


def extended_copy(parameter_length: int) -> bytes:
    """Build EXTENDED COPY (LID1) with a parameter list of so many bytes (SPC-4 §6.4)."""
    return struct.pack(">BB8xIxx", _EXTENDED_COPY, 0, parameter_length)


def receive_copy_results(action: int, identifier: int = 0, allocation: int = 1024) -> bytes:
    """RECEIVE COPY RESULTS of the copy with this list identifier (SPC-4 §6.17 to §6.20)."""
    return struct.pack(">BBB7xIxx", _RECEIVE_COPY_RESULTS, action, identifier, allocation)


def naa_designator(device_identification: bytes) -> bytes:
    """Return the NAA designator of 16 bytes from the device identification page (SPC-4 §7.8.6)."""
    at = 4
    while at < len(device_identification):
        _, kind, length = struct.unpack_from(">BBxB", device_identification, at)
        if kind & 0x3F == _NAA and length == _NAA_BYTES:
            return device_identification[at + 4 : at + 4 + length]
        at += 4 + length
    message = "the page has no NAA designator of 16 bytes"
    raise ValueError(message)


def copy_parameters(
    units: Sequence[bytes], segments: Sequence[Segment], *, identifier: int = 1, block_bytes: int = 512
) -> bytes:
    """Build the parameter list of EXTENDED COPY for logical units with these NAA designators (SPC-4 §6.4.3 to §6.4.6)."""
    targets = b"".join(_unit(unit, block_bytes) for unit in units)
    copied = b"".join(_segment(segment) for segment in segments)
    return struct.pack(">BBHxxxxII", identifier, 0, len(targets), len(copied), 0) + targets + copied


def _unit(designator: bytes, block_bytes: int) -> bytes:
    identification = struct.pack(">BBHBBxB20s", 0xE4, 0, 0, 0x01, 0x03, len(designator), designator)
    return identification + block_bytes.to_bytes(4, "big")


def _segment(segment: Segment) -> bytes:
    places = struct.pack(">HH", segment.source, segment.target)
    return struct.pack(">BBH4sxxHQQ", 0x02, 0, 0x18, places, segment.blocks, segment.source_lba, segment.target_lba)
