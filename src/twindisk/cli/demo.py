"""``twindisk demo``: the tutorial on one machine."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from twindisk.config import ISCSI_PORT


@click.command()
@click.option(
    "--port", default=ISCSI_PORT, show_default=True, type=click.IntRange(1, 65535), help="Port of both portals."
)
@click.option("--size", default="1", show_default=True, help="Size of the VDisk: GiB, or with a unit such as 256M.")
@click.option("--hold", is_flag=True, help="Set the pair up and keep it until interrupted.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), help="Where a held pair lives.")
def demo(port: int, size: str, hold: bool, directory: Path | None) -> None:  # noqa: FBT001 - click passes it by name
    """Mirror a VDisk between two nodes on this machine, kill one under load, and bring it back."""
    # Imported here: the demo brings an initiator that no other command needs.
    from twindisk.demo.main import hold_demo, run_demo  # noqa: PLC0415

    if hold != (directory is not None):
        raise click.UsageError("--hold and --dir belong together")
    sys.exit(hold_demo(directory, port, size) if directory is not None else run_demo(port, size))
