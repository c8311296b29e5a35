"""An initiator that is nothing but its login: one PDU after another over a socket, with any text, right or wrong."""

import asyncio
import hashlib
import struct
from dataclasses import dataclass

INITIATOR = "iqn.1994-05.com.redhat:vm12"
STAY, TO_OPERATIONAL, TO_FULL = 0x00, 0x81, 0x83
OPERATIONAL_TO_FULL = 0x87
HASHES = {"5": "md5", "6": "sha1", "7": "sha256", "8": "sha3_256"}
LIMIT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """A Login Response. ``status``: class and detail."""

    flags: int
    status: int
    text: dict[str, str]
    tsih: int


class RawLogin:
    """A connection to a portal."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, isid: int) -> None:
        self.reader = reader
        self.writer = writer
        self.isid = isid

    @classmethod
    async def connect(cls, portal: str, isid: int = 1, *, source: str | None = None) -> "RawLogin":
        """Connect to ``host:port`` (``[v6]:port``), from an address of one's own choice."""
        host, _, port = portal.rpartition(":")
        local = None if source is None else (source, 0)
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), local_addr=local)
        return cls(reader, writer, isid)

    async def send(self, flags: int, **keys: str) -> Answer:
        """Send a Login Request with these keys and return the answer."""
        return await self.ask(flags, keys)

    async def ask(self, flags: int, keys: dict[str, str], *, tsih: int = 0, cid: int = 0) -> Answer:
        """Send a Login Request for a session and a connection of it."""
        text = "".join(f"{key}={value}\0" for key, value in keys.items()).encode()
        header = bytearray(48)
        header[:2] = bytes((0x43, flags))
        header[4:8] = struct.pack(">I", len(text))
        header[8:14] = struct.pack(">BBHH", 0x80, 0, self.isid >> 16, self.isid & 0xFFFF)
        header[14:16] = struct.pack(">H", tsih)
        header[16:20] = struct.pack(">I", 0x1234)
        header[20:22] = struct.pack(">H", cid)
        header[24:28] = struct.pack(">I", 1)
        self.writer.write(bytes(header) + text + bytes(-len(text) % 4))
        return await self.answer()

    async def pdu(self, limit_s: float = LIMIT_S) -> tuple[bytes, bytes]:
        """Receive a PDU: its header and its data."""
        async with asyncio.timeout(limit_s):
            header = await self.reader.readexactly(48)
            length = int.from_bytes(header[5:8], "big")
            return header, (await self.reader.readexactly(length + -length % 4))[:length]

    async def logged_in(self, target: str, name: str = INITIATOR, **keys: str) -> Answer:
        """Log in to a target that asks for nothing."""
        answer = await self.send(OPERATIONAL_TO_FULL, InitiatorName=name, TargetName=target, **keys)
        assert (answer.status, answer.flags) == (0, OPERATIONAL_TO_FULL), answer
        return answer

    async def log_out(self) -> None:
        """Send a Logout of the session."""
        header = bytearray(48)
        header[:2] = bytes((0x46, 0x80))
        header[16:20] = struct.pack(">I", 0x1235)
        header[24:28] = struct.pack(">I", 1)
        self.writer.write(bytes(header))

    def put(self, header: bytes, data: bytes = b"") -> None:
        """Queue a PDU; its header's length field is made right."""
        length = struct.pack(">I", len(data))[1:]
        self.writer.write(b"".join((header[:5], length, header[8:], data, bytes(-len(data) % 4))))

    async def answer(self) -> Answer:
        header, text = await self.pdu()
        assert header[0] == 0x23
        pairs = dict(pair.split("=", 1) for pair in text.decode().split("\0") if pair)
        return Answer(header[1], int.from_bytes(header[36:38], "big"), pairs, int.from_bytes(header[14:16], "big"))

    async def challenged(self, target: str, algorithms: str, name: str = INITIATOR) -> Answer:
        """Go as far as the challenge, as open-iscsi does: names and methods first, then the algorithms."""
        chosen = await self.send(
            TO_OPERATIONAL, InitiatorName=name, TargetName=target, SessionType="Normal", AuthMethod="CHAP,None"
        )
        assert (chosen.status, chosen.text.get("AuthMethod")) == (0, "CHAP"), chosen
        return await self.send(STAY, CHAP_A=algorithms)

    async def closed(self) -> bool:
        """Wait until the target closes the connection."""
        async with asyncio.timeout(LIMIT_S):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True
            finally:
                self.close()

    def drop(self) -> None:
        """Close at once, whatever is unsent."""
        if not self.writer.is_closing():
            self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


def command_header(number: int, cdb: bytes, *, flags: int, expected_bytes: int) -> bytes:
    """Return a SCSI Command's header (RFC 7143 §11.3); ``number`` is its CmdSN and its tag."""
    head = struct.pack(">BBxxIQIIIxxxx", 0x01, flags, 0, 0, number, expected_bytes, number)
    return head + cdb.ljust(16, b"\0")


def ping_header(number: int) -> bytes:
    """Return an immediate NOP-Out's header that wants no answer (RFC 7143 §11.18)."""
    return struct.pack(">BBxxIQIIIxxxxxxxxxxxxxxxxxxxx", 0x40, 0x80, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, number)


def response(challenge: Answer, secret: str) -> str:
    """Return the right answer to a challenge."""
    binary = bytes.fromhex(challenge.text["CHAP_C"].removeprefix("0x"))
    message = bytes((int(challenge.text["CHAP_I"]),)) + secret.encode() + binary
    return "0x" + hashlib.new(HASHES[challenge.text["CHAP_A"]], message).hexdigest()
