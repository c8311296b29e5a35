"""What the REST API takes and gives. Sizes are bytes, addresses are IP addresses, names are as operators gave them."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from twindisk.differences import Writer
from twindisk.node.records import AccessMode
from twindisk.sizes import parse_size

API_PREFIX = "/v1"


def _size(value: object) -> object:
    """Take ``"10G"`` as well as a number of bytes."""
    return parse_size(value) if isinstance(value, str) else value


CheckType = Literal["fence", "witness", "manual", "ignore"]
Size = Annotated[int, BeforeValidator(_size), Field(ge=0)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Problem(_Answer):
    """An error (RFC 9457). Members beyond these are the error's fields."""

    model_config = ConfigDict(extra="allow", frozen=True)

    type: str
    title: str
    status: int
    detail: str


class NodeView(_Answer):
    """This node."""

    name: str
    node_id: str
    version: str
    pid: int
    recv_address: str | None
    recv_status: str
    control_port: int
    data_port: int
    portals: list[str]
    default_pool: str
    state_dir: str
    etc: str
    warnings: list[str]


class PathView(_Answer):
    """A path to a peer: from an address of this node to one of the peer."""

    peer: str
    own: str
    theirs: str
    state: Literal["up", "down"]
    connections: int = Field(description="TCP connections that are open.")
    sent_bytes: int = Field(description="Of messages, over the present link.")


class PeerView(_Answer):
    """A peer some VDisk is mirrored with."""

    address: str
    link: Literal["up", "down"]
    problem: str | None
    """Why there is no link, where that is known."""
    fencing: bool
    sent_bytes: int = Field(description="Of messages, over the present link.")
    paths: list[PathView] = Field(description="The main one first, from mirror address to mirror address.")


class PoolView(_Answer):
    """A pool."""

    name: str
    disks: int
    vdisks: int
    size_bytes: int
    free_bytes: int
    status: str


class PoolNew(_Request):
    """A pool to be added."""

    name: str


class DiskView(_Answer):
    """A disk of a pool, or a device that could become one (``pool`` None)."""

    id: str | None
    vendor: str
    model: str
    serial: str
    name: str
    pool: str | None
    size_bytes: int
    used_bytes: int
    status: str


class DiskNew(_Request):
    """A directory or block device for a pool (default: the node's default pool, made when needed)."""

    path: str
    pool: str | None = None
    format: bool = Field(default=False, description="A block device may be formatted: all data on it is destroyed.")


class SessionView(_Answer):
    """An initiator's session. ``held_bytes``: the memory that is held for it."""

    initiator: str
    address: str
    held_bytes: int


class VDiskView(_Answer):
    """A VDisk of this node. ``status`` is the word of qsync for a mirrored one, else Enabled or what is wrong."""

    name: str
    pool: str
    serial: str
    iqn: str
    size_bytes: int
    block_bytes: int = Field(description="Of a logical block: 512 or 4096.")
    lun: int = 0
    group_tag: int
    status: str
    phase: str
    detail: str | None = None
    access: AccessMode
    access_state: str | None = Field(description="What initiators see of this node's path; None: the copy is not open.")
    sanitize: Literal["running", "failed"] | None = Field(
        default=None, description="A sanitize operation bars the data: it runs, or it failed."
    )
    sanitize_percent: int | None = Field(default=None, description="How far it is.")
    peer: str | None
    initiators: list[str] = Field(default=[], description="Who is let in; empty: every initiator.")
    chap_users: list[str] = Field(default=[], description="Names; empty: nobody has to prove who he is.")
    chap_target: str | None = Field(default=None, description="By which name the target proves itself.")
    sessions: list[SessionView]


class VDiskNew(_Request):
    """A VDisk to be created."""

    name: str
    size: Size
    pool: str | None = None
    serial: str | None = None
    iqn: str | None = None
    access: AccessMode = AccessMode.ACTIVE_ACTIVE
    block_bytes: int = Field(default=512, description="Of a logical block: 512 or 4096. It never changes.")


class VDiskChange(_Request):
    """What of a VDisk is to change."""

    size: Size | None = None
    serial: str | None = None
    access: AccessMode | None = None


class InitiatorsChange(_Request):
    """Initiators to be let in, and to be let in no longer. ``everyone``: the list may become empty, which lets in all."""

    allow: list[str] = []
    deny: list[str] = []
    everyone: bool = False


class ChapUserNew(_Request):
    """A CHAP user's secret: 12 to 255 bytes."""

    secret: str = Field(repr=False)


class ChapTargetNew(_Request):
    """The name and secret by which a target proves itself."""

    name: str
    secret: str = Field(repr=False)


class ChapView(_Answer):
    """A CHAP name. ``proves``: who proves itself by it."""

    name: str
    proves: Literal["the initiator", "the target"]


class DiscoveryView(_Answer):
    """Who may hold discovery sessions with this node."""

    chap_users: list[str]
    chap_target: str | None


class FactsView(_Answer):
    """What a copy durably knows about itself; generations as 16 hex digits."""

    current: str
    base: str
    epoch: int
    inconsistent: bool
    active_extents: int
    dirty_chunks: int


class RangeView(_Answer):
    """A range of a VDisk."""

    offset_bytes: int
    length_bytes: int


