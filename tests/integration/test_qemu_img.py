"""QEMU's block layer as initiator: images through both paths, and a node killed while it works."""

import asyncio
import random
from pathlib import Path

import pytest

from integration.initiator_tools import run_tool
from twindisk.demo.pair import Pair, iqn
from twindisk.demo.story import compare_when_idle

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMAGE_BYTES = 256 << 20


def make_image(path: Path, seed: int) -> None:
    """Make an image with data, zeros and holes."""
    chance = random.Random(seed)
    with path.open("wb") as image:
        image.truncate(IMAGE_BYTES)
        for _ in range(60):
            image.seek(chance.randrange(0, IMAGE_BYTES - (1 << 20), 512))
            image.write(chance.randbytes(chance.randrange(512, 1 << 20, 512)))


@pytest.mark.promise("P3", "P4")
async def test_an_image_converted_onto_one_path_compares_equal_through_the_other(pair: Pair, tmp_path: Path) -> None:
    for seed, (writer, reader) in enumerate([pair.nodes, pair.nodes[::-1]]):
        image = tmp_path / f"{seed}.img"
        make_image(image, seed)
        name = iqn(pair.vdisk)
        await run_tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, writer.place.url(name))
        compared = await run_tool("qemu-img", "compare", "-f", "raw", "-F", "raw", image, reader.place.url(name))
        assert "Images are identical" in compared
        assert (await compare_when_idle(pair)).first_difference is None


@pytest.mark.timeout(180)
@pytest.mark.promise("P1", "P4", "P7")
@pytest.mark.parametrize("killed", ["Master", "Slave"])
async def test_killing_one_node_only_pauses_a_bench_through_the_other(pair: Pair, killed: str) -> None:
    rows = await pair.rows()
    (victim,) = [node for node in pair.nodes if (row := rows[node.name]) is not None and row.role == killed]
    survivor = pair.other(victim)
    bench = asyncio.create_task(
        run_tool(
            *("qemu-img", "bench", "-w", "-d", "8", "-c", "150000", "-s", "4096", "-f", "raw"),
            survivor.place.url(iqn(pair.vdisk)),
        )
    )
    await asyncio.sleep(0.3)
    assert not bench.done()
    await victim.kill()
    await pair.wait_alone(survivor)
    assert "Run completed" in await bench
    await victim.start()
    await pair.wait_enabled()
    assert (await compare_when_idle(pair)).first_difference is None


@pytest.mark.timeout(180)
@pytest.mark.promise("P1", "P3", "P4")
async def test_killing_one_node_only_pauses_a_copy_through_the_other(pair: Pair, tmp_path: Path) -> None:
    image = tmp_path / "image"
    make_image(image, 7)
    victim, survivor = pair.nodes
    name = iqn(pair.vdisk)
    copy = asyncio.create_task(
        run_tool("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", "-r", "16M", image, survivor.place.url(name))
    )
    await asyncio.sleep(0.3)
    assert not copy.done()
    await victim.kill()
    await copy
    await victim.start()
    await pair.wait_enabled()
    for node in pair.nodes:
        compared = await run_tool("qemu-img", "compare", "-f", "raw", "-F", "raw", image, node.place.url(name))
        assert "Images are identical" in compared
    assert (await compare_when_idle(pair)).first_difference is None
