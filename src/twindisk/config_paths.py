"""Further paths to peers, as ``MirrorPath`` in ndrecv.conf lists them.

Rules:

* A line is ``PEER OWN THEIRS``: the peer's RecvAddr, this node's address of the path, the peer's address of the path. The main path,
  RecvAddr to PEER, is always there and never listed.
* One address stands for one thing: this node's RecvAddr, a peer's, an own address of paths, or a peer's address of paths. An own
  address may be that of several paths, also to different peers; a pair of addresses is one path.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass

from twindisk.config_file import ConfigFile
from twindisk.errors import ConfigProblem

KEY = "MirrorPath"
FURTHER_PATHS_MAX = 3
_WORDS = 3

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class MirrorPath:
    """A further path: from this node's address ``own`` to the address ``theirs`` of the peer whose RecvAddr is ``peer``."""

    peer: str
    own: str
    theirs: str


def read_paths(file: ConfigFile, recv_address: str | None) -> tuple[MirrorPath, ...]:
    """Return the further paths of a file, in its order.

    Raises ConfigError(BAD_PATH, PATH_ADDRESS, PATH_FAMILIES, PATH_ADDRESS_TWICE, PATH_TWICE, TOO_MANY_PATHS).
    """
    stands_for = {} if recv_address is None else {recv_address: "RecvAddr"}
    found: list[MirrorPath] = []
    lengths: Counter[str] = Counter()
    for line, text in file.listed(KEY):
        path = _path(file, line, text)
        for address, thing in ((path.peer, "peer"), (path.own, "own"), (path.theirs, f"of {path.peer}")):
            if stands_for.setdefault(address, thing) != thing:
                raise file.error(ConfigProblem.PATH_ADDRESS_TWICE, line, KEY, text, address=address)
        if path in found:
            raise file.error(ConfigProblem.PATH_TWICE, line, KEY, text)
        lengths[path.peer] += 1
        if lengths[path.peer] > FURTHER_PATHS_MAX:
            raise file.error(ConfigProblem.TOO_MANY_PATHS, line, KEY, text, peer=path.peer, most=FURTHER_PATHS_MAX)
        found.append(path)
    return tuple(found)


def _path(file: ConfigFile, line: int, text: str) -> MirrorPath:
    """Parse ``PEER OWN THEIRS``."""
    words = text.split()
    try:
        addresses = [ipaddress.ip_address(word) for word in words]
    except ValueError:
        raise file.error(ConfigProblem.BAD_PATH, line, KEY, text) from None
    if len(addresses) != _WORDS:
        raise file.error(ConfigProblem.BAD_PATH, line, KEY, text)
    for address in addresses:
        if not _is_of_one_host(address):
            raise file.error(ConfigProblem.PATH_ADDRESS, line, KEY, text, address=str(address))
    peer, own, theirs = addresses
    if own.version != theirs.version:
        raise file.error(ConfigProblem.PATH_FAMILIES, line, KEY, text)
    return MirrorPath(str(peer), str(own), str(theirs))


def _is_of_one_host(address: _Address) -> bool:
    """Return whether an address names one host by itself: no group, no wildcard, no link-local one that needs an interface's name.

    An IPv4 address in IPv6 clothes is refused too: it would be the same address under another name.
    """
    if address.is_unspecified or address.is_multicast:
        return False
    return isinstance(address, ipaddress.IPv4Address) or not (address.is_link_local or address.ipv4_mapped)
