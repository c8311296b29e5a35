"""Mirrors, from the side of the peer that is asked: make a blank copy, end a mirror, switch.

Rules:

* The blank copy is opened as a restart would open it: mirrored, holding nothing, so that it can only become a target.
* A VDisk that is here already is given up for it only when it is the same VDisk (serial, size, block size, IQN, pool), is mirrored
  with nobody else, does not serve alone, and has no initiator.
* Only the peer that a VDisk is mirrored with may ask anything about it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from twindisk.api.peer_schemas import AccessChange, MirrorEnd, MirrorOffer, PeerVDisk
from twindisk.brain.effects import Refusal, Severity
from twindisk.brain.model import Role
from twindisk.brain.phases import APART, ATTACHED
from twindisk.errors import (
    ConflictError,
    ConflictProblem,
    EngineError,
    NotFoundError,
    NotFoundProblem,
    RefusedError,
    RefusedProblem,
)
from twindisk.node import access, copies, links, mirrors, pools, setting_aside, vdisks
from twindisk.node.admission import check_apart, shares_secret
from twindisk.node.context import Node
from twindisk.node.engine_status import sessions_of
from twindisk.node.names import check_iqn, check_name, check_serial
from twindisk.node.records import Admission, Mirror, VDisk


async def accept(node: Node, sender: str, offer: MirrorOffer) -> None:
    """Make the blank copy that a peer asks for.

    Raises NotFoundError(POOL), ConflictError(PEER_VDISK_DIFFERS, PEER_VDISK_MIRRORED, ...), RefusedError, EngineError,
    InvalidError(CHAP_REUSED, ...).
    """
    links.own_address(node)
    check_name(offer.remote, "VDisk")
    serial, iqn = check_serial(offer.serial), check_iqn(offer.iqn)
    size_bytes = vdisks.check_size(offer.size_bytes, vdisks.check_block(offer.block_bytes))
    admission = access.unsealed(node, serial, offer.admission)
    check_apart(Admission(), admission, access.others(node, offer.remote))
    pool = pools.find(node, offer.remote_pool).name
    present = node.state.vdisk(offer.remote)
    if present is None:
        vdisks.check_free(node, offer.remote, serial, iqn)
    else:
        _check_same(node, present, offer)
        await _check_expendable(node, present, sender)
    fresh = vdisks.place(
        node,
        name=offer.remote,
        pool=pool,
        serial=serial,
        iqn=iqn,
        size_bytes=size_bytes,
        group_tag=offer.group_tag,
    )
    fresh = replace(fresh, access=offer.access, admission=admission, block_bytes=offer.block_bytes)
    await links.ensure(node, sender)
    try:
        if present is not None:
            await _give_up(node, present)
        await copies.make(node, fresh, blank=True)
        with node.state.transaction():
            node.state.add_vdisk(fresh)
            node.state.add_mirror(Mirror(fresh.name, sender, offer.vdisk, offer.pool))
        await vdisks.open_new(node, fresh, peer=sender)
    except EngineError:
        await links.drop_unused(node)
        raise
    node.log.info("mirror accepted", vdisk=fresh.name, peer=sender, remote=offer.vdisk)


async def end(node: Node, sender: str, name: str, end_: MirrorEnd) -> None:
    """End the mirror of a VDisk because the peer's operator did."""
    vdisk = mirrored_with(node, sender, name, end_.serial)
    known = node.brain_vdisk(name)
    blank = known is not None and known.facts.blank
    await mirrors.detach(node, vdisk, by_peer=True)
    await links.drop_unused(node)
    if end_.discard and blank:
        node.log.warning("mirror taken back by the peer", vdisk=name, peer=sender)
        await vdisks.close_copy(node, vdisk)
        node.state.remove_vdisk(name)
        await copies.delete(node, vdisk)
    else:
        text = f"VDisk {name} mirror ended by peer {sender}. This copy is kept and not served"
        node.notices.tell(Severity.WARNING, "mirror-ended", text, {"vdisk": name, "peer": sender})


