import pytest

from twindisk.initiator import Capacity, Inquiry, Sense, SenseKey, cdb
from twindisk.initiator.answers import (
    AccessState,
    TargetPortGroup,
    parse_designators,
    parse_luns,
    parse_serial,
    parse_target_port_groups,
)


def test_command_blocks_have_the_length_of_their_group() -> None:
    blocks = {
        6: [cdb.test_unit_ready(), cdb.request_sense(), cdb.inquiry(), cdb.inquiry(0x83)],
        10: [cdb.read_10(1, 2), cdb.write_10(1, 2), cdb.read_capacity_10(), cdb.unmap(24), cdb.mode_sense_10(8)],
        12: [cdb.report_luns(), cdb.report_target_port_groups()],
        16: [cdb.read_16(1, 2), cdb.write_16(1, 2), cdb.read_capacity_16(), cdb.synchronize_cache_16()],
    }
    for length, group in blocks.items():
        assert [len(block) for block in group] == [length] * len(group)


def test_write_16_has_address_count_and_fua_in_their_places() -> None:
    block = cdb.write_16(0x0102030405060708, 0x0A0B0C0D, force_unit_access=True)
    assert block == bytes.fromhex("8a08 0102030405060708 0a0b0c0d 0000")


def test_unmap_parameters_count_their_own_bytes() -> None:
    data = cdb.unmap_parameters([(8, 16), (64, 1)])
    assert data[:8] == bytes.fromhex("0026 0020 00000000")
    assert len(data) == 8 + 2 * 16


@pytest.mark.parametrize(
    "data",
    [
        bytes.fromhex("70 00 02 00000000 0a 00000000 04 0b 00 000000"),
        bytes.fromhex("72 02 04 0b 00000000"),
    ],
    ids=["fixed", "descriptor"],
)
def test_sense_is_parsed_in_both_formats(data: bytes) -> None:
    assert Sense.parse(data) == Sense(SenseKey.NOT_READY, 0x04, 0x0B)
    assert str(Sense.parse(data)) == "NOT READY 04/0B"


def test_capacity_and_inquiry_are_parsed() -> None:
    capacity = Capacity.parse(bytes.fromhex("00000000001fffff 00000200 0000 c000").ljust(32, b"\0"))
    assert (capacity.size_bytes, capacity.thin) == (1 << 30, True)
    data = bytes.fromhex("00 00 06 02 5b 10 00 02") + b"QUADSTOR" + b"VDISK".ljust(16) + b"1.0 "
    assert Inquiry.parse(data) == Inquiry(0, "QUADSTOR", "VDISK", "1.0", 1)


def test_designators_serial_and_luns_are_parsed() -> None:
    naa = bytes.fromhex("6ef899ba04190ade706b96ec16c2ed0b")
    page = bytes.fromhex("00 83 0014 01 03 00 10") + naa
    (designator,) = parse_designators(page)
    assert (designator.association, designator.designator_type, designator.value) == (0, 3, naa)
    assert parse_serial(b"\0\x80\0\x06abcdef") == "abcdef"
    assert parse_luns(bytes.fromhex("00000010 00000000 0000000000000000 0003000000000000")) == (0, 3)


def test_target_port_groups_are_parsed_by_tag() -> None:
    second = bytes.fromhex("01 8f 0002 00 02 00 01 0000 0002")
    first = bytes.fromhex("0f 8f 0001 00 02 00 02 0000 0001 0000 0003")
    found = parse_target_port_groups(bytes.fromhex("0000001c") + second + first + b"\xff" * 8)
    assert found == (
        TargetPortGroup(1, AccessState.TRANSITIONING, 0x8F, (1, 3)),
        TargetPortGroup(2, AccessState.NON_OPTIMIZED, 0x8F, (2,)),
    )
