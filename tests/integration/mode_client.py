"""An initiator port that reads and sets mode pages."""

import struct

from integration.reservation_client import GOOD, Port

CACHING, CONTROL = 0x08, 0x0A
CURRENT, CHANGEABLE, DEFAULT, SAVED = range(4)
SWP = (CONTROL, 4, 0x08)
"""Software write protection: page, byte of the page, bits."""
D_SENSE = (CONTROL, 2, 0x04)
WCE = (CACHING, 2, 0x04)

Field = tuple[int, int, int]


class ModePort(Port):
    """One initiator port, logged in at one node."""

    async def page(self, code: int, control: int = CURRENT) -> bytes:
        """MODE SENSE (10) of one page, without header and descriptors."""
        block = struct.pack(">BBBxxxxHx", 0x5A, 0x08, control << 6 | code, 255)
        status, data = await self.run(block, data_in_bytes=255)
        assert status == GOOD, status
        return data[8:]

    async def is_set(self, field: Field, control: int = CURRENT) -> bool:
        """Tell whether the bits of a field are set."""
        code, at, bits = field
        return bool((await self.page(code, control))[at] & bits)

    async def is_write_protected(self) -> bool:
        """Tell what the header of MODE SENSE (6) says."""
        status, data = await self.run(struct.pack(">BBBBBx", 0x1A, 0x08, 0x3F, 0, 4), data_in_bytes=4)
        assert status == GOOD, status
        return bool(data[2] & 0x80)

    async def select(self, page: bytes, *, save: bool = False) -> str:
        """MODE SELECT (6) of one page; return the status."""
        parameters = bytes(4) + page
        return (await self.run(struct.pack(">BBxxBx", 0x15, 0x10 | save, len(parameters)), data_out=parameters))[0]

    async def set_field(self, field: Field, value: bool, *, save: bool = False) -> None:  # noqa: FBT001
        """Set or clear the bits of a field, and nothing else."""
        code, at, bits = field
        page = bytearray(await self.page(code))
        page[0] &= 0x3F
        page[at] = page[at] & ~bits & 0xFF | (bits if value else 0)
        assert await self.select(bytes(page), save=save) == GOOD
