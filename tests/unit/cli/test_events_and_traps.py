"""``twindisk events`` and ``twindisk trap`` against a fake node; with real ones in tests/integration/test_notifications.py."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from twindisk.api.schemas import EventPage, EventView, TrapView
from twindisk.cli import columns
from twindisk.cli import events as command
from twindisk.cli.output import build_table
from twindisk.client import NodeClient
from twindisk.errors import UnreachableError

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)


def event(number: int) -> EventView:
    return EventView(id=number, at_ms=number, severity="warning", kind="k", text=str(number), fields={})


class FakeClient(NodeClient):
    """A node with events; ``gone``: how often it does not answer. It interrupts who follows it at the end."""

    def __init__(self, count: int, *, gone: int = 0) -> None:
        super().__init__(Path("/nowhere"))
        self.kept = [event(number) for number in range(1, count + 1)]
        self.gone = gone
        self.asked: list[int] = []

    def events(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        since_ms: int = 0,
        vdisk: str | None = None,
        limit: int = 100,
    ) -> EventPage:
        assert 0 < limit <= 1000
        self.asked.append(limit)
        if after is not None and self.gone:
            self.gone -= 1
            raise UnreachableError("/nowhere")
        if after is not None:
            if after == len(self.kept):
                raise KeyboardInterrupt
            found = self.kept[after : after + limit]
            return EventPage(events=found, older=None, newer=found[-1].id)
        older = [kept for kept in self.kept if before is None or kept.id < before]
        found = older[-limit:]
        return EventPage(events=found, older=found[0].id if len(older) > limit else None, newer=len(self.kept))


@pytest.mark.parametrize(
    ("text", "unix_ms"),
    [
        ("90s", NOW_MS - 90_000),
        ("10m", NOW_MS - 600_000),
        ("2h", NOW_MS - 7_200_000),
        ("3d", NOW_MS - 3 * 86_400_000),
        ("2026-11-22", NOW_MS - 18 * 3_600_000),
        ("2026-11-22T18:00", NOW_MS),
        ("2026-11-22T20:00:00+02:00", NOW_MS),
        ("1960-01-01", 0),
    ],
)
def test_times_as_people_write_them(text: str, unix_ms: int) -> None:
    assert command.unix_ms(text, NOW) == unix_ms


@pytest.mark.parametrize("text", ["", "soon", "10", "-5m", "5 m", "999999999d", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises((ValueError, OverflowError)):
        command.unix_ms(text, NOW)


@pytest.mark.parametrize(("wanted", "shown"), [(3, 3), (1000, 1000), (2500, 2500), (9999, 3456), (None, 3456)])
def test_as_many_of_the_newest_as_are_wanted_in_their_order(wanted: int | None, shown: int) -> None:
    found, newer = command.newest(FakeClient(3456), wanted, 0, None)
    assert [one.id for one in found] == list(range(3456 - shown + 1, 3457))
    assert newer == 3456


def test_following_goes_on_when_the_node_was_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_POLL_S", 0)
    seen: list[int] = []
    with pytest.raises(SystemExit) as end:
        command._follow(FakeClient(2500, gone=3), 10, None, lambda one: seen.append(one.id))
    assert end.value.code == 130
    assert seen == list(range(11, 2501))
    assert capsys.readouterr().err.count("Waiting for it") == 1


def test_an_ipv6_destination_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    trap = TrapView(destination="[fd00::1]:162", sent=1, dropped=0, problem=None)
    Console(width=100).print(build_table([trap], columns.TRAPS))
    assert "[fd00::1]:162" in capsys.readouterr().out
