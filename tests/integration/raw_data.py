"""Data-Out sequences by hand, and digests: what an initiator may send, and what it may not."""

import struct
from dataclasses import dataclass, field

from integration.raw_login import RawLogin

COMMAND, DATA_OUT, RESPONSE, DATA_IN, ASKED, REJECT = 0x01, 0x05, 0x21, 0x25, 0x31, 0x3F
NO_TAG = 0xFFFF_FFFF
BLOCK_BYTES = 512
_POLYNOMIAL = 0x82F6_3B78


def _table() -> list[int]:
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> bytes:
    """Return the digest as it travels (RFC 7143 §13.1)."""
    value = 0xFFFF_FFFF
    for byte in data:
        value = value >> 8 ^ _TABLE[(value ^ byte) & 0xFF]
    return struct.pack("<I", value ^ 0xFFFF_FFFF)


def write_header(number: int, block: int, length: int, *, final: bool = True, data_bytes: int = 0) -> bytes:
    """Return a WRITE (16)'s header; ``number`` is its tag and its CmdSN."""
    flags = 0xA0 if final else 0x20
    cdb = struct.pack(">BBQIxx", 0x8A, 0, block, length // BLOCK_BYTES)
    return struct.pack(">BBxxIQIII4x", COMMAND, flags, data_bytes, 0, number, length, number) + cdb


def read_header(number: int, block: int, length: int) -> bytes:
    """Return a READ (16)'s header."""
    cdb = struct.pack(">BBQIxx", 0x88, 0, block, length // BLOCK_BYTES)
    return struct.pack(">BBxxIQIII4x", COMMAND, 0xC0, 0, 0, number, length, number) + cdb


def data_header(number: int, transfer_tag: int, sn: int, offset: int, *, final: bool, data_bytes: int = 0) -> bytes:
    """Return a Data-Out's header for LUN 0."""
    head = struct.pack(">BBxxIQII", DATA_OUT, 0x80 if final else 0, data_bytes, 0, number, transfer_tag)
    return head + struct.pack(">12xII4x", sn, offset)


@dataclass
class Writer:
    """One initiator port that sends each piece of a write by itself, ``segment_bytes`` at a time."""

    login: RawLogin
    immediate_bytes: int = 0
    """Sent with the command."""
    unasked_bytes: int = 0
    """Sent unasked, those that come with the command included."""
    segment_bytes: int = 1024
    number: int = 1
    asked: list[tuple[int, int]] = field(default_factory=list)
    """Offset and length of each R2T of the latest write."""

    async def clear(self) -> None:
        """Hear all unit attentions."""
        while True:
            header = struct.pack(">BBxxIQIII20x", COMMAND, 0x80, 0, 0, self.next(), 0, self.number - 1)
            self.login.put(header)
            if (await self.login.pdu())[0][3] == 0:
                return

    def next(self) -> int:
        """Return the next command's number."""
        self.number += 1
        return self.number - 1

    def _send(self, number: int, tag: int, data: bytes, start: int, end: int) -> None:
        for sn, offset in enumerate(range(start, end, self.segment_bytes)):
            until = min(end, offset + self.segment_bytes)
            self.login.put(data_header(number, tag, sn, offset, final=until == end), data[offset:until])

    async def write(self, block: int, data: bytes) -> tuple[int, bytes]:
        """Write as agreed on; the status and the sense data."""
        number, self.asked = self.next(), []
        more = self.immediate_bytes < self.unasked_bytes
        header = write_header(number, block, len(data), final=not more)
        self.login.put(header, data[: self.immediate_bytes])
        if more:
            self._send(number, NO_TAG, data, self.immediate_bytes, self.unasked_bytes)
        while True:
            answer, sense = await self.login.pdu()
            assert int.from_bytes(answer[16:20], "big") == number
            if answer[0] == RESPONSE:
                return answer[3], sense[2:]
            assert answer[0] == ASKED, answer
            tag, _, _, _, sn, offset, length = struct.unpack(">7I", answer[20:48])
            assert sn == len(self.asked)
            self.asked.append((offset, length))
            self._send(number, tag, data, offset, offset + length)

    async def read(self, block: int, length: int, *, segment_bytes: int, burst_bytes: int) -> bytes:
        """Read and check how the data are cut."""
        number, got = self.next(), b""
        self.login.put(read_header(number, block, length))
        sn = 0
        while True:
            header, data = await self.login.pdu()
            assert header[0] == DATA_IN, header
            data_sn, offset = struct.unpack(">II", header[36:44])
            assert (data_sn, offset) == (sn, len(got)), "in order"
            assert 0 < len(data) <= segment_bytes
            got, sn = got + data, sn + 1
            ends_burst = len(got) % burst_bytes == 0 or len(got) == length
            assert bool(header[1] & 0x80) == ends_burst
            if header[1] & 0x01:
                assert (len(got), header[3]) == (length, 0)
                return got
