"""Debian's real ``fence_redfish`` between two real daemons and the BMC of each."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from e2e.lab.bmc import Bmc, Login, Mood
from integration.conftest import running_pair
from twindisk.demo.fence import fence
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import CheckConditionError, SenseKey, Session, SessionOptions, cdb
from twindisk.node.log import LOG_FILE

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SIZE = "0.0625"
BLOCK = 4096
CONTENT = bytes(range(256)) * (BLOCK // 256)
LOGIN = Login("admin", "Sesam!0effne.dich")
HANGING_LIMIT_MS = 8000
"""The second agent needs a second of it, on a busy machine a few."""
FAILED = "Fencing VDisk M1 peer failed. Cannot take over as master"


@dataclass
class Powered:
    """A pair, and the BMC that has each node's power."""

    pair: Pair
    bmcs: dict[str, Bmc]
    certificates: Path

    @property
    def master(self) -> Node:
        return self.pair.first

    @property
    def slave(self) -> Node:
        return self.pair.second

    def agent(self, victim: Node, *, password: str = LOGIN.password, options: str = "") -> str:
        """The command that fences a node: TLS verified against the BMC's own certificate."""
        bmc, where = self.bmcs[victim.name], bmc_address(victim)
        trust = f"REQUESTS_CA_BUNDLE='{self.certificates / victim.name / 'bmc.pem'}'"
        login = f"-l {LOGIN.user} -p '{password}'"
        return f"{trust} fence_redfish -a {where} -u {bmc.port} {login} {options} -o off"

    async def configure(self, **how: str) -> None:
        def command(victim: object) -> str:
            return self.agent(next(node for node in self.pair.nodes if node.place is victim), **how)

        await self.pair.configure(SIZE, fence=command)
        await write_through(self.pair, self.master)


def bmc_address(node: Node) -> str:
    network, _, number = node.place.mirror_address.rsplit(".", 2)  # 127.N.1.number
    return f"{network}.2.{number}"


@pytest_asyncio.fixture(loop_scope="module")
async def powered(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Powered]:
    async with running_pair(tmp_path, ndrecv=getattr(request, "param", "")) as pair:
        bmcs = {node.name: Bmc(node.name, LOGIN, power_off=partial(fence, node.place.state_dir)) for node in pair.nodes}
        try:
            for node in pair.nodes:
                listening = socket.create_server((bmc_address(node), 0))
                bmcs[node.name].start(listening, tmp_path / "certificates" / node.name)
            yield Powered(pair, bmcs, tmp_path / "certificates")
        finally:
            for bmc in bmcs.values():
                bmc.stop()
                print(*bmc.asked, sep="\n")


async def write_through(pair: Pair, node: Node) -> None:
    async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
        await session.write(0, CONTENT)
        await session.flush()


async def read_through(pair: Pair, node: Node) -> bytes:
    async with await Session.connect(node.place.portal, iqn(pair.vdisk)) as session:
        return await session.read(0, BLOCK)


async def assert_serves_nothing(pair: Pair, node: Node) -> None:
    async with await Session.connect(node.place.portal, iqn(pair.vdisk), SessionOptions(timeout_s=15)) as session:
        await session.clear_unit_attentions()
        with pytest.raises(CheckConditionError) as refused:
            await session.command(cdb.read_16(0, 8), data_out=b"", data_in_bytes=BLOCK)
        assert refused.value.sense.key is SenseKey.NOT_READY


async def wait_alone(pair: Pair, node: Node) -> None:
    """Wait until a node says that it is alone, without asking the other one, which may be frozen."""
    async with asyncio.timeout(30):
        while (row := await node.mirror(pair.vdisk)) is None or (row.role, row.status) != ("Master", "Disabled"):
            await asyncio.sleep(0.1)


async def wait_stopped(node: Node) -> None:
    async with asyncio.timeout(30):
        while FAILED not in node.place.output.read_text():
            await asyncio.sleep(0.1)


@pytest.mark.promise("P1", "P2")
async def test_the_agent_switches_a_dead_master_off_and_the_slave_takes_over(powered: Powered) -> None:
    pair, bmc = powered.pair, powered.bmcs[powered.master.name]
    await powered.configure()
    await powered.master.kill()
    await wait_alone(pair, powered.slave)
    assert bmc.resets == ["ForceOff"]
    assert not bmc.is_on
    assert {asked.user for asked in bmc.asked if asked.reset} == {LOGIN.user}
    assert await read_through(pair, powered.slave) == CONTENT
    bmc.switch_on()
    await powered.master.start()
    await pair.wait_enabled()
    assert powered.bmcs[powered.slave.name].resets == []


