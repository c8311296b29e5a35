"""What a portal agrees to and keeps to: keys, bursts, digests, logouts, PDUs that have no place. Checked PDU by PDU."""

import itertools
import random
import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from integration.conftest import free_places, make_vdisk, running_node
from integration.raw_data import (
    DATA_OUT,
    NO_TAG,
    REJECT,
    RESPONSE,
    Writer,
    crc32c,
    data_header,
    write_header,
)
from integration.raw_login import INITIATOR, OPERATIONAL_TO_FULL, RawLogin, ping_header
from twindisk.demo.node import Node
from twindisk.demo.pair import iqn

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("P5")]

M1 = iqn("M1")
NOP_IN, TEXT_RESPONSE, LOGOUT_RESPONSE = 0x20, 0x24, 0x26
CHECK_CONDITION = 2
UNASKED, WRONG_AMOUNT, WRONG_DIGEST = (0x0B, 0x0C, 0x0C), (0x0B, 0x0C, 0x0D), (0x0B, 0x47, 0x05)
BURST, FIRST_BURST, IMMEDIATE, SEGMENT = 8192, 4096, 2048, 1024
LENGTH = 50 * 512


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Node]:
    """A node with a VDisk."""
    async with running_node(free_places(tmp_path_factory.mktemp("node"))) as node:
        await make_vdisk(node, "M1")
        yield node


async def writer(node: Node, **keys: str) -> Writer:
    """Log in with these keys and clear unit attentions."""
    login = await RawLogin.connect(node.place.portal)
    await login.logged_in(M1, **keys)
    found = Writer(login)
    await found.clear()
    return found


def code(sense: bytes) -> tuple[int, int, int]:
    """Return key, additional sense code and qualifier of fixed sense data."""
    return sense[2] & 0x0F, sense[12], sense[13]


def request(opcode: int, flags: int, tag: int, number: int, *, at_20: int = 0) -> bytes:
    """Return a request's header."""
    return struct.pack(">BBxxIQIII20x", opcode, flags, 0, 0, tag, at_20, number)


@pytest.mark.parametrize(("waits", "immediate"), list(itertools.product(("Yes", "No"), repeat=2)))
async def test_data_come_as_agreed_in_bursts_of_the_agreed_size(node: Node, waits: str, immediate: str) -> None:
    port = await writer(
        node,
        InitialR2T=waits,
        ImmediateData=immediate,
        MaxBurstLength=str(BURST),
        FirstBurstLength=str(FIRST_BURST),
        MaxRecvDataSegmentLength=str(SEGMENT),
        MaxOutstandingR2T="1",
    )
    port.immediate_bytes = IMMEDIATE if immediate == "Yes" else 0
    port.unasked_bytes = FIRST_BURST if waits == "No" else port.immediate_bytes
    data = random.Random(waits + immediate).randbytes(LENGTH)
    assert (await port.write(8, data))[0] == 0
    begin = port.unasked_bytes
    assert port.asked == [(offset, min(BURST, LENGTH - offset)) for offset in range(begin, LENGTH, BURST)]
    assert await port.read(8, LENGTH, segment_bytes=SEGMENT, burst_bytes=BURST) == data
    # What was not agreed on is an error of the command; the disk is as it was.
    port.immediate_bytes, port.unasked_bytes = IMMEDIATE if immediate == "No" else FIRST_BURST + 512, 0
    status, sense = await port.write(8, bytes(LENGTH))
    assert (status, code(sense)) == (CHECK_CONDITION, UNASKED)
    if waits == "Yes":
        number = port.number
        port.login.put(write_header(number, 8, LENGTH, final=False))
        assert (await port.login.pdu())[0][:3] == bytes((REJECT, 0x80, 0x04))
    else:
        port.immediate_bytes, port.unasked_bytes = 0, FIRST_BURST + 512
        status, sense = await port.write(8, bytes(LENGTH))
        assert (status, code(sense)) == (CHECK_CONDITION, UNASKED)
    assert await port.read(8, LENGTH, segment_bytes=SEGMENT, burst_bytes=BURST) == data
    port.login.close()


