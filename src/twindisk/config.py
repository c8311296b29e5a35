"""A node's configuration: ``ndrecv.conf``, ``quadstor.conf`` and ``secret`` in the configuration directory.

Rules:

* The files' form is :mod:`twindisk.config_file`'s. An unknown key is a warning, never an error: files
  written for the described product must load.
* A file that is not there is an empty file. A value that makes no sense is an error and the node does not start;
  a time out of its range is a warning, and the nearest value in range counts.
* Nothing here opens a socket or writes a file.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass, field
from pathlib import Path

from twindisk.config_file import ConfigFile, ConfigWarning, is_port, read_config_file, read_private, split_port
from twindisk.config_paths import MirrorPath, read_paths
from twindisk.errors import ConfigError, ConfigProblem
from twindisk.snmp.settings import TRAP_KEYS, TrapSettings, read_traps

DEFAULT_ETC = Path("/etc/twindisk")
DEFAULT_STATE_DIR = Path("/var/lib/twindisk")
DEFAULT_POOL = "Default"
ISCSI_PORT = 3260
POOL_THRESHOLD_PERCENT = 10
MEMORY_LIMIT_MIB = 1024
CONNECTIONS_MAX = 8
SOCKET_FILE = "control.sock"


@dataclass(frozen=True, slots=True)
class Portal:
    """An address where initiators connect."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return ``host:port``, an IPv6 host in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Redirect:
    """A portal that sends initiators on to another one of this node, for the time being or for good."""

    portal: Portal
    to: Portal
    permanent: bool


@dataclass(frozen=True, slots=True)
class TimeKey:
    """A time in seconds that ndrecv.conf may set, with the range and the default of the described product."""

    low_s: int
    high_s: int
    default_s: int


TIME_KEYS = {
    "MirrorRecvTimeout": TimeKey(20, 120, 30),
    "MirrorConnectTimeout": TimeKey(5, 70, 5),
    "MirrorSendTimeout": TimeKey(20, 120, 30),
    "MirrorSyncTimeout": TimeKey(15, 90, 8),
    "MirrorSyncRecvTimeout": TimeKey(15, 90, 14),
    "MirrorSyncSendTimeout": TimeKey(15, 90, 20),
}
"""The first three bound requests to the peer's REST API. The ``Sync`` three are superseded by ``SilenceMs``."""

_LINK_KEYS = {"HeartbeatMs": (10, 10_000), "SilenceMs": (100, 120_000), "LeaseMs": (100, 120_000)}
_SYNC_KEYS = {
    "SyncMinMiB": (1, 1 << 20),
    "SyncMaxMiB": (0, 1 << 20),
    "SyncLatencyMs": (1, 60_000),
    "VerifyDays": (0, 3650),
}
_PATH_KEYS = {"MirrorPath", "MirrorConnections"}
_FENCE_KEYS = {"FenceLimitMs": (100, 600_000), "HeadStartMs": (0, 60_000), "WitnessLimitMs": (100, 60_000)}


@dataclass(frozen=True, slots=True)
class LinkTimes:
    """How the engine watches the peer."""

    heartbeat_ms: int = 200
    silence_ms: int = 2000
    lease_ms: int = 2000


@dataclass(frozen=True, slots=True)
class FenceTimes:
    """How long each fence command may take, how long a Slave waits before it fences or claims, how long a witness may take."""

    limit_ms: int = 30_000
    head_start_ms: int = 500
    witness_limit_ms: int = 2_000


@dataclass(frozen=True, slots=True)
class SyncPace:
    """How fast all resyncs and verifications of a node together may go."""

    min_mib: int = 8
    """MiB per second that they may always have."""
    max_mib: int | None = None
    """MiB per second; None: no limit."""
    latency_ms: int = 50
    """Slower while initiators' commands take longer than this on average."""


