"""From the node's records, the brain's state and the engine's status to what the API shows. Reads only."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

from twindisk.api.schemas import (
    CheckTrialView,
    CheckView,
    DifferingView,
    DiffView,
    DiscoveryView,
    DiskView,
    EventView,
    FactsView,
    MemoryView,
    MirrorView,
    NodeView,
    PathView,
    PeerView,
    PoolView,
    RangeView,
    SessionView,
    StatusView,
    VDiskView,
    VerifyView,
)
from twindisk.brain.checks import agreed
from twindisk.brain.model import CopyFacts, Link, PeerAddress
from twindisk.brain.phases import Phase
from twindisk.brain.status import Status, role_word, status_of
from twindisk.config_file import ConfigWarning
from twindisk.node import devices, disks
from twindisk.node.context import Node
from twindisk.node.differing import Part
from twindisk.node.engine_status import (
    access_state_of,
    memory_of,
    paths_of,
    progress_of,
    sanitize_of,
    seconds_left,
    sent_bytes_of,
    sessions_of,
    speed_of,
    verify_of,
)
from twindisk.node.fence_trial import FenceTrial
from twindisk.node.records import Admission, Check, CheckKind, Disk, EventRecord, Mirror, Pool, VDisk

STATUS_EVENTS = 10
_RESYNC = frozenset({Phase.SOURCE, Phase.TARGET})


@cache
def version() -> str:
    """Return the version of this program."""
    return metadata.version("twindisk")


def node_view(node: Node) -> NodeView:
    """Return this node."""
    config = node.config
    return NodeView(
        name=config.node_name,
        node_id=node.node_id,
        version=version(),
        pid=os.getpid(),
        recv_address=config.recv_address,
        recv_status=node.recv.value,
        control_port=config.control_port,
        data_port=config.data_port,
        portals=[str(portal) for portal in config.portals],
        default_pool=config.default_pool,
        state_dir=str(config.state_dir),
        etc=str(config.etc),
        warnings=[warning_words(warning) for warning in config.warnings],
    )


def warning_words(warning: ConfigWarning) -> str:
    """Return a configuration warning as a sentence."""
    reason = {
        "unknown-key": "is not a key of this file and is ignored",
        "out-of-range": "is out of range; the nearest value in range counts",
        "superseded": "has no effect; SilenceMs says when a peer counts as lost",
    }[warning.reason]
    return f"{warning.file} line {warning.line}: {warning.key}={warning.value} {reason}"


def peer_views(node: Node, seen: Mapping[str, Any]) -> list[PeerView]:
    """Return the peers that VDisks are mirrored with."""
    views = []
    for address in sorted({mirror.peer for mirror in node.state.mirrors()}):
        peer = node.brain.peers.get(PeerAddress(address))
        up = peer is not None and peer.link is Link.UP
        views.append(
            PeerView(
                address=address,
                link="up" if up else "down",
                problem=node.unlinked.get(address),
                fencing=peer is not None and peer.fence is not None,
                sent_bytes=sent_bytes_of(seen, address),
                paths=[
                    PathView(
                        peer=address,
                        own=path.own,
                        theirs=path.theirs,
                        state="up" if path.up else "down",
                        connections=path.connections,
                        sent_bytes=path.sent_bytes,
                    )
                    for path in paths_of(seen, address)
                ],
            )
        )
    return views


def pool_view(node: Node, pool: Pool) -> PoolView:
    """Return a pool with its disks added up."""
    members = node.state.disks(pool.name)
    spaces = [disks.space(disk) for disk in members]
    missing = sum(not space.online for space in spaces)
    return PoolView(
        name=pool.name,
        disks=len(members),
        vdisks=sum(vdisk.pool == pool.name for vdisk in node.state.vdisks()),
        size_bytes=sum(space.size_bytes for space in spaces),
        free_bytes=sum(space.free_bytes for space in spaces),
        status="No disks" if not members else f"{missing} missing" if missing else "Online",
    )


async def disk_view(disk: Disk) -> DiskView:
    """Return a disk of a pool."""
    space = disks.space(disk)
    used_bytes = await asyncio.to_thread(disks.used_bytes, disk) if space.online else 0
    device = None if disk.device is None else devices.try_inspect(disk.device)
    return DiskView(
        id=disk.id,
        vendor=device.vendor if device else "",
        model=device.model if device else ("" if disk.device else "Directory"),
        serial=device.serial if device else "",
        name=disk.device or str(disk.path),
        pool=disk.pool,
        size_bytes=space.size_bytes,
        used_bytes=used_bytes,
        status="Online" if space.online else "Missing",
    )


def device_views(node: Node) -> list[DiskView]:
    """Return the machine's block devices that no pool has."""
    taken = {disk.device for disk in node.state.disks()}
    return [
        DiskView(
            id=None,
            vendor=device.vendor,
            model=device.model,
            serial=device.serial,
            name=str(device.path),
            pool=None,
            size_bytes=device.size_bytes,
            used_bytes=0,
            status="Unconfigured" if device.used_by is None else f"In use ({device.used_by})",
        )
        for device in devices.list_devices()
        if str(device.path) not in taken
    ]


