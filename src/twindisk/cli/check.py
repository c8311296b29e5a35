"""``twindisk check``."""

from __future__ import annotations

import sys
from typing import Literal

import click

from twindisk.api.schemas import CheckNew, CheckTrialNew, CheckTrialView
from twindisk.cli import columns
from twindisk.cli.connect import FAILED
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


@check.command("test")
@click.argument("peer", required=False)
@click.option("--status", "ask", is_flag=True, help="Ask the agents for the peer's power state; nothing is switched.")
@click.option("--run", "fence", is_flag=True, help="Fence PEER for real: it is switched off.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def test(shell: Shell, peer: str | None, ask: bool, fence: bool, yes: bool) -> None:  # noqa: FBT001 - click passes them by name
    """Try the fence commands of PEER (of all peers) on this node; without an option, only show them.

    The daemon runs them as it would when the peer is lost. The exit status is 0 if every command that was run did its work
    (with --run: if one did).
    """
    if ask and fence:
        raise click.UsageError("--status and --run exclude each other")
    if not ask and not fence:
        commands = [row for row in shell.client.checks() if row.type == "fence" and peer in (None, row.peer)]
        shell.table(commands, columns.FENCE_COMMANDS, empty=f"No fence commands for {peer or 'any peer'}.")
        return
    if fence:
        if peer is None:
            raise click.UsageError("--run needs PEER, the mirror address of the node that is to be switched off")
        shell.confirm(f"Switch off the node at {peer}? Its VDisks go on here alone.", yes=yes)
    tried = shell.client.try_fence_commands(CheckTrialNew(action="fence" if fence else "status", peer=peer))
    shell.table(tried, columns.TRIALS, empty="")
    if not shell.json:
        _explain(shell, tried)
    good = [row.outcome in ("on", "off", "fenced") for row in tried if row.outcome != "not asked"]
    if not (any(good) if fence else all(good)):
        sys.exit(FAILED)


def _explain(shell: Shell, tried: list[CheckTrialView]) -> None:
    """Say more about what did not go well."""
    for row in tried:
        if row.outcome == "failed" and row.output:
            shell.console.print(f"\n{row.command}\n{row.output}", markup=False)
        elif row.outcome == "wrong":
            told = f"calls {row.peer} off although it is connected: it asks about another machine, or the wrong outlet."
            shell.console.print(f"\n{row.command}\n{told}", markup=False)
        elif row.outcome == "not asked":
            told = "was not run: only a single fence agent with '-o off' can be asked for the power state."
            shell.console.print(f"\n{row.command}\n{told}", markup=False)


@check.command("remove")
@click.argument("peer")
@click.option("--type", "type_", type=_KINDS, help="Only checks of this type.")
@click.option("--command", "value", help="Only this fence command.")
@command
def remove(shell: Shell, peer: str, type_: str | None, value: str | None) -> None:
    """Remove the checks for PEER."""
    removed = shell.client.remove_checks(peer=peer, type_=type_, value=value)
    shell.table(removed, columns.CHECKS, empty="")
