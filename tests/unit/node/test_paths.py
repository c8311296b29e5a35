"""Further paths: two whole nodes with fake engines, and real requests between them over several loopback addresses."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from fakes.nodes import ADDRESSES, SECRET, Cluster, cluster, phase, until, write_etc
from twindisk.api import views
from twindisk.api.peer_schemas import PEER_PREFIX
from twindisk.brain.phases import Phase
from twindisk.config import NodeConfig, load
from twindisk.errors import PeerError, PeerProblem, RefusedError, RefusedProblem
from twindisk.node import disks, mirroring, mirrors, pools, vdisks
from twindisk.node.context import Node, Recv
from twindisk.node.mirrors import NewMirror
from twindisk.node.peer import PeerClient
from twindisk.node.state import State
from twindisk.signing import new_nonce, sign_request

VM10, VM11 = ADDRESSES["vm10"], ADDRESSES["vm11"]
FURTHER = {"vm10": ("127.0.5.10", "127.0.6.10"), "vm11": ("127.0.5.11", "127.0.6.11")}
ABSENT = "192.0.2.10"
"""An address that no machine has (RFC 5737)."""


def write_paths(root: Path, name: str, control_port: int, *lines: str) -> Path:
    """Write a node's configuration with two further paths to the other node, or with other lines."""
    other = "vm11" if name == "vm10" else "vm10"
    etc = write_etc(root, name, control_port=control_port)
    ends = zip(FURTHER[name], FURTHER[other], strict=True)
    paths = [f"MirrorPath={ADDRESSES[other]} {own} {theirs}" for own, theirs in ends]
    with (etc / "ndrecv.conf").open("a") as file:
        file.write("\n".join(lines or (*paths, "MirrorConnections=2")) + "\n")
    return etc


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with cluster(tmp_path) as made:
        yield made


async def mirrored(nodes: Cluster, root: Path) -> tuple[Node, Node]:
    """Two nodes that mirror M1 and know two further paths."""
    both = []
    for name in ADDRESSES:
        write_paths(root, name, nodes.control_port)
        node = await nodes.start(name)
        pools.add(node, "HA")
        await disks.add(node, root / name / "disk", "HA")
        both.append(node)
    first, second = both
    await vdisks.create(first, vdisks.NewVDisk("M1", 4 << 20, pool="HA"))
    await mirrors.add(first, NewMirror("M1", VM11, "M1"))
    await until(lambda: phase(first, "M1") is phase(second, "M1") is Phase.IN_SYNC)
    return first, second


async def test_the_engine_is_told_of_all_paths(nodes: Cluster, tmp_path: Path) -> None:
    first, _ = await mirrored(nodes, tmp_path)
    for name, peer in (("vm10", VM11), ("vm11", VM10)):
        other = "vm11" if name == "vm10" else "vm10"
        engine = nodes.engines[name]
        assert ("listen_mirror", (ADDRESSES[name], *FURTHER[name])) in engine.calls
        assert engine.paths[peer] == ((ADDRESSES[name], peer), *zip(FURTHER[name], FURTHER[other], strict=True))
        assert engine.connections[peer] == 2
    (peer_seen,) = (await views.status_view(first)).peers
    assert [(path.own, path.theirs, path.state, path.connections) for path in peer_seen.paths] == [
        (VM10, VM11, "up", 2),
        ("127.0.5.10", "127.0.5.11", "up", 2),
        ("127.0.6.10", "127.0.6.11", "up", 2),
    ]


async def test_operators_are_told_of_a_path_that_is_down_and_back(nodes: Cluster, tmp_path: Path) -> None:
    first, _ = await mirrored(nodes, tmp_path)
    path = (VM11, "127.0.5.10", "127.0.5.11")
    nodes.engines["vm10"].break_path(*path)
    await until(lambda: first.state.events(limit=1)[0].kind == "path-down")
    (peer_seen,) = (await views.status_view(first)).peers
    assert [(seen.state, seen.connections) for seen in peer_seen.paths] == [("up", 2), ("down", 0), ("up", 2)]
    assert peer_seen.link == "up"
    nodes.engines["vm10"].mend_path(*path)
    await until(lambda: first.state.events(limit=1)[0].kind == "path-up")
    back, down = sorted(first.state.events(limit=2), key=lambda event: -event.id)
    fields = dict(zip(("peer", "own", "theirs"), path, strict=True))
    assert (down.severity, down.fields, back.severity, back.fields) == ("warning", fields, "information", fields)
    assert all(address in down.text for address in path)
    assert "goes on over the others" in down.text
    assert "Check" in down.text
    assert phase(first, "M1") is Phase.IN_SYNC


