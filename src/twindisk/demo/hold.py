"""``twindisk demo --hold``: the same pair, mirrored and Enabled, which stays until interrupted.

``demo.json`` in the directory tells others where everything is; it is there only while the pair stands.
"""

import asyncio
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twindisk.demo.pair import Pair, iqn
from twindisk.demo.place import places
from twindisk.demo.show import Screen
from twindisk.demo.story import make_pair, set_up
from twindisk.initiator import Session


async def hold(directory: Path, port: int, size: str) -> int:
    """Set the pair up in ``directory``, write ``demo.json``, wait for SIGINT or SIGTERM, stop the nodes."""
    screen = Screen()
    interrupted = _interruption()
    pair = make_pair(places(directory, port), screen)
    told = directory / "demo.json"
    try:
        working = asyncio.ensure_future(_set_up_and_tell(pair, size, told, screen))
        await asyncio.wait([working, interrupted], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
        else:
            working.result()
            await interrupted
    finally:
        told.unlink(missing_ok=True)
        screen.step("Stop the nodes")
        await pair.stop()
    return 0


async def _set_up_and_tell(pair: Pair, size: str, told: Path, screen: Screen) -> None:
    await set_up(pair, size, screen)
    async with await Session.connect(pair.first.place.portal, iqn(pair.vdisk)) as session:
        size_bytes = (await session.read_capacity()).size_bytes
    draft = told.with_suffix(".new")
    draft.write_text(json.dumps(describe(pair, size_bytes), indent=2) + "\n")
    draft.replace(told)
    screen.step(f"Hold: {told} tells where everything is; interrupt to stop")


def describe(pair: Pair, size_bytes: int) -> dict[str, Any]:
    """Return what ``demo.json`` tells; ``size`` in bytes, ``start`` the argv that starts a node in the foreground."""
    name = iqn(pair.vdisk)
    return {
        "vdisk": pair.vdisk,
        "iqn": name,
        "size": size_bytes,
        "nodes": [
            {
                "name": node.name,
                "portal": node.place.portal,
                "url": node.place.url(name),
                "mirror_address": node.place.mirror_address,
                "etc": str(node.place.etc),
                "pid": node.pid,
                "start": node.start_argv,
            }
            for node in pair.nodes
        ],
    }


def _interruption() -> asyncio.Future[None]:
    """Return a future that is done once the process is asked to end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    done: Callable[[], None] = lambda: None if future.done() else future.set_result(None)  # noqa: E731
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done)
    return future