@dataclass(frozen=True, slots=True)
class PeerTimes:
    """How long one request to the peer's REST API may take."""

    connect_s: int = 5
    receive_s: int = 30
    send_s: int = 30


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything a node is told by files. ``recv_address`` None: this node does not mirror."""

    etc: Path
    state_dir: Path
    node_name: str
    portals: tuple[Portal, ...]
    redirects: tuple[Redirect, ...]
    recv_address: str | None
    control_port: int
    data_port: int
    paths: tuple[MirrorPath, ...]
    """Further paths to peers, beside the main one from ``recv_address``."""
    mirror_connections: int
    """TCP connections on each path to a peer that this node dials."""
    link: LinkTimes
    fence: FenceTimes
    peer: PeerTimes
    pace: SyncPace
    verify_days: int
    """Mirrors of which this node is Master are verified this often; 0: when an operator says so."""
    traps: TrapSettings
    pool_threshold_percent: int
    """Operators are told of a pool with less space left than this part of it; 0: they are not."""
    default_pool: str
    memory_limit_mib: int
    """How much memory all initiators together may have held for them."""
    secret: bytes | None = field(repr=False)
    """The pair's shared secret; None when the file is not there: then this node does not mirror either."""
    warnings: tuple[ConfigWarning, ...] = ()

    @property
    def socket_path(self) -> Path:
        """The UNIX socket of the REST API."""
        return self.state_dir / SOCKET_FILE

    @property
    def further_addresses(self) -> tuple[str, ...]:
        """This node's addresses of further paths."""
        return tuple(dict.fromkeys(path.own for path in self.paths))

    def paths_to(self, peer: str) -> tuple[tuple[str, str], ...]:
        """Return the further paths to a peer: this node's address and the peer's."""
        return tuple((path.own, path.theirs) for path in self.paths if path.peer == peer)


def etc_directory() -> Path:
    """Return the configuration directory: ``TWINDISK_ETC``, or /etc/twindisk."""
    return Path(os.environ.get("TWINDISK_ETC") or DEFAULT_ETC)


def load(etc: Path) -> NodeConfig:
    """Read the configuration directory. Raises ConfigError."""
    check_directory(etc)
    recv = read_config_file(etc / "ndrecv.conf")
    node = read_config_file(etc / "quadstor.conf")
    warnings = [
        *recv.unknown(
            {"RecvAddr", "ControlPort", "DataPort", *_PATH_KEYS, *TIME_KEYS, *_LINK_KEYS, *_FENCE_KEYS, *_SYNC_KEYS}
        ),
        *node.unknown(
            {"DefaultPool", "Portal", "Redirect", "StateDir", "NodeName", "PoolThreshold", "MemoryLimitMiB", *TRAP_KEYS}
        ),
    ]
    times = {key: _seconds(recv, key, times, warnings) for key, times in TIME_KEYS.items()}
    link = [
        recv.number(key, default, *_LINK_KEYS[key]) for key, default in zip(_LINK_KEYS, (200, 2000, 2000), strict=True)
    ]
    fence = [
        recv.number(key, default, *_FENCE_KEYS[key])
        for key, default in zip(_FENCE_KEYS, (30_000, 500, 2_000), strict=True)
    ]
    sync = [recv.number(key, default, *_SYNC_KEYS[key]) for key, default in zip(_SYNC_KEYS, (8, 0, 50, 0), strict=True)]
    portals = _portals(node)
    recv_address = recv.address("RecvAddr")
    return NodeConfig(
        etc=etc,
        state_dir=_state_dir(etc, node),
        node_name=node.text("NodeName") or socket.gethostname(),
        portals=portals,
        redirects=_redirects(node, portals),
        recv_address=recv_address,
        control_port=recv.number("ControlPort", 9953, 1, 65535),
        data_port=recv.number("DataPort", 9955, 1, 65535),
        paths=read_paths(recv, recv_address),
        mirror_connections=recv.number("MirrorConnections", 1, 1, CONNECTIONS_MAX),
        link=LinkTimes(*link),
        fence=FenceTimes(*fence),
        peer=PeerTimes(times["MirrorConnectTimeout"], times["MirrorRecvTimeout"], times["MirrorSendTimeout"]),
        pace=SyncPace(sync[0], sync[1] or None, sync[2]),
        verify_days=sync[3],
        traps=read_traps(node),
        pool_threshold_percent=node.number("PoolThreshold", POOL_THRESHOLD_PERCENT, 0, 99),
        memory_limit_mib=node.number("MemoryLimitMiB", MEMORY_LIMIT_MIB, 256, 1 << 20),
        default_pool=node.text("DefaultPool") or DEFAULT_POOL,
        secret=read_secret(etc / "secret"),
        warnings=tuple(warnings),
    )


