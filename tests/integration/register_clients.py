"""Initiators that read and write a few logical blocks at once and keep what they saw, for the linearizability check."""

import asyncio
import hashlib
import math
import random
import struct
import time
from dataclasses import dataclass, field
from itertools import count

from twindisk.initiator import MultipathDisk, Session
from twindisk.initiator.history import INITIAL, History

BLOCK_BYTES = 512
TORN = -1
_HEAD = struct.Struct(">8sQ")
_MAGIC = b"register"


def block_content(value: int) -> bytes:
    """Return the one content that stands for a value; every byte of it depends on the value."""
    if value == INITIAL:
        return bytes(BLOCK_BYTES)
    filling = hashlib.blake2b(value.to_bytes(8, "big"), digest_size=62).digest() * 8
    return _HEAD.pack(_MAGIC, value) + filling


def block_value(content: bytes) -> int:
    """Return the value that a content stands for; a torn block is one that nobody wrote."""
    magic, value = _HEAD.unpack_from(content)
    claimed = value if magic == _MAGIC else INITIAL
    return claimed if block_content(claimed) == content else TORN


@dataclass(slots=True)
class RegisterClients:
    """``clients`` initiators on ``blocks`` logical blocks from ``first_block`` on; each uses both paths, round-robin."""

    portals: list[str]
    iqn: str
    first_block: int = 0
    blocks: int = 16
    clients: int = 6
    request_blocks_max: int = 8
    seed: int = 0
    history: History = field(default_factory=History)
    operations: int = 0
    _values: "count[int]" = field(default_factory=lambda: count(1))
    _stopping: bool = False

    async def run_until_stopped(self) -> None:
        """Run the clients until :meth:`stop`; every operation that was begun has ended when this returns."""
        self._stopping = False
        async with asyncio.TaskGroup() as group:
            for client in range(self.clients):
                group.create_task(self._run(client))

    def stop(self) -> None:
        self._stopping = True

    async def read_all_through(self, portal: str) -> None:
        """Read every block through one path, as part of the history."""
        async with await Session.connect(portal, self.iqn) as session:
            began = time.monotonic()
            data = await session.read(self.first_block * BLOCK_BYTES, self.blocks * BLOCK_BYTES)
            self._note_read(self.first_block, data, began)

    async def _run(self, client: int) -> None:
        chance = random.Random(f"{self.seed}/{client}")
        order = self.portals if client % 2 else self.portals[::-1]
        async with MultipathDisk(order, self.iqn) as disk:
            while not self._stopping:
                length = chance.randint(1, self.request_blocks_max)
                block = self.first_block + chance.randrange(self.blocks - length + 1)
                if chance.random() < 0.5:
                    await self._write(disk, block, length)
                else:
                    began = time.monotonic()
                    data = await disk.read(block * BLOCK_BYTES, length * BLOCK_BYTES)
                    self._note_read(block, data, began)
                self.operations += 1

    async def _write(self, disk: MultipathDisk, block: int, length: int) -> None:
        """Write; each attempt writes values of its own, since an attempt that failed may have been carried out too."""
        failed: list[tuple[list[int], float]] = []

        async def attempt(session: Session) -> tuple[list[int], float]:
            values = [next(self._values) for _ in range(length)]
            began = time.monotonic()
            try:
                await session.write(block * BLOCK_BYTES, b"".join(block_content(value) for value in values))
            except BaseException:
                failed.append((values, began))
                raise
            return values, began

        ended = math.inf
        try:
            values, began = await disk.run(attempt)
            ended = time.monotonic()
            self._note_write(block, values, began, ended, certain=True)
        finally:
            # Once a later attempt was acknowledged, an earlier one must not surface any more.
            for values, began in failed:
                self._note_write(block, values, began, ended, certain=False)

    def _note_write(self, block: int, values: list[int], began: float, ended: float, *, certain: bool) -> None:
        for index, value in enumerate(values):
            self.history.wrote(block + index, value, began, ended, certain=certain)

    def _note_read(self, block: int, data: bytes, began: float) -> None:
        ended = time.monotonic()
        for index in range(len(data) // BLOCK_BYTES):
            value = block_value(data[index * BLOCK_BYTES : (index + 1) * BLOCK_BYTES])
            self.history.read(block + index, value, began, ended)
