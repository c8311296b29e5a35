"""The operators' API: every error a problem document, every noun its routes."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fakes.nodes import ADDRESSES, Cluster, cluster, phase, until
from twindisk.api.problems import MEDIA_TYPE
from twindisk.brain.phases import Phase
from twindisk.config import NodeConfig
from twindisk.node.context import Node
from twindisk.node.reload import _AT_NEXT_START, _AT_ONCE


class Api:
    """A node and its API, asked over the node's socket as commands do."""

    def __init__(self, nodes: Cluster, node: Node, http: httpx.AsyncClient) -> None:
        self.nodes = nodes
        self.node = node
        self.http = http

    async def ask(self, method: str, path: str, status: int, **options: object) -> dict[str, object]:
        response = await self.http.request(method, "/v1" + path, **options)  # type: ignore[arg-type]
        assert response.status_code == status, response.text
        if status >= 400:
            assert response.headers["content-type"] == MEDIA_TYPE
            problem: dict[str, object] = response.json()
            assert {"type", "title", "status", "detail"} <= set(problem)
            assert problem["status"] == status
            assert str(problem["type"]).startswith("urn:twindisk:problem:")
            return problem
        return {"body": response.json() if response.content else None}


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    async with cluster(tmp_path) as nodes:
        node = await nodes.start("vm10")
        transport = httpx.AsyncHTTPTransport(uds=str(node.config.socket_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
            yield Api(nodes, node, http)


@pytest.mark.promise("P9")
async def test_the_socket_is_its_owners_alone(api: Api) -> None:
    assert api.node.config.socket_path.stat().st_mode & 0o777 == 0o600


async def test_the_life_of_a_vdisk(api: Api, tmp_path: Path) -> None:
    await api.ask("POST", "/pools", 201, json={"name": "HA"})
    disk = {"path": str(tmp_path / "vm10" / "disk"), "pool": "HA"}
    await api.ask("POST", "/disks", 201, json=disk)
    made = (await api.ask("POST", "/vdisks", 201, json={"name": "M1", "size": "10M", "pool": "HA"}))["body"]
    assert isinstance(made, dict)
    assert (made["size_bytes"], made["status"], made["phase"], made["lun"]) == (10 << 20, "Enabled", "single", 0)
    assert (await api.ask("GET", "/vdisks/M1", 200))["body"] == made
    assert (await api.ask("GET", "/vdisks", 200))["body"] == [made]
    grown = (await api.ask("PATCH", "/vdisks/M1", 200, json={"size": 20 << 20}))["body"]
    assert isinstance(grown, dict)
    assert grown["size_bytes"] == 20 << 20
    assert (grown["access"], grown["access_state"]) == ("active-active", "active/optimized")
    changed = (await api.ask("PATCH", "/vdisks/M1", 200, json={"access": "active-passive"}))["body"]
    assert changed == {**grown, "access": "active-passive"}
    await api.ask("PATCH", "/vdisks/M1", 422, json={"access": "passive"})
    await api.ask("DELETE", "/vdisks/M1", 204)
    await api.ask("DELETE", "/disks", 204, params={"name": disk["path"]})
    await api.ask("DELETE", "/pools/HA", 204)


async def test_a_mirror_over_the_api(api: Api, tmp_path: Path) -> None:
    peer = await api.nodes.start("vm11")
    for name, node in (("vm10", api.node), ("vm11", peer)):
        node.state.add_pool("HA")
        async with httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(node.config.socket_path)), base_url="http://node"
        ) as http:
            added = await http.post("/v1/disks", json={"path": str(tmp_path / name / "disk"), "pool": "HA"})
            assert added.status_code == 201
    await api.ask("POST", "/vdisks", 201, json={"name": "M1", "size": "4M", "pool": "HA"})
    await api.ask("POST", "/checks", 201, json={"peer": ADDRESSES["vm11"], "type": "manual"})
    await api.ask("POST", "/mirrors", 201, json={"vdisk": "M1", "peer": ADDRESSES["vm11"]})
    await until(lambda: phase(api.node, "M1") is Phase.IN_SYNC)
    mirror = (await api.ask("GET", "/mirrors/M1", 200))["body"]
    assert isinstance(mirror, dict)
    assert (mirror["role"], mirror["status"], mirror["peer"]) == ("Master", "Enabled", ADDRESSES["vm11"])
    switched = (await api.ask("POST", "/mirrors/M1/role", 200, json={"role": "slave"}))["body"]
    assert isinstance(switched, dict)
    assert switched["role"] == "Slave"
    status = (await api.ask("GET", "/status", 200))["body"]
    assert isinstance(status, dict)
    assert [peer["link"] for peer in status["peers"]] == ["up"]
    assert status["mirrors"][0]["vdisk"] == "M1"
    assert (await api.ask("DELETE", "/vdisks/M1", 409))["type"] == "urn:twindisk:problem:vdisk-mirrored"
    await api.ask("DELETE", "/mirrors/M1", 204)
    events = (await api.ask("GET", "/events", 200))["body"]
    assert isinstance(events, dict)
    assert "roles-switched" in [event["kind"] for event in events["events"]]


