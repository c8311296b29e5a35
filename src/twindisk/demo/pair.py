"""A pair of nodes on one machine, set up with the tutorial's commands.

:class:`Pair` shows every command and its output through ``show`` (a callable that takes the node's name, the command
and the output), which the demo prints and the tests keep.
"""

import asyncio
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twindisk.api.schemas import MirrorView
from twindisk.demo.node import Node
from twindisk.demo.place import NodePlace
from twindisk.errors import TwindiskError

POOL: Final = "HAPOOL"
VDISK: Final = "M1"
_POLL_S: Final = 0.1

Show = Callable[[str, str, str], None]


class NotReachedError(TwindiskError):
    """The pair did not reach a state in time. ``seen``: what each node said last."""

    def __init__(self, wanted: str, seen: dict[str, MirrorView | None]) -> None:
        super().__init__(wanted, seen)
        self.wanted = wanted
        self.seen = seen

    def __str__(self) -> str:
        rows = "; ".join(
            f"{name}: {f'{row.role} {row.status}' if row else 'no mirror'}" for name, row in self.seen.items()
        )
        return f"never came to {self.wanted} ({rows})"


def fence_command(victim: NodePlace) -> str:
    """Return the shell command that fences a node of a demo."""
    return shlex.join([sys.executable, "-m", "twindisk.demo.fence", str(victim.state_dir)])


def iqn(vdisk: str) -> str:
    """Return the target name of a VDisk."""
    return f"iqn.2006-06.com.quadstor.vdisk.{vdisk}"


def _silent(_node: str, _command: str, _output: str) -> None:
    """Show nothing."""


class Pair:
    """Two nodes; ``first`` becomes the Master of the VDisk when it is made."""

    def __init__(self, first: Node, second: Node, *, vdisk: str = VDISK, show: Show = _silent) -> None:
        self.first = first
        self.second = second
        self.nodes = (first, second)
        self.vdisk = vdisk
        self.show = show

    def other(self, node: Node) -> Node:
        """Return a node's peer."""
        return self.second if node is self.first else self.first

    @property
    def portals(self) -> list[str]:
        """Both portals as ``host:port``."""
        return [node.place.portal for node in self.nodes]

    async def command(self, node: Node, *argv: str) -> str:
        """Run a command on a node and show it."""
        output = await node.run(*argv)
        self.show(node.name, shlex.join(argv), output)
        return output

    async def start(self) -> None:
        """Start both daemons."""
        await asyncio.gather(self.first.start(), self.second.start())

    async def stop(self) -> None:
        """Stop both daemons, one after the other, so that the first hands over to the second."""
        await self.first.stop()
        await self.second.stop()

    async def configure(self, size: str, *, fence: Callable[[NodePlace], str] | None = fence_command) -> None:
        """Go through the tutorial: fencing, pool, disk, the VDisk (``size`` as vdconfig takes it) and its mirror.

        ``fence`` makes the fence command against a node; None: no mirror check is configured.
        """
        for node in self.nodes:
            await self.command(node, "ndconfig")
        if fence is not None:
            for node in self.nodes:
                peer = self.other(node).place
                await self.command(
                    node, "qmirrorcheck", "-a", "-t", "fence", "-r", peer.mirror_address, "-v", fence(peer)
                )
                await self.command(node, "qmirrorcheck", "-l")
        for node in self.nodes:
            await self.command(node, "spconfig", "-a", "-g", POOL)
            await self.command(node, "bdconfig", "-a", "-d", str(node.place.disk), "-g", POOL)
        await self.make_mirrored(size)

    async def make_mirrored(self, size: str) -> None:
        """Make the VDisk on the first node (``size`` as vdconfig takes it) and mirror it."""
        await self.command(self.first, "vdconfig", "-a", "-v", self.vdisk, "-s", size, "-g", POOL)
        await self.mirror()

    async def mirror(self) -> None:
        """Mirror the VDisk that the first node has; return when it is Enabled on both."""
        await self.command(
            self.first, "qsync", "-s", self.vdisk, "-d", self.vdisk, "-r", self.second.place.mirror_address, "-g", POOL
        )
        await self.wait_enabled()

    async def another(self, vdisk: str, size: str) -> "Pair":
        """Make another mirrored VDisk on the same nodes; return the pair as seen with it."""
        pair = Pair(self.first, self.second, vdisk=vdisk, show=self.show)
        await pair.make_mirrored(size)
        return pair

    async def rows(self) -> dict[str, MirrorView | None]:
        """Return how the mirror stands on each node that runs."""
        running = [node for node in self.nodes if node.pid is not None]
        found = await asyncio.gather(*(node.mirror(self.vdisk) for node in running))
        return {node.name: row for node, row in zip(running, found, strict=True)}

    async def show_tables(self) -> None:
        """Show ``qsync -l`` of each node that runs."""
        for node in self.nodes:
            if node.pid is not None:
                await self.command(node, "qsync", "-l")

    async def wait_enabled(self, limit_s: float = 60.0) -> None:
        """Wait until both nodes say Enabled. Raises :class:`NotReachedError`."""
        await self.wait_for(
            "Enabled on both",
            lambda rows: len(rows) == len(self.nodes) and all(row and row.status == "Enabled" for row in rows.values()),
            limit_s,
        )

    async def wait_alone(self, survivor: Node, limit_s: float = 30.0) -> None:
        """Wait until the survivor says Master and Disabled. Raises :class:`NotReachedError`."""

        def reached(rows: dict[str, MirrorView | None]) -> bool:
            row = rows.get(survivor.name)
            return row is not None and (row.role, row.status) == ("Master", "Disabled")

        await self.wait_for(f"Master and Disabled on {survivor.name}", reached, limit_s)

    async def wait_for(
        self, wanted: str, reached: Callable[[dict[str, MirrorView | None]], bool], limit_s: float
    ) -> dict[str, MirrorView | None]:
        """Wait until ``reached`` is true of how the mirror stands; return that. Raises :class:`NotReachedError`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + limit_s
        while True:
            rows = await self.rows()
            if reached(rows):
                return rows
            if loop.time() > end:
                raise NotReachedError(wanted, rows)
            await asyncio.sleep(_POLL_S)

    def copy_directories(self) -> tuple[Path, Path]:
        """Return the directories of both copies."""
        return self.first.place.copy_directory(self.vdisk), self.second.place.copy_directory(self.vdisk)
