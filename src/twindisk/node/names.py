"""What names, serials and addresses may look like; every one that enters the node passes here.

The limits come from where the names go: file names, iSCSI names (RFC 7143 §4.2.7.2: at most 223 bytes) and the 32 hex
digits of a NAA 6h identifier (SPC-4 §7.8.6.6).
"""

from __future__ import annotations

import ipaddress
import re
import secrets

from twindisk.errors import InvalidError, InvalidProblem

IQN_PREFIX = "iqn.2006-06.com.quadstor.vdisk."
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9_-])?")
_SERIAL = re.compile(r"6e[0-9a-f]{30}")
_IQN = re.compile(
    r"iqn\.[0-9]{4}-(?:0[1-9]|1[0-2])\.[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[\x21-\x7e]+)?|iqn\.2006-06\.com\.quadstor\.[A-Za-z0-9._-]+"
)
_IQN_BYTES_MAX = 223


def check_name(name: str, noun: str) -> str:
    """Return a pool's or VDisk's name. Raises InvalidError(NAME)."""
    if _NAME.fullmatch(name) is None:
        raise InvalidError(InvalidProblem.NAME, value=name, noun=noun)
    return name


def check_serial(serial: str) -> str:
    """Return a serial in lower case. Raises InvalidError(SERIAL)."""
    if _SERIAL.fullmatch(serial.lower()) is None:
        raise InvalidError(InvalidProblem.SERIAL, value=serial)
    return serial.lower()


def check_iqn(iqn: str) -> str:
    """Return an iSCSI name. Raises InvalidError(IQN)."""
    if len(iqn.encode()) > _IQN_BYTES_MAX or _IQN.fullmatch(iqn) is None:
        raise InvalidError(InvalidProblem.IQN, value=iqn)
    return iqn


def check_address(address: str) -> str:
    """Return an IP address in its usual spelling. Raises InvalidError(ADDRESS)."""
    try:
        return str(ipaddress.ip_address(address.strip()))
    except ValueError:
        raise InvalidError(InvalidProblem.ADDRESS, value=address) from None


def new_serial() -> str:
    """Return a random serial."""
    return "6e" + secrets.token_hex(15)


def new_generation() -> int:
    """Return a random generation id: 64 bits, never 0 (0 means blank)."""
    return secrets.randbits(64) or 1


def dials(own: str, peer: str) -> bool:
    """Return whether this node opens the link: the numerically lower mirror address does."""
    mine, theirs = ipaddress.ip_address(own), ipaddress.ip_address(peer)
    return (mine.version, int(mine)) < (theirs.version, int(theirs))