@pytest.mark.parametrize(
    ("sn", "offset", "length", "final"),
    [(1, 0, BURST, True), (0, 512, BURST - 512, True), (0, 0, BURST - 512, True), (0, 0, BURST + 512, True)],
)
async def test_data_out_of_order_or_of_the_wrong_amount_fail_their_command(
    node: Node, sn: int, offset: int, length: int, *, final: bool
) -> None:
    port = await writer(
        node, DataPDUInOrder="No", DataSequenceInOrder="No", MaxBurstLength=str(BURST), ImmediateData="No"
    )
    number = port.next()
    port.login.put(write_header(number, 100, 2 * BURST))
    asked, _ = await port.login.pdu()
    tag = int.from_bytes(asked[20:24], "big")
    port.login.put(data_header(number, tag, sn, offset, final=final), b"x" * length)
    while (answer := await port.login.pdu())[0][0] != RESPONSE:
        pass
    assert (answer[0][3], code(answer[1][2:])) == (CHECK_CONDITION, WRONG_AMOUNT)
    assert await port.read(100, 512, segment_bytes=8192, burst_bytes=BURST) == bytes(512)
    port.login.close()


async def test_keys_of_a_login_are_answered_as_the_standard_says(node: Node) -> None:
    login = await RawLogin.connect(node.place.portal)
    answer = await login.logged_in(
        M1,
        HeaderDigest="MD5,CRC32C",
        DataDigest="MD5",
        MaxConnections="0",
        InitialR2T="Maybe",
        MaxBurstLength="511",
        FirstBurstLength="16777216",
        MaxOutstandingR2T="64",
        DataPDUInOrder="No",
        DataSequenceInOrder="No",
        ErrorRecoveryLevel="1",
        DefaultTime2Wait="5",
        DefaultTime2Retain="60",
        OFMarker="Yes",
        IFMarkInt="8~16",
    )
    assert answer.text == answer.text | {
        "HeaderDigest": "CRC32C",
        "DataDigest": "Reject",
        "MaxConnections": "Reject",
        "InitialR2T": "Reject",
        "MaxBurstLength": "Reject",
        "FirstBurstLength": "Reject",
        "MaxOutstandingR2T": "4",
        "DataPDUInOrder": "Yes",
        "DataSequenceInOrder": "Yes",
        "ErrorRecoveryLevel": "0",
        "DefaultTime2Wait": "5",
        "DefaultTime2Retain": "0",
        "OFMarker": "No",
        "IFMarkInt": "Reject",
    }
    login.close()


async def test_unknown_keys_and_those_that_do_not_concern_discovery(node: Node) -> None:
    login = await RawLogin.connect(node.place.portal)
    keys = {"InitiatorName": INITIATOR, "SessionType": "Discovery", "X-com.example.key": "1", "MaxBurst": "5"}
    irrelevant = ("MaxConnections", "MaxBurstLength", "FirstBurstLength", "MaxOutstandingR2T")
    answer = await login.ask(OPERATIONAL_TO_FULL, keys | dict.fromkeys(irrelevant, "4096") | {"InitialR2T": "No"})
    assert answer.status == 0
    wanted = dict.fromkeys((*irrelevant, "InitialR2T"), "Irrelevant")
    assert answer.text == answer.text | wanted | {"X-com.example.key": "NotUnderstood", "MaxBurst": "NotUnderstood"}
    login.close()


async def test_text_in_full_feature_phase(node: Node) -> None:
    port = await writer(node)

    async def ask(text: str) -> dict[str, str]:
        number = port.next()
        port.login.put(request(0x04, 0x80, number, number, at_20=NO_TAG), text.replace(" ", "\0").encode() + b"\0")
        header, data = await port.login.pdu()
        assert header[:2] == bytes((TEXT_RESPONSE, 0x80))
        return dict(pair.split("=", 1) for pair in data.decode().split("\0") if pair)

    own = {"TargetName": M1, "TargetAddress": f"{node.place.portal},1"}
    for value in ("", M1, "All"):
        assert await ask(f"SendTargets={value}") == own
    assert await ask(f"SendTargets={iqn('M2')}") == {"SendTargets": "Reject"}
    answer = await ask("MaxRecvDataSegmentLength=4096 MaxBurstLength=512 X-none=1")
    assert answer["MaxBurstLength"] == "Reject"
    assert answer["X-none"] == "NotUnderstood"
    assert await port.read(512, 16384, segment_bytes=4096, burst_bytes=1 << 18) == bytes(16384)
    port.login.close()


