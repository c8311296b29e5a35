"""The run's networks: three network namespaces and four cables between them, and how cables are cut.

    initiators ── client cable ── vm10 ══ mirror cable ══ vm11 ── client cable ── initiators
                                  vm10 ══ spare cable  ══ vm11

Rules

* The run's own process moves to a namespace of its own before anything else, so that no packet of it can reach the machine's
  network. Namespaces live as long as the run: nothing names them, so nothing is left when the run ends, however it ends.
* A cable is a pair of interfaces whose neighbours are written down, so nobody asks for them. A direction is cut by giving the
  sender a neighbour that does not exist: its packets are lost in silence, the other direction goes on, no reset and no carrier tells.
* Cuts are counted: a direction is whole again when everyone who cut it has mended it.
"""

import asyncio
import contextlib
import ctypes
import os
import subprocess
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass

_CLONE_NEWNET = 0x40000000
_NOBODY = "02:00:00:00:00:ff"


class WireError(Exception):
    """ip(8) or the kernel refused."""


def enter_new_network() -> str:
    """Move the calling thread to a new network namespace; return the path by which others can enter it."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        message = f"no network namespace of its own: {os.strerror(number)}; the run needs root"
        raise WireError(message)
    descriptor = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    path = f"/proc/{os.getpid()}/fd/{descriptor}"
    _ip(path, "link", "set", "lo", "up")
    return path


def make_network() -> str:
    """Make one more namespace; the calling thread stays where it is."""
    made: list[str] = []
    thread = threading.Thread(target=lambda: made.append(enter_new_network()))
    thread.start()
    thread.join()
    if not made:
        message = "no network namespace could be made"
        raise WireError(message)
    return made[0]


def _ip(namespace: str, *words: str) -> None:
    ran = subprocess.run(
        ["nsenter", f"--net={namespace}", "ip", *words], capture_output=True, text=True, timeout=60, check=False
    )
    if ran.returncode != 0:
        message = f"ip {' '.join(words)}: {ran.stderr.strip()}"
        raise WireError(message)


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable: whose namespace, the interface there, its addresses."""

    namespace: str
    interface: str
    address: str
    mac: str


class Cable:
    """Two ends. A direction is named by the end that sends: 0 or 1."""

    def __init__(self, name: str, *ends: End) -> None:
        self.name = name
        self.ends = ends
        self._cuts: Counter[int] = Counter()
        self._busy = asyncio.Lock()

    def lay(self) -> None:
        """Make the interfaces and write down the neighbours."""
        here, there = self.ends
        _ip(
            here.namespace,
            *("link", "add", here.interface, "address", here.mac, "type", "veth"),
            *("peer", "name", there.interface, "address", there.mac, "netns", there.namespace),
        )
        for way, end in enumerate(self.ends):
            other = self.ends[1 - way]
            _ip(end.namespace, "addr", "add", end.address, "peer", other.address, "dev", end.interface)
            _ip(end.namespace, "link", "set", end.interface, "up")
            self._point(way, other.mac)

    def take_up(self) -> None:
        """Remove the interfaces."""
        _ip(self.ends[0].namespace, "link", "del", self.ends[0].interface)

    async def cut(self, way: int) -> None:
        """Lose what the end ``way`` sends from now on."""
        async with self._busy:
            self._cuts[way] += 1
            if self._cuts[way] == 1:
                await asyncio.to_thread(self._point, way, _NOBODY)

    async def mend(self, way: int) -> None:
        """Take one cut of a direction back."""
        async with self._busy:
            self._cuts[way] -= 1
            if self._cuts[way] == 0:
                await asyncio.to_thread(self._point, way, self.ends[1 - way].mac)

    async def mend_all(self) -> None:
        """Take all cuts back."""
        for way in (0, 1):
            while self._cuts[way]:
                await self.mend(way)

    async def _mend_each(self, ways: list[int]) -> None:
        for way in ways:
            await self.mend(way)

    @contextlib.asynccontextmanager
    async def without(self, *ways: int) -> AsyncIterator[None]:
        """Cut directions for the time of the context."""
        begun: list[int] = []
        try:
            for way in ways:
                begun.append(way)
                await asyncio.shield(self.cut(way))
            yield
        finally:
            # In one piece: a cancellation must not leave the second direction cut.
            await asyncio.shield(self._mend_each(begun))

    def _point(self, way: int, mac: str) -> None:
        end, other = self.ends[way], self.ends[1 - way]
        words = ("neigh", "replace", other.address, "lladdr", mac, "nud", "permanent", "dev", end.interface)
        _ip(end.namespace, *words)


@dataclass(frozen=True, slots=True)
class Wires:
    """All of a run: the nodes' namespaces, the clients' cable of each (0 is the initiators' end), the mirror cable and a second one, which
    is in use if the nodes' files say so."""

    namespaces: tuple[str, str]
    clients: tuple[Cable, Cable]
    mirror: Cable
    spare: Cable

    @property
    def between(self) -> tuple[Cable, Cable]:
        """Both cables between the nodes."""
        return self.mirror, self.spare

    def take_up(self) -> None:
        """Remove all cables."""
        for cable in (*self.clients, *self.between):
            cable.take_up()

    @classmethod
    def lay(cls, own: str) -> "Wires":
        """Make the nodes' namespaces and lay the cables; ``own`` is the initiators' namespace."""
        nodes = (make_network(), make_network())
        clients = tuple(
            Cable(
                f"client cable of vm{10 + number}",
                End(own, f"client{number}", f"192.0.2.{1 + number}", f"02:00:00:00:01:{number:02x}"),
                End(nodes[number], "client", f"192.0.2.{10 + number}", f"02:00:00:00:02:{number:02x}"),
            )
            for number in range(2)
        )
        mirror, spare = (
            Cable(
                f"{name} cable",
                *(
                    End(node, name, f"{network}.{10 + number}", f"02:00:00:00:{kind:02}:{number:02x}")
                    for number, node in enumerate(nodes)
                ),
            )
            for kind, name, network in ((3, "mirror", "198.51.100"), (4, "spare", "203.0.113"))
        )
        wires = cls(nodes, (clients[0], clients[1]), mirror, spare)
        for cable in (*wires.clients, *wires.between):
            cable.lay()
        return wires
