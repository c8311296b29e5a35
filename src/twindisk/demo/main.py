"""The front of the demo: checks what it was asked for, then tells the story or holds the pair."""

import asyncio
import signal
import socket
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

from twindisk.demo.hold import hold
from twindisk.demo.place import NodePlace, places
from twindisk.demo.story import tell
from twindisk.errors import TwindiskError
from twindisk.initiator import library

DEFAULT_SIZE: Final = "1"
_INTERRUPTED: Final = 130


def run_demo(port: int, size: str = DEFAULT_SIZE) -> int:
    """Run the demo and return its exit status; ``size`` of the VDisk as vdconfig takes it (GiB without a unit)."""
    return _run(None, port, size)


def hold_demo(directory: Path, port: int, size: str = DEFAULT_SIZE) -> int:
    """Set the pair up in ``directory`` and hold it until interrupted; return the exit status."""
    return _run(directory, port, size)


def _run(directory: Path | None, port: int, size: str) -> int:
    try:
        return _begin(directory, port, size)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _INTERRUPTED
    except (ValueError, TwindiskError) as error:
        problem = str(error) or type(error).__name__
    except OSError as error:
        problem = f"{error.filename or 'system call'}: {error.strerror}"
    except BaseExceptionGroup as group:
        problem = "; ".join(str(error) for error in group.exceptions)
    return _refuse(problem)


def _begin(directory: Path | None, port: int, size: str) -> int:
    library.load()
    problem = _obstacle(places(directory or Path(), port), directory)
    if problem is not None:
        return _refuse(problem)
    if directory is None:
        return asyncio.run(_until_terminated(tell(port, size)))
    directory.mkdir(parents=True, exist_ok=True)
    return asyncio.run(hold(directory.resolve(), port, size))


async def _until_terminated(story: Coroutine[Any, Any, int]) -> int:
    """Await the story; SIGTERM cancels it, as SIGINT does, so that no node is left behind."""
    task = asyncio.ensure_future(story)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


def _obstacle(where: tuple[NodePlace, NodePlace], directory: Path | None) -> str | None:
    """Say what stands in the way of the pair, None when nothing does."""
    if directory is not None and any((directory / place.name).exists() for place in where):
        return f"{directory} holds a demo already; give it a new directory"
    for place in where:
        listeners = ((place.portal_address, place.portal_port), (place.mirror_address, place.data_port))
        for host, port in listeners:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    return f"{host}:{port}: {error.strerror} (another demo? try --port)"
    return None


def _refuse(problem: str) -> int:
    sys.stderr.write(f"twindisk demo: {problem}\n")
    return 1
