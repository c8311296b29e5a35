"""The node itself and its status."""

from __future__ import annotations

from fastapi import APIRouter

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import NodeView, StatusView

router = APIRouter(tags=["node"])


@router.get("/node")
async def get_node(node: RunningNode) -> NodeView:
    """Return this node."""
    return views.node_view(node)


@router.get("/status")
async def get_status(node: RunningNode) -> StatusView:
    """Return everything at a glance."""
    return await views.status_view(node)
