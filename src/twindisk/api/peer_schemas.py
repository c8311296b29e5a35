"""What two nodes say to each other over REST; unknown members are refused, for both run the same version."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from twindisk.node.records import AccessMode, CheckKind

PEER_PREFIX = "/peer/v1"

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


class CheckTold(_Strict):
    """What rules at the sender when it loses the receiver."""

    kind: CheckKind | None = Field(description="The kind of mirror check; None: it has no check.")
    witness: str = Field(default="", description="What the witness calls itself; empty for other kinds.")


class SwitchAnswer(_Strict):
    """Whether the receiver's copy becomes Slave: ``refusal`` is the brain's reason, None is yes."""

    refusal: str | None
