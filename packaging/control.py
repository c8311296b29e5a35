"""What the packages say about themselves: control fields, what they need, and the change log in Debian's form."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import textwrap
import tomllib
from email.utils import formatdate
from pathlib import Path

from environment import native_modules, system_python
from tree import Tree

ROOT = Path(__file__).resolve().parent.parent
MAIN_NAME = "twindisk"
MAINTAINER = "Twindisk maintainers <twindisk@twindisk.invalid>"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_LONG = """\
mirrored iSCSI disk that survives the loss of a server
 Twindisk keeps one disk on two servers. Each server holds a full copy of a
 VDisk and offers it over iSCSI; an initiator sees two paths to one disk and
 may read and write through both at once. When a server is lost, the other
 fences it and carries on with every acknowledged write; when it returns, only
 what changed is copied.
 .
 This package holds the daemon twindiskd, the command twindisk and the commands
 ndconfig, qsync, qmirrorcheck, spconfig, bdconfig and vdconfig, with a Python
 environment of their own in /usr/lib/twindisk."""
_LONG_PATHS = """\
Twindisk's commands and files at the paths under /quadstor
 Links /quadstor/bin/qsync and its like to Twindisk's commands, and
 /quadstor/etc to /etc/twindisk, for scripts and habits that know these paths."""


def version() -> str:
    """Return the project's version."""
    return str(tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"])


def architecture() -> str:
    """Return Debian's name of this machine's architecture."""
    return subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()


def machine() -> str:
    """Return this machine's processor as wheels call it."""
    name = architecture()
    return _MACHINES.get(name, name)


def main_package(tree: Tree) -> dict[str, str]:
    """Return the fields of the package with the daemon."""
    major, minor = system_python()
    needs = [
        f"python3 (>= {major}.{minor}~)",
        f"python3 (<< {major}.{minor + 1}~)",
        f"python{major}.{minor}",
        *_libraries(tree),
        "mount",
        "xfsprogs",
    ]
    return {
        **_fields(MAIN_NAME, architecture()),
        "Depends": ", ".join(needs),
        "Recommends": "fence-agents",
        "Suggests": "libiscsi7, snmp, snmptrapd",
        "Description": _LONG,
    }


def paths_package() -> dict[str, str]:
    """Return the fields of the package with the described product's paths."""
    return {
        **_fields("twindisk-quadstor-paths", "all"),
        "Depends": f"twindisk (>= {version()})",
        "Description": _LONG_PATHS,
    }


def _fields(name: str, for_architecture: str) -> dict[str, str]:
    return {
        "Package": name,
        "Source": MAIN_NAME,
        "Version": version(),
        "Architecture": for_architecture,
        "Maintainer": MAINTAINER,
        "Section": "admin",
        "Priority": "optional",
    }


def _libraries(tree: Tree) -> list[str]:
    """Return the packages that the native modules' shared libraries are in, as dpkg-shlibdeps finds them."""
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "debian").mkdir()
        (Path(place) / "debian" / "control").write_text(
            f"Source: {MAIN_NAME}\n\nPackage: {MAIN_NAME}\nArchitecture: any\n"
        )
        told = subprocess.run(
            ["dpkg-shlibdeps", "--warnings=0", "-O", *(f"-e{module}" for module in native_modules(tree))],
            cwd=place,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    return [name.strip() for name in told.removeprefix("shlibs:Depends=").split(",") if name.strip()]


def changelog(changes: Path, epoch_s: int) -> str:
    """Return CHANGELOG.md in the form of a Debian change log."""
    entries = []
    for section in re.split(r"^## ", changes.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        number = section.split(maxsplit=1)[0]
        points = re.findall(r"^- (.*(?:\n {2}.*)*)", section, re.MULTILINE)
        lines = "".join(f"{_point(point)}\n" for point in points)
        stamp = formatdate(epoch_s)
        entries.append(f"{MAIN_NAME} ({number}) unstable; urgency=medium\n\n{lines}\n -- {MAINTAINER}  {stamp}\n")
    return "\n".join(entries)


def _point(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 78, initial_indent="  * ", subsequent_indent="    ")


def crates() -> list[tuple[str, str, str]]:
    """Return name, version and licence of every Rust crate of others that the native core is built with."""
    told = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--locked"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    packages = json.loads(told.stdout)["packages"]
    return sorted(
        (package["name"], package["version"], package["license"] or "see its source")
        for package in packages
        if package["source"] is not None
    )
