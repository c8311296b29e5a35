"""Looks at the pools' space now and then and has operators told; what to tell is :mod:`twindisk.node.pool_space`'s."""

from __future__ import annotations

import asyncio

from twindisk.node import disks
from twindisk.node.context import Node
from twindisk.node.pool_space import Low, PoolSpace, judge, no_space

CHECK_S = 30.0


def tell_no_space(node: Node, name: str) -> None:
    """Tell that writes of a VDisk end for want of space."""
    vdisk = node.state.vdisk(name)
    if vdisk is not None:
        notice = no_space(name, vdisk.pool)
        node.notices.tell(notice.severity, notice.kind, notice.text, {"vdisk": name, "pool": vdisk.pool})


class PoolWatch:
    """Remembers which pools were told to be low; after a restart they are told anew."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._low: Low = frozenset()

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except Exception:
                # The next look may be better, and nothing else depends on it.
                self._node.log.exception("the pools' space could not be looked at")
            await asyncio.sleep(CHECK_S)

    async def look(self) -> None:
        """Look once."""
        node = self._node
        vdisks = node.state.vdisks()
        spaces = []
        for pool in node.state.pools():
            # A filesystem that does not answer must not stop the node: in a thread, one at a time.
            found = [await asyncio.to_thread(disks.space, disk) for disk in node.state.disks(pool.name)]
            spaces.append(
                PoolSpace(
                    pool.name,
                    sum(space.size_bytes for space in found),
                    sum(space.free_bytes for space in found),
                    tuple(vdisk.name for vdisk in vdisks if vdisk.pool == pool.name),
                )
            )
        self._low, notices = judge(self._low, spaces, node.config.pool_threshold_percent)
        for notice in notices:
            fields = {"vdisk": notice.vdisk, "pool": notice.pool}
            node.notices.tell(notice.severity, notice.kind, notice.text, fields)
