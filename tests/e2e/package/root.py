"""Clean Debian roots for the packages, as overlays that vanish with their test.

Rules
- What Debian gives is a cached piece (see e2e.image.cache): a root with systemd and man, but nothing that our package depends
  on. apt's lists and the package files of those dependencies lie in it, so that apt resolves and installs them without a network.
- Every test has an overlay of its own over that piece; it is mounted in the test's directory and unmounted at the end.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e.image import debian
from e2e.image.cache import digest, piece

BASE = ("ca-certificates", "dbus", "man-db", "mandoc", "procps", "systemd", "systemd-sysv", "udev")
AT_HAND = ("python3", "xfsprogs", "mount", "fence-agents", "open-iscsi", "multipath-tools")
"""Packages whose files, and those of all that they depend on, are kept for apt in the root."""

_FETCH = (
    'chroot "$1" env DEBIAN_FRONTEND=noninteractive '
    f"apt-get install --yes --download-only --no-install-recommends {' '.join(AT_HAND)}"
)


def clean_root() -> Path:
    """Return a clean Debian root, built unless it is in the cache. Not to be changed."""
    key = digest(debian.suite(), *BASE, "at hand", *AT_HAND)
    return piece("package-base", key, _make)


def root_with_agents(clean: Path) -> Path:
    """Return a layer over the clean root in which Debian's fence agents are installed, and what it takes to be an initiator."""
    key = digest(clean.name, "agents")
    return piece("package-agents", key, lambda into: _add_agents(clean, into)) / "layer"


@contextmanager
def overlay(place: Path, *layers: Path) -> Iterator[Path]:
    """Mount an overlay of the layers (uppermost first) that can be written to; unmount it at the end."""
    upper, work, merged = place / "upper", place / "work", place / "merged"
    for folder in (upper, work, merged):
        folder.mkdir(parents=True)
    below = ":".join(map(str, layers))
    options = f"lowerdir={below},upperdir={upper},workdir={work}"
    _run("mount", "-t", "overlay", "overlay", "-o", options, str(merged))
    try:
        # dpkg need not see to it that a root that vanishes survives a power cut.
        (merged / "etc" / "dpkg" / "dpkg.cfg.d" / "quick").write_text("force-unsafe-io\n")
        yield merged
    finally:
        _run("umount", "--recursive", str(merged))


def run_in(root: Path, command: str, *, check: bool = True, limit_s: float = 300) -> subprocess.CompletedProcess[str]:
    """Run a shell command in a root, in namespaces of its own: no network but loopback, no process left behind."""
    prepared = (
        'mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; mount --make-rslave "$0/dev"; '
        'ip link set lo up; exec chroot "$0" sh -c "$1"'
    )
    argv = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net", "--uts", "sh", "-c", prepared, str(root)]
    done = subprocess.run(
        [*argv, f"export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8; {command}"],
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    if check:
        assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done


def _make(into: Path) -> None:
    options = ["--variant=minbase", "--mode=root", "--format=directory", '--aptopt=Acquire::Check-Valid-Until "false"']
    options += ["--skip=cleanup/apt", f"--include={','.join(BASE)}", f"--customize-hook={_FETCH}"]
    sources = [line for line in debian.sources().splitlines() if line]
    debian.output("mmdebstrap", *options, debian.suite(), str(into), *sources)


def _add_agents(clean: Path, into: Path) -> None:
    with overlay(into, clean) as root:
        packages = "fence-agents open-iscsi multipath-tools"
        run_in(root, f"apt-get install --yes --no-download --no-install-recommends {packages} xfsprogs")
    (into / "upper").rename(into / "layer")


def _run(*command: str) -> None:
    subprocess.run(command, capture_output=True, timeout=60, check=True)