async def test_logout_for_each_reason(node: Node) -> None:
    for reason, cid, response in ((0, 7, 0), (1, 0, 0), (1, 7, 1), (2, 0, 2)):
        port = await writer(node)
        number = port.next()
        port.login.put(request(0x06, 0x80 | reason, number, number, at_20=cid << 16))
        header, _ = await port.login.pdu()
        assert (header[0], header[2]) == (LOGOUT_RESPONSE, response)
        if response == 0:
            assert await port.login.closed()
        else:
            assert len(await port.read(0, 512, segment_bytes=512, burst_bytes=512)) == 512, "the session goes on"
            port.login.close()


async def test_what_has_no_place_is_rejected_and_the_session_goes_on(node: Node) -> None:
    port = await writer(node)
    snack = struct.pack(">BBxxIQII24x", 0x10, 0x80, 0, 0, NO_TAG, NO_TAG)
    for header, reason in (
        (snack, 0x03),
        (request(0x43, 0x87, 1, port.number), 0x04),
        (request(0x1C, 0x80, 1, port.number), 0x05),
        (request(0x3F, 0x80, 1, port.number), 0x05),
        (request(0x06, 0x83, 1, port.number), 0x09),
        (request(0x04, 0x80, 9, port.number, at_20=77), 0x09),
        (request(0x01, 0x80, NO_TAG, port.number), 0x09),
    ):
        port.login.put(header)
        answer, copy = await port.login.pdu()
        assert (answer[0], answer[2], copy) == (REJECT, reason, header)
        assert int.from_bytes(answer[28:32], "big") == port.number, "no number is used up"
    assert len(await port.read(0, 512, segment_bytes=512, burst_bytes=512)) == 512
    port.login.close()


async def test_a_wrong_data_digest_fails_the_data_and_a_wrong_header_digest_the_connection(node: Node) -> None:
    login = await RawLogin.connect(node.place.portal)
    await login.logged_in(M1, HeaderDigest="CRC32C", DataDigest="CRC32C", ImmediateData="Yes")

    def send(header: bytes, data: bytes = b"", *, spoil: bytes = b"") -> None:
        header = header[:5] + struct.pack(">I", len(data))[1:] + header[8:]
        parts = [header, crc32c(header), data, crc32c(data) if data else b""]
        if spoil:
            parts[1 if spoil == b"header" else 3] = b"\0\0\0\0"
        login.writer.write(b"".join(parts))

    async def answer() -> tuple[bytes, bytes]:
        header = await login.reader.readexactly(48)
        assert await login.reader.readexactly(4) == crc32c(header)
        length = int.from_bytes(header[5:8], "big")
        data = await login.reader.readexactly(length + -length % 4)
        if length:
            assert await login.reader.readexactly(4) == crc32c(data)
        return header, data[:length]

    number = 1
    send(request(0x01, 0x80, number, number))
    while (await answer())[0][3]:
        number += 1
        send(request(0x01, 0x80, number, number))
    number += 1
    # Immediate data: the command is rejected and its number is free.
    send(write_header(number, 200, 512), b"a" * 512, spoil=b"data")
    header, _ = await answer()
    assert (header[0], header[2]) == (REJECT, 0x02)
    # The same with a right digest, then data that were asked for.
    send(write_header(number, 200, 512), b"b" * 512)
    assert (await answer())[0][::3][:2] == bytes((RESPONSE, 0))
    number += 1
    send(write_header(number, 200, 512))
    tag = int.from_bytes((await answer())[0][20:24], "big")
    send(data_header(number, tag, 0, 0, final=True), b"c" * 512, spoil=b"data")
    header, _ = await answer()
    assert (header[0], header[2]) == (REJECT, 0x02)
    header, sense = await answer()
    assert (header[0], header[3], code(sense[2:])) == (RESPONSE, CHECK_CONDITION, WRONG_DIGEST)
    send(ping_header(number + 1), spoil=b"header")
    assert await login.closed()
    port = await writer(node)
    assert await port.read(200, 512, segment_bytes=512, burst_bytes=512) == b"b" * 512
    port.login.put(struct.pack(">BBxxIQII24x", DATA_OUT, 0x80, 0, 0, 5, 5))
    assert len(await port.read(0, 512, segment_bytes=512, burst_bytes=512)) == 512, "data for nobody are dropped"
    port.login.close()
