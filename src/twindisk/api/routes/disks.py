"""Disks of pools, and devices that could become one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from fastapi import APIRouter, status

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import DiskNew, DiskView
from twindisk.node import disks, pools

router = APIRouter(prefix="/disks", tags=["disk"])


@router.get("")
async def list_disks(
    node: RunningNode, show: Literal["all", "configured", "unconfigured"] = "configured"
) -> list[DiskView]:
    """Return the disks of pools, the devices of no pool, or both."""
    ours = [] if show == "unconfigured" else [await views.disk_view(disk) for disk in node.state.disks()]
    return ours + ([] if show == "configured" else views.device_views(node))


@router.post("", status_code=status.HTTP_201_CREATED)
async def add_disk(node: RunningNode, new: DiskNew) -> DiskView:
    """Give a directory or a block device to a pool."""
    async with node.change():
        pool = pools.default(node, new.pool, make=True)
        return await views.disk_view(await disks.add(node, Path(new.path), pool, confirmed=new.format))


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def remove_disk(node: RunningNode, name: str) -> None:
    """Take a disk (by id, path or device) out of its pool."""
    async with node.change():
        await disks.remove(node, name)