async def test_a_further_address_is_no_peers_name(nodes: Cluster, tmp_path: Path) -> None:
    """The nodes answer there, but a link is kept with a mirror address."""
    first, second = await mirrored(nodes, tmp_path)
    await vdisks.create(first, vdisks.NewVDisk("M2", 4 << 20, pool="HA"))
    with pytest.raises(RefusedError) as raised:
        await mirrors.add(first, NewMirror("M2", FURTHER["vm11"][0], "M2"))
    assert raised.value.problem is RefusedProblem.NOT_MIRROR_ADDRESS
    assert raised.value.fields["peer"] == VM11
    with pytest.raises(RefusedError) as raised:
        await mirrors.add(first, NewMirror("M2", FURTHER["vm10"][0], "M2"))
    assert raised.value.problem is RefusedProblem.SELF_MIRROR
    assert [mirror.vdisk for mirror in (*first.state.mirrors(), *second.state.mirrors())] == ["M1", "M1"]


async def test_a_path_whose_address_is_missing_keeps_nobody_from_mirroring(nodes: Cluster, tmp_path: Path) -> None:
    lines = (f"MirrorPath={VM11} {ABSENT} 192.0.2.11", f"MirrorPath={VM11} 2001:db8::10 2001:db8::11")
    write_paths(tmp_path, "vm10", nodes.control_port, *lines)
    node = await nodes.start("vm10")
    assert node.recv is Recv.INITED
    assert (await ask(node, VM10)).status_code == 200


@pytest.mark.parametrize("address", [ABSENT, "2001:db8::10"])
def test_an_address_is_listened_on_before_it_is_there(address: str) -> None:
    if ":" in address and not Path("/proc/net/if_inet6").exists():
        pytest.skip("no IPv6 here")
    with pytest.raises(OSError, match="assign requested address"):
        mirroring._listen(address, 0)
    with mirroring._listen(address, 0, absent=True) as listener:
        assert listener.getsockname()[0] == address


async def test_a_path_whose_port_is_taken_keeps_nobody_from_mirroring(nodes: Cluster, tmp_path: Path) -> None:
    with listening(FURTHER["vm10"][0], nodes.control_port):
        write_paths(tmp_path, "vm10", nodes.control_port)
        node = await nodes.start("vm10")
        assert node.recv is Recv.INITED
        assert (await ask(node, FURTHER["vm10"][1])).status_code == 200


@pytest.mark.promise("P9")
async def test_each_address_has_the_same_lock_and_one_memory_of_what_was_asked(nodes: Cluster, tmp_path: Path) -> None:
    write_paths(tmp_path, "vm10", nodes.control_port)
    node = await nodes.start("vm10")
    headers = stamped()
    assert (await ask(node, FURTHER["vm10"][0], headers)).status_code == 200
    for address in (VM10, *FURTHER["vm10"]):
        assert (await ask(node, address, headers)).status_code == 401, "it was heard already"
        assert (await ask(node, address, {})).status_code == 401
        assert (await ask(node, address, stamped("wrong"))).status_code == 401


def stamped(secret: str = SECRET) -> dict[str, str]:
    times = {"time_s": int(time.time()), "nonce": new_nonce()}
    path = PEER_PREFIX + "/hello"
    return sign_request(secret.encode(), sender=VM11, method="GET", path=path, body=b"", **times).headers()  # type: ignore[arg-type]


async def ask(node: Node, address: str, headers: dict[str, str] | None = None) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"http://{address}:{node.config.control_port}{PEER_PREFIX}/hello"
        return await http.get(url, headers=stamped() if headers is None else headers)


@contextlib.contextmanager
def listening(address: str, port: int, *, full: bool = False) -> Iterator[socket.socket]:
    """Take a port of an address; ``full``: connections to it hang, as on a cable that is cut."""
    with contextlib.ExitStack() as taken:
        listener = taken.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        if full:
            for _ in range(3):
                waiting = taken.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex((address, port))
        yield listener


