"""The node itself, its status and its events."""

from __future__ import annotations

from fastapi import APIRouter

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import EventView, NodeView, StatusView

router = APIRouter(tags=["node"])


@router.get("/node")
async def get_node(node: RunningNode) -> NodeView:
    """Return this node."""
    return views.node_view(node)


@router.get("/status")
async def get_status(node: RunningNode) -> StatusView:
    """Return everything at a glance."""
    return await views.status_view(node)


@router.get("/events")
async def get_events(node: RunningNode, after: int = 0, limit: int = 100) -> list[EventView]:
    """Return the newest events with an id above ``after``, oldest first."""
    return [views.event_view(event) for event in node.state.events(after=after, limit=min(max(limit, 1), 1000))]
