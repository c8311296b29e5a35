"""``twindisk vdisk``."""

from __future__ import annotations

import click

from twindisk.api.schemas import VDiskChange, VDiskNew
from twindisk.cli import columns
from twindisk.cli.output import Shell, command
from twindisk.node.records import AccessMode
from twindisk.sizes import parse_size, show_size

BLOCK_SIZE = click.Choice(["512", "4096"])
ACCESS = click.Choice([mode.value for mode in AccessMode])


@click.group()
def vdisk() -> None:
    """VDisks: the disks that initiators see."""


@vdisk.command("list")
@command
def list_(shell: Shell) -> None:
    """Show all VDisks."""
    shell.table(
        shell.client.vdisks(), columns.VDISKS, empty="No VDisks. Create one with: twindisk vdisk create NAME SIZE"
    )


@vdisk.command("show")
@click.argument("name")
@command
def show(shell: Shell, name: str) -> None:
    """Show a VDisk."""
    shell.record(shell.client.vdisk(name), columns.VDISK)


@vdisk.command("create")
@click.argument("name")
@click.argument("size")
@click.option("--pool", help="The pool (default: the node's default pool).")
@click.option("--iqn", help="The iSCSI name (default: iqn.2006-06.com.quadstor.vdisk.NAME).")
@click.option("--serial", help="The serial number: 32 hex digits beginning with 6e (default: random).")
@click.option(
    "--access",
    type=ACCESS,
    default=AccessMode.ACTIVE_ACTIVE.value,
    show_default=True,
    help="How initiators are to use both paths once it is mirrored; see: twindisk vdisk set --help.",
)
@click.option(
    "--block-size",
    type=BLOCK_SIZE,
    default="512",
    show_default=True,
    help="Bytes of a logical block: 512 on physical blocks of 4096 (512e), or 4096 (4Kn). It never changes.",
)
@command
def create(
    shell: Shell,
    name: str,
    size: str,
    pool: str | None,
    iqn: str | None,
    serial: str | None,
    access: str,
    block_size: str,
) -> None:
    """Create a VDisk. SIZE is in bytes, or such as 10G or 1.5T (powers of 1024)."""
    new = VDiskNew(
        name=name,
        size=parse_size(size),
        pool=pool,
        iqn=iqn,
        serial=serial,
        access=AccessMode(access),
        block_bytes=int(block_size),
    )
    made = shell.client.create_vdisk(new)
    shell.done(f"VDisk {name} created: {show_size(made.size_bytes)} in pool {made.pool}, {made.iqn}", made)


@vdisk.command("resize")
@click.argument("name")
@click.argument("size")
@command
def resize(shell: Shell, name: str, size: str) -> None:
    """Let a VDisk grow to SIZE."""
    grown = shell.client.change_vdisk(name, VDiskChange(size=parse_size(size)))
    shell.done(f"VDisk {name} has {show_size(grown.size_bytes)}.", grown)


@vdisk.command("set")
@click.argument("name")
@click.option("--access", type=ACCESS, required=True, help="How initiators are to use both paths.")
@command
def set_(shell: Shell, name: str, access: str) -> None:
    """Change how a VDisk is offered, on both nodes, while it is in use.

    With active-active, initiators use the paths through both nodes alike. With active-passive they use the Master's as long
    as it is there (ALUA: active/optimized); the Slave's is active/non-optimized and takes over with the role.
    """
    changed = shell.client.change_vdisk(name, VDiskChange(access=AccessMode(access)))
    shell.done(f"VDisk {name} is {changed.access.value}.", changed)


@vdisk.command("remove")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even while initiators are logged in.")
@command
def remove(shell: Shell, name: str, yes: bool, force: bool) -> None:  # noqa: FBT001 - click passes them by name
    """Remove a VDisk and all its data."""
    shell.client.vdisk(name)
    shell.confirm(f"Delete VDisk {name} and all its data?", yes=yes)
    shell.client.remove_vdisk(name, force=force)
    shell.done(f"VDisk {name} removed.")


@vdisk.command("release")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@command
def release(shell: Shell, name: str, yes: bool) -> None:  # noqa: FBT001 - click passes it by name
    """Serve a VDisk again that was withheld when its mirror ended."""
    danger = "If another node still serves a VDisk with its serial number, initiators see two different disks as one."
    shell.confirm(f"{danger} Serve {name} here?", yes=yes)
    shell.done(f"VDisk {name} is served again.", shell.client.release_vdisk(name))
