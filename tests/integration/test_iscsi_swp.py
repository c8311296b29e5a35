"""``iscsi-swp`` of libiscsi: the software write protect bit through either node, with a node killed while it is set."""

import re

import pytest

from integration.initiator_tools import run_tool
from integration.reservation_client import CHECK, GOOD, Port
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import SenseKey

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120), pytest.mark.promise("P5")]

WRITE_PROTECTED = (SenseKey.DATA_PROTECT, 0x27, 0x00)


async def swp(pair: Pair, node: Node, turn: str | None = None) -> bool:
    """Run iscsi-swp over a node, to ``turn`` protection on or off if told; return how it stood before."""
    how = () if turn is None else ("--swp", turn)
    printed = await run_tool("iscsi-swp", *how, node.place.url(iqn(pair.vdisk)))
    found = re.search(r"^SWP:([01])$", printed, re.MULTILINE)
    assert found, printed
    assert "failed" not in printed.lower()
    return found[1] == "1"


async def assert_protected(pair: Pair, node: Node, *, protected: bool) -> None:
    port = await Port.log_in(pair, node, 1)
    assert await port.read() == GOOD
    assert await port.write() == (CHECK if protected else GOOD)
    assert port.refused == (WRITE_PROTECTED if protected else None)
    await port.session.close()
    assert await swp(pair, node) is protected


async def test_what_one_node_protects_the_other_one_keeps_when_it_dies(pair: Pair) -> None:
    for lost in pair.nodes:
        survivor = pair.other(lost)
        assert await swp(pair, lost, "on") is False
        for node in pair.nodes:
            await assert_protected(pair, node, protected=True)
        await lost.kill()
        await pair.wait_alone(survivor)
        await assert_protected(pair, survivor, protected=True)
        assert await swp(pair, survivor, "off") is True
        await assert_protected(pair, survivor, protected=False)
        await lost.start()
        await pair.wait_enabled()
        await assert_protected(pair, lost, protected=False)
