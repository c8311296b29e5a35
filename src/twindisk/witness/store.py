"""What the three kinds of store can do, and how one is opened.

Rules:

1. ``write_once`` is atomic among all who use the store: of any number that write one key, exactly one gets None.
2. Where the outcome is not known, WitnessError is raised; the write may take place later, or have taken place.
3. A store knows no time limit: whoever uses it sets one (``asyncio.timeout``), and it ends within it, whatever hangs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from twindisk.witness.accounts import read_accounts
from twindisk.witness.bucket import bucket_store
from twindisk.witness.etcd import etcd_store
from twindisk.witness.hints import Hints
from twindisk.witness.place import BucketPlace, EtcdPlace, read_place
from twindisk.witness.share import share_store


class Store(Protocol):
    """An open store. All methods raise WitnessError."""

    async def write_once(self, key: str, value: bytes) -> bytes | None:
        """Write a key that nobody has written, durably; return None, or what stands there already."""
        ...

    async def read(self, key: str) -> bytes | None:
        """Return what stands in a key, None if nobody has written it."""
        ...

    async def remove(self, key: str) -> None:
        """Remove a key of a trial. Claims are never removed."""
        ...


@asynccontextmanager
async def open_store(place: str, etc: Path, hints: Hints | None = None) -> AsyncIterator[Store]:
    """Open the store at a URL, with the accounts of a node's configuration directory. ``hints``: of uses before.

    Raises InvalidError(WITNESS), ConfigError and WitnessError.
    """
    where = read_place(place)
    if isinstance(where, EtcdPlace):
        async with etcd_store(where, read_accounts(etc), hints or Hints()) as etcd:
            yield etcd
    elif isinstance(where, BucketPlace):
        async with bucket_store(where, read_accounts(etc)) as bucket:
            yield bucket
    else:
        async with share_store(where) as share:
            yield share
