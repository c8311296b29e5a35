"""Where the nodes of a demo live: addresses, ports and directories. Pure, but for :func:`write_configuration`."""

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_PORT: Final = 3260
_DEFAULT_CONTROL_PORT: Final = 9953
_DEFAULT_DATA_PORT: Final = 9955
_HIGHEST_PORT: Final = 65535
_NODES: Final = (("vm10", 10), ("vm11", 11))


@dataclass(frozen=True, slots=True)
class NodePlace:
    """One node: its name, the addresses it listens on and the directory that holds everything it has."""

    name: str
    portal_address: str
    portal_port: int
    mirror_address: str
    control_port: int
    data_port: int
    root: Path

    @property
    def portal(self) -> str:
        """The portal as ``host:port``."""
        return f"{self.portal_address}:{self.portal_port}"

    @property
    def etc(self) -> Path:
        """The configuration directory (``TWINDISK_ETC``)."""
        return self.root / "etc"

    @property
    def state_dir(self) -> Path:
        """The state directory: database, pid file, control socket."""
        return self.root / "var"

    @property
    def socket_path(self) -> Path:
        """The daemon's control socket."""
        return self.state_dir / "control.sock"

    @property
    def disk(self) -> Path:
        """The directory that is the node's only disk."""
        return self.root / "disk"

    @property
    def output(self) -> Path:
        """The file that takes what the daemon prints."""
        return self.root / "twindiskd.log"

    def copy_directory(self, vdisk: str) -> Path:
        """Return the directory of this node's copy of a VDisk."""
        return self.disk / "vdisks" / vdisk

    def url(self, iqn: str) -> str:
        """Return the URL of a VDisk's LUN at this node."""
        return f"iscsi://{self.portal}/{iqn}/0"


def places(root: Path, port: int = DEFAULT_PORT, network: str = "127.0") -> tuple[NodePlace, NodePlace]:
    """Place the pair below ``root``; ``network``: the first two numbers of their loopback addresses.

    Several pairs run beside each other with different ports: the mirror takes the two after the portal's. Raises
    ValueError for a port that leaves no room for those.
    """
    if not 0 < port <= _HIGHEST_PORT - 2:
        message = f"not a port that leaves room for the two after it: {port}"
        raise ValueError(message)
    default = port == DEFAULT_PORT
    first, second = (
        NodePlace(
            name=name,
            portal_address=f"{network}.0.{number}",
            portal_port=port,
            mirror_address=f"{network}.1.{number}",
            control_port=_DEFAULT_CONTROL_PORT if default else port + 1,
            data_port=_DEFAULT_DATA_PORT if default else port + 2,
            root=root / name,
        )
        for name, number in _NODES
    )
    return first, second


def write_configuration(pair: tuple[NodePlace, NodePlace]) -> None:
    """Make the nodes' directories and configuration files, with a new shared secret."""
    secret = secrets.token_hex(32)
    for place in pair:
        for directory in (place.etc, place.state_dir, place.disk):
            directory.mkdir(parents=True)
        (place.etc / "ndrecv.conf").write_text(
            f"RecvAddr={place.mirror_address}\nControlPort={place.control_port}\nDataPort={place.data_port}\n"
        )
        (place.etc / "quadstor.conf").write_text(
            f"NodeName={place.name}\nPortal={place.portal}\nStateDir={place.state_dir.resolve()}\n"
        )
        key = place.etc / "secret"
        key.touch(mode=0o600)
        key.write_text(secret + "\n")