BAD_REQUESTS: list[tuple[str, str, object, int, str]] = [
    ("GET", "/nothing", None, 404, "route-not-found"),
    ("PUT", "/pools", {}, 405, "http"),
    ("GET", "/vdisks/NONE", None, 404, "vdisk-not-found"),
    ("GET", "/mirrors/NONE", None, 404, "vdisk-not-found"),
    ("DELETE", "/pools/NONE", None, 404, "pool-not-found"),
    ("DELETE", "/disks?name=NONE", None, 404, "disk-not-found"),
    ("DELETE", "/disks", None, 422, "invalid-request"),
    ("POST", "/pools", {"name": "a/b"}, 422, "invalid-name"),
    ("POST", "/pools", {"name": "HA", "colour": "blue"}, 422, "invalid-request"),
    ("POST", "/pools", None, 422, "invalid-request"),
    ("POST", "/vdisks", {"name": "M1", "size": "big"}, 422, "invalid-size"),
    ("POST", "/vdisks", {"name": "M1", "size": -1}, 422, "invalid-request"),
    ("POST", "/vdisks", {"name": "M1", "size": 1 << 70}, 422, "invalid-size-too-large"),
    ("POST", "/vdisks", {"name": "M1", "size": 0}, 422, "invalid-size-too-small"),
    ("POST", "/vdisks", {"name": "M1", "size": "1G"}, 404, "pool-not-found"),
    ("POST", "/disks", {"path": "relative"}, 422, "invalid-path"),
    ("POST", "/mirrors", {"vdisk": "NONE", "peer": "10.0.0.1"}, 404, "vdisk-not-found"),
    ("POST", "/checks", {"peer": "x", "type": "manual"}, 422, "invalid-address"),
    ("POST", "/checks", {"peer": "10.0.0.1", "type": "pray"}, 422, "invalid-request"),
    ("POST", "/checks", {"peer": "10.0.0.1", "type": "fence"}, 422, "invalid-check"),
    ("DELETE", "/checks", None, 404, "check-not-found"),
    ("POST", "/mirrors/NONE/role", {"role": "king"}, 422, "invalid-request"),
]


@pytest.mark.promise("P9")
async def test_bad_requests_get_a_problem_and_change_nothing(api: Api) -> None:
    for method, path, body, status, problem in BAD_REQUESTS:
        answer = await api.ask(method, path, status, **({} if body is None else {"json": body}))
        assert answer["type"] == f"urn:twindisk:problem:{problem}"
    state = api.node.state
    left = (state.disks(), state.vdisks(), state.mirrors(), state.checks())
    assert left == ((), (), (), ())


async def test_a_body_that_is_no_json_gets_a_problem(api: Api) -> None:
    for content, status in ((b"\xff{", 400), (b"{", 422), (b"[]", 422), (b"null", 422)):
        await api.ask("POST", "/pools", status, content=content, headers={"content-type": "application/json"})


async def test_an_internal_error_gives_nothing_of_itself_away(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise RuntimeError("a secret path")

    monkeypatch.setattr(api.node.state, "pools", fail)
    answer = await api.ask("GET", "/pools", 500)
    assert answer["type"] == "urn:twindisk:problem:internal"
    assert "secret" not in str(answer)


async def test_reload_takes_over_what_may_change_while_the_node_runs(api: Api) -> None:
    etc = api.node.config.etc
    nothing = (await api.ask("POST", "/node/reload", 200))["body"]
    assert nothing == {"changed": [], "needs_restart": []}
    with (etc / "quadstor.conf").open("a") as file:
        file.write("TrapAddr=127.0.0.1:1\nPoolThreshold=5\nNodeName=other\n")
    body = (await api.ask("POST", "/node/reload", 200))["body"]
    assert body == {"changed": ["Trap*", "PoolThreshold"], "needs_restart": ["NodeName"]}
    traps = (await api.ask("GET", "/traps", 200))["body"]
    assert isinstance(traps, dict)
    assert [trap["destination"] for trap in traps["destinations"]] == ["127.0.0.1:1"]
    assert api.node.config.pool_threshold_percent == 5
    assert api.node.config.node_name != "other"


async def test_a_reload_of_a_wrong_file_changes_nothing(api: Api) -> None:
    before = api.node.config
    (api.node.config.etc / "quadstor.conf").write_text("TrapAddr=127.0.0.1:1\nPoolThreshold=many\n")
    problem = await api.ask("POST", "/node/reload", 500)
    assert "PoolThreshold=many" in str(problem["detail"])
    assert api.node.config == before
    assert not api.node.traps.deliveries


def test_reload_knows_every_setting() -> None:
    known = {*_AT_ONCE, *_AT_NEXT_START, "etc", "warnings"}
    assert known == {field.name for field in dataclasses.fields(NodeConfig)}