def vdisk_view(node: Node, vdisk: VDisk, seen: Mapping[str, Any]) -> VDiskView:
    """Return a VDisk."""
    known, mirror = node.brain_vdisk(vdisk.name), node.state.mirror(vdisk.name)
    broken = node.broken.get(vdisk.name)
    sanitize, percent = sanitize_of(seen, vdisk.name) or (None, None)
    status = "Withheld" if vdisk.withheld and not broken else _status(node, vdisk.name)
    return VDiskView(
        name=vdisk.name,
        pool=vdisk.pool,
        serial=vdisk.serial,
        iqn=vdisk.iqn,
        size_bytes=vdisk.size_bytes,
        block_bytes=vdisk.block_bytes,
        group_tag=vdisk.group_tag,
        status=status,
        phase=_phase(node, vdisk.name),
        detail=broken or (known.fault.value if known and known.fault and not vdisk.withheld else None),
        access=vdisk.access,
        access_state=access_state_of(seen, vdisk.name),
        sanitize=sanitize,
        sanitize_percent=percent,
        peer=None if mirror is None else mirror.peer,
        initiators=list(vdisk.admission.initiators),
        chap_users=[user.name for user in vdisk.admission.users],
        chap_target=None if vdisk.admission.own is None else vdisk.admission.own.name,
        sessions=[
            SessionView(initiator=session.initiator, address=session.address, held_bytes=session.held_bytes)
            for session in sessions_of(seen, vdisk.name)
        ],
    )


def discovery_view(admission: Admission) -> DiscoveryView:
    """Return who may hold discovery sessions."""
    users, own = admission.users, admission.own
    return DiscoveryView(chap_users=[user.name for user in users], chap_target=None if own is None else own.name)


def mirror_view(node: Node, mirror: Mirror, seen: Mapping[str, Any]) -> MirrorView:
    """Return a mirror."""
    vdisk, known = node.state.vdisk(mirror.vdisk), node.brain_vdisk(mirror.vdisk)
    resync = progress_of(seen, mirror.vdisk) if known is not None and known.phase in _RESYNC else None
    return MirrorView(
        vdisk=mirror.vdisk,
        remote=mirror.remote,
        pool="" if vdisk is None else vdisk.pool,
        peer=mirror.peer,
        role="Unknown" if known is None else role_word(known),
        status=_status(node, mirror.vdisk),
        phase=_phase(node, mirror.vdisk),
        fault=None if known is None or known.fault is None else known.fault.value,
        percent=None if resync is None else round(resync.percent, 1),
        done_bytes=None if resync is None else resync.done_bytes,
        total_bytes=None if resync is None else resync.total_bytes,
        seconds_left=None
        if resync is None
        else seconds_left(resync.total_bytes - resync.done_bytes, speed_of(seen, mirror.vdisk)),
        verify=_verify_view(seen, mirror.vdisk),
        facts=None if known is None else _facts(known.facts),
    )


