"""From a command to its node, and from an error to a message and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Callable

from pydantic import ValidationError

from twindisk.client import NodeClient
from twindisk.config import control_socket, etc_directory
from twindisk.errors import InvalidError, InvalidProblem, TwindiskError
from twindisk.sentences import tell

FAILED = 1


def connect() -> NodeClient:
    """Return a client of the node that ``TWINDISK_ETC`` selects. Raises ConfigError."""
    return NodeClient(control_socket(etc_directory()))


def as_ours(error: TwindiskError | ValidationError) -> TwindiskError:
    """Return an error of the request's own form as one of ours."""
    if isinstance(error, TwindiskError):
        return error
    told = "; ".join(f"{'.'.join(str(part) for part in wrong['loc'])}: {wrong['msg']}" for wrong in error.errors())
    return InvalidError(InvalidProblem.REQUEST, detail=told)


def run_command(name: str, body: Callable[[NodeClient, list[str]], None], argv: list[str] | None = None) -> None:
    """Run a compatible command: errors become ``name: sentence`` on standard error and exit status 1."""
    try:
        with connect() as client:
            body(client, sys.argv[1:] if argv is None else argv)
    except (TwindiskError, ValidationError) as error:
        sys.stderr.write(f"{name}: {tell(as_ours(error)).detail}\n")
        sys.exit(FAILED)
    except (KeyboardInterrupt, BrokenPipeError):
        sys.exit(130)
