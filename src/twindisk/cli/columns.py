"""What ``twindisk`` shows of each noun."""

from __future__ import annotations

from datetime import UTC, datetime

from twindisk.api.schemas import (
    ChapView,
    CheckTrialView,
    CheckView,
    DiskView,
    EventView,
    MirrorView,
    NodeView,
    PathView,
    PeerView,
    PoolView,
    RangeView,
    TrapTestView,
    TrapView,
    VDiskView,
    VerifyView,
)
from twindisk.brain.model import Fault
from twindisk.cli.output import Column
from twindisk.node.fence_text import status_command, without_secrets
from twindisk.sizes import show_size

NODE: list[Column[NodeView]] = [
    ("Name", lambda node: node.name),
    ("Version", lambda node: node.version),
    ("Process", lambda node: node.pid),
    ("Portals", lambda node: ", ".join(node.portals)),
    ("Mirror address", lambda node: node.recv_address),
    ("Mirroring", lambda node: node.recv_status),
    ("Control and data port", lambda node: f"{node.control_port}, {node.data_port}"),
    ("Default pool", lambda node: node.default_pool),
    ("Configuration", lambda node: node.etc),
    ("State", lambda node: node.state_dir),
    ("Warnings", lambda node: "\n".join(node.warnings)),
]

PEERS: list[Column[PeerView]] = [
    ("Peer", lambda peer: peer.address),
    ("Link", lambda peer: peer.link),
    ("Fencing", lambda peer: peer.fencing),
    ("Problem", lambda peer: peer.problem),
]

PATHS: list[Column[PathView]] = [
    ("Path to", lambda path: path.peer),
    ("From", lambda path: path.own),
    ("To", lambda path: path.theirs),
    ("State", lambda path: path.state),
    ("Connections", lambda path: path.connections),
    ("Sent", lambda path: show_size(path.sent_bytes)),
]

POOLS: list[Column[PoolView]] = [
    ("Pool", lambda pool: pool.name),
    ("Disks", lambda pool: pool.disks),
    ("VDisks", lambda pool: pool.vdisks),
    ("Size", lambda pool: show_size(pool.size_bytes)),
    ("Free", lambda pool: show_size(pool.free_bytes)),
    ("Status", lambda pool: pool.status),
]

DISKS: list[Column[DiskView]] = [
    ("Disk", lambda disk: disk.name),
    ("Pool", lambda disk: disk.pool),
    ("Size", lambda disk: show_size(disk.size_bytes)),
    ("Used", lambda disk: show_size(disk.used_bytes)),
    ("Model", lambda disk: f"{disk.vendor} {disk.model}".strip()),
    ("Status", lambda disk: disk.status),
    ("Id", lambda disk: disk.id),
]

VDISKS: list[Column[VDiskView]] = [
    ("VDisk", lambda vdisk: vdisk.name),
    ("Pool", lambda vdisk: vdisk.pool),
    ("Size", lambda vdisk: show_size(vdisk.size_bytes)),
    ("Peer", lambda vdisk: vdisk.peer),
    ("Access", lambda vdisk: vdisk.access.value),
    ("Sessions", lambda vdisk: len(vdisk.sessions)),
    ("Status", lambda vdisk: vdisk.status),
]


def sanitize_words(vdisk: VDiskView) -> str | None:
    """Return what bars a VDisk's data, None when nothing does."""
    return vdisk.sanitize and f"{vdisk.sanitize} ({vdisk.sanitize_percent} %)"


VDISK: list[Column[VDiskView]] = [
    *VDISKS[:3],
    ("Block size", lambda vdisk: vdisk.block_bytes),
    VDISKS[3],
    ("Serial number", lambda vdisk: vdisk.serial),
    ("iSCSI name", lambda vdisk: vdisk.iqn),
    ("Access", lambda vdisk: vdisk.access.value),
    ("Target port group", lambda vdisk: vdisk.group_tag),
    ("Initiators", lambda vdisk: "\n".join(vdisk.initiators) or "everyone"),
    ("CHAP users", lambda vdisk: ", ".join(vdisk.chap_users) or "none needed"),
    ("CHAP name of the target", lambda vdisk: vdisk.chap_target),
    ("This path", lambda vdisk: vdisk.access_state),
    ("Sanitize", sanitize_words),
    ("Sessions", lambda vdisk: "\n".join(f"{session.initiator} from {session.address}" for session in vdisk.sessions)),
    ("Phase", lambda vdisk: vdisk.phase),
    ("Status", lambda vdisk: vdisk.status + (f" ({vdisk.detail})" if vdisk.detail else "")),
]


def span_words(seconds: int) -> str:
    """Return a time as people say it: the two largest units."""
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for place, (unit, word) in enumerate(units):
        if seconds >= unit and place < len(units) - 1:
            least, rest_word = units[place + 1]
            rest = seconds % unit // least
            return f"{seconds // unit} {word}" + (f" {rest} {rest_word}" if rest else "")
    return f"{seconds} s"


