"""``twindisk check``."""

from __future__ import annotations

from typing import Literal

import click

from twindisk.api.schemas import CheckNew
from twindisk.cli import columns
from twindisk.cli.output import Shell, command

_KINDS = click.Choice(["fence", "manual", "ignore"])


@click.group()
def check() -> None:
    """Mirror checks: what this node does before it goes on without a peer."""


@check.command("list")
@command
def list_(shell: Shell) -> None:
    """Show all mirror checks in the order in which they are tried."""
    shell.table(
        shell.client.checks(),
        columns.CHECKS,
        empty="No mirror checks: when a peer is lost, its VDisks stop. Add one with: twindisk check add PEER TYPE",
    )


@check.command("add")
@click.argument("peer")
@click.argument("type_", metavar="TYPE", type=_KINDS)
@click.option("--command", "value", default="", help="The fence command, one shell line.")
@command
def add(shell: Shell, peer: str, type_: Literal["fence", "manual", "ignore"], value: str) -> None:
    """Add a check of TYPE (fence, manual, ignore) for the node whose mirror address is PEER."""
    added = shell.client.add_check(CheckNew(peer=peer, type=type_, value=value))
    shell.done(f"Mirror check {type_} for {added.peer} added.", added)


@check.command("remove")
@click.argument("peer")
@click.option("--type", "type_", type=_KINDS, help="Only checks of this type.")
@click.option("--command", "value", help="Only this fence command.")
@command
def remove(shell: Shell, peer: str, type_: str | None, value: str | None) -> None:
    """Remove the checks for PEER."""
    removed = shell.client.remove_checks(peer=peer, type_=type_, value=value)
    shell.table(removed, columns.CHECKS, empty="")
