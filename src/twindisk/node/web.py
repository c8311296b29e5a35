"""An app on sockets that we bound, served in our own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from twindisk.errors import StateError, StateProblem

_STOP_S = 5
_BACKLOG = 128


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the daemon's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves an app, made when the socket is there."""

    def __init__(self, make_app: Callable[[], ASGIApp]) -> None:
        self._make_app = make_app
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, *listeners: socket.socket) -> None:
        """Serve on listening sockets."""
        config = uvicorn.Config(
            self._make_app(),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=list(listeners)), name="web")

    async def stop(self) -> None:
        """Answer what is under way and end."""
        if self._server is None or self._task is None:
            return
        self._server.should_exit = True
        await asyncio.gather(self._task, return_exceptions=True)


def listen_unix(path: Path) -> socket.socket:
    """Listen on a UNIX socket that its owner and root alone may use. Raises StateError(UNUSABLE).

    The lock on the state directory is held, so a socket file that is there was left by a daemon that is no more.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise StateError(StateProblem.UNUSABLE, directory=str(path.parent), detail=f"{path.name}: {error}") from error
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener
