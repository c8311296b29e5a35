"""What clusters and hypervisors send, replayed with a node killed in between: the scripts in ``clusters/``."""

from pathlib import Path

import pytest

from integration.reservation_client import Port, clear_all
from integration.scsi_script import Script, content
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SCRIPTS = Path(__file__).parent / "clusters"
VICTIMS = ("master", "slave")
VALIDATED_TYPES = {"we-ro": "we", "ea-ro": "ea", "we-ar": "we", "ea-ar": "ea"}
"""Types, and for each another one that a RELEASE could name by mistake."""
SCRATCH_BLOCKS = 256


async def node_in_role(pair: Pair, role: str) -> Node:
    rows = await pair.rows()
    return next(node for node in pair.nodes if (row := rows[node.name]) and row.role.lower() == role)


async def replay(pair: Pair, victim: str, text: str) -> None:
    """Run a script on a disk with nothing registered or written; ``left`` is the node that has the victim's role as it begins."""
    for node in pair.nodes:
        if node.pid is None:  # A script before this one ended early.
            await node.start()
    await pair.wait_enabled()
    left = await node_in_role(pair, victim)
    cleaner = await Port.log_in(pair, left, 99)
    await clear_all(cleaner)
    await cleaner.session.write(0, bytes(SCRATCH_BLOCKS * 512))
    await cleaner.session.close()
    await Script(pair, left).run(text)


@pytest.mark.promise("P5", "P1")
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize(
    "name", sorted(path.stem for path in SCRIPTS.glob("*.txt") if path.stem != "windows_validation")
)
async def test_a_cluster_carries_on_when_a_node_is_killed(pair: Pair, name: str, victim: str) -> None:
    await replay(pair, victim, (SCRIPTS / f"{name}.txt").read_text())


@pytest.mark.promise("P5")
@pytest.mark.parametrize("kind", VALIDATED_TYPES)
async def test_windows_validation_passes_for_each_type_while_a_node_is_killed(pair: Pair, kind: str) -> None:
    of_all = kind.endswith("ar")
    text = (SCRIPTS / "windows_validation.txt").read_text()
    for word, meaning in {
        "RELEASE-OTHER": "check illegal_request 26/04" if of_all else "good",
        "TYPE-OTHER": VALIDATED_TYPES[kind],
        "TYPE": kind,
        "HOLDER-a1": "0" if of_all else "a1",
        "HOLDER-b2": "0" if of_all else "b2",
        "VICTIM": "0" if of_all else "a1",
    }.items():
        text = text.replace(word, meaning)
    await replay(pair, "master", text)


async def test_a_script_ends_at_the_line_that_is_not_met_and_shows_it(pair: Pair) -> None:
    script = Script(pair, await node_in_role(pair, "slave"))
    with pytest.raises(AssertionError) as shown:
        await script.run("""
            one@left   write 8 word   : good
            two@right  read 8         : another  # it is not
            one@left   write 8 more   : good
        """)
    assert str(shown.value).splitlines() == [
        "one@left   write 8 word   : good",
        "two@right  read 8         : another",
        "answered 'word'",
    ]
    async with await Session.connect(pair.first.place.portal, iqn(pair.vdisk)) as session:
        assert await session.read(8 * 512, 512) == content("word")
