"""Command descriptor blocks of the commands an initiator of a disk sends. Pure: numbers in, 6 to 16 bytes out.

Block addresses and counts are in logical blocks, as on the wire. Values out of a field's range raise ``struct.error``.
"""

import struct

READ_10 = 0x28
READ_16 = 0x88
WRITE_10 = 0x2A
WRITE_16 = 0x8A


def test_unit_ready() -> bytes:
    """TEST UNIT READY (SPC-4 §6.47)."""
    return bytes(6)


def request_sense(allocation: int = 252) -> bytes:
    """REQUEST SENSE, fixed format (SPC-4 §6.39)."""
    return struct.pack(">BBxxBx", 0x03, 0, allocation)


def inquiry(page: int | None = None, allocation: int = 255) -> bytes:
    """INQUIRY, standard data or vital product data page ``page`` (SPC-4 §6.6)."""
    return struct.pack(">BBBHx", 0x12, page is not None, page or 0, allocation)


def report_luns(allocation: int = 4096) -> bytes:
    """REPORT LUNS of all logical units (SPC-4 §6.33)."""
    return struct.pack(">BxBxxxIxx", 0xA0, 0, allocation)


def report_target_port_groups(allocation: int = 255) -> bytes:
    """REPORT TARGET PORT GROUPS, length only header (SPC-4 §6.36)."""
    return struct.pack(">BBxxxxIxx", 0xA3, 0x0A, allocation)


def sanitize(action: int, *, immediate: bool = False, unrestricted: bool = False, length: int = 0) -> bytes:
    """SANITIZE (SBC-3 §5.30): ``action`` 1 overwrite, 2 block erase, 31 exit failure mode; ``length`` of its parameter list."""
    return struct.pack(">BB5xHx", 0x48, immediate << 7 | unrestricted << 5 | action, length)


def mode_sense_10(page: int, allocation: int = 255) -> bytes:
    """MODE SENSE (10), current values (SPC-4 §6.12)."""
    return struct.pack(">BxBBxxxHx", 0x5A, page, 0, allocation)


def read_capacity_10() -> bytes:
    """READ CAPACITY (10) (SBC-3 §5.15)."""
    return struct.pack(">B9x", 0x25)


def read_capacity_16(allocation: int = 32) -> bytes:
    """READ CAPACITY (16) (SBC-3 §5.16)."""
    return struct.pack(">BBQIxx", 0x9E, 0x10, 0, allocation)


def read_16(lba: int, blocks: int, *, force_unit_access: bool = False) -> bytes:
    """READ (16) (SBC-3 §5.11)."""
    return struct.pack(">BBQIxx", READ_16, force_unit_access << 3, lba, blocks)


def write_16(lba: int, blocks: int, *, force_unit_access: bool = False) -> bytes:
    """WRITE (16) (SBC-3 §5.35)."""
    return struct.pack(">BBQIxx", WRITE_16, force_unit_access << 3, lba, blocks)


def compare_and_write(lba: int, blocks: int) -> bytes:
    """COMPARE AND WRITE; data-out is twice as long as the range (SBC-3 §5.2)."""
    return struct.pack(">BBQxxxBxx", 0x89, 0, lba, blocks)


def read_10(lba: int, blocks: int) -> bytes:
    """READ (10) (SBC-3 §5.9)."""
    return struct.pack(">BBIxHx", READ_10, 0, lba, blocks)


def write_10(lba: int, blocks: int) -> bytes:
    """WRITE (10) (SBC-3 §5.33)."""
    return struct.pack(">BBIxHx", WRITE_10, 0, lba, blocks)


def synchronize_cache_16(lba: int = 0, blocks: int = 0) -> bytes:
    """SYNCHRONIZE CACHE (16); no blocks means to the end (SBC-3 §5.23)."""
    return struct.pack(">BBQIxx", 0x91, 0, lba, blocks)


def unmap(parameter_length: int) -> bytes:
    """UNMAP with a parameter list of so many bytes (SBC-3 §5.28)."""
    return struct.pack(">BxxxxxxHx", 0x42, parameter_length)


def unmap_parameters(ranges: list[tuple[int, int]]) -> bytes:
    """Build the parameter list of UNMAP: ``(lba, blocks)`` pairs as block descriptors (SBC-3 §5.28.2)."""
    descriptors = b"".join(struct.pack(">QIxxxx", lba, blocks) for lba, blocks in ranges)
    return struct.pack(">HHxxxx", len(descriptors) + 6, len(descriptors)) + descriptors
