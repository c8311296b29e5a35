"""The demo as its users run it."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from integration.conftest import free_port_pair
from twindisk.demo.node import command_path
from twindisk.initiator import Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


async def start_demo(*options: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        str(command_path("twindisk")),
        "demo",
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


@pytest.mark.promise("P1", "P4", "P7")
async def test_the_demo_ends_with_nothing_lost() -> None:
    demo = await start_demo("--port", str(free_port_pair()))
    printed, _ = await demo.communicate()
    text = printed.decode()
    print(text)
    assert text.splitlines()[-1] == "0 acknowledged writes lost"
    assert demo.returncode == 0
    assert "Master" in text
    assert "Resyncing" in text


async def test_a_held_demo_tells_how_to_start_a_killed_node_again(tmp_path: Path) -> None:
    directory = tmp_path / "held"
    demo = await start_demo("--hold", "--dir", str(directory), "--port", str(free_port_pair()), "--size", "64M")
    restarted: asyncio.subprocess.Process | None = None
    try:
        told = await wait_told(directory / "demo.json", demo)
        assert set(told) == {"vdisk", "iqn", "size", "nodes"}
        assert told["size"] == 64 << 20
        node = told["nodes"][0]
        assert set(node) == {"name", "portal", "url", "mirror_address", "etc", "pid", "start"}
        os.kill(node["pid"], signal.SIGKILL)
        await wait_status(told["nodes"][1], "Master", "Disabled")
        restarted = await asyncio.create_subprocess_exec(*node["start"], stdout=asyncio.subprocess.DEVNULL)
        await wait_status(node, "Slave", "Enabled")
        async with await Session.connect(node["portal"], told["iqn"]) as session:
            assert (await session.read_capacity()).size_bytes == told["size"]
    finally:
        demo.send_signal(signal.SIGINT)
        printed, _ = await demo.communicate()
        print(printed.decode())
        if restarted is not None:
            assert await restarted.wait() is not None
    assert demo.returncode == 0
    assert not (directory / "demo.json").exists()


async def wait_told(path: Path, demo: asyncio.subprocess.Process) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while not path.exists():
            assert demo.returncode is None
            await asyncio.sleep(0.1)
    told: dict[str, Any] = json.loads(path.read_text())
    return told


async def wait_status(node: dict[str, Any], role: str, status: str) -> None:
    async with asyncio.timeout(60):
        while True:
            process = await asyncio.create_subprocess_exec(
                str(command_path("qsync")),
                "-l",
                env=os.environ | {"TWINDISK_ETC": node["etc"]},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            printed, _ = await process.communicate()
            words = printed.decode().splitlines()[-1].split() if printed else []
            if words[4:] == [role, *status.split()]:
                return
            await asyncio.sleep(0.2)


async def test_the_fence_command_kills_only_the_daemon_of_its_directory(tmp_path: Path) -> None:
    tmp_path.joinpath("twindiskd.pid").write_text(f"{os.getpid()}\n")  # stale: nobody holds its lock
    fence = await asyncio.create_subprocess_exec(sys.executable, "-m", "twindisk.demo.fence", str(tmp_path))
    assert await fence.wait() == 0