def stands(node: Node, sender: str, name: str) -> PeerVDisk:
    """Tell the peer how our copy stands."""
    vdisk, known = mirrored_with(node, sender, name, None), node.brain_vdisk(name)
    return PeerVDisk(
        phase="failed" if known is None else known.phase.value,
        role=Role.UNKNOWN.value if known is None else known.role.value,
        access=vdisk.access,
        admission=access.sealed(node, vdisk),
    )


async def take_access(node: Node, sender: str, name: str, change: AccessChange) -> None:
    """Take access mode and admission, because the peer's operator wants them or the peer is Master.

    Raises RefusedError(ACCESS_CHANGE), InvalidError.
    """
    vdisk = mirrored_with(node, sender, name, None)
    if await access.settled_phase(node, name) not in ATTACHED:
        raise access.refusal(node, vdisk, sender)
    rules = access.unsealed(node, vdisk.serial, change.admission)
    if shares_secret(rules, access.others(node, name)):
        # Refusing it would leave the nodes with different rules; the peer has no way to know.
        node.log.warning("a target has the CHAP secret of a user of another VDisk or of discovery", vdisk=name)
    await access.store(node, vdisk, replace(vdisk, access=change.access, admission=rules))


async def switch(node: Node, sender: str, name: str) -> Refusal | None:
    """Become Slave because the peer's operator wants the Master there."""
    mirrored_with(node, sender, name, None)
    return await mirrors.ask_brain(node, name, Role.SLAVE, force=False)


def mirrored_with(node: Node, sender: str, name: str, serial: str | None) -> VDisk:
    """Return a VDisk that is mirrored with the sender. Raises NotFoundError(VDISK, PEER_MIRROR)."""
    vdisk, mirror = node.state.vdisk(name), node.state.mirror(name)
    if vdisk is None:
        raise NotFoundError(NotFoundProblem.VDISK, name=name, node=node.config.node_name)
    if mirror is None or mirror.peer != sender or serial not in (None, vdisk.serial):
        raise NotFoundError(NotFoundProblem.PEER_MIRROR, name=name, peer=sender, node=node.config.node_name)
    return vdisk


def _check_same(node: Node, present: VDisk, offer: MirrorOffer) -> None:
    for what, ours, theirs in (
        ("serial number", present.serial, offer.serial),
        ("size", str(present.size_bytes), str(offer.size_bytes)),
        ("block size", str(present.block_bytes), str(offer.block_bytes)),
        ("pool", present.pool, offer.remote_pool),
        ("iSCSI name", present.iqn, offer.iqn),
    ):
        if ours != theirs:
            raise ConflictError(
                ConflictProblem.PEER_VDISK_DIFFERS,
                vdisk=present.name,
                what=what,
                ours=ours,
                theirs=theirs,
                node=node.config.node_name,
            )


async def _check_expendable(node: Node, present: VDisk, sender: str) -> None:
    setting_aside.check_settled(node, present.name)
    mirror, known = node.state.mirror(present.name), node.brain_vdisk(present.name)
    serves_alone = known is not None and known.phase in APART
    if mirror is not None and (mirror.peer != sender or serves_alone):
        raise ConflictError(
            ConflictProblem.PEER_VDISK_MIRRORED, vdisk=present.name, peer=mirror.peer, node=node.config.node_name
        )
    sessions = sessions_of(await asyncio.to_thread(node.engine.status), present.name)
    if sessions and mirror is None and not present.withheld:
        raise RefusedError(
            RefusedProblem.VDISK_IN_USE,
            vdisk=present.name,
            sessions=len(sessions),
            initiator=sessions[0].initiator,
            node=node.config.node_name,
        )


async def _give_up(node: Node, present: VDisk) -> None:
    await vdisks.close_copy(node, present)
    with node.state.transaction():
        node.state.remove_mirror(present.name)
        node.state.remove_vdisk(present.name)
        setting_aside.forget(node.state, present.name)
    await copies.delete(node, present)
