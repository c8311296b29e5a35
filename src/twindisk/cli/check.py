"""``twindisk check``."""

from __future__ import annotations

import sys

import click

from twindisk.api.schemas import CheckNew, CheckTrialNew, CheckTrialView, CheckType
from twindisk.cli import columns
from twindisk.cli.connect import FAILED
from twindisk.cli.output import Shell, command

_KINDS = click.Choice(["fence", "witness", "manual", "ignore"])


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
@click.option("--command", default="", help="The fence command, one shell line.")
@click.option(
    "--witness", default="", help="Where the witness is: etcd://HOST/PREFIX, file:///DIRECTORY or s3://BUCKET/PREFIX."
)
@command
def add(shell: Shell, peer: str, type_: CheckType, command: str, witness: str) -> None:
    """Add a check of TYPE (fence, witness, manual, ignore) for the node whose mirror address is PEER.

    A witness takes the place of the one that PEER has. It is tried at once, and must be the same on both nodes.
    """
    if (command and type_ != "fence") or (witness and type_ != "witness"):
        raise click.UsageError("--command belongs to fence, --witness to witness")
    added = shell.client.add_check(CheckNew(peer=peer, type=type_, value=command or witness))
    shell.done(f"Mirror check {type_} for {added.peer} added.", added)


@check.command("test")
@click.argument("peer", required=False)
@click.option(
    "--status", "ask", is_flag=True, help="Ask fence agents for the power state and try witnesses; nothing is switched."
)
@click.option("--run", "fence", is_flag=True, help="Fence PEER for real: it is switched off.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def test(shell: Shell, peer: str | None, ask: bool, fence: bool, yes: bool) -> None:  # noqa: FBT001 - click passes them by name
    """Try the fence commands and the witness of PEER (of all peers) on this node; without an option, only show them.

    The daemon uses them as it would when the peer is lost. The exit status is 0 if everything that was tried did its work
    (with --run: if one command did).
    """
    if ask and fence:
        raise click.UsageError("--status and --run exclude each other")
    if not ask and not fence:
        tried = [row for row in shell.client.checks() if row.type in ("fence", "witness") and peer in (None, row.peer)]
        shell.table(tried, columns.TRIED, empty=f"No fence commands and no witness for {peer or 'any peer'}.")
        return
    if fence:
        if peer is None:
            raise click.UsageError("--run needs PEER, the mirror address of the node that is to be switched off")
        shell.confirm(f"Switch off the node at {peer}? Its VDisks go on here alone.", yes=yes)
    trials = shell.client.try_checks(CheckTrialNew(action="fence" if fence else "status", peer=peer))
    shell.table(trials, columns.TRIALS, empty="")
    if not shell.json:
        _explain(shell, trials)
    good = [row.outcome in ("on", "off", "fenced", "reached") for row in trials if row.outcome != "not asked"]
    if not (any(good) if fence else all(good)):
        sys.exit(FAILED)


def _explain(shell: Shell, tried: list[CheckTrialView]) -> None:
    """Say more about what did not go well."""
    for row in tried:
        if row.output and (row.outcome == "failed" or (row.outcome == "wrong" and row.type == "witness")):
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
@click.option("--command", "value", help="Only this fence command, or witness.")
@command
def remove(shell: Shell, peer: str, type_: str | None, value: str | None) -> None:
    """Remove the checks for PEER."""
    removed = shell.client.remove_checks(peer=peer, type_=type_, value=value)
    shell.table(removed, columns.CHECKS, empty="")
