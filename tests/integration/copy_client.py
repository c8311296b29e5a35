"""An initiator that has VDisks copied by the node that it is logged in to."""

from collections.abc import Sequence

from twindisk.initiator import Session
from twindisk.initiator.copies import (
    COPY_STATUS,
    CopyStatus,
    Segment,
    copy_parameters,
    extended_copy,
    naa_designator,
    receive_copy_results,
)

BLOCK_BYTES = 512


async def designator(session: Session) -> bytes:
    """Return what names the logical unit of a session in a copy's list."""
    return naa_designator(await session.vital_product_data(0x83))


async def copy(session: Session, units: Sequence[bytes], segments: Sequence[Segment], identifier: int = 1) -> None:
    """EXTENDED COPY; raises what the target answers."""
    parameters = copy_parameters(units, segments, identifier=identifier)
    await session.command(extended_copy(len(parameters)), data_out=parameters)


async def copy_within(session: Session, source_bytes: int, target_bytes: int, length_bytes: int) -> None:
    """Copy a range of the session's own VDisk; all in bytes, multiples of 512."""
    segment = Segment(0, 0, length_bytes // BLOCK_BYTES, source_bytes // BLOCK_BYTES, target_bytes // BLOCK_BYTES)
    await copy(session, [await designator(session)], [segment])


async def copy_status(session: Session, identifier: int = 1) -> CopyStatus:
    """RECEIVE COPY STATUS."""
    block = receive_copy_results(COPY_STATUS, identifier)
    return CopyStatus.parse(await session.command(block, data_in_bytes=1024))