class VerifyView(_Answer):
    """The latest verification of a mirror that this node made; ``seconds_left``: None when it does not run, or nobody knows."""

    state: Literal["running", "completed", "cancelled", "interrupted"]
    repair: Literal["master", "slave"] | None = Field(
        description="Whose copy counts where they differ; null: nothing is changed."
    )
    percent: float
    seconds_left: int | None
    compared_bytes: int
    differing_bytes: int
    repaired_bytes: int
    ranges: list[RangeView] = Field(description="Where the copies differed, in sectors of 512 bytes.")
    truncated: bool = Field(description="There were more ranges.")


class DifferingView(RangeView):
    """A range in which copies that parted differ, and who may have written it since."""

    writer: Writer


class DiffView(_Answer):
    """A part of where two copies differ that parted."""

    vdisk: str
    peer: str
    parted_ms: int | None = Field(description="When they parted, Unix time; null: nobody knows.")
    compared_bytes: int = Field(description="What either copy suspects in this part; the rest is equal unread.")
    ranges: list[DifferingView] = Field(description="Ascending, in chunks of 64 KiB.")
    next_bytes: int | None = Field(description="The `from_bytes` of the next part; null: this was the last.")


class ResolveNew(_Request):
    """A split brain to be resolved. ``survivor``: name or mirror address of the node whose copy goes on."""

    survivor: str


class ResolvedView(_Answer):
    """A split brain that was resolved: the copy of ``node`` is VDisk ``lost`` there now, and is made anew from the survivor."""

    vdisk: str
    node: str
    lost: str


class MirrorView(_Answer):
    """A VDisk's mirror as this node sees it. ``percent``: how far a resync is, None when none runs."""

    vdisk: str
    remote: str
    pool: str
    peer: str
    role: str = Field(description="Master, Slave or Unknown.")
    status: str
    phase: str
    fault: str | None
    percent: float | None
    done_bytes: int | None
    total_bytes: int | None
    seconds_left: int | None = Field(description="Of a resync, at the speed that it has; null: nobody knows.")
    verify: VerifyView | None = Field(description="Null: this node has verified nothing since it was started.")
    facts: FactsView | None


class MirrorNew(_Request):
    """A mirror to be made. ``pool``: the peer's pool, default: of the same name."""

    vdisk: str
    peer: str
    remote: str | None = None
    pool: str | None = None


class VerifyNew(_Request):
    """A verification. ``repair``: whose copy is right where they differ; None: nothing is changed."""

    repair: Literal["master", "here", "peer"] | None = None


class RoleChange(_Request):
    """The role this node's copy is to have."""

    role: Literal["master", "slave"]
    force: bool = False


class CheckView(_Answer):
    """A mirror check; ``id`` gives the order.

    ``value``: the command, or where the witness is. ``witness``: what the witness calls itself. ``shared``: whether both nodes know
    that they have the same one, None for other types.
    """

    id: int
    peer: str
    type: CheckType
    value: str
    witness: str = ""
    shared: bool | None = None


class CheckNew(_Request):
    """A mirror check to be added. ``value``: the command, or where the witness is."""

    peer: str
    type: CheckType
    value: str = ""


class CheckTrialNew(_Request):
    """A trial of checks. ``status`` asks fence agents for the power state and tries witnesses; ``fence`` switches the peer off.

    ``peer`` may be left out (all peers) only with ``status``.
    """

    action: Literal["status", "fence"]
    peer: str | None = None

    @model_validator(mode="after")
    def _fences_one_peer(self) -> Self:
        if self.action == "fence" and self.peer is None:
            raise ValueError("say which peer is to be fenced")
        return self


class CheckTrialView(_Answer):
    """How one check did. ``command`` (a witness's place) and ``output`` show no passwords; ``seconds`` None: it was not run."""

    peer: str
    type: CheckType
    command: str
    outcome: Literal["on", "off", "wrong", "fenced", "failed", "not asked", "reached"]
    exit_status: int | None
    timed_out: bool
    seconds: float | None
    output: str


class EventView(_Answer):
    """Something operators were told."""

    id: int
    at_ms: int
    severity: Literal["information", "warning", "error"]
    kind: str
    text: str
    fields: dict[str, Any]


class EventPage(_Answer):
    """Some events, oldest first, and where others are."""

    events: list[EventView]
    older: int | None = Field(description="The `before` of the page before this one; None when there is none.")
    newer: int = Field(description="The `after` of what comes later, now or when it happens.")


class ReloadView(_Answer):
    """What reading the files anew came to: keys whose new values hold now, and keys whose new values need a restart."""

    changed: list[str]
    needs_restart: list[str]


class TrapView(_Answer):
    """A destination of SNMP notifications. ``problem``: its last trouble, None when there was none lately."""

    destination: str
    sent: int
    dropped: int
    problem: str | None


class TrapsView(_Answer):
    """What is sent to whom. ``engine_id``: hex digits, for `createUser -e`; None with version 2c."""

    version: Literal["2c", "3"]
    security: str
    user: str | None
    engine_id: str | None
    destinations: list[TrapView]


class TrapTestView(_Answer):
    """How a test notification fared. ``problem`` None: it was sent; whether it arrived, only its receiver knows."""

    destination: str
    problem: str | None
    detail: str


class MemoryView(_Answer):
    """The memory that is held for all initiators together, and its limit."""

    held_bytes: int
    limit_bytes: int


class StatusView(_Answer):
    """Everything at a glance."""

    node: NodeView
    memory: MemoryView
    peers: list[PeerView]
    pools: list[PoolView]
    vdisks: list[VDiskView]
    mirrors: list[MirrorView]
    events: list[EventView]
