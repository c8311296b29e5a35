from pathlib import Path

import pytest

from twindisk.demo.copies import SEGMENT_BYTES, compare

MIB = 1 << 20


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Path]:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    return first, second


def put(copy: Path, segment: int, offset: int, data: bytes) -> None:
    path = copy / f"segment-{segment:08x}"
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(SEGMENT_BYTES)
        file.seek(offset)
        file.write(data)


def test_nothing_equals_nothing(copies: tuple[Path, Path]) -> None:
    assert compare(*copies).first_difference is None


def test_equal_data_is_compared_in_full(copies: tuple[Path, Path]) -> None:
    for copy in copies:
        put(copy, 0, 5 * MIB, b"x" * MIB)
        put(copy, 3, 7 * MIB, b"y" * 4096)
    found = compare(*copies)
    assert found.first_difference is None
    assert found.compared_bytes >= MIB + 4096


def test_a_missing_segment_and_a_hole_are_zeros(copies: tuple[Path, Path]) -> None:
    put(copies[0], 1, 2 * MIB, bytes(MIB))
    assert compare(*copies).first_difference is None


def test_the_first_difference_is_told_as_an_offset_in_the_vdisk(copies: tuple[Path, Path]) -> None:
    put(copies[1], 2, 9 * MIB + 123, b"z")
    put(copies[1], 4, 0, b"z")
    for pair in (copies, copies[::-1]):
        assert compare(*pair).first_difference == 2 * SEGMENT_BYTES + 9 * MIB + 123
