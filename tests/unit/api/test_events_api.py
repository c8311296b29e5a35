"""Events in pages: nothing twice, nothing left out, whatever happens meanwhile."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from fakes.nodes import cluster
from twindisk.node.context import Node
from twindisk.node.state import EVENTS_KEPT

Page = dict[str, object]


@dataclass
class Events:
    """A node's events over its API."""

    node: Node
    http: httpx.AsyncClient

    def happen(self, *numbers: int) -> None:
        for number in numbers:
            self.node.state.add_event(
                at_ms=number, severity="warning", kind="k", text=str(number), fields={"vdisk": f"M{number % 2}"}
            )

    async def get(self, status: int = 200, **params: int | str) -> Page:
        response = await self.http.get("/v1/events", params=params)
        assert response.status_code == status, response.text
        page: Page = response.json()
        return page


def numbers(page: Page) -> list[int]:
    events = page["events"]
    assert isinstance(events, list)
    return [int(event["text"]) for event in events]


@pytest.fixture
async def events(tmp_path: Path) -> AsyncIterator[Events]:
    async with cluster(tmp_path) as nodes:
        node = await nodes.start("vm10")
        transport = httpx.AsyncHTTPTransport(uds=str(node.config.socket_path))
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as http:
            yield Events(node, http)


async def test_the_newest_come_first_and_older_ones_page_by_page(events: Events) -> None:
    events.happen(*range(1, 26))
    page = await events.get(limit=10)
    pages = [numbers(page)]
    while page["older"] is not None:
        events.happen(99)  # what happens meanwhile moves no page
        page = await events.get(limit=10, before=str(page["older"]))
        pages.append(numbers(page))
    assert pages == [list(range(16, 26)), list(range(6, 16)), list(range(1, 6))]


async def test_following_leaves_nothing_out_however_much_happens_at_once(events: Events) -> None:
    page = await events.get()
    assert (page["events"], page["older"], page["newer"]) == ([], None, 0)
    events.happen(*range(1, 26))
    seen: list[int] = []
    while len(seen) < 25:
        page = await events.get(after=str(page["newer"]), limit=10)
        seen += numbers(page)
    assert seen == list(range(1, 26))
    assert page["older"] is not None
    assert numbers(await events.get(before=str(page["older"]), limit=3)) == [18, 19, 20]
    after = str(page["newer"])
    assert numbers(await events.get(after=after)) == []
    events.happen(26)
    assert numbers(await events.get(after=after)) == [26]


async def test_they_can_be_those_of_one_vdisk_and_of_late(events: Events) -> None:
    events.happen(*range(1, 11))
    page = await events.get(vdisk="M1", since_ms=4, limit=2)
    assert numbers(page) == [7, 9]
    page = await events.get(vdisk="M1", since_ms=4, limit=2, before=str(page["older"]))
    assert (numbers(page), page["older"]) == ([5], None)
    assert numbers(await events.get(vdisk="M0", after=4, limit=2)) == [6, 8]
    assert numbers(await events.get(vdisk="M'1\" OR 1=1")) == []


async def test_only_so_many_are_kept(events: Events) -> None:
    with events.node.state.transaction():
        events.happen(*range(1, EVENTS_KEPT + 6))
    assert numbers(await events.get(after=0, limit=1)) == [6]
    assert (await events.get(before=6))["events"] == []


@pytest.mark.promise("P9")
@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "many"},
        {"after": -1},
        {"before": 1 << 63},
        {"since_ms": "yesterday"},
        {"after": 1, "before": 5},
    ],
)
async def test_a_page_that_cannot_be_is_a_problem(events: Events, params: dict[str, int | str]) -> None:
    assert (await events.get(422, **params))["type"] == "urn:twindisk:problem:invalid-request"


async def test_traps_without_destination(events: Events) -> None:
    assert (await events.http.get("/v1/traps")).json()["destinations"] == []
    response = await events.http.post("/v1/traps/test")
    assert (response.status_code, response.json()["type"]) == (409, "urn:twindisk:problem:no-trap-destination")
