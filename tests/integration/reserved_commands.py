"""What each command may do while somebody else holds the reservation: SPC-4 table 65, SBC-3 table 13, told apart from the code's own table.

Rules:

* A row is a command as an initiator sends it, on the block at ``LBA``; sent by one who may, it ends with ``allowed``.
* ``None`` as ``allowed``: nobody who may send it does so here, since it would do too much.
* Every command that a VDisk reports has a row, or rules of its own that are checked elsewhere (``OWN_RULES``).
"""

import struct
from dataclasses import dataclass
from enum import Enum

from integration.reservation_client import CHECK, GOOD

LBA = 64
BLOCK_BYTES = 512
OWN_RULES: dict[tuple[int, int | None], str] = {
    **{(0x5F, action): "PERSISTENT RESERVE OUT: SPC-4 table 66" for action in range(8)},
    **{(opcode, None): "RESERVE and RELEASE: SPC-2 §5.5" for opcode in (0x16, 0x17, 0x56, 0x57)},
    **{(0x84, action): "results of copies: told only to who copied" for action in range(32)},
}


class Rule(Enum):
    """Which reservations forbid a command to those whom they do not admit."""

    NONE = "none"
    EXCLUSIVE_ACCESS = "exclusive access"
    ALL = "all"


NONE, READS, WRITES = Rule.NONE, Rule.EXCLUSIVE_ACCESS, Rule.ALL


@dataclass(frozen=True, slots=True)
class Row:
    """A command: what is sent, whom it is forbidden, how it ends when it is not."""

    name: str
    rule: Rule
    block: bytes
    data_out: bytes = b""
    data_in_bytes: int = 0
    allowed: str | None = GOOD


def ranged(opcode: int, size: int, blocks: int = 1, flags: int = 0) -> bytes:
    """A CDB of 6, 10, 12 or 16 bytes for blocks at ``LBA``."""
    if size == 6:
        return struct.pack(">BBHBx", opcode, 0, LBA, blocks)
    shape = {10: ">BBIxHx", 12: ">BBIIxx", 16: ">BBQIxx"}[size]
    return struct.pack(shape, opcode, flags, LBA, blocks)


def padded(*first: int, size: int) -> bytes:
    """A CDB that ends with zeros."""
    return bytes(first).ljust(size, b"\0")


_ZEROS = bytes(BLOCK_BYTES)
_UNMAP = struct.pack(">HHxxxxQIxxxx", 22, 16, LBA, 8)
_START, _STOP, _ALLOW, _PREVENT = 1, 0, 0, 1