def found_words(found: VerifyView) -> str:
    """Return how a verification went, or how far it is."""
    differ = (
        f"{found.differing_bytes} bytes differ{'ed' if found.repaired_bytes else ''}" if found.differing_bytes else ""
    )
    if found.state == "running":
        left = "" if found.seconds_left is None else f", {span_words(found.seconds_left)} left"
        return f"{found.percent:.1f} %{left}" + (f", {differ}" if differ else "")
    return f"{found.state}, {differ or 'no difference'}" + (", repaired" if found.repaired_bytes else "")


def progress_words(mirror: MirrorView) -> str:
    """Return how far a resync is, and how long the rest takes if that is known; a dash when none runs."""
    if mirror.percent is None:
        return "-"
    left = "" if mirror.seconds_left is None else f", {span_words(mirror.seconds_left)} left"
    return f"{mirror.percent:.1f} %{left}"


def status_words(mirror: MirrorView) -> str:
    """Return a mirror's status with what else is known: how far a resync is, why its state is invalid."""
    if mirror.percent is not None:
        return f"{mirror.status} {progress_words(mirror)}"
    return mirror.status + (f" ({mirror.fault})" if mirror.fault else "")


def resolve_words(mirror: MirrorView) -> str:
    """Return what to do about a split brain, empty for any other state."""
    if mirror.fault != Fault.SPLIT_BRAIN.value:
        return ""
    return (
        f"Both nodes went on apart and serve nothing now. See what differs: twindisk mirror diff {mirror.vdisk}\n"
        f"Then choose whose data are kept: twindisk mirror resolve {mirror.vdisk} --survivor NODE"
    )


MIRRORS: list[Column[MirrorView]] = [
    ("VDisk", lambda mirror: mirror.vdisk),
    ("Remote", lambda mirror: mirror.remote),
    ("Pool", lambda mirror: mirror.pool),
    ("Peer", lambda mirror: mirror.peer),
    ("Role", lambda mirror: mirror.role),
    ("Status", status_words),
]

MIRROR: list[Column[MirrorView]] = [
    *MIRRORS,
    ("Phase", lambda mirror: mirror.phase),
    ("Generation", lambda mirror: mirror.facts and f"{mirror.facts.current} (base {mirror.facts.base})"),
    ("Epoch", lambda mirror: mirror.facts and mirror.facts.epoch),
    ("Activity log", lambda mirror: mirror.facts and f"{mirror.facts.active_extents} extents"),
    ("Dirty", lambda mirror: mirror.facts and f"{mirror.facts.dirty_chunks} chunks"),
    ("Verification", lambda mirror: mirror.verify and found_words(mirror.verify)),
]

RANGES: list[Column[RangeView]] = [
    ("Offset", lambda found: found.offset_bytes),
    ("Length", lambda found: found.length_bytes),
]

CHAP: list[Column[ChapView]] = [
    ("Name", lambda chap: chap.name),
    ("Proves", lambda chap: chap.proves),
]

CHECKS: list[Column[CheckView]] = [
    ("Peer", lambda check: check.peer),
    ("Type", lambda check: check.type),
    ("Command", lambda check: check.value),
    ("Witness", lambda check: check.witness[:8]),
    ("Shared", lambda check: None if check.shared is None else "yes" if check.shared else "no"),
]

TRIED: list[Column[CheckView]] = [
    ("Peer", lambda check: check.peer),
    ("Type", lambda check: check.type),
    ("Can be asked", lambda check: "yes" if check.type == "witness" or status_command(check.value) else "no"),
    ("Command", lambda check: without_secrets(check.value)),
]

TRIALS: list[Column[CheckTrialView]] = [
    ("Peer", lambda trial: trial.peer),
    ("Outcome", lambda trial: trial.outcome),
    ("Exit status", lambda trial: "time limit" if trial.timed_out else trial.exit_status),
    ("Seconds", lambda trial: trial.seconds),
    ("Command", lambda trial: trial.command),
]

TRAPS: list[Column[TrapView]] = [
    ("Destination", lambda trap: trap.destination),
    ("Sent", lambda trap: trap.sent),
    ("Dropped", lambda trap: trap.dropped),
    ("Last trouble", lambda trap: trap.problem),
]

TRAP_TESTS: list[Column[TrapTestView]] = [
    ("Destination", lambda test: test.destination),
    ("Test", lambda test: "sent" if test.problem is None else test.problem),
    ("Detail", lambda test: test.detail),
]


def event_time(event: EventView) -> str:
    """Return when an event happened, UTC."""
    return datetime.fromtimestamp(event.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


EVENTS: list[Column[EventView]] = [
    ("Time", event_time),
    ("Severity", lambda event: event.severity),
    ("Event", lambda event: event.text),
]
