"""From a command to its node, and from an error to a message and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable

from twindisk.client import NodeClient
from twindisk.config import control_socket, etc_directory
from twindisk.errors import TwindiskError
from twindisk.sentences import tell

FAILED = 1


def connect() -> NodeClient:
    """Return a client of the node that ``TWINDISK_ETC`` selects. Raises ConfigError."""
    return NodeClient(control_socket(etc_directory()))


def run_command(name: str, body: Callable[[NodeClient, list[str]], None], argv: list[str] | None = None) -> None:
    """Run a compatible command: errors become ``name: sentence`` on standard error and exit status 1."""
    try:
        with connect() as client:
            body(client, sys.argv[1:] if argv is None else argv)
    except TwindiskError as error:
        sys.stderr.write(f"{name}: {tell(error).detail}\n")
        sys.exit(FAILED)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
