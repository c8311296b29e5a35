"""``twindisk``: one command with a noun for everything a node has. ``TWINDISK_ETC`` says which node."""

from __future__ import annotations

import click

from twindisk.cli import access, check, demo, disk, events, mirror, node, pool, trap, vdisk


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="twindisk", prog_name="twindisk")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def main(context: click.Context, *, as_json: bool) -> None:
    """Twindisk: one disk that lives on two servers.

    The environment variable TWINDISK_ETC names the configuration directory of the node to work on (default /etc/twindisk).
    """
    context.obj = as_json


for noun in (
    node.node,
    node.status,
    events.events,
    pool.pool,
    disk.disk,
    vdisk.vdisk,
    access.initiator,
    access.chap,
    mirror.mirror,
    check.check,
    trap.trap,
    demo.demo,
):
    main.add_command(noun)
