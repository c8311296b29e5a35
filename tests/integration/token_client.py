"""An initiator that has data moved by tokens (ODX), as Windows Server does."""

import asyncio
from collections.abc import Sequence

import pytest

from twindisk.initiator import CheckConditionError, Session
from twindisk.initiator.tokens import (
    BACKGROUND,
    FOREGROUND,
    Range,
    TokenInformation,
    populate_parameters,
    populate_token,
    receive_token_information,
    write_parameters,
    write_using_token,
)

UNKNOWN, REVOKED, EXPIRED = (0x05, 0x23, 0x04), (0x05, 0x23, 0x06), (0x05, 0x23, 0x07)
"""Sense of a token that was never made, whose data have changed, that was not used in time."""


async def populate(
    session: Session,
    ranges: Sequence[Range],
    identifier: int = 1,
    *,
    immediate: bool = False,
    timeout_s: int = 0,
    kind: int | None = None,
) -> None:
    """POPULATE TOKEN; raises what the target answers."""
    parameters = populate_parameters(ranges, immediate=immediate, timeout_s=timeout_s, kind=kind)
    await session.command(populate_token(identifier, len(parameters)), data_out=parameters)


async def information(session: Session, identifier: int = 1) -> TokenInformation:
    """RECEIVE ROD TOKEN INFORMATION."""
    block = receive_token_information(identifier)
    return TokenInformation.parse(await session.command(block, data_in_bytes=1024))


async def ended(session: Session, identifier: int = 1) -> TokenInformation:
    """Ask how a command went until it has ended."""
    while (told := await information(session, identifier)).status in (FOREGROUND, BACKGROUND):
        await asyncio.sleep(0.01)
    return told


async def token_of(session: Session, ranges: Sequence[Range], *, timeout_s: int = 0, kind: int | None = None) -> bytes:
    """Have a token made."""
    await populate(session, ranges, timeout_s=timeout_s, kind=kind)
    token = (await information(session)).token
    assert token is not None
    return token


async def write(
    session: Session,
    token: bytes,
    ranges: Sequence[Range],
    identifier: int = 2,
    *,
    offset: int = 0,
    immediate: bool = False,
    delete: bool = False,
) -> None:
    """WRITE USING TOKEN; raises what the target answers."""
    parameters = write_parameters(token, ranges, offset=offset, immediate=immediate, delete=delete)
    await session.command(write_using_token(identifier, len(parameters)), data_out=parameters)


async def refused(session: Session, token: bytes, ranges: Sequence[Range]) -> tuple[int, int, int]:
    """Return the sense of a WRITE USING TOKEN that is refused: key, code, qualifier."""
    with pytest.raises(CheckConditionError) as error:
        await write(session, token, ranges)
    return error.value.sense.key, error.value.sense.code, error.value.sense.qualifier
