"""``twindisk events``."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import click

from twindisk.api.schemas import EventView
from twindisk.cli import columns
from twindisk.cli.output import Shell, command
from twindisk.client import NodeClient
from twindisk.errors import UnreachableError
from twindisk.sentences import tell

PAGE = 1000
_SHOWN = 50
_POLL_S = 1.0
_AGO = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def unix_ms(text: str, now: datetime) -> int:
    """Return a time as Unix time: ``90s``, ``10m``, ``2h``, ``3d`` ago, or a date with or without a time (UTC).

    Raises ValueError or OverflowError for anything else.
    """
    ago = _AGO.fullmatch(text)
    if ago:
        moment = now - timedelta(**{_UNITS[ago["unit"]]: int(ago["number"])})
    else:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(int(moment.timestamp() * 1000), 0)


def _since(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    try:
        return None if text is None else unix_ms(text, datetime.now(UTC))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no time. Write 10m, 2h, 3d or 2026-11-22T18:00.") from None


@click.command("events")
@click.option(
    "-n", "--number", type=click.IntRange(min=1), help=f"How many of the newest (default {_SHOWN}, with --since all)."
)
@click.option("--since", "since_ms", callback=_since, help="Only from then on: 10m, 2h, 3d ago, or a date, UTC.")
@click.option("--vdisk", help="Only those of this VDisk.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing events as they happen.")
@command
def events(shell: Shell, number: int | None, since_ms: int | None, vdisk: str | None, *, follow: bool) -> None:
    """Show what this node told its operators."""
    wanted = number or (_SHOWN if since_ms is None else None)
    found, newer = newest(shell.client, wanted, since_ms or 0, vdisk)
    if not follow:
        shell.table(found, columns.EVENTS, empty="No events.")
        return
    show = _show_json if shell.json else _show_line
    for event in found:
        show(event)
    _follow(shell.client, newer, vdisk, show)


def newest(client: NodeClient, wanted: int | None, since_ms: int, vdisk: str | None) -> tuple[list[EventView], int]:
    """Return the newest events (None: all), oldest first, and the id after which others will come."""
    page = client.events(since_ms=since_ms, vdisk=vdisk, limit=min(wanted or PAGE, PAGE))
    found, newer = page.events, page.newer
    while page.older is not None and (wanted is None or len(found) < wanted):
        missing = PAGE if wanted is None else min(wanted - len(found), PAGE)
        page = client.events(before=page.older, since_ms=since_ms, vdisk=vdisk, limit=missing)
        found = [*page.events, *found]
    return found, newer


def _follow(client: NodeClient, after: int, vdisk: str | None, show: Callable[[EventView], None]) -> None:
    lost = False
    try:
        while True:
            try:
                page = client.events(after=after, vdisk=vdisk, limit=PAGE)
            except UnreachableError as error:
                if not lost:
                    sys.stderr.write(f"twindisk: {tell(error).detail} Waiting for it.\n")
                lost = True
                time.sleep(_POLL_S)
                continue
            for event in page.events:
                show(event)
            after, lost = page.newer, False
            if len(page.events) < PAGE:
                time.sleep(_POLL_S)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)


def _show_line(event: EventView) -> None:
    print(f"{columns.event_time(event)}  {event.severity:<11}  {event.text}", flush=True)


def _show_json(event: EventView) -> None:
    print(event.model_dump_json(), flush=True)
