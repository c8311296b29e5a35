"""Debian's packages, from where this machine's apt is configured to take them. Nothing is installed on this machine."""

import subprocess
from pathlib import Path

_TIMEOUT_S = 900
_APT_OPTIONS = (
    'Acquire::Check-Valid-Until "false"',  # snapshots of the archive are valid for a test
    'APT::Install-Recommends "false"',
)
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def output(*command: str, cwd: Path | None = None) -> str:
    """Run a command and return what it prints; a failure shows its last words."""
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if ran.returncode != 0:
        last_words = "\n".join((ran.stdout + ran.stderr).splitlines()[-30:])
        message = f"{' '.join(command)}: exit status {ran.returncode}\n{last_words}"
        raise RuntimeError(message)
    return ran.stdout


def suite() -> str:
    """Return the code name of this machine's Debian release."""
    fields = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text("utf-8").splitlines() if "=" in line)
    return fields["VERSION_CODENAME"].strip('"')


def sources() -> str:
    """Return the lines ``deb URI SUITE COMPONENT`` of Debian's own archives that apt is configured with."""
    shown = output(
        "apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)", "Created-By: Packages"
    )
    lines = []
    for target in shown.splitlines():
        origin, uri, release, component = target.split("|")
        if origin == "Debian":
            lines.append(f"deb {uri} {release} {component}")
    if not lines:
        message = "apt knows no Debian archive here; is /etc/apt/sources.list in place, and did apt-get update run?"
        raise RuntimeError(message)
    return "\n".join(dict.fromkeys(lines)) + "\n"


def kernel_package() -> str:
    """Return the package that Debian's generic kernel is in at present."""
    for line in output("apt-cache", "depends", "linux-image-amd64").splitlines():
        kind, _, name = line.strip().partition(": ")
        if kind == "Depends" and name.startswith("linux-image-"):
            return name
    message = "apt offers no linux-image-amd64; did apt-get update run?"
    raise RuntimeError(message)


def unpack(package: str, into: Path) -> None:
    """Download a package and unpack its files."""
    output("apt-get", "-o", "APT::Sandbox::User=root", "download", package, cwd=into)
    (archive,) = into.glob(f"{package}_*.deb")
    output("dpkg", "-x", archive.name, ".", cwd=into)
    archive.unlink()


def make_root(into: Path, packages: tuple[str, ...], *, variant: str) -> None:
    """Make a root file system with these packages (``variant`` as mmdebstrap means it) that remembers no archive."""
    options = [f"--aptopt={option}" for option in _APT_OPTIONS]
    options += [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    forget = 'rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/auth.conf* "$1"/etc/resolv.conf "$1"/etc/hostname'
    command = ["mmdebstrap", f"--variant={variant}", "--mode=root", "--format=directory", *options]
    command += [f"--customize-hook={forget}", f"--include={','.join(packages)}", suite(), str(into)]
    command += [line for line in sources().splitlines() if line]
    output(*command)
