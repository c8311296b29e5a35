"""An initiator port that registers, reserves and preempts; what it meets is told in words."""

import struct
from dataclasses import dataclass
from typing import Self

from twindisk.demo.node import Node
from twindisk.demo.pair import Pair, iqn
from twindisk.initiator import CheckConditionError, SenseKey, Session, SessionOptions, StatusError

REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT_AND_ABORT, IGNORE, MOVE = range(8)
EXCLUSIVE_FOR_REGISTRANTS = 6
GOOD, CHECK, CONFLICT = "good", "check", "conflict"
_CONFLICT_STATUS = 0x18
_TRIES = 10


@dataclass(frozen=True, slots=True)
class Registration:
    """One row of READ FULL STATUS. ``kind``: the type that it holds, 0 if it holds nothing; ``target``: relative port, the node."""

    key: int
    kind: int
    target: int
    transport_id: bytes


class Port:
    """One initiator port, logged in at one node."""

    def __init__(self, session: Session, block_bytes: int = 512) -> None:
        self.session = session
        self._block_bytes = block_bytes
        self.attentions: list[tuple[int, int]] = []
        """Unit attentions that it met, oldest first, without those of a node's state."""
        self.refused: tuple[int, int, int] | None = None
        """Sense key, code and qualifier of the latest CHECK CONDITION that was no unit attention."""

    @classmethod
    async def log_in(cls, pair: Pair, node: Node, number: int, block_bytes: int = 512) -> Self:
        """Log in as the port of this number, to a disk of such logical blocks."""
        options = SessionOptions(initiator=f"iqn.2024-01.invalid.twindisk:port{number}", isid_number=number)
        return cls(await Session.connect(node.place.portal, iqn(pair.vdisk), options), block_bytes)

    async def run(self, block: bytes, *, data_out: bytes = b"", data_in_bytes: int = 0) -> tuple[str, bytes]:
        """Run a command past unit attentions; return its status in a word, and its data."""
        for _ in range(_TRIES):
            try:
                return GOOD, await self.session.command(block, data_out=data_out, data_in_bytes=data_in_bytes)
            except CheckConditionError as error:
                if error.sense.key is not SenseKey.UNIT_ATTENTION:
                    self.refused = (error.sense.key, error.sense.code, error.sense.qualifier)
                    return CHECK, b""
                if (error.sense.code, error.sense.qualifier) != (0x2A, 0x06):
                    self.attentions.append((error.sense.code, error.sense.qualifier))
            except StatusError as error:
                return (CONFLICT if error.status == _CONFLICT_STATUS else f"status {error.status:#x}"), b""
        message = "unit attentions without end"
        raise AssertionError(message)

    async def out(self, action: int, kind: int = 0, key: int = 0, action_key: int = 0, flags: int = 0) -> str:
        """PERSISTENT RESERVE OUT; return its status."""
        parameters = struct.pack(">QQIBxxx", key, action_key, 0, flags)
        block = struct.pack(">BBBxxIx", 0x5F, action, kind, len(parameters))
        return (await self.run(block, data_out=parameters))[0]

    async def move(self, key: int, action_key: int, to: Registration, *, unregister: bool = False) -> str:
        """REGISTER AND MOVE to the nexus of a registration; return its status."""
        parameters = struct.pack(">QQxBHI", key, action_key, unregister << 1, to.target, len(to.transport_id))
        parameters += to.transport_id
        block = struct.pack(">BBBxxIx", 0x5F, MOVE, 0, len(parameters))
        return (await self.run(block, data_out=parameters))[0]

    async def _ask(self, action: int) -> bytes:
        status, data = await self.run(struct.pack(">BB5xHx", 0x5E, action, 4096), data_in_bytes=4096)
        assert status == GOOD, status
        return data

    async def keys(self) -> list[int]:
        """READ KEYS, in order."""
        data = await self._ask(0)
        return [key for (key,) in struct.iter_unpack(">Q", data[8 : 8 + int.from_bytes(data[4:8])])]

    async def held(self) -> tuple[int, int] | None:
        """READ RESERVATION: type and key."""
        data = await self._ask(1)
        return (data[21] & 0x0F, int.from_bytes(data[8:16])) if int.from_bytes(data[4:8]) else None

    async def full_status(self) -> bytes:
        """READ FULL STATUS."""
        return await self._ask(3)

    async def registrations(self) -> list[Registration]:
        """READ FULL STATUS, row by row (SPC-4 §6.15.5)."""
        data, found, at = await self.full_status(), [], 8
        while at < 8 + int.from_bytes(data[4:8]):
            key, holds, kind, target, length = struct.unpack_from(">QxxxxBBxxxxHI", data, at)
            transport_id = data[at + 24 : at + 24 + length]
            found.append(Registration(key, kind & 0x0F if holds & 1 else 0, target, transport_id))
            at += 24 + length
        return found

    async def read(self) -> str:
        """Read a block; return the status."""
        return (await self.run(struct.pack(">BBQIxx", 0x88, 0, 0, 1), data_in_bytes=self._block_bytes))[0]

    async def write(self) -> str:
        """Write a block; return the status."""
        return (await self.run(struct.pack(">BBQIxx", 0x8A, 0, 0, 1), data_out=bytes(self._block_bytes)))[0]


async def clear_all(port: Port) -> None:
    """Leave nothing registered."""
    assert await port.out(IGNORE, action_key=99) == GOOD
    assert await port.out(CLEAR, key=99) == GOOD


async def hold_for_registrants(pair: Pair, node: Node, *, aptpl: bool) -> None:
    """Have port 1 on a node hold an exclusive reservation for registrants with key 1; port 2 on the other is registered with key 2."""
    one, two = await Port.log_in(pair, node, 1), await Port.log_in(pair, pair.other(node), 2)
    await clear_all(one)
    assert await one.out(REGISTER, action_key=1, flags=aptpl) == GOOD
    assert await two.out(REGISTER, action_key=2, flags=aptpl) == GOOD
    assert await one.out(RESERVE, EXCLUSIVE_FOR_REGISTRANTS, key=1) == GOOD
    for port in (one, two):
        await port.session.close()
