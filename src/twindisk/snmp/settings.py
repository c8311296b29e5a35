"""The ``Trap…`` keys of quadstor.conf: where notifications go, and how they are signed and encrypted.

Rules:

1. ``TrapAddr`` may be repeated and hold several destinations with commas between. Names are not resolved here.
2. Passphrases lie in files of their own, readable by their owner alone, never in quadstor.conf.
3. The keys of version 3 are read only when ``TrapVersion`` is 3.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from twindisk.config_file import ConfigFile, is_port, read_private, split_port
from twindisk.errors import ConfigError, ConfigProblem
from twindisk.snmp.usm import PASSPHRASE_BYTES_MIN, Auth, Priv, fits

TRAP_PORT: Final = 162
DEFAULT_COMMUNITY: Final = "public"
TRAP_KEYS: Final = frozenset(
    {
        "TrapAddr",
        "TrapVersion",
        "TrapCommunity",
        "TrapUser",
        "TrapAuth",
        "TrapAuthFile",
        "TrapPriv",
        "TrapPrivFile",
        "TrapEngineID",
    }
)

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_ENGINE_ID = re.compile(r"(0x)?(?P<digits>([0-9A-Fa-f]{2}){5,32})")
_USER_BYTES_MAX: Final = 32

E = TypeVar("E", bound=StrEnum)


class Version(StrEnum):
    """Versions of SNMP; the values are ``TrapVersion``'s."""

    V2C = "2c"
    V3 = "3"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where notifications go: a name or an IP address, and a UDP port."""

    host: str
    port: int = TRAP_PORT

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The user of version 3. ``auth`` None: nothing is signed; ``priv`` None: nothing is encrypted."""

    name: str
    auth: Auth | None = None
    auth_passphrase: bytes = field(default=b"", repr=False)
    priv: Priv | None = None
    priv_passphrase: bytes = field(default=b"", repr=False)
    engine_id: bytes | None = None
    """None: made from the node's own id."""


@dataclass(frozen=True, slots=True)
class TrapSettings:
    """Everything about notifications. ``user`` None: version 2c with ``community``."""

    destinations: tuple[Destination, ...] = ()
    community: str = field(default=DEFAULT_COMMUNITY, repr=False)
    user: User | None = None

    @property
    def version(self) -> Version:
        """The version of SNMP."""
        return Version.V2C if self.user is None else Version.V3

    @property
    def security(self) -> str:
        """What protects a notification, in net-snmp's words: ``community``, ``noAuthNoPriv``, ``authNoPriv``, ``authPriv``."""
        if self.user is None:
            return "community"
        if self.user.auth is None:
            return "noAuthNoPriv"
        return "authNoPriv" if self.user.priv is None else "authPriv"


def read_traps(file: ConfigFile) -> TrapSettings:
    """Read the keys. Raises ConfigError."""
    destinations = tuple(dict.fromkeys(_destination(file, line, text) for line, text in file.listed("TrapAddr")))
    version = _choice(file, "TrapVersion", Version) or Version.V2C
    return TrapSettings(
        destinations, file.text("TrapCommunity") or DEFAULT_COMMUNITY, _user(file) if version is Version.V3 else None
    )


def _destination(file: ConfigFile, line: int, text: str) -> Destination:
    host, port = split_port(text, TRAP_PORT)
    if not is_port(port, low=1):
        raise file.error(ConfigProblem.BAD_NUMBER, line, "TrapAddr", text)
    try:
        return Destination(str(ipaddress.ip_address(host)), int(port))
    except ValueError:
        # What has only digits and dots is an address with a slip in it, no name.
        if not _NAME.fullmatch(host) or host.replace(".", "").isdigit():
            raise file.error(ConfigProblem.BAD_HOST, line, "TrapAddr", text) from None
        return Destination(host, int(port))


def _choice(file: ConfigFile, key: str, kind: type[E]) -> E | None:
    found = file.last(key)
    if found is None or not found[1]:
        return None
    chosen = {member.value.upper(): member for member in kind}.get(found[1].upper())
    if chosen is None:
        raise _none_of(file, key, *found, ", ".join(kind))
    return chosen


def _none_of(file: ConfigFile, key: str, line: int, value: str, choices: str) -> ConfigError:
    return ConfigError(ConfigProblem.BAD_CHOICE, file=str(file.path), line=line, key=key, value=value, choices=choices)


def _user(file: ConfigFile) -> User:
    name, auth, priv = file.text("TrapUser"), _choice(file, "TrapAuth", Auth), _choice(file, "TrapPriv", Priv)
    if name is None:
        raise _needs(file, "TrapVersion", Version.V3, "TrapUser")
    if len(name.encode()) > _USER_BYTES_MAX:
        raise _none_of(file, "TrapUser", (file.last("TrapUser") or (0, ""))[0], name, "the names of 1 to 32 bytes")
    if priv is not None and auth is None:
        raise _needs(file, "TrapPriv", priv, "TrapAuth")
    if priv is not None and auth is not None and not fits(auth, priv):
        raise ConfigError(
            ConfigProblem.SHORT_HASH, file=str(file.path), key="TrapPriv", value=priv.value, auth=auth.value
        )
    return User(
        name=name,
        auth=auth,
        auth_passphrase=b"" if auth is None else _passphrase(file, "TrapAuthFile", "trap-auth"),
        priv=priv,
        priv_passphrase=b"" if priv is None else _passphrase(file, "TrapPrivFile", "trap-priv"),
        engine_id=_engine_id(file),
    )


def _needs(file: ConfigFile, key: str, value: str, needs: str) -> ConfigError:
    return ConfigError(ConfigProblem.NEEDS_KEY, file=str(file.path), key=key, value=value, needs=needs)


def _passphrase(file: ConfigFile, key: str, default: str) -> bytes:
    path = file.path.parent / (file.text(key) or default)
    passphrase = read_private(path)
    if passphrase is None or len(passphrase) < PASSPHRASE_BYTES_MIN:
        raise ConfigError(ConfigProblem.SHORT_PASSPHRASE, file=str(path), key=key, least=PASSPHRASE_BYTES_MIN)
    return passphrase


def _engine_id(file: ConfigFile) -> bytes | None:
    found = file.last("TrapEngineID")
    if found is None or not found[1]:
        return None
    match = _ENGINE_ID.fullmatch(found[1])
    if match is None or set(match["digits"].lower()) in ({"0"}, {"f"}):
        raise file.error(ConfigProblem.BAD_ENGINE_ID, found[0], "TrapEngineID", found[1])
    return bytes.fromhex(match["digits"])
