"""``twindisk disk``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from twindisk.api.schemas import DiskNew
from twindisk.cli import columns
from twindisk.cli.output import Shell, command


@click.group()
def disk() -> None:
    """Disks of pools: directories, or block devices that are formatted."""


@disk.command("list")
@click.option(
    "--show",
    type=click.Choice(["all", "configured", "unconfigured"]),
    default="configured",
    show_default=True,
    help="Which.",
)
@command
def list_(shell: Shell, show: Literal["all", "configured", "unconfigured"]) -> None:
    """Show the disks of pools, the devices of none, or both."""
    shell.table(shell.client.disks(show), columns.DISKS, empty="No disks. Add one with: twindisk disk add PATH")


@disk.command("add")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--pool", help="The pool (default: the node's default pool).")
@click.option("--yes", is_flag=True, help="Format a block device without asking: all data on it is destroyed.")
@command
def add(shell: Shell, path: Path, pool: str | None, yes: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Give a directory or a block device to a pool."""
    path = path.absolute()
    if path.is_block_device():
        shell.confirm(f"All data on {path} will be destroyed. Format it?", yes=yes)
    added = shell.client.add_disk(DiskNew(path=str(path), pool=pool, format=path.is_block_device()))
    shell.done(f"Disk {added.name} added to pool {added.pool}.", added)


@disk.command("remove")
@click.argument("name")
@command
def remove(shell: Shell, name: str) -> None:
    """Take a disk (id, path or device) out of its pool; its data stays."""
    shell.client.remove_disk(name)
    shell.done(f"Disk {name} removed.")
