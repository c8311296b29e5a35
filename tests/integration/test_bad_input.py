"""Bad input gets a clear error and changes nothing."""

import asyncio
import random
import struct

import pytest

from twindisk.demo.pair import POOL, Pair, iqn
from twindisk.initiator import LoginError, Session

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P9")]

LOGIN = 0x43
STAGE_OPERATIONAL_TO_FULL = 0x87


def login_pdu(
    text: bytes, *, opcode: int = LOGIN, length: int | None = None, flags: int = STAGE_OPERATIONAL_TO_FULL
) -> bytes:
    """A login request (RFC 7143 §11.12), right or wrong."""
    data_length = len(text) if length is None else length
    head = struct.pack(">BBBBI", opcode, flags, 0, 0, data_length)
    head += bytes.fromhex("800000010000") + b"\0\0" + struct.pack(">IHHIIxxxxxxxxxxxxxxxx", 1, 0, 0, 1, 0)
    return head + text + bytes(-len(text) % 4)


GOOD_TEXT = b"InitiatorName=iqn.2024-01.invalid.test:bad\0SessionType=Normal\0TargetName=%s\0"
BAD_PDUS = {
    "noise": random.Random(1).randbytes(4096),
    "text without key": login_pdu(b"no key here\0"),
    "text without end": login_pdu(b"InitiatorName=iqn.x"),
    "no initiator name": login_pdu(b"SessionType=Normal\0"),
    "text that is no text": login_pdu(b"\xff\xfe=\x80\0" * 8),
    "number beyond its range": login_pdu(GOOD_TEXT % b"x" + b"MaxBurstLength=99999999999\0"),
    "opcode of a target": login_pdu(b"", opcode=0x21),
    "command before login": login_pdu(b"", opcode=0x01),
    "reserved stage": login_pdu(GOOD_TEXT % b"x", flags=0x8B),
    "length beyond all limits": login_pdu(b"", length=0x00FFFFFF) + bytes(65536),
    "half a header": login_pdu(b"")[:20],
}


async def send_raw(portal: str, data: bytes) -> bytes:
    """Send bytes, close our side, return what came back until the target closed too."""
    host, port = portal.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        async with asyncio.timeout(10):
            return await reader.read()
    except (ConnectionResetError, BrokenPipeError):
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("name", BAD_PDUS)
async def test_a_malformed_pdu_ends_its_connection_and_disturbs_nobody_else(pair: Pair, name: str) -> None:
    portal = pair.first.place.portal
    async with await Session.connect(portal, iqn(pair.vdisk)) as session:
        await session.write(0, name.encode().ljust(512, b"."))
        pid = pair.first.pid
        answer = await send_raw(portal, BAD_PDUS[name])
        assert answer == b"" or answer[0] & 0x3F in (0x23, 0x3F)  # a login response that says no, or a reject
        if answer and answer[0] & 0x3F == 0x23:
            assert answer[36] == 0x02  # initiator error
        assert await session.read(0, 512) == name.encode().ljust(512, b".")
        assert pair.first.pid == pid


async def test_noise_after_a_good_login_ends_only_that_connection(pair: Pair) -> None:
    portal = pair.first.place.portal
    text = GOOD_TEXT % iqn(pair.vdisk).encode()
    for seed in range(30):
        async with await Session.connect(portal, iqn(pair.vdisk)) as session:
            await send_raw(portal, login_pdu(text) + random.Random(seed).randbytes(2000))
            await session.read(0, 4096)


async def test_an_unknown_target_is_refused(pair: Pair) -> None:
    with pytest.raises(LoginError, match="Target not found"):
        await Session.connect(pair.first.place.portal, iqn("NONE"))


BAD_COMMANDS = {
    "size of 0": "vdconfig -a -v X1 -s 0 -g HAPOOL",
    "size below 0": "vdconfig -a -v X1 -s -1 -g HAPOOL",
    "size that is no number": "vdconfig -a -v X1 -s big -g HAPOOL",
    "size beyond all rules": "vdconfig -a -v X1 -s 99999999999 -g HAPOOL",
    "unknown pool": "vdconfig -a -v X1 -s 1 -g NOPOOL",
    "name that is a path": "vdconfig -a -v ../X1 -s 1 -g HAPOOL",
    "VDisk that exists": "vdconfig -a -v M1 -s 1 -g HAPOOL",
    "unknown VDisk to remove": "vdconfig -x -v NONE -f",
    "mirrored VDisk to remove": "vdconfig -x -v M1 -f",
    "shrinking": "vdconfig -v M1 -s 0.01",
    "pool that exists": "spconfig -a -g HAPOOL",
    "unknown pool to remove": "spconfig -x -g NOPOOL",
    "pool in use": "spconfig -x -g HAPOOL",
    "unknown device": "bdconfig -a -d {root}/nowhere -g HAPOOL",
    "disk in use": "bdconfig -x -d {root}/disk",
    "mirror of an unknown VDisk": "qsync -s NONE -d NONE -r {peer}",
    "mirror that exists": "qsync -s M1 -d M1 -r {peer}",
    "mirror to oneself": "qsync -s S1 -d S1 -r {self}",
    "mirror to an unknown peer": "qsync -s S1 -d S1 -r 127.0.0.77",
    "mirror to an unknown pool": "qsync -s S1 -d S1 -r {peer} -g NOPOOL",
    "mirror to a VDisk with another serial": "qsync -s S1 -d S2 -r {peer}",
    "no address": "qsync -s S1 -d S1 -r nonsense",
    "end of a mirror that is not there": "qsync -x -s S1",
    "role of an unknown VDisk": "qsync -s NONE -m master",
    "no role": "qsync -s M1 -m king",
    "unknown check type": "qmirrorcheck -a -t pray -r {peer}",
    "fence without a command": "qmirrorcheck -a -t fence -r {peer}",
    "check that is not there": "qmirrorcheck -x -t manual -r {peer}",
    "unknown option": "qsync -Z",
}


@pytest.mark.timeout(240)
async def test_commands_refuse_nonsense_with_a_sentence_and_change_nothing(pair: Pair) -> None:
    await pair.first.run("vdconfig", "-a", "-v", "S1", "-s", "0.01", "-g", POOL)
    await pair.second.run("vdconfig", "-a", "-v", "S2", "-s", "0.02", "-g", POOL)
    before = await everything(pair)
    places = {
        "root": pair.first.place.root,
        "self": pair.first.place.mirror_address,
        "peer": pair.second.place.mirror_address,
    }
    wrong = []
    for name, command in BAD_COMMANDS.items():
        argv = command.format(**places).split()
        output = await pair.first.run(*argv, status=None)
        again = await pair.first.run("ndconfig", status=None)
        if "Recv Inited" not in again or "Traceback" in output or not output.strip():
            wrong.append(f"{name}: {output}")
        print(f"{command}: {output.strip()}")
    assert wrong == []
    assert await everything(pair) == before


async def everything(pair: Pair) -> list[str]:
    """All that the nodes list, but for the space in use, which other programs change too."""
    commands = (("spconfig", "-l"), ("vdconfig", "-l"), ("qsync", "-l"), ("qmirrorcheck", "-l"))
    listed = [await node.run(*command) for node in pair.nodes for command in commands]
    for node in pair.nodes:
        disks = await node.run("bdconfig", "-l", "-c")
        listed += [line.split(maxsplit=1)[0] for line in disks.splitlines()]
    return listed
