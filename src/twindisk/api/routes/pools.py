"""Pools."""

from __future__ import annotations

from fastapi import APIRouter, status

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import PoolNew, PoolView
from twindisk.node import pools

router = APIRouter(prefix="/pools", tags=["pool"])


@router.get("")
async def list_pools(node: RunningNode) -> list[PoolView]:
    """Return all pools."""
    return [views.pool_view(node, pool) for pool in node.state.pools()]


@router.post("", status_code=status.HTTP_201_CREATED)
async def add_pool(node: RunningNode, new: PoolNew) -> PoolView:
    """Add a pool."""
    async with node.change():
        return views.pool_view(node, pools.add(node, new.name))


@router.get("/{name}")
async def get_pool(node: RunningNode, name: str) -> PoolView:
    """Return a pool."""
    return views.pool_view(node, pools.find(node, name))


@router.delete("/{name}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_pool(node: RunningNode, name: str) -> None:
    """Remove a pool without disks."""
    async with node.change():
        pools.remove(node, name)
