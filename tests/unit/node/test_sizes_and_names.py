import pytest

from twindisk.errors import InvalidError, InvalidProblem
from twindisk.node.names import check_address, check_iqn, check_name, check_serial, dials, new_generation, new_serial
from twindisk.sizes import parse_size, show_exactly, show_gib, show_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("1048576", 1 << 20),
        ("10G", 10 << 30),
        ("10GB", 10 << 30),
        ("10 GiB", 10 << 30),
        ("1.5T", 3 << 39),
        ("1000000", 1_000_448),
        ("0.01G", 10_737_664),
        ("513B", 1024),
        ("0", 0),
    ],
)
def test_sizes_are_whole_blocks_of_powers_of_1024(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


def test_a_bare_number_has_the_commands_own_unit_and_bytes_can_be_said() -> None:
    assert parse_size("2", default_unit="G") == 2 << 30
    assert parse_size("1048576B", default_unit="G") == 1 << 20
    assert parse_size("256M", default_unit="G") == 256 << 20


@pytest.mark.parametrize("text", ["", "-1", "big", "1e9", "1.G", "1,5G", "0x10", "1X", "9" * 40, "\u0661G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as raised:
        parse_size(text)
    assert raised.value.problem is InvalidProblem.SIZE


def test_sizes_are_shown_short_exact_and_in_gib() -> None:
    assert show_size(3 << 39) == "1.5 TiB"
    assert show_size(512) == "512 B"
    assert show_exactly(65537 << 30) == "65537 GiB"
    assert show_exactly(1000) == "1000 bytes"
    assert (show_gib(100 << 30), show_gib(1 << 28)) == ("100", "0.25")


@pytest.mark.parametrize("name", ["M1", "a", "disk-2.old_x", "x" * 64, "0"])
def test_good_names_pass(name: str) -> None:
    assert check_name(name, "VDisk") == name


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a b", "x" * 65, "é", "a\n", "a.", "a\0"])
def test_names_that_could_be_more_than_names_are_refused(name: str) -> None:
    with pytest.raises(InvalidError) as raised:
        check_name(name, "VDisk")
    assert raised.value.problem is InvalidProblem.NAME


def test_serials_begin_with_6e_and_have_32_hex_digits() -> None:
    assert check_serial("6E" + "0A" * 15) == "6e" + "0a" * 15
    for bad in ("6e", "5e" + "0" * 30, "6e" + "g" * 30, "6e" + "0" * 31):
        with pytest.raises(InvalidError):
            check_serial(bad)
    assert check_serial(new_serial()) != new_serial()
    assert 0 < new_generation() < 1 << 64


def test_iscsi_names_are_checked() -> None:
    for good in (
        "iqn.2006-06.com.quadstor.vdisk.M1",
        "iqn.2006-06.com.quadstor.vdisk.a_b",
        "iqn.2024-01.org.example:x",
    ):
        assert check_iqn(good) == good
    for bad in (
        "",
        "iqn",
        "iqn.2024-13.org.example:x",
        "eui.0",
        "iqn.2024-01.org.example:" + "x" * 220,
        "iqn.2024-01.a b",
    ):
        with pytest.raises(InvalidError):
            check_iqn(bad)


def test_the_numerically_lower_address_dials() -> None:
    assert dials("10.0.0.9", "10.0.0.10")
    assert not dials("10.0.0.10", "10.0.0.9")
    assert check_address(" 10.0.0.9 ") == "10.0.0.9"
