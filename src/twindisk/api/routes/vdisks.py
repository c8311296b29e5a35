"""VDisks."""

from __future__ import annotations

from fastapi import APIRouter, status

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import VDiskChange, VDiskNew, VDiskView
from twindisk.errors import RefusedError, RefusedProblem
from twindisk.node import access, vdisks
from twindisk.node.context import Node
from twindisk.node.records import VDisk

router = APIRouter(prefix="/vdisks", tags=["vdisk"])


async def _view(node: Node, vdisk: VDisk) -> VDiskView:
    return views.vdisk_view(node, vdisk, await views.engine_status(node))


@router.get("")
async def list_vdisks(node: RunningNode) -> list[VDiskView]:
    """Return all VDisks."""
    engine_status = await views.engine_status(node)
    return [views.vdisk_view(node, vdisk, engine_status) for vdisk in node.state.vdisks()]


@router.post("", status_code=status.HTTP_201_CREATED)
async def create_vdisk(node: RunningNode, new: VDiskNew) -> VDiskView:
    """Create a VDisk and serve it."""
    async with node.change():
        wanted = vdisks.NewVDisk(
            new.name,
            new.size,
            pool=new.pool,
            serial=new.serial,
            iqn=new.iqn,
            access=new.access,
            block_bytes=new.block_bytes,
        )
        return await _view(node, await vdisks.create(node, wanted))


@router.get("/{name}")
async def get_vdisk(node: RunningNode, name: str) -> VDiskView:
    """Return a VDisk."""
    return await _view(node, vdisks.find(node, name))


@router.patch("/{name}")
async def change_vdisk(node: RunningNode, name: str, change: VDiskChange) -> VDiskView:
    """Let a VDisk grow, change its access mode. Its serial number is fixed: initiators know the disk by it."""
    async with node.change():
        vdisk = vdisks.find(node, name)
        if change.serial is not None and change.serial.lower() != vdisk.serial:
            raise RefusedError(RefusedProblem.SERIAL_FIXED, vdisk=name, node=node.config.node_name)
        if change.size is not None:
            vdisk = await vdisks.grow(node, name, change.size)
        if change.access is not None:
            vdisk = await access.change(node, name, change.access)
        return await _view(node, vdisk)


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_vdisk(node: RunningNode, name: str, *, force: bool = False) -> None:
    """Remove a VDisk and its data."""
    async with node.change():
        await vdisks.remove(node, name, force=force)


@router.post("/{name}/release")
async def release_vdisk(node: RunningNode, name: str) -> VDiskView:
    """Serve a withheld VDisk again."""
    async with node.change():
        return await _view(node, await vdisks.release(node, name))
