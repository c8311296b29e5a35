"""Two nodes of different software: operators are told why there is no link. The other version is played over real sockets."""

import asyncio
import json
import os
from collections.abc import Callable

import pytest

from twindisk.demo.node import Node
from twindisk.demo.pair import Pair

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P8")]

MAGIC = b"TDL1"
LIMIT_S = 60.0


def hello(version: int, address: str) -> bytes:
    """Return a dialer's first words."""
    return MAGIC + bytes((version,)) + os.urandom(32) + bytes((len(address),)) + address.encode()


async def problem(node: Node) -> str | None:
    """Return why a node has no link with its peer, as its status says."""
    (peer,) = json.loads(await node.run("twindisk", "--json", "status"))["peers"]
    assert (peer["link"] == "up") <= (peer["problem"] is None)
    found: str | None = peer["problem"]
    return found


async def wait_until(node: Node, wanted: Callable[[str | None], bool]) -> str | None:
    """Wait until a node says so."""
    async with asyncio.timeout(LIMIT_S):
        while not wanted(found := await problem(node)):
            await asyncio.sleep(0.1)
    return found


async def check_told(node: Node, sentence: str) -> None:
    """Check that the status, the events and the log say it, and the latter once only."""
    assert await wait_until(node, lambda found: found is not None and sentence in found)
    assert sentence in " ".join((await node.run("twindisk", "status")).split())
    events = json.loads(await node.run("twindisk", "--json", "events"))
    told = [event for event in events if event["kind"] == "peer-version" and sentence in event["text"]]
    assert [event["severity"] for event in told] == ["error"]
    assert node.log_tail().count(sentence) == 1


async def test_the_node_that_dials_tells_that_its_peer_is_older(pair: Pair) -> None:
    dialer, listener = pair.nodes
    await listener.stop()
    heard = []

    async def older(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readexactly(5))
        writer.write(MAGIC + bytes((heard[0][4] - 1,)) + bytes(64))
        await writer.drain()
        await reader.read()
        writer.close()

    address = (listener.place.mirror_address, listener.place.data_port)
    async with await asyncio.start_server(older, *address), asyncio.timeout(LIMIT_S):
        while len(heard) < 3:
            await asyncio.sleep(0.05)
        ours = heard[0][4]
        assert set(heard) == {MAGIC + bytes((ours,))}
        peer = listener.place.mirror_address
        sentence = f"Peer {peer} speaks mirror protocol {ours - 1}, this node {ours}: upgrade the peer."
        await check_told(dialer, sentence)
    await listener.start()
    await pair.wait_enabled()
    assert await problem(dialer) is None


async def test_the_node_that_listens_tells_that_its_peer_is_newer_and_tells_the_peer(pair: Pair) -> None:
    dialer, listener = pair.nodes
    await dialer.stop()
    place, peer = listener.place, dialer.place.mirror_address

    async def dial(version: int) -> bytes:
        reader, writer = await asyncio.open_connection(place.mirror_address, place.data_port, local_addr=(peer, 0))
        writer.write(hello(version, peer))
        async with asyncio.timeout(LIMIT_S):
            answer = await reader.read()
        writer.close()
        return answer

    answer = await dial(255)
    assert (answer[:4], len(answer)) == (MAGIC, 5), "so that the dialer can tell its operators too"
    ours = answer[4]
    for _ in range(3):
        assert await dial(ours + 1) == answer
    sentence = f"Peer {peer} speaks mirror protocol {ours + 1}, this node {ours}: upgrade this node."
    await check_told(listener, sentence)
    await dialer.start()
    await pair.wait_enabled()
    assert await problem(listener) is None
