"""What two nodes say to each other over REST; unknown members are refused, for both run the same version."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from twindisk.node.records import AccessMode, CheckKind

PEER_PREFIX = "/peer/v1"
SUSPECTS_MAX = 64
HASHES_MAX = 256
CHUNKS_LIMIT = 1 << 48
"""No VDisk has so many chunks of 64 KiB."""

Sealed = Annotated[str, Field(description="Which initiators are let in: JSON, sealed for the VDisk's serial number.")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(_Strict):
    """An answer that says no more than yes."""


class Hello(_Strict):
    """Who a node is."""

    node_id: str
    node_name: str
    version: str
    address: str = Field(description="Its mirror address, whatever address it was asked at.")


class MirrorOffer(_Strict):
    """Mirror this VDisk with me: make a blank copy of it."""

    vdisk: str = Field(description="Its name at the sender.")
    pool: str = Field(description="Its pool at the sender.")
    remote: str = Field(description="Its name at the receiver.")
    remote_pool: str = Field(description="The receiver's pool to make it in.")
    serial: str
    iqn: str
    size_bytes: int = Field(gt=0)
    block_bytes: int = Field(description="Of a logical block.")
    group_tag: int = Field(ge=1, le=2, description="The receiver's target port group.")
    access: AccessMode
    admission: Sealed


class MirrorEnd(_Strict):
    """The mirror ended at the sender. ``discard``: also remove the copy, if it is still blank (an offer taken back)."""

    serial: str
    discard: bool = False


class PeerVDisk(_Strict):
    """How the receiver's copy of a VDisk stands."""

    phase: str
    role: str
    access: AccessMode
    admission: Sealed


class AccessChange(_Strict):
    """The access mode and the admission that both nodes are to have."""

    access: AccessMode
    admission: Sealed


class SuspectsAsk(_Strict):
    """Tell in which chunks the receiver's copy may differ from the sender's, which is not attached to it."""

    serial: str
    first_extent: int = Field(ge=0, description="Of 4 MiB, counted from 0.")
    limit: int = Field(ge=1, le=SUSPECTS_MAX, description="Most words to be told.")


class FactsTold(_Strict):
    """What a copy durably knows about itself, as the engine tells it."""

    current: int
    base: int
    lineage: list[int]
    epoch: int
    role: str
    inconsistent: bool
    ending: bool
    active: int
    dirty: int
    size_bytes: int
    unbroken: bool
    seq: int


class Suspects(_Strict):
    """In which chunks a copy may differ from its peer's. ``parted_ms``: when it went on alone, Unix time, None: nobody knows."""

    facts: FactsTold
    parted_ms: int | None
    words: list[tuple[int, int]] = Field(description="Extents, ascending, with a bit for each of their 64 chunks.")


class HashesAsk(_Strict):
    """Tell the hashes of chunks of 64 KiB of the receiver's copy."""

    serial: str
    chunks: Annotated[list[Annotated[int, Field(ge=0, lt=CHUNKS_LIMIT)]], Field(max_length=HASHES_MAX)]


class Hashes(_Strict):
    """The BLAKE3 hashes of the chunks that were asked for, in that order, as hex digits."""

    hashes: list[str]


class GiveWay(_Strict):
    """A split brain is resolved: of ``give-way``, the receiver's copy is set aside; of ``survive``, the sender's."""

    serial: str


class GaveWay(_Strict):
    """What the receiver's copy became: a VDisk of its own."""

    lost: str
    node: str


class CheckTold(_Strict):
    """What rules at the sender when it loses the receiver."""

    kind: CheckKind | None = Field(description="The kind of mirror check; None: it has no check.")
    witness: str = Field(default="", description="What the witness calls itself; empty for other kinds.")


class SwitchAnswer(_Strict):
    """Whether the receiver's copy becomes Slave: ``refusal`` is the brain's reason, None is yes."""

    refusal: str | None
