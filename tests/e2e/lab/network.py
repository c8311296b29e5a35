"""The lab's networks: one namespace for the switch, one for each machine, cables between them.

Rules
- Every namespace's name begins with the lab's prefix; only those are ever removed.
- A cable is a pair of interfaces, one at the machine, one on a bridge of the switch. It is cut on the switch's side: nothing gets
  out of the machine any more, no reset and no last word, and neighbours see no carrier go.
- A machine that boots gets a new namespace, so that no connection of its former life is left to answer.
"""

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from e2e.lab.command import LabError

CLIENTS = "clients"
MIRROR = "mirror"
NAMESPACES = Path("/run/netns")
_BRIDGE_MACS = {CLIENTS: "02:00:00:00:13:01", MIRROR: "02:00:00:00:13:02"}
"""A bridge without an address of its own takes the lowest of its ports', another one when that goes: who knows the switch knows it no more."""
_CLONE_NEWNET = 0x40000000

T = TypeVar("T")


@dataclass(frozen=True)
class Interface:
    """A machine's interface: its name, the network that its cable leads to, ``ip addr add``'s words for its address."""

    name: str
    network: str
    address: str
    mac: str


def ip(*words: str) -> str:
    """Run ip(8)."""
    ran = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=30, check=False)
    if ran.returncode != 0:
        message = f"ip {' '.join(words)}: {ran.stderr.strip()}"
        raise LabError(message)
    return ran.stdout


def remove_namespace(name: str) -> None:
    """Remove a network namespace if it is there."""
    if (NAMESPACES / name).exists():
        ip("netns", "del", name)


class Network:
    """The switch and its cables. ``own_addresses``: addresses of the switch itself on the clients' network."""

    def __init__(self, prefix: str, own_addresses: Iterable[str] = ()) -> None:
        self.prefix = prefix
        self.switch = f"{prefix}switch"
        self._own_addresses = tuple(own_addresses)

    def namespace(self, machine: str) -> str:
        """Return the name of a machine's network namespace."""
        return self.prefix + machine

    def make(self) -> None:
        """Make the switch with its two networks."""
        self._add_namespace(self.switch)
        for bridge, mac in _BRIDGE_MACS.items():
            kind = ("type", "bridge", "stp_state", "0", "forward_delay", "0")
            ip("-n", self.switch, "link", "add", bridge, "address", mac, *kind)
            ip("-n", self.switch, "link", "set", bridge, "up")
        for address in self._own_addresses:
            ip("-n", self.switch, "addr", "add", address, "dev", CLIENTS)

    def remove(self) -> None:
        """Remove the switch; machines detach themselves."""
        remove_namespace(self.switch)

    def attach(self, machine: str, interfaces: Iterable[Interface]) -> None:
        """Make a machine's namespace, with its interfaces and cables; they are up."""
        self._add_namespace(self.namespace(machine))
        inside = ("-n", self.namespace(machine))
        for interface in interfaces:
            end = _switch_end(machine, interface.name)
            ip(
                *("link", "add", end, "netns", self.switch, "type", "veth"),
                *("peer", "name", interface.name, "netns", self.namespace(machine)),
            )
            ip(*inside, "link", "set", interface.name, "address", interface.mac, "up")
            ip(*inside, "addr", "add", *interface.address.split(), "dev", interface.name)
            ip("-n", self.switch, "link", "set", end, "master", interface.network, "up")

    def detach(self, machine: str, interfaces: Iterable[Interface]) -> None:
        """Remove a machine's cables and namespace, with all that its connections still had to say."""
        for interface in interfaces:
            ip("-n", self.switch, "link", "del", _switch_end(machine, interface.name))
        remove_namespace(self.namespace(machine))

    def plug(self, machine: str, interface: str, *, up: bool) -> None:
        """Plug a machine's cable in (``up``) or out, at the switch."""
        ip("-n", self.switch, "link", "set", _switch_end(machine, interface), "up" if up else "down")

    def add_tap(self, machine: str) -> str:
        """Make the switch's end of a QEMU guest's cable and return its name; it lives in the switch's namespace."""
        tap = _switch_end(machine, "eth0")
        ip("-n", self.switch, "tuntap", "add", "dev", tap, "mode", "tap", "vnet_hdr")
        ip("-n", self.switch, "link", "set", tap, "master", CLIENTS, "up")
        return tap

    def remove_tap(self, machine: str) -> None:
        """Remove the switch's end of a QEMU guest's cable."""
        ip("-n", self.switch, "link", "del", _switch_end(machine, "eth0"))

    def listen(self, address: str, port: int) -> socket.socket:
        """Return a socket that listens on one of the switch's own addresses, for a server in the test process."""
        return self.inside(self.switch, lambda: socket.create_server((address, port)))

    def inside(self, namespace: str, act: Callable[[], T]) -> T:
        """Call a function in a network namespace (in a thread of its own: a thread's namespace is its own affair)."""
        outcome: list[T] = []
        trouble: list[BaseException] = []

        def enter_and_act() -> None:
            try:
                _enter(NAMESPACES / namespace)
                outcome.append(act())
            except BaseException as error:  # noqa: BLE001 - it is raised again, in the caller's thread
                trouble.append(error)

        thread = threading.Thread(target=enter_and_act)
        thread.start()
        thread.join()
        if trouble:
            raise trouble[0]
        return outcome[0]

    def _add_namespace(self, name: str) -> None:
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")


def _enter(namespace: Path) -> None:
    """Move the calling thread to a network namespace."""
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if library.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(namespace))
    finally:
        os.close(descriptor)


def _switch_end(machine: str, interface: str) -> str:
    return f"{machine}.{interface}"