def _verify_view(seen: Mapping[str, Any], vdisk: str) -> VerifyView | None:
    found = verify_of(seen, vdisk)
    if not found:
        return None
    done, total, running = found["done_bytes"], found["total_bytes"], found["state"] == "running"
    return VerifyView(
        state=found["state"],
        repair=found["repair"],
        percent=round(100 * done / total, 1),
        seconds_left=seconds_left(total - done, speed_of(seen, vdisk)) if running else None,
        compared_bytes=found["compared_bytes"],
        differing_bytes=found["differing_bytes"],
        repaired_bytes=found["repaired_bytes"],
        ranges=[RangeView(offset_bytes=offset, length_bytes=length) for offset, length in found["ranges"]],
        truncated=found["truncated"],
    )


def diff_view(mirror: Mirror, part: Part) -> DiffView:
    """Return a part of where two copies differ."""
    return DiffView(
        vdisk=mirror.vdisk,
        peer=mirror.peer,
        parted_ms=part.parted_ms,
        compared_bytes=part.compared_bytes,
        ranges=[
            DifferingView(offset_bytes=found.offset_bytes, length_bytes=found.length_bytes, writer=found.writer)
            for found in part.ranges
        ],
        next_bytes=part.next_bytes,
    )


def _status(node: Node, name: str) -> str:
    """Return a VDisk's status word: Disabled when its copy is broken, Peer wait when the brain does not know it yet."""
    known = node.brain_vdisk(name)
    if known is not None:
        return status_of(node.brain, known).value
    return (Status.DISABLED if name in node.broken else Status.PEER_WAIT).value


def _phase(node: Node, name: str) -> str:
    known = node.brain_vdisk(name)
    if known is not None:
        return known.phase.value
    return (Phase.FAILED if name in node.broken else Phase.PEER_WAIT).value


def trial_view(trial: FenceTrial) -> CheckTrialView:
    """Return how a fence command did."""
    attempt = trial.attempt
    return CheckTrialView(
        peer=trial.peer,
        type=trial.kind.value,
        command=trial.command,
        outcome=trial.outcome.value,
        exit_status=None if attempt is None else attempt.exit_status,
        timed_out=attempt is not None and attempt.timed_out,
        seconds=None if attempt is None else round(attempt.seconds, 3),
        output="" if attempt is None else attempt.output,
    )


def check_view(node: Node, check: Check) -> CheckView:
    """Return a mirror check."""
    peer = node.brain.peers.get(PeerAddress(check.peer))
    return CheckView(
        id=check.id,
        peer=check.peer,
        type=check.kind.value,
        value=check.command,
        witness=check.witness,
        shared=peer is not None and agreed(peer) if check.kind is CheckKind.WITNESS else None,
    )


def event_view(event: EventRecord) -> EventView:
    """Return an event."""
    return EventView.model_validate(
        {
            "id": event.id,
            "at_ms": event.at_ms,
            "severity": event.severity,
            "kind": event.kind,
            "text": event.text,
            "fields": dict(event.fields),
        }
    )


async def engine_status(node: Node) -> Mapping[str, Any]:
    """Return the engine's status; in a thread, for the engine answers between two of its turns."""
    return await asyncio.to_thread(node.engine.status)


async def status_view(node: Node) -> StatusView:
    """Return everything at a glance."""
    seen = await engine_status(node)
    memory = memory_of(seen)
    return StatusView(
        node=node_view(node),
        memory=MemoryView(held_bytes=memory.held_bytes, limit_bytes=memory.limit_bytes),
        peers=peer_views(node, seen),
        pools=[pool_view(node, pool) for pool in node.state.pools()],
        vdisks=[vdisk_view(node, vdisk, seen) for vdisk in node.state.vdisks()],
        mirrors=[mirror_view(node, mirror, seen) for mirror in node.state.mirrors()],
        events=[event_view(event) for event in node.state.events(limit=STATUS_EVENTS)],
    )


def _facts(facts: CopyFacts) -> FactsView:
    return FactsView(
        current=f"{facts.current:016x}",
        base=f"{facts.base:016x}",
        epoch=facts.epoch,
        inconsistent=facts.inconsistent,
        active_extents=facts.active,
        dirty_chunks=facts.dirty,
    )