@pytest.mark.promise("P1", "P2", "P6")
async def test_the_agent_switches_a_frozen_master_off(powered: Powered) -> None:
    await powered.configure()
    frozen = powered.master.pid
    assert frozen is not None
    os.kill(frozen, signal.SIGSTOP)
    await wait_alone(powered.pair, powered.slave)
    assert powered.bmcs[powered.master.name].resets == ["ForceOff"]
    assert powered.master.pid is None
    assert await read_through(powered.pair, powered.slave) == CONTENT


@pytest.mark.promise("P1", "P2", "P6")
async def test_a_wrong_password_fences_nobody_and_is_logged_nowhere(powered: Powered) -> None:
    pair, bmc = powered.pair, powered.bmcs[powered.master.name]
    await powered.configure(password="fal$ch und lang")
    await powered.master.kill()
    await wait_stopped(powered.slave)
    await assert_serves_nothing(pair, powered.slave)
    assert bmc.is_on
    assert 401 in {asked.status for asked in bmc.asked}
    logged = powered.slave.place.output.read_text() + (powered.slave.place.state_dir / LOG_FILE).read_text()
    assert "fence command failed" in logged
    assert "fal$ch" not in logged
    await powered.master.start()
    await pair.wait_enabled()
    assert await read_through(pair, powered.slave) == CONTENT


@pytest.mark.parametrize("powered", [f"FenceLimitMs={HANGING_LIMIT_MS}\n"], indirect=True)
@pytest.mark.promise("P2", "P7")
async def test_a_bmc_that_hangs_costs_the_time_limit_and_then_the_next_check_is_tried(powered: Powered) -> None:
    pair, bmc = powered.pair, powered.bmcs[powered.master.name]
    await powered.configure()
    peer = powered.master.place
    outlet = Bmc("outlet", LOGIN, power_off=lambda: fence(peer.state_dir))
    powered.bmcs["outlet"] = outlet.start(
        socket.create_server((bmc_address(powered.master), 0)), powered.certificates / "outlet"
    )
    trust = f"REQUESTS_CA_BUNDLE='{powered.certificates / 'outlet' / 'bmc.pem'}'"
    login = f"-u {outlet.port} -l {LOGIN.user} -p '{LOGIN.password}'"
    second = f"{trust} fence_redfish -a {bmc_address(powered.master)} {login} -o off"
    await pair.command(powered.slave, "qmirrorcheck", "-a", "-t", "fence", "-r", peer.mirror_address, "-v", second)
    bmc.mood = Mood.HANGS
    await powered.master.kill()
    await wait_alone(pair, powered.slave)
    assert (bmc.resets, outlet.resets) == ([], ["ForceOff"])
    first_asked, outlet_asked = bmc.asked[0].at_s, outlet.asked[0].at_s
    assert HANGING_LIMIT_MS / 1000 - 4 < outlet_asked - first_asked < HANGING_LIMIT_MS / 1000 + 4
    assert "timed_out=True" in powered.slave.place.output.read_text()
    assert agents_at(bmc.port) == []


@pytest.mark.promise("P2")
async def test_a_bmc_that_says_yes_and_does_nothing_is_found_out(powered: Powered) -> None:
    await powered.configure(options="--power-timeout=2")
    powered.bmcs[powered.master.name].mood = Mood.IGNORES
    await powered.master.kill()
    await wait_stopped(powered.slave)
    await assert_serves_nothing(powered.pair, powered.slave)


async def test_the_agent_is_tried_before_it_is_needed(powered: Powered) -> None:
    pair, bmc = powered.pair, powered.bmcs[powered.master.name]
    await powered.configure()
    peer = powered.master.place.mirror_address
    assert " on " in await powered.slave.run("twindisk", "check", "test", peer, "--status")
    bmc.mood = Mood.REFUSES
    assert " failed " in await powered.slave.run("twindisk", "check", "test", peer, "--status", status=1)
    bmc.mood = Mood.ANSWERS
    assert bmc.resets == []
    assert " fenced " in await powered.slave.run("twindisk", "check", "test", peer, "--run", "--yes")
    await wait_alone(pair, powered.slave)
    assert powered.master.pid is None
    assert " off " in await powered.slave.run("twindisk", "check", "test", peer, "--status")
    bmc.switch_on()
    await powered.master.start()
    await pair.wait_enabled()


def agents_at(port: int) -> list[str]:
    """The command lines of agents that run and talk to a port."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if any(b"fence_redfish" in word for word in words) and str(port).encode() in words:
            found.append(b" ".join(words).decode())
    return found
