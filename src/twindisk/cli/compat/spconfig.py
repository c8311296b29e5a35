"""``spconfig``: storage pools."""

from __future__ import annotations

from twindisk.api.schemas import PoolNew
from twindisk.cli.compat.options import Options
from twindisk.cli.connect import run_command
from twindisk.client import NodeClient

USAGE = """
Usage: spconfig -l
       spconfig -a -g <pool>
       spconfig -x -g <pool>
"""
_LINE = "%-24s %-8s %-8s %-16s"


def main() -> None:
    """Run the command."""
    run_command("spconfig", run)


def run(client: NodeClient, argv: list[str]) -> None:
    """List, add or remove pools."""
    options = Options(USAGE, "laxg:", argv)
    if "a" in options:
        options.only("ag")
        client.add_pool(PoolNew(name=options.need("g", "pool")))
    elif "x" in options:
        options.only("xg")
        client.remove_pool(options.need("g", "pool"))
    elif "l" in options:
        options.only("l")
        pools = client.pools()
        print(_LINE % ("Name", "Disks", "VDisks", "Status"))
        for pool in pools:
            print(_LINE % (pool.name, pool.disks, pool.vdisks, pool.status))
    else:
        options.wrong("one of -l, -a and -x is needed")