class Client:
    """A client on vm10 whose peer vm11 listens where the test says."""

    def __init__(self, root: Path, nodes: Cluster) -> None:
        self.nodes = nodes
        self.config: NodeConfig = load(write_paths(root, "vm10", nodes.control_port))
        self.state = State.open(root)
        self.peer = PeerClient(self.config, self.state)

    async def asked(self) -> float:
        """Ask the peer who it is; return how long that took."""
        begun = time.monotonic()
        assert (await self.peer.hello(VM11)).address == VM11
        return time.monotonic() - begun


@pytest.fixture
async def client(tmp_path: Path, nodes: Cluster) -> AsyncIterator[Client]:
    made = Client(tmp_path, nodes)
    yield made
    await made.peer.close()
    made.state.close()


async def serve_further_only(client: Client, root: Path, monkeypatch: pytest.MonkeyPatch, *, cut: str) -> Node:
    """Start vm11 so that nobody answers on its address ``cut``."""
    listen = mirroring._listen

    def elsewhere(address: str, port: int, *, absent: bool = False) -> socket.socket:
        return listen("127.0.7.11" if address == cut else address, port, absent=absent)

    monkeypatch.setattr(mirroring, "_listen", elsewhere)
    write_paths(root, "vm11", client.nodes.control_port)
    return await client.nodes.start("vm11")


async def test_requests_take_a_further_path_when_the_main_one_refuses(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve_further_only(client, tmp_path, monkeypatch, cut=VM11)
    assert await client.asked() < 0.5


async def test_a_main_path_that_is_silent_costs_a_moment_once(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await serve_further_only(client, tmp_path, monkeypatch, cut=VM11)
    with listening(VM11, client.config.control_port, full=True):
        assert 0.4 < await client.asked() < 2
        assert await client.asked() < 0.4
        assert await client.asked() < 0.4


async def test_the_main_path_is_taken_while_it_works_and_again_when_the_others_do_not(
    client: Client, tmp_path: Path
) -> None:
    write_paths(tmp_path, "vm11", client.nodes.control_port)
    await client.nodes.start("vm11")
    with heard_from(client) as heard:
        await client.asked()
        client.peer._paths._last[VM11] = FURTHER["vm10"][0], "127.0.9.9"  # worked last, and works no longer
        await client.asked()
        await client.asked()
    assert heard == [VM11] * 3


@contextlib.contextmanager
def heard_from(client: Client) -> Iterator[list[str]]:
    """Collect the peer's addresses by which answers came."""
    heard: list[str] = []

    async def note(response: httpx.Response) -> None:
        heard.append(response.request.url.host)

    for http in client.peer._paths._http.values():
        http.event_hooks = {"response": [note]}
    yield heard


async def test_a_peer_that_is_reached_by_no_path_is_unreachable_and_every_path_is_named(client: Client) -> None:
    with pytest.raises(PeerError) as raised:
        await client.asked()
    assert raised.value.problem is PeerProblem.UNREACHABLE
    for address in (VM11, *FURTHER["vm11"]):
        assert f"to {address}: " in str(raised.value.fields["detail"])


@pytest.mark.promise("P7")
async def test_all_paths_together_take_no_longer_to_connect_than_one_may(client: Client) -> None:
    with contextlib.ExitStack() as silent:
        for address in (VM11, *FURTHER["vm11"]):
            silent.enter_context(listening(address, client.config.control_port, full=True))
        begun = time.monotonic()
        with pytest.raises(PeerError) as raised:
            await client.asked()
        assert raised.value.problem is PeerProblem.UNREACHABLE
        assert 4.5 < time.monotonic() - begun < 7


async def test_what_was_sent_once_is_not_sent_again_over_another_path(client: Client) -> None:
    """Nobody knows whether it was carried out."""
    heard = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    servers = [
        await asyncio.start_server(hang_up, address, client.config.control_port) for address in (VM11, *FURTHER["vm11"])
    ]
    with pytest.raises(PeerError) as raised:
        await client.asked()
    assert raised.value.problem is PeerProblem.BAD_ANSWER
    assert len(heard) == 1
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_each_request_connects_anew_from_the_address_of_its_path(client: Client) -> None:
    seen = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(note, FURTHER["vm11"][1], client.config.control_port):
        for _ in range(3):
            with pytest.raises(PeerError) as raised:
                await client.asked()
            assert raised.value.problem is PeerProblem.UNAUTHORIZED
    assert seen == [FURTHER["vm10"][1]] * 3
