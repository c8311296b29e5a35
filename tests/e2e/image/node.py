"""The root file system of a node: a clean Debian, and over it a layer with our packages.

The two are separate layers of the machines' overlay, so that a new package of ours takes a second and no new Debian.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from e2e.image import debian
from e2e.image.cache import digest, piece

PACKAGES = (
    "ca-certificates", "e2fsprogs", "fence-agents", "init-system-helpers", "iproute2", "iputils-ping", "kmod", "openssl", "procps",
    "python3", "snmp", "snmptrapd", "util-linux", "xfsprogs",
)  # fmt: skip
DIST = Path(__file__).parents[3] / "dist"


@dataclass(frozen=True)
class NodeRoot:
    """The layers of a machine's root, uppermost first."""

    layers: tuple[Path, ...]


def our_packages() -> tuple[Path, ...]:
    """Return the packages that ``make deb`` built, the newest of each name."""
    newest: dict[str, Path] = {}
    for path in sorted(DIST.glob("*.deb"), key=lambda path: path.stat().st_mtime):
        newest[path.name.partition("_")[0]] = path
    return tuple(newest[name] for name in sorted(newest))


def node_root(packages: tuple[Path, ...]) -> NodeRoot:
    """Return a node's root with these package files installed; build what is missing of it."""
    base_key = digest(debian.suite(), *PACKAGES)
    base = piece("node-base", base_key, lambda into: debian.make_root(into, PACKAGES, variant="minbase"))
    if not packages:
        return NodeRoot((base,))
    layer = piece("node", digest(base_key, *packages), lambda into: _install(base, packages, into))
    return NodeRoot((layer / "layer", base))


# In a mount namespace of its own, which takes every mount with it when it ends.
_INSTALL = """
set -eu
base=$1 into=$2; shift 2
mount --make-rprivate /
mkdir "$into/layer" "$into/work" "$into/merged"
mount -t overlay overlay -o "lowerdir=$base,upperdir=$into/layer,workdir=$into/work" "$into/merged"
mount -t proc proc "$into/merged/proc"
mount --rbind /dev "$into/merged/dev"
mkdir "$into/merged/tmp/packages"
cp "$@" "$into/merged/tmp/packages"
chroot "$into/merged" sh -c 'DEBIAN_FRONTEND=noninteractive dpkg -i /tmp/packages/*.deb' >&2
rm -rf "$into/merged/tmp/packages"
"""


def _install(base: Path, packages: tuple[Path, ...], into: Path) -> None:
    command = ["unshare", "--mount", "sh", "-c", _INSTALL, "install", *map(str, (base, into, *packages))]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode != 0:
        names = ", ".join(path.name for path in packages)
        message = (
            f"dpkg could not install {names} on a clean Debian with {', '.join(PACKAGES)}:\n{ran.stdout}{ran.stderr}"
        )
        raise RuntimeError(message)
