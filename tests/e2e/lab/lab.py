"""The whole lab: the tutorial's two nodes, its clients, the host that receives its traps, and their networks.

| host | clients' network | mirror network |
| --- | --- | --- |
| vm10, vm11: nodes | eth0 10.0.13.100, .101 | eth1 10.0.13.150, .151, each with a route to the other |
| vm12, vm13: initiators (QEMU) | eth0 10.0.13.200, .201 | |
| monitor: snmptrapd | eth0 10.0.13.33 | |
| the switch itself, where the nodes' BMCs listen | 10.0.13.110, .111 | |

Rules
- Namespaces, files and loop devices carry the lab's prefix, which no other lab of this machine has at the time.
- What a killed test process left behind is removed when the next lab is made; what belongs to a living one is left alone.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from e2e.image.guest import GuestImage, guest_image
from e2e.image.node import NodeRoot, node_root, our_packages
from e2e.lab.guest import Guest
from e2e.lab.loop_device import detach_all_under
from e2e.lab.machine import Machine
from e2e.lab.network import CLIENTS, MIRROR, NAMESPACES, Interface, Network, remove_namespace
from e2e.lab.process import start_time

LABS = Path("/var/tmp/twindisk-e2e")  # noqa: S108 - a disk, not memory; only root may write into it
BMC_ADDRESSES = {"vm10": "10.0.13.110", "vm11": "10.0.13.111"}
DISK_GIB = 20

_NODES = {
    "vm10": (
        Interface("eth0", CLIENTS, "10.0.13.100/24", "52:54:00:23:ce:2c"),
        Interface("eth1", MIRROR, "10.0.13.150 peer 10.0.13.151/32", "52:54:00:03:bc:a8"),
    ),
    "vm11": (
        Interface("eth0", CLIENTS, "10.0.13.101/24", "52:54:00:61:5c:1b"),
        Interface("eth1", MIRROR, "10.0.13.151 peer 10.0.13.150/32", "52:54:00:56:e2:65"),
    ),
}
_MONITOR = (Interface("eth0", CLIENTS, "10.0.13.33/24", "52:54:00:00:00:33"),)
_GUESTS = {"vm12": ("10.0.13.200/24", "52:54:00:00:02:00"), "vm13": ("10.0.13.201/24", "52:54:00:00:02:01")}


class Lab:
    """Two nodes (``vm10``, ``vm11``) and ``monitor`` that are up, without daemons; guests boot when first asked for."""

    def __init__(self, prefix: str, images: tuple[GuestImage, NodeRoot]) -> None:
        self.prefix = prefix
        self.directory = LABS / prefix
        self.network = Network(prefix, (f"{address}/24" for address in BMC_ADDRESSES.values()))
        self._guest_image, root = images
        self._guests: dict[str, Guest] = {}
        self.vm10, self.vm11 = (
            Machine(name, self.network, interfaces, root.layers, self.directory / name, disk_gib=DISK_GIB)
            for name, interfaces in _NODES.items()
        )
        self.monitor = Machine("monitor", self.network, _MONITOR, root.layers, self.directory / "monitor")

    @property
    def machines(self) -> tuple[Machine, Machine, Machine]:
        """All machines but the guests."""
        return self.vm10, self.vm11, self.monitor

    @property
    def vm12(self) -> Guest:
        """The initiator."""
        return self._guest("vm12")

    @property
    def vm13(self) -> Guest:
        """The second initiator."""
        return self._guest("vm13")

    def make(self) -> None:
        """Make the networks and boot the machines."""
        self.network.make()
        for machine in self.machines:
            machine.start()

    def remove(self) -> None:
        """End everything; nothing of the lab is left."""
        with contextlib.ExitStack() as all_of_it:  # each step runs even if another fails
            all_of_it.callback(_note(self.prefix).unlink)
            all_of_it.callback(shutil.rmtree, self.directory)
            all_of_it.callback(self.network.remove)
            for machine in self.machines:
                all_of_it.callback(machine.dispose)
            for guest in self._guests.values():
                all_of_it.callback(guest.stop)

    def _guest(self, name: str) -> Guest:
        guest = self._guests.get(name)
        if guest is None:
            address, mac = _GUESTS[name]
            guest = Guest(name, self.network, address, mac, self._guest_image, self.directory / name)
            self._guests[name] = guest
            guest.start()
        return guest


def build_images() -> tuple[GuestImage, NodeRoot]:
    """Return what guests and machines boot from; build what is missing."""
    with ThreadPoolExecutor(2) as both:
        guest, node = both.submit(guest_image), both.submit(node_root, our_packages())
        return guest.result(), node.result()


@contextmanager
def running_lab(images: tuple[GuestImage, NodeRoot]) -> Iterator[Lab]:
    """Make a lab and remove it at the end, whatever happens."""
    remove_leftovers()
    prefix = _claim_prefix()
    lab = Lab(prefix, images)
    try:
        lab.make()
        yield lab
    finally:
        lab.remove()


def remove_leftovers() -> None:
    """Remove labs whose test process is gone."""
    for note in LABS.glob("*.owner"):
        try:
            owner = json.loads(note.read_text("ascii"))
        except FileNotFoundError:
            continue  # its own process has just removed it
        if start_time(owner["pid"]) == owner["start"]:
            continue
        prefix = note.name.removesuffix(".owner")
        for namespace in NAMESPACES.glob(f"{prefix}*"):
            remove_namespace(namespace.name)
        detach_all_under(LABS / prefix)
        shutil.rmtree(LABS / prefix, ignore_errors=True)
        note.unlink()


def _claim_prefix() -> str:
    """Note a prefix as this process's own and make the lab's directory of that name."""
    LABS.mkdir(mode=0o700, exist_ok=True)
    owner = LABS / f"claim-{os.getpid()}"
    owner.write_text(json.dumps({"pid": os.getpid(), "start": start_time(os.getpid())}), "ascii")
    try:
        for number in range(100):
            prefix = f"e2e{number}-"
            with contextlib.suppress(FileExistsError):
                _note(prefix).hardlink_to(owner)  # whole at once, and only if there is none
                shutil.rmtree(LABS / prefix, ignore_errors=True)
                (LABS / prefix).mkdir()
                return prefix
    finally:
        owner.unlink()
    message = f"{LABS} holds a hundred labs"
    raise RuntimeError(message)


def _note(prefix: str) -> Path:
    return LABS / f"{prefix}.owner"
