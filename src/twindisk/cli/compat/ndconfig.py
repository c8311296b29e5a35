"""``ndconfig``: how this node takes part in mirroring."""

from __future__ import annotations

from twindisk.cli.compat.options import Options
from twindisk.cli.connect import run_command
from twindisk.client import NodeClient

USAGE = """
Usage: ndconfig
"""
_LINE = "%18s: %s"


def main() -> None:
    """Run the command."""
    run_command("ndconfig", run)


def run(client: NodeClient, argv: list[str]) -> None:
    """Show the node's type, mirror address and status."""
    Options(USAGE, "l", argv)
    node = client.node()
    print(_LINE % ("Node Type", "Mirror Recv"))
    print(_LINE % ("Recv Address", node.recv_address or "N/A"))
    print(_LINE % ("Node Status", node.recv_status))
