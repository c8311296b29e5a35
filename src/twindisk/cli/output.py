"""How ``twindisk`` shows things: tables and sentences for people, JSON for programs."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
from pydantic import BaseModel, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twindisk.cli.connect import FAILED, as_ours, connect
from twindisk.client import NodeClient
from twindisk.errors import TwindiskError
from twindisk.sentences import tell

M = TypeVar("M", bound=BaseModel)
P = ParamSpec("P")
Column = tuple[str, Callable[[M], object]]
"""A column's title and what it shows of a row."""


@dataclass(frozen=True, slots=True)
class Shell:
    """What a command works with: the node's client and its way of showing."""

    client: NodeClient
    json: bool
    console: Console

    def table(self, rows: Sequence[M], columns: Sequence[Column[M]], *, empty: str) -> None:
        """Show rows; ``empty`` is said when there are none."""
        if self.json:
            self._json([row.model_dump(mode="json") for row in rows])
        elif not rows:
            self.console.print(empty)
        else:
            self.console.print(build_table(rows, columns))

    def record(self, row: M, columns: Sequence[Column[M]]) -> None:
        """Show one thing, a line for each of its properties."""
        if self.json:
            self._json(row.model_dump(mode="json"))
            return
        table = Table(box=None, show_header=False, pad_edge=False)
        for title, show in columns:
            table.add_row(f"[bold]{title}[/bold]", _cell(show(row)))
        self.console.print(table)

    def done(self, sentence: str, row: BaseModel | None = None) -> None:
        """Say what was done; as JSON, the thing it was done to."""
        if self.json:
            self._json({} if row is None else row.model_dump(mode="json"))
        else:
            self.console.print(sentence)

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask before something is destroyed; ``yes``: it was said already. Programs (``--json``) have to say it."""
        if yes:
            return
        if self.json:
            raise click.UsageError("with --json, say --yes: nothing is asked")
        click.confirm(question, abort=True)

    def _json(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


def build_table(rows: Sequence[M], columns: Sequence[Column[M]]) -> Table:
    """Return a table of rows."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title, _ in columns[:-1]:
        table.add_column(title, no_wrap=True)
    table.add_column(columns[-1][0], overflow="fold")  # a long last column must not cut the others short
    for row in rows:
        table.add_row(*(_cell(show(row)) for _, show in columns))
    return table


def command(body: Callable[Concatenate[Shell, P], None]) -> Callable[..., None]:
    """Make a function of a Shell a command with ``--json``; errors become a message and exit status 1."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @functools.wraps(body)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> None:
        as_json = as_json or bool(click.get_current_context().obj)
        try:
            with connect() as client:
                body(Shell(client, as_json, Console(highlight=False)), *args, **kwargs)
        except (TwindiskError, ValidationError) as error:
            fail(as_ours(error), as_json=as_json)

    return run


def fail(error: TwindiskError, *, as_json: bool) -> None:
    """Say what went wrong and end with status 1."""
    told = tell(error)
    if as_json:
        document = {**told.fields, "problem": told.problem, "title": told.title, "detail": told.detail}
        sys.stderr.write(json.dumps(document, indent=2) + "\n")
    else:
        sys.stderr.write(f"twindisk: {told.detail}\n")
    sys.exit(FAILED)


def _cell(value: object) -> str:
    if value is None or value == "":
        return "-"
    # Escaped: an address such as [fd00::1]:162 is no markup.
    return "yes" if value is True else "no" if value is False else escape(str(value))
