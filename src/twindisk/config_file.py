"""One configuration file: ``KEY=VALUE`` lines, ``#`` comments, keys without regard to case; and files with a secret in them.

A file that is not there is an empty file. Nothing here writes.
"""

from __future__ import annotations

import ipaddress
import stat
from dataclasses import dataclass
from pathlib import Path

from twindisk.errors import ConfigError, ConfigProblem, Field

PORT_MAX = 65535


@dataclass(frozen=True, slots=True)
class ConfigWarning:
    """Something in a file that does not stop the node. ``reason``: unknown-key | out-of-range | superseded."""

    file: str
    line: int
    key: str
    value: str
    reason: str


@dataclass(slots=True)
class ConfigFile:
    """One parsed file: values by lower-case key; repeated keys keep every value, each with its line."""

    path: Path
    values: dict[str, list[tuple[int, str]]]

    def last(self, key: str) -> tuple[int, str] | None:
        """Return the last line and value of a key, None when it is not there."""
        found = self.values.get(key.lower())
        return found[-1] if found else None

    def text(self, key: str) -> str | None:
        """Return a key's last value, None when it is not there or empty."""
        found = self.last(key)
        return found[1] if found and found[1] else None

    def listed(self, key: str) -> list[tuple[int, str]]:
        """Return every value of a key that may be repeated or hold several with commas between, each with its line."""
        return [
            (line, part.strip())
            for line, value in self.values.get(key.lower(), [])
            for part in value.split(",")
            if part.strip()
        ]

    def error(self, problem: ConfigProblem, line: int, key: str, value: str, **more: Field) -> ConfigError:
        """Return the error that a value makes no sense; ``more``: what else its sentence needs."""
        return ConfigError(problem, file=str(self.path), line=line, key=key, value=value, **more)

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """Return a number in its range. Raises ConfigError(BAD_NUMBER)."""
        found = self.last(key)
        if found is None:
            return default
        line, value = found
        if not (value.isascii() and value.isdigit() and low <= int(value) <= high):
            raise self.error(ConfigProblem.BAD_NUMBER, line, key, value)
        return int(value)

    def address(self, key: str) -> str | None:
        """Return an IP address. Raises ConfigError(BAD_ADDRESS)."""
        found = self.last(key)
        if found is None or not found[1]:
            return None
        try:
            return str(ipaddress.ip_address(found[1]))
        except ValueError:
            raise self.error(ConfigProblem.BAD_ADDRESS, found[0], key, found[1]) from None

    def unknown(self, known: set[str]) -> list[ConfigWarning]:
        """Return a warning for every key that is not known."""
        lower = {key.lower() for key in known}
        return [
            ConfigWarning(str(self.path), line, key, value, "unknown-key")
            for key, entries in self.values.items()
            if key not in lower
            for line, value in entries
        ]


def read_config_file(path: Path) -> ConfigFile:
    """Read a file. Raises ConfigError(UNREADABLE, NOT_KEY_VALUE)."""
    file = ConfigFile(path, {})
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return file
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(ConfigProblem.UNREADABLE, file=str(path), value=str(error)) from error
    for line, raw in enumerate(text.splitlines(), start=1):
        content = raw.split("#", 1)[0].strip()
        if not content:
            continue
        key, equals, value = content.partition("=")
        if not equals or not key.strip():
            raise file.error(ConfigProblem.NOT_KEY_VALUE, line, key.strip(), content)
        file.values.setdefault(key.strip().lower(), []).append((line, value.strip()))
    return file


def read_private(path: Path) -> bytes | None:
    """Return what a file that holds a secret says, without white space around it; None when there is no file.

    Raises ConfigError when others than its owner may read it.
    """
    try:
        mode = path.stat().st_mode
        secret = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(ConfigProblem.UNREADABLE, file=str(path), value=error.strerror) from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(ConfigProblem.SECRET_EXPOSED, file=str(path))
    return secret


def split_port(text: str, default: int) -> tuple[str, str]:
    """Split ``host``, ``host:port``, ``[ip6]:port`` or ``ip6`` into host and port; the port may be no number."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":") or str(default)
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, str(default)


def is_port(text: str, low: int = 0) -> bool:
    """Return whether a text is a port."""
    return text.isascii() and text.isdigit() and low <= int(text) <= PORT_MAX
