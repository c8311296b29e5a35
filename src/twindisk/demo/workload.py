"""The demo's initiator: writers that never write the same content twice, and a check of everything acknowledged.

Rules:

* Every block belongs to one writer, which writes it again only after the last write of it was acknowledged. So the
  last acknowledged content is the only one that may be read at the end.
* A write that fails on one path is sent again on the other until one of them acknowledges it.
* Content is made from the run, the block and a sequence number: a block that is stale, torn or in another's place shows.
"""

import asyncio
import hashlib
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import Final

from twindisk.initiator import MultipathDisk, Session

BLOCK_BYTES: Final = 16384
_BLOCKS_MAX: Final = 16384
_RUN_BLOCKS: Final = 16  # neighbours, as files are: a chunk of the mirror holds several
_CHECKS_IN_FLIGHT: Final = 16


@dataclass(slots=True)
class Pauses:
    """When writes were acknowledged. ``longest_s``: the longest time without any acknowledgement between two of them."""

    longest_s: float = 0.0
    last: float | None = None

    def acknowledged(self, now: float) -> None:
        """Take note of an acknowledgement at ``now`` (seconds of a monotonic clock)."""
        if self.last is not None:
            self.longest_s = max(self.longest_s, now - self.last)
        self.last = now


@dataclass(slots=True)
class Workload:
    """Writers on a disk of ``size_bytes``; ``acknowledged`` has each block's last acknowledged sequence number.

    ``pace_s``: how long a writer rests after each write, so that a demo leaves some of the machine to the nodes.
    """

    disk: MultipathDisk
    size_bytes: int
    writers: int = 8
    pace_s: float = 0.0
    seed: int = 0
    run: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    acknowledged: dict[int, int] = field(default_factory=dict)
    writes: int = 0
    pauses: Pauses = field(default_factory=Pauses)
    _stopping: bool = False

    @property
    def blocks(self) -> int:
        """How many blocks the writers use, in runs spread over the whole disk."""
        return min(self.size_bytes // BLOCK_BYTES, _BLOCKS_MAX)

    def offset(self, block: int) -> int:
        """Return where a block lies on the disk."""
        run, rest = divmod(block, _RUN_BLOCKS)
        stride = self.size_bytes // BLOCK_BYTES // self.blocks
        return (run * stride * _RUN_BLOCKS + rest) * BLOCK_BYTES

    def content(self, block: int, sequence: int) -> bytes:
        """Return what the given write of a block writes; sequence 0 is the block that was never written."""
        if sequence == 0:
            return bytes(BLOCK_BYTES)
        digest = hashlib.blake2b(b"%d:%d" % (block, sequence), key=self.run).digest()
        return digest * (BLOCK_BYTES // len(digest))

    async def write_until_stopped(self) -> None:
        """Run the writers until :meth:`stop`; every write that was begun is acknowledged when this returns."""
        self._stopping = False
        self.pauses.last = None
        async with asyncio.TaskGroup() as group:
            for writer in range(self.writers):
                group.create_task(self._write(writer))

    def stop(self) -> None:
        """Let the writers end after their present write."""
        self._stopping = True

    async def _write(self, writer: int) -> None:
        chance = random.Random(f"{self.seed}/{writer}")
        own = range(writer, self.blocks, self.writers)
        while not self._stopping:
            block = chance.choice(own)
            sequence = self.acknowledged.get(block, 0) + 1
            await self.disk.write(self.offset(block), self.content(block, sequence))
            self.acknowledged[block] = sequence
            self.writes += 1
            self.pauses.acknowledged(time.monotonic())
            if self.pace_s:
                await asyncio.sleep(self.pace_s)

    async def count_lost(self, session: Session) -> int:
        """Read every written block through one path; return how many do not hold the last acknowledged content."""
        lost = 0
        waiting = list(self.acknowledged.items())

        async def check() -> None:
            nonlocal lost
            while waiting:
                block, sequence = waiting.pop()
                if await session.read(self.offset(block), BLOCK_BYTES) != self.content(block, sequence):
                    lost += 1

        await asyncio.gather(*(check() for _ in range(_CHECKS_IN_FLIGHT)))
        return lost