def check_directory(etc: Path) -> None:
    """Raise ConfigError(NO_DIRECTORY) unless the configuration directory is there: a mistyped one is no empty one."""
    if not etc.is_dir():
        raise ConfigError(ConfigProblem.NO_DIRECTORY, file=str(etc))


def control_socket(etc: Path) -> Path:
    """Return the UNIX socket of the node with this configuration directory; reads no secret. Raises ConfigError."""
    check_directory(etc)
    return _state_dir(etc, read_config_file(etc / "quadstor.conf")) / SOCKET_FILE


def _state_dir(etc: Path, node: ConfigFile) -> Path:
    named = node.text("StateDir")
    return (etc / named).resolve() if named else default_state_dir(etc)


def default_state_dir(etc: Path) -> Path:
    """Return where the state lies when the files do not say: beside a configuration directory of one's own."""
    return DEFAULT_STATE_DIR if etc == DEFAULT_ETC else etc.resolve().parent / "var"


def read_secret(path: Path) -> bytes | None:
    """Return the pair's secret, None when there is no file.

    Raises ConfigError when the file is empty, or when others than its owner may read it.
    """
    secret = read_private(path)
    if secret == b"":
        raise ConfigError(ConfigProblem.NO_SECRET, file=str(path))
    return secret


def _seconds(file: ConfigFile, key: str, times: TimeKey, warnings: list[ConfigWarning]) -> int:
    found = file.last(key)
    if found is None:
        return times.default_s
    line, value = found
    if not (value.isascii() and value.isdigit()):
        raise file.error(ConfigProblem.BAD_NUMBER, line, key, value)
    seconds = min(max(int(value), times.low_s), times.high_s)
    if seconds != int(value):
        warnings.append(ConfigWarning(str(file.path), line, key, value, "out-of-range"))
    elif key.startswith("MirrorSync"):
        warnings.append(ConfigWarning(str(file.path), line, key, value, "superseded"))
    return seconds


def _portals(file: ConfigFile) -> tuple[Portal, ...]:
    found = [_portal(file, line, text) for line, text in file.listed("Portal")]
    return tuple(dict.fromkeys(found)) or (Portal("0.0.0.0", ISCSI_PORT),)  # noqa: S104 - every address is the default


def _redirects(file: ConfigFile, portals: tuple[Portal, ...]) -> tuple[Redirect, ...]:
    """Parse ``FROM TO [permanently]``: both portals of this node, and the second one redirects nobody, so that nobody goes in circles."""
    found = []
    for line, text in file.listed("Redirect"):
        words = text.split()
        if len(words) not in (2, 3) or words[2:] not in ([], ["permanently"]):
            raise file.error(ConfigProblem.BAD_REDIRECT, line, "Redirect", text)
        source, to = (_portal(file, line, word) for word in words[:2])
        redirect = Redirect(source, to, permanent="permanently" in words)
        named = redirect.portal in portals and redirect.to in portals
        if not named or ipaddress.ip_address(redirect.to.host).is_unspecified:
            raise file.error(ConfigProblem.BAD_REDIRECT, line, "Redirect", text)
        found.append((line, text, redirect))
    sources = [redirect.portal for _, _, redirect in found]
    for line, text, redirect in found:
        if redirect.to in sources or sources.count(redirect.portal) > 1:
            raise file.error(ConfigProblem.BAD_REDIRECT, line, "Redirect", text)
    return tuple(redirect for _, _, redirect in found)


def _portal(file: ConfigFile, line: int, text: str) -> Portal:
    """Parse ``ip``, ``ip:port`` or ``[ip6]:port``."""
    host, port = split_port(text, ISCSI_PORT)
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        raise file.error(ConfigProblem.BAD_ADDRESS, line, "Portal", text) from None
    if not is_port(port):
        raise file.error(ConfigProblem.BAD_NUMBER, line, "Portal", text)
    return Portal(address, int(port))
