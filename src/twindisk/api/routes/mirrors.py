"""Mirrors."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, status

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import DiffView, MirrorNew, MirrorView, ResolvedView, ResolveNew, RoleChange, VerifyNew
from twindisk.brain.model import Role
from twindisk.node import differing, mirrors, resolving, verifying
from twindisk.node.context import Node
from twindisk.node.records import Mirror
from twindisk.node.vdisks import SIZE_MAX_BYTES

router = APIRouter(prefix="/mirrors", tags=["mirror"])


async def _view(node: Node, mirror: Mirror) -> MirrorView:
    return views.mirror_view(node, mirror, await views.engine_status(node))


@router.get("")
async def list_mirrors(node: RunningNode) -> list[MirrorView]:
    """Return all mirrors."""
    engine_status = await views.engine_status(node)
    return [views.mirror_view(node, mirror, engine_status) for mirror in node.state.mirrors()]


@router.post("", status_code=status.HTTP_201_CREATED)
async def add_mirror(node: RunningNode, new: MirrorNew) -> MirrorView:
    """Mirror a VDisk with a peer; the copy runs in the background."""
    async with node.change():
        wanted = mirrors.NewMirror(new.vdisk, new.peer, new.remote or new.vdisk, new.pool)
        return await _view(node, await mirrors.add(node, wanted))


@router.get("/{vdisk}")
async def get_mirror(node: RunningNode, vdisk: str) -> MirrorView:
    """Return a VDisk's mirror."""
    return await _view(node, mirrors.find(node, vdisk))


@router.delete("/{vdisk}", status_code=status.HTTP_204_NO_CONTENT)
async def end_mirror(node: RunningNode, vdisk: str, *, force: bool = False) -> None:
    """End a VDisk's mirror: this node goes on, the peer keeps its copy, withheld."""
    async with node.change():
        await mirrors.remove(node, vdisk, force=force)


@router.post("/{vdisk}/verify", status_code=status.HTTP_202_ACCEPTED)
async def verify_mirror(node: RunningNode, vdisk: str, new: VerifyNew) -> MirrorView:
    """Begin to compare both copies, on the Master's node; it goes on in the background."""
    await verifying.begin(node, vdisk, new.repair)
    return await _view(node, mirrors.find(node, vdisk))


@router.delete("/{vdisk}/verify", status_code=status.HTTP_204_NO_CONTENT)
async def cancel_verify(node: RunningNode, vdisk: str) -> None:
    """End a verification before its time."""
    await verifying.cancel(node, vdisk)


@router.get("/{vdisk}/diff")
async def diff_mirror(
    node: RunningNode, vdisk: str, from_bytes: Annotated[int, Query(ge=0, le=SIZE_MAX_BYTES)] = 0
) -> DiffView:
    """Return a part of where the copies differ that parted, from a byte on; the next part begins at its `next_bytes`."""
    return views.diff_view(mirrors.find(node, vdisk), await differing.part(node, vdisk, from_bytes))


@router.post("/{vdisk}/resolve")
async def resolve_mirror(node: RunningNode, vdisk: str, new: ResolveNew) -> ResolvedView:
    """Resolve a split brain: one copy goes on, the other is kept as a VDisk of its own and made anew. May be repeated."""
    resolved = await resolving.resolve(node, vdisk, new.survivor)
    return ResolvedView(vdisk=vdisk, node=resolved.node, lost=resolved.lost)


@router.post("/{vdisk}/role")
async def change_role(node: RunningNode, vdisk: str, change: RoleChange) -> MirrorView:
    """Switch roles."""
    await mirrors.set_role(node, vdisk, Role(change.role), force=change.force)
    return await _view(node, mirrors.find(node, vdisk))
