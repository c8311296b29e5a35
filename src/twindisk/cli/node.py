"""``twindisk node`` and ``twindisk status``."""

from __future__ import annotations

import os
import secrets
import sys

import click

from twindisk.cli import columns
from twindisk.cli.output import Shell, build_table, command
from twindisk.config import etc_directory
from twindisk.sizes import show_size


@click.group()
def node() -> None:
    """Show this node, have it read its files anew, and make the pair's secret."""


@node.command("show")
@command
def show(shell: Shell) -> None:
    """Show this node."""
    shell.record(shell.client.node(), columns.NODE)


@node.command("reload")
@command
def reload(shell: Shell) -> None:
    """Read the configuration files anew, without a restart where that can be.

    Where notifications go, PoolThreshold and DefaultPool take effect at once; what else has changed needs a restart of twindiskd.
    """
    answer = shell.client.reload()
    traps = shell.client.traps()
    lines = [
        f"Changed: {', '.join(answer.changed)}." if answer.changed else "Nothing that takes effect at once has changed."
    ]
    if answer.needs_restart:
        lines.append(f"Takes effect after a restart of twindiskd: {', '.join(answer.needs_restart)}.")
    lines.append(f"Notifications go to {', '.join(trap.destination for trap in traps.destinations) or 'nobody'}.")
    shell.done("\n".join(lines), answer)


@node.command("secret")
def secret() -> None:
    """Make the pair's secret, to be copied to the peer's configuration directory."""
    path = etc_directory() / "secret"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        sys.stderr.write(f"twindisk: {path}: {error.strerror}. Nothing was changed.\n")
        sys.exit(1)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(32) + "\n")
    click.echo(f"Made {path}. Copy it to the same place on the peer (mode 0600), then restart twindiskd on both nodes.")


@click.command("status")
@command
def status(shell: Shell) -> None:
    """Show everything at a glance."""
    seen = shell.client.status()
    if shell.json:
        shell.done("", seen)
        return
    out = shell.console
    out.print(
        f"[bold]Node[/bold] {seen.node.name}  mirror address {seen.node.recv_address or '-'} ({seen.node.recv_status})"
        f"  portals {', '.join(seen.node.portals)}"
    )
    out.print(
        f"Memory held for initiators: {show_size(seen.memory.held_bytes)} of {show_size(seen.memory.limit_bytes)}",
        highlight=False,
    )
    paths = [path for peer in seen.peers for path in peer.paths]
    for table in (
        build_table(seen.peers, columns.PEERS) if seen.peers else None,
        build_table(paths, columns.PATHS) if paths else None,
        build_table(seen.pools, columns.POOLS) if seen.pools else None,
        build_table(seen.vdisks, columns.VDISKS) if seen.vdisks else None,
        build_table(seen.mirrors, columns.MIRRORS) if seen.mirrors else None,
        build_table(seen.events, columns.EVENTS) if seen.events else None,
    ):
        if table is not None:
            out.print()
            out.print(table)
