"""What the initiator sees and does: its paths, by the portal they lead to, and data whose checksum is known beforehand."""

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from e2e.lab.channel import GuestJob
from e2e.lab.command import eventually
from e2e.lab.guest import Guest

DEVICE = "/dev/mapper/mpatha"  # the guest's only map
PORTALS = {"10.0.13.100": "vm10", "10.0.13.101": "vm11"}
_MULTIPATH_CONF = Path(__file__).parent.parent / "image/files/multipath.conf"
_GROUP = re.compile(r"policy='.*' prio=(-?\d+) status=(\w+)")
_PATH = re.compile(r"\d+:\d+:\d+:\d+\s+(sd[a-z]+)\s+\d+:\d+\s+(.*\S)")
_PORTAL_OF_EACH_DISK = """
for disk in /sys/block/sd*; do
    session=$(readlink -f $disk); session=${session##*/session}; session=${session%%/*}
    echo ${disk##*/} $(cat /sys/class/iscsi_connection/connection$session:0/persistent_address)
done
"""
_PIECE_BYTES = 4 << 20
PACE_S = 0.3


@dataclass(frozen=True)
class MultipathPath:
    """A line of ``multipath -ll``, and the group it is in."""

    disk: str  # sda
    state: str  # "active ready running"
    group_priority: int
    group_status: str  # active: I/O goes here; enabled: it could


def settings_that_queue() -> str:
    """Return the guest's multipath settings, changed so that I/O waits for ever when no path is left."""
    settings = _MULTIPATH_CONF.read_text("utf-8")
    assert "no_path_retry 30" in settings
    return settings.replace("no_path_retry 30", "no_path_retry queue")


def log_in(guest: Guest) -> None:
    """Log in through both portals."""
    for portal in PORTALS:
        guest.run(f"iscsiadm -m discovery -t st -p {portal}")
        guest.run(f"iscsiadm -m node -p {portal} -l")


def disks(guest: Guest) -> dict[str, str]:
    """Return the disk (sda) that leads to each node, by the node's name."""
    lines = guest.run(_PORTAL_OF_EACH_DISK).output.splitlines()
    return {PORTALS[portal]: disk for disk, portal in (line.split() for line in lines)}


def paths(guest: Guest) -> dict[str, MultipathPath]:
    """Return the paths of the guest's only map, by the name of the node that they lead to."""
    nodes = {disk: node for node, disk in disks(guest).items()}
    found = {}
    priority, status = 0, ""
    for line in guest.run("multipath -ll", timeout_s=30).output.splitlines():
        if group := _GROUP.search(line):
            priority, status = int(group[1]), group[2]
        elif path := _PATH.search(line):
            found[nodes[path[1]]] = MultipathPath(path[1], path[2], priority, status)
    return found


def wait_for_paths(
    guest: Guest, truth: Callable[[dict[str, MultipathPath]], bool], what: str, *, within_s: float = 60
) -> None:
    """Wait until both paths are there and it is true of them."""

    def seen() -> bool:
        found = paths(guest)
        return len(found) == len(PORTALS) and truth(found)

    eventually(seen, f"{what}; {guest.name} sees {paths(guest)}", within_s=within_s, every_s=1)


def all_ready(found: dict[str, MultipathPath]) -> bool:
    """Say whether every path can be used."""
    return all(path.state == "active ready running" for path in found.values())


def sectors_written(guest: Guest) -> dict[str, int]:
    """Return how many sectors each path was given to write since it is there, by the name of the node that it leads to."""
    return {
        node: int(guest.run(f"cat /sys/block/{disk}/stat").output.split()[6]) for node, disk in disks(guest).items()
    }


class Stream:
    """Data without end in sight: one random piece over and over, numbered, so that no two places hold the same."""

    def __init__(self, guest: Guest, pieces: int) -> None:
        self._guest = guest
        self._pieces = pieces
        piece = random.Random(pieces).randbytes(_PIECE_BYTES)
        whole = hashlib.sha256()
        for number in range(1, pieces + 1):
            whole.update(f"piece {number}\n".encode() + piece)
        self.sha256 = whole.hexdigest()
        guest.put("/tmp/piece", piece)  # noqa: S108 - in the guest

    def write(self, file: str) -> GuestJob:
        """Start dd, which writes the data to a file of the guest, each block for itself (``oflag=direct``).

        It takes ``PACE_S`` for each piece at least, so that there is time to break something on a fast machine, too.
        """
        produce = f"for number in $(seq {self._pieces}); do echo piece $number; cat /tmp/piece; sleep {PACE_S}; done"
        return self._guest.spawn(f"{{ {produce}; }} | dd of={file} bs=1M iflag=fullblock oflag=direct conv=fsync")


def sha256(guest: Guest, file: str) -> str:
    """Return the checksum of a file as it is on the disk."""
    guest.run("sync; echo 3 > /proc/sys/vm/drop_caches")
    return guest.run(f"sha256sum {file}", timeout_s=180).output.split()[0]


def sha256_through_each_path(guest: Guest, mount_point: str, file: str) -> dict[str, str]:
    """Unmount the multipath device and return a file's checksum as read through each path alone, by the node's name.

    The map is gone afterwards.
    """
    guest.run(f"umount {mount_point}", timeout_s=120)
    guest.run(f"multipath -f {DEVICE}")
    sums = {}
    for node, disk in disks(guest).items():
        guest.run(f"blockdev --flushbufs /dev/{disk} && mount -t ext4 -o ro,noload /dev/{disk} {mount_point}")
        sums[node] = sha256(guest, f"{mount_point}/{file}")
        guest.run(f"umount {mount_point}")
    return sums
