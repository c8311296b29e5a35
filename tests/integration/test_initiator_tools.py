"""Debian's iSCSI tools against both nodes: one disk, seen twice."""

import pytest

from integration.initiator_tools import run_tool
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import Session, discover
from twindisk.initiator.answers import parse_designators, parse_serial

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P5")]

NAA = 3
RELATIVE_TARGET_PORT = 4
TARGET_PORT_GROUP = 5


async def test_iscsi_ls_finds_the_target_and_its_lun_at_both_nodes(pair: Pair) -> None:
    for node in pair.nodes:
        listed = await run_tool("iscsi-ls", "-s", f"iscsi://{node.place.portal}")
        assert f"Target:{iqn(pair.vdisk)} Portal:{node.place.portal},{pair.nodes.index(node) + 1}" in listed
        assert "Lun:0    Type:DIRECT_ACCESS" in listed


async def test_iscsi_inq_shows_vendor_and_product_at_both_nodes(pair: Pair) -> None:
    for node in pair.nodes:
        inquiry = await run_tool("iscsi-inq", node.place.url(iqn(pair.vdisk)))
        assert "Vendor:QUADSTOR" in inquiry
        assert "Product:VDISK" in inquiry
        for page in ("0x00", "0x80", "0x83", "0xb0", "0xb1", "0xb2"):
            await run_tool("iscsi-inq", "-e", "1", "-c", page, node.place.url(iqn(pair.vdisk)))


async def test_iscsi_readcapacity16_agrees_at_both_nodes(pair: Pair) -> None:
    answers = [await run_tool("iscsi-readcapacity16", node.place.url(iqn(pair.vdisk))) for node in pair.nodes]
    assert answers[0] == answers[1]
    assert "268435456" in answers[0]


async def test_discovery_tells_the_portal_that_was_asked(pair: Pair) -> None:
    for tag, node in enumerate(pair.nodes, 1):
        (target,) = await discover(node.place.portal)
        assert target.iqn == iqn(pair.vdisk)
        assert target.portals == (f"{node.place.portal},{tag}",)


async def test_serial_and_naa_are_equal_and_target_port_groups_differ(pair: Pair) -> None:
    serials, names, groups = [], [], []
    for node in pair.nodes:
        async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
            serials.append(parse_serial(await session.vital_product_data(0x80)))
            designators = parse_designators(await session.vital_product_data(0x83))
        names.append([found.value.hex() for found in designators if found.designator_type == NAA])
        groups.append([found.value[-1] for found in designators if found.designator_type == TARGET_PORT_GROUP])
    assert serials[0] == serials[1]
    assert names[0] == names[1] == [serials[0]]
    assert serials[0].startswith("6e")
    assert len(serials[0]) == 32
    assert groups == [[1], [2]]
