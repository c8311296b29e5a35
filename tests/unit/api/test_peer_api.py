"""The peer's door: signed requests only, and each peer hears only about what it mirrors."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fakes.nodes import ADDRESSES, SECRET, cluster
from twindisk.api.peer_schemas import MirrorEnd
from twindisk.errors import PeerError, PeerProblem
from twindisk.node import disks, pools, vdisks
from twindisk.node.context import Node
from twindisk.signing import ANSWER_HEADER, Stamp, new_nonce, sign_request

pytestmark = pytest.mark.promise("P9")
HELLO = "/peer/v1/hello"


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    async with cluster(tmp_path) as nodes:
        yield await nodes.start("vm10")


def stamp(path: str = HELLO, *, secret: str = SECRET, time_s: int | None = None) -> Stamp:
    return sign_request(
        secret.encode(),
        sender=ADDRESSES["vm11"],
        time_s=int(time.time()) if time_s is None else time_s,
        nonce=new_nonce(),
        method="GET",
        path=path,
        body=b"",
    )


async def ask(node: Node, headers: dict[str, str], path: str = HELLO) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        return await http.get(f"http://{ADDRESSES['vm10']}:{node.config.control_port}{path}", headers=headers)


async def test_a_signed_request_is_answered_with_a_signature_and_only_once(node: Node) -> None:
    headers = stamp().headers()
    response = await ask(node, headers)
    assert response.status_code == 200
    assert response.json()["node_id"] == node.node_id
    assert response.headers[ANSWER_HEADER]
    assert (await ask(node, headers)).status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {},
        stamp(secret="wrong").headers(),
        stamp(time_s=1000).headers(),
        stamp("/peer/v1/mirrors").headers(),
        {**stamp().headers(), "twindisk-sender": "10.9.9.9"},
        {"authorization": f"Bearer {SECRET}"},
    ],
)
async def test_anything_else_is_turned_away_before_any_route(node: Node, headers: dict[str, str]) -> None:
    for path in (HELLO, "/peer/v1/nothing", "/v1/status", "/openapi.json"):
        response = await ask(node, headers, path)
        assert response.status_code == 401
        assert response.json()["type"] == "urn:twindisk:problem:not-authorized"
        assert ANSWER_HEADER not in response.headers


async def test_the_operators_api_is_not_on_the_mirror_address(node: Node) -> None:
    response = await ask(node, stamp("/v1/status").headers(), "/v1/status")
    assert response.status_code == 404


async def test_a_peer_may_only_ask_about_what_it_mirrors(tmp_path: Path) -> None:
    async with cluster(tmp_path) as nodes:
        first, second = await nodes.start("vm10"), await nodes.start("vm11")
        pools.add(first, "HA")
        await disks.add(first, tmp_path / "vm10" / "disk", "HA")
        made = await vdisks.create(first, vdisks.NewVDisk("M1", 1 << 20, pool="HA"))
        peer = second.peer
        for asked in (
            peer.vdisk(ADDRESSES["vm10"], "M1"),
            peer.switch_to_slave(ADDRESSES["vm10"], "M1"),
            peer.end_mirror(ADDRESSES["vm10"], "M1", MirrorEnd(serial=made.serial, discard=True)),
        ):
            with pytest.raises(PeerError) as raised:
                await asked
            assert raised.value.problem is PeerProblem.REFUSED
            assert raised.value.fields["told"] == "peer-mirror-not-found"
        assert first.state.vdisks() == (made,)
