"""``twindisk pool``."""

from __future__ import annotations

import click

from twindisk.api.schemas import PoolNew
from twindisk.cli import columns
from twindisk.cli.output import Shell, command


@click.group()
def pool() -> None:
    """Pools: named sets of disks."""


@pool.command("list")
@command
def list_(shell: Shell) -> None:
    """Show all pools."""
    shell.table(shell.client.pools(), columns.POOLS, empty="No pools. Add one with: twindisk pool add NAME")


@pool.command("show")
@click.argument("name")
@command
def show(shell: Shell, name: str) -> None:
    """Show a pool."""
    shell.record(shell.client.pool(name), columns.POOLS)


@pool.command("add")
@click.argument("name")
@command
def add(shell: Shell, name: str) -> None:
    """Add an empty pool."""
    shell.done(
        f"Pool {name} added. Give it a disk with: twindisk disk add PATH --pool {name}",
        shell.client.add_pool(PoolNew(name=name)),
    )


@pool.command("remove")
@click.argument("name")
@command
def remove(shell: Shell, name: str) -> None:
    """Remove a pool without disks."""
    shell.client.remove_pool(name)
    shell.done(f"Pool {name} removed.")
