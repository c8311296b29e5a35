"""Work that is not left half done: a cancellation takes effect when it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """Carry work out and return what it returns. Whoever is cancelled meanwhile waits for its end, with the locks that it holds.

    A second cancellation, as at the end of the process, is not put off.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
