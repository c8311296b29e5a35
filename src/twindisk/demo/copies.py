"""Compare two copies of a VDisk byte for byte, as their files are (docs/formats/vdisk-segments.md).

A segment that is missing, or a hole, is zeros. Only what either copy has data for is read, so a thin terabyte is quick.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEGMENT_BYTES: Final = 1 << 30
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found. ``first_difference``: offset in the VDisk, None when the copies are equal."""

    compared_bytes: int
    first_difference: int | None


def compare(first: Path, second: Path) -> Comparison:
    """Compare the copies in two directories; stops at the first difference."""
    names = sorted({path.name for copy in (first, second) for path in copy.glob("segment-*")})
    compared = 0
    for name in names:
        base = int(name.removeprefix("segment-"), 16) * SEGMENT_BYTES
        for start, end in _merge([*_data_ranges(first / name), *_data_ranges(second / name)]):
            for at in range(start, end, _READ_BYTES):
                length = min(_READ_BYTES, end - at)
                left, right = _read(first / name, at, length), _read(second / name, at, length)
                if left != right:
                    return Comparison(compared, base + at + _first_difference(left, right))
                compared += length
    return Comparison(compared, None)


def _data_ranges(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the ranges of a sparse file that hold data; none when there is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return
    try:
        size = os.fstat(descriptor).st_size
        at = 0
        while at < size:
            try:
                start = os.lseek(descriptor, at, os.SEEK_DATA)
            except OSError:  # ENXIO: nothing but a hole follows
                return
            at = os.lseek(descriptor, start, os.SEEK_HOLE)
            yield start, at
    finally:
        os.close(descriptor)


def _merge(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _read(path: Path, at: int, length: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(at)
            return file.read(length).ljust(length, b"\0")
    except FileNotFoundError:
        return bytes(length)


def _first_difference(left: bytes, right: bytes) -> int:
    return next(index for index, (one, other) in enumerate(zip(left, right, strict=True)) if one != other)
