"""What a disk answers, parsed. Pure: bytes in, frozen values out.

An answer shorter than its fixed part raises ``struct.error`` or ``IndexError``: the target broke the standard.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class SenseKey(IntEnum):
    """Sense keys (SPC-4 §4.5.6)."""

    NO_SENSE = 0x0
    RECOVERED_ERROR = 0x1
    NOT_READY = 0x2
    MEDIUM_ERROR = 0x3
    HARDWARE_ERROR = 0x4
    ILLEGAL_REQUEST = 0x5
    UNIT_ATTENTION = 0x6
    DATA_PROTECT = 0x7
    BLANK_CHECK = 0x8
    VENDOR_SPECIFIC = 0x9
    COPY_ABORTED = 0xA
    ABORTED_COMMAND = 0xB
    RESERVED = 0xC
    VOLUME_OVERFLOW = 0xD
    MISCOMPARE = 0xE
    COMPLETED = 0xF


@dataclass(frozen=True, slots=True)
class Sense:
    """Why a command was not carried out.

    ``code`` and ``qualifier`` are the additional sense code and its qualifier (SPC-4 annex F).
    """

    key: SenseKey
    code: int
    qualifier: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse fixed (70h, 71h) or descriptor (72h, 73h) format sense data (SPC-4 §4.5)."""
        response = data[0] & 0x7F
        if response in (0x72, 0x73):
            return cls(SenseKey(data[1] & 0xF), data[2], data[3])
        return cls(SenseKey(data[2] & 0xF), data[12], data[13])

    def __str__(self) -> str:
        return f"{self.key.name.replace('_', ' ')} {self.code:02X}/{self.qualifier:02X}"


@dataclass(frozen=True, slots=True)
class Capacity:
    """READ CAPACITY (16) (SBC-3 §5.16.2). ``thin``: logical block provisioning is enabled (LBPME)."""

    blocks: int
    block_bytes: int
    thin: bool

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse the parameter data."""
        last, block_bytes = struct.unpack_from(">QI", data)
        return cls(last + 1, block_bytes, bool(data[14] & 0x80))

    @property
    def size_bytes(self) -> int:
        """The disk's size."""
        return self.blocks * self.block_bytes


@dataclass(frozen=True, slots=True)
class Inquiry:
    """Standard INQUIRY data (SPC-4 §6.6.2)."""

    device_type: int
    vendor: str
    product: str
    revision: str
    target_port_groups: int

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse the first 36 bytes."""
        vendor, product, revision = struct.unpack_from("8s16s4s", data, 8)
        texts = [text.decode("ascii", "replace").rstrip() for text in (vendor, product, revision)]
        return cls(data[0] & 0x1F, texts[0], texts[1], texts[2], data[5] >> 4 & 0x3)


@dataclass(frozen=True, slots=True)
class Designator:
    """One designator of VPD page 83h (SPC-4 §7.8.6): ``association`` 0 logical unit, 1 target port, 2 target device."""

    association: int
    designator_type: int
    value: bytes


def parse_designators(page: bytes) -> tuple[Designator, ...]:
    """Parse VPD page 83h."""
    end = 4 + struct.unpack_from(">H", page, 2)[0]
    found = []
    at = 4
    while at < end:
        length = page[at + 3]
        found.append(Designator(page[at + 1] >> 4 & 0x3, page[at + 1] & 0xF, page[at + 4 : at + 4 + length]))
        at += 4 + length
    return tuple(found)


class AccessState(IntEnum):
    """Asymmetric access states of a target port group (SPC-4 table 261)."""

    OPTIMIZED = 0x0
    NON_OPTIMIZED = 0x1
    STANDBY = 0x2
    UNAVAILABLE = 0x3
    LBA_DEPENDENT = 0x4
    OFFLINE = 0xE
    TRANSITIONING = 0xF


@dataclass(frozen=True, slots=True)
class TargetPortGroup:
    """One target port group; ``supported`` is the byte of T_SUP to AO_SUP, ``ports`` relative port identifiers."""

    tag: int
    state: AccessState
    supported: int
    ports: tuple[int, ...]


def parse_target_port_groups(data: bytes) -> tuple[TargetPortGroup, ...]:
    """Parse REPORT TARGET PORT GROUPS (SPC-4 §6.36), length only header, in the order of the tags."""
    end = 4 + struct.unpack_from(">I", data)[0]
    found = []
    at = 4
    while at < end:
        count = data[at + 7]
        ports = struct.unpack_from(">" + "xxH" * count, data, at + 8)
        (tag,) = struct.unpack_from(">H", data, at + 2)
        found.append(TargetPortGroup(tag, AccessState(data[at] & 0xF), data[at + 1], ports))
        at += 8 + 4 * count
    return tuple(sorted(found, key=lambda group: group.tag))


def parse_serial(page: bytes) -> str:
    """Parse VPD page 80h, the unit serial number."""
    return page[4 : 4 + page[3]].decode("ascii", "replace").strip()


def parse_luns(data: bytes) -> tuple[int, ...]:
    """Parse REPORT LUNS; only single-level LUNs below 256 are told apart (SAM-5 §4.7)."""
    count = struct.unpack_from(">I", data)[0] // 8
    return tuple(data[8 + 8 * index + 1] for index in range(count))
