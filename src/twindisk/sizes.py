"""Sizes as people write them: ``10G``, ``1.5T``, ``1048576``.

Units are powers of 1024 whatever the spelling (``G``, ``GB`` and ``GiB`` are the same), as the described product and its
operators have always meant them. A VDisk consists of whole blocks of 512 or 4096 bytes: a size is rounded up to the next block.
"""

from __future__ import annotations

import re
from fractions import Fraction

from twindisk.errors import InvalidError, InvalidProblem

BLOCK_BYTES = 512
GIB_BYTES = 1 << 30

_SIZE = re.compile(r"\s*(?P<number>[0-9]{1,20}(?:\.[0-9]{1,20})?)\s*(?P<unit>[KMGTP]|[KMGTP]I?B|B|)\s*", re.IGNORECASE)
_UNIT_BYTES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


def parse_size(text: str, *, default_unit: str = "") -> int:
    """Return the size in bytes, a whole number of blocks.

    ``default_unit`` is the unit of a bare number (``"G"`` for vdconfig). Raises InvalidError(SIZE) for anything that is
    not a size; 0 is a size here, whether it is allowed is the caller's rule.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise InvalidError(InvalidProblem.SIZE, value=text)
    unit = match["unit"].upper().removesuffix("B").removesuffix("I") if match["unit"] else default_unit
    return round_to_blocks(Fraction(match["number"]) * _UNIT_BYTES[unit])


def round_to_blocks(size_bytes: Fraction | int, block_bytes: int = BLOCK_BYTES) -> int:
    """Round up to whole blocks."""
    return -(-size_bytes // block_bytes) * block_bytes


def show_size(size_bytes: int) -> str:
    """Return a short size for tables: at most four significant digits, ``1.5 GiB``."""
    for unit, unit_bytes in (("PiB", 1 << 50), ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.4g} {unit}"
    return f"{size_bytes} B"


def show_exactly(size_bytes: int) -> str:
    """Return the size in the largest unit of which it is a whole number: ``65537 GiB``."""
    for unit, unit_bytes in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes} {unit}"
    return f"{size_bytes} bytes"


def show_gib(size_bytes: int) -> str:
    """Return the size in GiB without unit, as vdconfig shows it: whole when it is whole, else two decimals."""
    whole, rest = divmod(size_bytes, GIB_BYTES)
    return f"{whole}" if rest == 0 else f"{size_bytes / GIB_BYTES:.2f}"
