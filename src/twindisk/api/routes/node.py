"""The node itself and its status."""

from __future__ import annotations

from fastapi import APIRouter

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import NodeView, ReloadView, StatusView
from twindisk.node.reload import reload

router = APIRouter(tags=["node"])


@router.get("/node")
async def get_node(node: RunningNode) -> NodeView:
    """Return this node."""
    return views.node_view(node)


@router.post("/node/reload")
async def reload_node(node: RunningNode) -> ReloadView:
    """Read the configuration files anew."""
    async with node.change():
        reloaded = await reload(node)
    return ReloadView(changed=list(reloaded.changed), needs_restart=list(reloaded.needs_restart))


@router.get("/status")
async def get_status(node: RunningNode) -> StatusView:
    """Return everything at a glance."""
    return await views.status_view(node)
