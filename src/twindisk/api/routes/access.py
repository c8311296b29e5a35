"""Who is let in: initiators' names and CHAP for each VDisk, CHAP for discovery. No answer holds a secret."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import ChapTargetNew, ChapUserNew, DiscoveryView, InitiatorsChange, VDiskView
from twindisk.node import access, admission, discovery
from twindisk.node.context import Node
from twindisk.node.records import Admission

router = APIRouter(tags=["access"])

Edit = Callable[[Admission], Admission]


async def _change(node: Node, name: str, edit: Edit) -> VDiskView:
    async with node.change():
        vdisk = await access.change_admission(node, name, edit)
        return views.vdisk_view(node, vdisk, await views.engine_status(node))


async def _change_discovery(node: Node, edit: Edit) -> DiscoveryView:
    async with node.change():
        return views.discovery_view(await discovery.change(node, edit))


@router.patch("/vdisks/{name}/initiators")
async def change_initiators(node: RunningNode, name: str, change: InitiatorsChange) -> VDiskView:
    """Let initiators in or no longer in, all in one step, on both nodes."""
    allow, deny, everyone = change.allow, change.deny, change.everyone
    return await _change(
        node, name, lambda rules: admission.change_initiators(rules, allow=allow, deny=deny, everyone=everyone)
    )


@router.put("/vdisks/{name}/chap/users/{user}")
async def set_user(node: RunningNode, name: str, user: str, new: ChapUserNew) -> VDiskView:
    """Add a CHAP user to a VDisk, or give one a new secret."""
    return await _change(node, name, lambda rules: admission.with_user(rules, user, new.secret))


@router.delete("/vdisks/{name}/chap/users/{user}")
async def remove_user(node: RunningNode, name: str, user: str, *, everyone: bool = False) -> VDiskView:
    """Remove a CHAP user of a VDisk."""
    return await _change(node, name, lambda rules: admission.without_user(rules, user, everyone=everyone))


@router.put("/vdisks/{name}/chap/target")
async def set_target(node: RunningNode, name: str, new: ChapTargetNew) -> VDiskView:
    """Let a VDisk's target prove itself to initiators that ask (mutual CHAP)."""
    return await _change(node, name, lambda rules: admission.with_own(rules, new.name, new.secret))


@router.delete("/vdisks/{name}/chap/target")
async def remove_target(node: RunningNode, name: str) -> VDiskView:
    """Let a VDisk's target prove itself no longer."""
    return await _change(node, name, admission.without_own)


@router.get("/discovery")
async def get_discovery(node: RunningNode) -> DiscoveryView:
    """Return who may hold discovery sessions with this node."""
    return views.discovery_view(discovery.admission(node))


@router.put("/discovery/chap/users/{user}")
async def set_discovery_user(node: RunningNode, user: str, new: ChapUserNew) -> DiscoveryView:
    """Add a CHAP user for discovery, or give one a new secret."""
    return await _change_discovery(node, lambda rules: admission.with_user(rules, user, new.secret))


@router.delete("/discovery/chap/users/{user}")
async def remove_discovery_user(node: RunningNode, user: str, *, everyone: bool = False) -> DiscoveryView:
    """Remove a CHAP user for discovery."""
    return await _change_discovery(node, lambda rules: admission.without_user(rules, user, everyone=everyone))


@router.put("/discovery/chap/target")
async def set_discovery_target(node: RunningNode, new: ChapTargetNew) -> DiscoveryView:
    """Let this node prove itself in discovery sessions."""
    return await _change_discovery(node, lambda rules: admission.with_own(rules, new.name, new.secret))


@router.delete("/discovery/chap/target")
async def remove_discovery_target(node: RunningNode) -> DiscoveryView:
    """Let this node prove itself no longer in discovery sessions."""
    return await _change_discovery(node, admission.without_own)