ROWS = (
    Row("TEST UNIT READY", NONE, bytes(6)),
    Row("REQUEST SENSE", NONE, padded(0x03, 0, 0, 0, 18, size=6), data_in_bytes=18),
    Row("INQUIRY", NONE, padded(0x12, 0, 0, 0, 96, size=6), data_in_bytes=96),
    Row("INQUIRY of a page", NONE, padded(0x12, 1, 0x83, 0, 96, size=6), data_in_bytes=96),
    Row("START STOP UNIT, start", NONE, padded(0x1B, 0, 0, 0, _START, size=6)),
    Row("START STOP UNIT, stop", WRITES, padded(0x1B, 0, 0, 0, _STOP, size=6)),
    Row("PREVENT ALLOW MEDIUM REMOVAL, allow", NONE, padded(0x1E, 0, 0, 0, _ALLOW, size=6)),
    Row("PREVENT ALLOW MEDIUM REMOVAL, prevent", WRITES, padded(0x1E, 0, 0, 0, _PREVENT, size=6), allowed=CHECK),
    Row("READ CAPACITY (10)", NONE, padded(0x25, size=10), data_in_bytes=8),
    Row("READ CAPACITY (16)", NONE, padded(0x9E, 0x10, *[0] * 11, 32, size=16), data_in_bytes=32),
    Row("LOG SENSE", NONE, padded(0x4D, 0, 0x40, 0, 0, 0, 0, 0, 64, size=10), data_in_bytes=64),
    Row("REPORT LUNS", NONE, padded(0xA0, *[0] * 7, 1, 0, size=12), data_in_bytes=256),
    Row("REPORT TARGET PORT GROUPS", NONE, padded(0xA3, 0x0A, *[0] * 6, 1, 0, size=12), data_in_bytes=256),
    *(
        Row(f"PERSISTENT RESERVE IN {action}", NONE, padded(0x5E, action, *[0] * 5, 1, 0, size=10), data_in_bytes=256)
        for action in range(4)
    ),
    Row("MODE SENSE (6)", READS, padded(0x1A, 0, 0x3F, 0, 255, size=6), data_in_bytes=255),
    Row("MODE SENSE (10)", READS, padded(0x5A, 0, 0x3F, 0, 0, 0, 0, 1, 0, size=10), data_in_bytes=256),
    Row("REPORT SUPPORTED OPERATION CODES", READS, padded(0xA3, 0x0C, *[0] * 6, 8, 0, size=12), data_in_bytes=2048),
    Row(
        "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS", READS, padded(0xA3, 0x0D, *[0] * 7, 16, size=12), data_in_bytes=16
    ),
    Row("READ DEFECT DATA (10)", READS, padded(0x37, *[0] * 6, 1, 0, size=10), data_in_bytes=256),
    Row("READ DEFECT DATA (12)", READS, padded(0xB7, *[0] * 7, 1, 0, size=12), data_in_bytes=256),
    Row("GET LBA STATUS", READS, padded(0x9E, 0x12, *[0] * 11, 24, size=16), data_in_bytes=24),
    *(
        Row(f"READ ({size})", READS, ranged(opcode, size), data_in_bytes=BLOCK_BYTES)
        for opcode, size in ((0x08, 6), (0x28, 10), (0xA8, 12), (0x88, 16))
    ),
    *(Row(f"PRE-FETCH ({size})", READS, ranged(opcode, size)) for opcode, size in ((0x34, 10), (0x90, 16))),
    *(Row(f"VERIFY ({size})", READS, ranged(opcode, size)) for opcode, size in ((0x2F, 10), (0xAF, 12), (0x8F, 16))),
    *(
        Row(f"WRITE ({size})", WRITES, ranged(opcode, size), data_out=_ZEROS)
        for opcode, size in ((0x0A, 6), (0x2A, 10), (0xAA, 12), (0x8A, 16))
    ),
    *(
        Row(f"WRITE AND VERIFY ({size})", WRITES, ranged(opcode, size), data_out=_ZEROS)
        for opcode, size in ((0x2E, 10), (0xAE, 12), (0x8E, 16))
    ),
    *(
        Row(f"WRITE SAME ({size})", WRITES, ranged(opcode, size, 8), data_out=_ZEROS)
        for opcode, size in ((0x41, 10), (0x93, 16))
    ),
    *(Row(f"SYNCHRONIZE CACHE ({size})", WRITES, ranged(opcode, size)) for opcode, size in ((0x35, 10), (0x91, 16))),
    Row("WRITE ATOMIC (16)", WRITES, struct.pack(">BBQxxHxx", 0x9C, 0, LBA, 8), data_out=_ZEROS * 8),
    Row("COMPARE AND WRITE", WRITES, struct.pack(">BBQxxxBxx", 0x89, 0, LBA, 1), data_out=_ZEROS * 2),
    Row("ORWRITE (16)", WRITES, ranged(0x8B, 16), data_out=_ZEROS),
    Row("UNMAP", WRITES, padded(0x42, *[0] * 7, len(_UNMAP), size=10), data_out=_UNMAP),
    Row("MODE SELECT (6)", WRITES, padded(0x15, 0x10, size=6)),
    Row("MODE SELECT (10)", WRITES, padded(0x55, 0x10, size=10)),
    *(
        Row(f"third-party copy {action:02X}", WRITES, padded(0x83, action, size=16), allowed=None)
        for action in (0x00, 0x01, 0x11, 0x1C)
    ),
    Row("POPULATE TOKEN of nothing", READS, padded(0x83, 0x10, size=16)),
    *(
        Row(f"SANITIZE {action:02X}", WRITES, padded(0x48, action, size=10), allowed=None)
        for action in (0x01, 0x02, 0x03, 0x1F)
    ),
)

_WITH_SERVICE_ACTIONS = frozenset({0x48, 0x5E, 0x5F, 0x83, 0x84, 0x9E, 0x9F, 0xA3, 0xA4})


def named(block: bytes) -> tuple[int, int | None]:
    """Return operation code and service action of a CDB."""
    return block[0], block[1] & 0x1F if block[0] in _WITH_SERVICE_ACTIONS else None


def parse_all_commands(data: bytes) -> set[tuple[int, int | None]]:
    """Return the commands that REPORT SUPPORTED OPERATION CODES names (SPC-4 §6.34.3), without timeouts."""
    found: set[tuple[int, int | None]] = set()
    for at in range(4, 4 + int.from_bytes(data[:4]), 8):
        has_actions = bool(data[at + 5] & 0x01)
        found.add((data[at], int.from_bytes(data[at + 2 : at + 4]) if has_actions else None))
    return found
