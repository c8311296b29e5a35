"""What operators were told, in pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Query

from twindisk.api import views
from twindisk.api.routes.dependencies import RunningNode
from twindisk.api.schemas import EventPage
from twindisk.errors import InvalidError, InvalidProblem
from twindisk.node.context import Node
from twindisk.node.records import EventsWanted

LIMIT_MAX = 1000
_ID_MAX = (1 << 63) - 1

router = APIRouter(prefix="/events", tags=["event"])

EventId = Annotated[int, Query(ge=0, le=_ID_MAX)]


@router.get("")
async def get_events(
    node: RunningNode,
    after: EventId | None = None,
    before: EventId | None = None,
    since_ms: EventId = 0,
    vdisk: str | None = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = 100,
) -> EventPage:
    """Return events, oldest first: the first ones after ``after``, or the last ones before ``before`` (default: of all)."""
    if after is not None and before is not None:
        raise InvalidError(InvalidProblem.REQUEST, detail="give after or before, not both")
    return _page(node, EventsWanted(after=after, before=before, since_ms=since_ms, vdisk=vdisk), limit)


def _page(node: Node, wanted: EventsWanted, limit: int) -> EventPage:
    found = node.state.events(wanted, limit=limit + 1)
    more = len(found) > limit
    if wanted.after is not None:
        events = found[:limit]
        newer = events[-1].id if more else max(node.state.newest_event_id(), wanted.after)
        first = events[0].id if events else newer + 1
        earlier = node.state.events(replace(wanted, after=None, before=first), limit=1)
        older = first if earlier else None
    else:
        events = found[-limit:]
        older = events[0].id if more else None
        newer = node.state.newest_event_id() if wanted.before is None else max(wanted.before - 1, 0)
    return EventPage(events=[views.event_view(event) for event in events], older=older, newer=newer)
