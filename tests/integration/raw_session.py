"""An initiator port that sends its commands PDU by PDU, so that one can be left without its data."""

import struct
from collections.abc import Callable

from integration.raw_login import LIMIT_S, RawLogin
from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn

RESPONSE, TASKS_RESPONSE, DATA_IN, ASKED_FOR_DATA = 0x21, 0x22, 0x25, 0x31
ABORT_TASK_SET, CLEAR_TASK_SET, UNIT_RESET, WARM_RESET, COLD_RESET = 2, 4, 5, 6, 7
GOOD, TASK_ABORTED = 0x00, 0x40
REJECTED = 255
BLOCK_BYTES = 512
_NO_TAG = 0xFFFF_FFFF
_READ, _WRITE, _FINAL = 0xC0, 0xA0, 0x80
_TRIES = 10


class RawSession:
    """One initiator port, logged in at one node. Initiator Task Tags are command numbers."""

    def __init__(self, login: RawLogin) -> None:
        self._login = login
        self._number = 1

    @classmethod
    async def log_in(cls, pair: Pair, node: Node, number: int, *, ready: bool = True) -> "RawSession":
        """Log in as the port of this number, at a node that serves if ``ready``; no data come before they are asked for."""
        login = await RawLogin.connect(node.place.portal, isid=number)
        name = f"iqn.2024-01.invalid.twindisk:raw{number}"
        await login.logged_in(iqn(pair.vdisk), name, ImmediateData="No", InitialR2T="Yes")
        session = cls(login)
        if ready:
            await session.attentions()
        return session

    def close(self) -> None:
        """Drop the connection."""
        self._login.close()

    async def closed(self) -> bool:
        """Wait until the target has closed the connection."""
        return await self._login.closed()

    def send(self, opcode: int, flags: int, fields: bytes = b"", data: bytes = b"") -> int:
        """Send a request with ``fields`` in its bytes 20 to 47 but for the command number; return its tag."""
        tag = self._number
        self._number += 1
        header = bytearray(48)
        header[:2] = bytes((opcode, flags))
        header[4:8] = struct.pack(">I", len(data))
        header[16:20] = struct.pack(">I", tag)
        header[20 : 20 + len(fields)] = fields
        header[24:28] = struct.pack(">I", tag)
        self._login.writer.write(bytes(header) + data + bytes(-len(data) % 4))
        return tag

    def command(self, block: bytes, *, flags: int = _FINAL, expected_bytes: int = 0) -> int:
        """Send a SCSI command; return its tag."""
        return self.send(0x01, flags, struct.pack(">III", expected_bytes, 0, 0) + block.ljust(16, b"\0"))

    def write(self, block: int) -> int:
        """Send a WRITE (16) of one block without its data; return its tag."""
        return self.command(struct.pack(">BBQIxx", 0x8A, 0, block, 1), flags=_WRITE, expected_bytes=BLOCK_BYTES)

    def data_out(self, asked: bytes, data: bytes) -> None:
        """Send the data that an R2T asks for."""
        header = bytearray(48)
        header[:2] = bytes((0x05, 0x80))
        header[4:8] = struct.pack(">I", len(data))
        header[16:24] = asked[16:24]
        header[40:44] = asked[40:44]
        self._login.writer.write(bytes(header) + data)

    def manage(self, function: int, referenced: int = _NO_TAG) -> int:
        """Send a task management request; return its tag."""
        return self.send(0x02, 0x80 | function, struct.pack(">III", referenced, 0, 0) + struct.pack(">I", referenced))

    async def answer(self, limit_s: float = LIMIT_S) -> tuple[int, int, int, bytes]:
        """Return the next PDU: opcode, tag, status (or response), and all of it."""
        header, data = await self._login.pdu(limit_s)
        at = 2 if header[0] == TASKS_RESPONSE else 3
        return header[0], int.from_bytes(header[16:20], "big"), header[at], header + data

    async def read(self, block: int) -> bytes:
        """READ (16) of one block, past unit attentions."""
        cdb = struct.pack(">BBQIxx", 0x88, 0, block, 1)
        for _ in range(_TRIES):
            self.command(cdb, flags=_READ, expected_bytes=BLOCK_BYTES)
            opcode, _, _, pdu = await self.answer()
            if opcode == DATA_IN:
                return pdu[48:]
        message = "unit attentions without end"
        raise AssertionError(message)

    async def attentions(
        self, wanted: Callable[[tuple[int, int]], bool] = lambda code: code != (0x2A, 0x06)
    ) -> list[tuple[int, int]]:
        """Return the codes of all pending unit attentions, without those of a node's state."""
        found: list[tuple[int, int]] = []
        for _ in range(_TRIES):
            self.command(bytes(16))
            _, _, status, pdu = await self.answer()
            if status == GOOD:
                return found
            code = (pdu[62], pdu[63])
            assert pdu[52] & 0x0F == 0x06, pdu
            if wanted(code):
                found.append(code)
        message = "unit attentions without end"
        raise AssertionError(message)
