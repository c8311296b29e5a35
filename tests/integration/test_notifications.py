"""What operators are told when something happens, as net-snmp shows it, and as ``twindisk events`` does."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from integration.conftest import SIZE_GIB, free_places
from integration.snmptrapd import HOST, copy_mibs, free_udp_port, snmptrapd
from twindisk.demo.node import Node, command_path
from twindisk.demo.pair import Pair
from twindisk.demo.place import NodePlace, write_configuration

pytestmark = [pytest.mark.timeout(240)]

TEST = "Test notification from node vm10"
ENGINE_ID = "0x80008be70500112233445566"


def configure(place: NodePlace, *lines: str) -> None:
    with (place.etc / "quadstor.conf").open("a") as file:
        file.write("\n".join(lines) + "\n")


@pytest_asyncio.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    """A node that is configured but not started."""
    where = free_places(tmp_path / "nodes")
    write_configuration(where)
    node = Node(where[0])
    try:
        yield node
    finally:
        await node.kill()
        print(f"--- last words of {node.name}\n{node.log_tail()}")


async def test_a_take_over_reaches_snmptrapd_in_the_known_words_whatever_other_destinations_do(tmp_path: Path) -> None:
    where = free_places(tmp_path / "nodes")
    write_configuration(where)
    pair = Pair(Node(where[0]), Node(where[1]))
    async with snmptrapd(tmp_path / "nms", ["authCommunity log public"]) as receiver:
        for place in where:
            dead = f"{HOST}:{free_udp_port()}"
            configure(place, f"TrapAddr={dead}, {HOST}:{receiver.port}")
        try:
            await pair.start()
            await pair.configure(SIZE_GIB)
            await receiver.wait_for("VDisk M1 resync ended", times=2)
            await pair.first.kill()
            await pair.wait_alone(pair.second)
            trap = await receiver.wait_for("VDisk M1 switching over to master role")
            await receiver.wait_for("VDisk M1 peer has failed")
            await receiver.wait_for(f"Link to peer {where[0].mirror_address} lost: reset")
            await check_the_events(pair.second)
            await pair.first.start()
            await pair.wait_enabled()
            await receiver.wait_for("VDisk M1 resync ended", times=4)
            await pair.first.stop()
            await receiver.wait_for("VDisk M1 peer handed over")
            await receiver.wait_for(f"VDisk M1 handed over to peer {where[1].mirror_address}")
            assert "nobody listens on its port" in await pair.second.run("twindisk", "trap", "list")
        finally:
            for running in pair.nodes:
                await running.kill()
                print(f"--- last words of {running.name}\n{running.log_tail()}")
    up, *told = trap.objects
    assert up.startswith("DISMAN-EVENT-MIB::sysUpTimeInstance = Timeticks: (")
    assert told == [
        "SNMPv2-MIB::snmpTrapOID.0 = OID: QUADSTOR-TRAPS-MIB::quadstorNotification",
        "QUADSTOR-TRAPS-MIB::notifyType = INTEGER: warning(2)",
        "QUADSTOR-TRAPS-MIB::notifyMessage = STRING: VDisk M1 switching over to master role",
    ]


async def check_the_events(node: Node) -> None:
    """The node keeps what it told, and shows it as it happens."""
    everything = json.loads(await node.run("twindisk", "events", "--json", "--since", "1h"))
    assert "VDisk M1 switching over to master role" in [event["text"] for event in everything]
    assert await node.run("twindisk", "events", "--since", "2100-01-01") == "No events.\n"
    last = json.loads(await node.run("twindisk", "events", "--json", "-n", "2", "--vdisk", "M1"))
    assert last == [event for event in everything if event["fields"].get("vdisk") == "M1"][-2:]
    assert "no time" in await node.run("twindisk", "events", "--since", "soon", status=2)
    follower = await asyncio.create_subprocess_exec(
        *(str(command_path("twindisk")), "events", "--follow", "-n", "1"),
        env={**os.environ, "TWINDISK_ETC": str(node.place.etc)},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert follower.stdout is not None
        line = (await asyncio.wait_for(follower.stdout.readline(), 20)).decode()
        assert line.rstrip().endswith(everything[-1]["text"])
    finally:
        follower.terminate()
        await follower.wait()


@pytest.mark.promise("P9")
async def test_version_3_is_signed_and_encrypted_and_accepted_after_a_restart(tmp_path: Path, node: Node) -> None:
    user = f"createUser -e {ENGINE_ID} ops SHA-256 authpass1 AES"
    allowed = "authUser log ops priv"
    async with (
        snmptrapd(tmp_path / "friend", [f"{user} privpass1", allowed]) as friend,
        snmptrapd(tmp_path / "stranger", [f"{user} otherpass", allowed]) as stranger,
    ):
        configure(
            node.place,
            *("TrapVersion=3", "TrapUser=ops", "TrapAuth=SHA-256", "TrapPriv=AES", f"TrapEngineID={ENGINE_ID}"),
            *(f"TrapAddr={HOST}:{receiver.port}" for receiver in (stranger, friend)),
        )
        for name, passphrase in (("trap-auth", "authpass1"), ("trap-priv", "privpass1")):
            (node.place.etc / name).touch(mode=0o600)
            (node.place.etc / name).write_text(passphrase + "\n")
        for start in (1, 2):
            await node.start()
            await node.run("twindisk", "trap", "test")
            trap = await friend.wait_for(TEST, times=start)
            await node.stop()
        assert trap.objects[1:3] == (
            "SNMPv2-MIB::snmpTrapOID.0 = OID: QUADSTOR-TRAPS-MIB::quadstorNotification",
            "QUADSTOR-TRAPS-MIB::notifyType = INTEGER: information(1)",
        )
        assert stranger.received() == []


@pytest.mark.parametrize(
    ("keys", "auth", "allowed"),
    [
        ("", "", "noauth"),
        ("TrapAuth=SHA", "SHA authpass1", "auth"),
        ("TrapAuth=SHA-512\nTrapPriv=AES-256", "SHA-512 authpass1 AES-256 privpass1", "priv"),
    ],
)
async def test_each_level_of_version_3_with_the_nodes_own_engine_id(
    tmp_path: Path, node: Node, keys: str, auth: str, allowed: str
) -> None:
    for name, passphrase in (("trap-auth", "authpass1"), ("trap-priv", "privpass1")):
        (node.place.etc / name).touch(mode=0o600)
        (node.place.etc / name).write_text(passphrase)
    # The engine id is known once the node has started; the receiver needs it.
    configure(node.place, "TrapVersion=3", "TrapUser=ops", keys)
    await node.start()
    engine_id = json.loads(await node.run("twindisk", "trap", "list", "--json"))["engine_id"]
    await node.stop()
    lines = [f"createUser -e {engine_id} ops {auth}", f"authUser log ops {allowed}"]
    async with snmptrapd(tmp_path / "nms", lines) as receiver:
        configure(node.place, f"TrapAddr={HOST}:{receiver.port}")
        await node.start()
        assert "sent" in await node.run("twindisk", "trap", "test")
        await receiver.wait_for(TEST)


async def test_a_test_says_for_each_destination_what_happened(tmp_path: Path, node: Node) -> None:
    async with snmptrapd(tmp_path / "nms", ["authCommunity log ours"]) as receiver:
        alive, dead = f"{HOST}:{receiver.port}", f"{HOST}:{free_udp_port()}"
        configure(node.place, f"TrapAddr={alive}", f"TrapAddr={dead}", "TrapCommunity=ours")
        await node.start()
        tested = json.loads(await node.run("twindisk", "trap", "test", "--json", status=1))
        assert {test["destination"]: test["problem"] for test in tested} == {
            alive: None,
            dead: "nobody listens on its port",
        }
        await receiver.wait_for(TEST)


async def test_a_node_without_destinations_says_so(node: Node) -> None:
    await node.start()
    assert "Set TrapAddr" in await node.run("twindisk", "trap", "list")
    assert "set TrapAddr in quadstor.conf" in await node.run("twindisk", "trap", "test", status=1)


def test_the_mib_modules_are_valid(tmp_path: Path) -> None:
    mibs = copy_mibs(tmp_path / "mibs")
    modules = [str(mibs / name) for name in ("QUADSTOR-REG.mib", "QUADSTOR.mib")]
    checked = subprocess.run(
        ["smilint", "-s", "-l", "3", *modules],
        env={**os.environ, "SMIPATH": str(mibs)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stdout + checked.stderr == ""


@pytest.mark.parametrize(
    ("name", "oid"),
    [
        ("QUADSTOR-REG::quadstor", ".1.3.6.1.4.1.35815"),
        ("QUADSTOR-TRAPS-MIB::quadstorMIB", ".1.3.6.1.4.1.35815.2.1"),
        ("QUADSTOR-TRAPS-MIB::quadstorNotification", ".1.3.6.1.4.1.35815.2.1.0.2"),
        ("QUADSTOR-TRAPS-MIB::notifyType", ".1.3.6.1.4.1.35815.2.1.1.1"),
        ("QUADSTOR-TRAPS-MIB::notifyMessage", ".1.3.6.1.4.1.35815.2.1.1.2"),
    ],
)
def test_net_snmp_knows_the_names(tmp_path: Path, name: str, oid: str) -> None:
    directory = tmp_path / "copied"
    subprocess.run([command_path("twindisk"), "trap", "mibs", "--base", "--copy-to", directory], check=True)
    for question, flag, answer in ((name, "-On", oid), (oid, "-OS", name)):
        told = subprocess.run(
            ["snmptranslate", "-M", str(directory), "-m", "ALL", flag, question],
            env={**os.environ, "SNMP_PERSISTENT_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == answer
